"""Draw which room of `mess_core` imports which: a matrix with nothing below its diagonal.

    python docs/import_graph.py    writes docs/_static/import_graph.svg

`tests/test_layers.py` compares the picture with the code.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "mess_core"
PICTURE = Path(__file__).resolve().parent / "_static" / "import_graph.svg"

ROOMS = (
    "cli", "listen", "plots", "pretraining", "evaluation", "judgements", "validation", "ranking",
    "search", "probing", "targets", "transcription", "encoders", "statistics", "store", "datasets",
    "midi", "tracking", "audio", "processes", "environment", "paths", "errors",
)  # fmt: skip
"""From top to bottom: a room imports from rooms below itself only."""


def modules() -> dict[str, Path]:
    """Name of every module of `mess_core` to its file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def import_graph() -> dict[str, set[str]]:
    """Module to the modules of `mess_core` that it imports, wherever in its file.

    The package itself is left out: it names lazily what it offers, and nothing imports it.
    """
    files = modules()
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                for one in node.names:
                    inner = f"{node.module}.{one.name}"
                    found.add(inner if inner in files else node.module)
            elif isinstance(node, ast.Import):
                found.update(one.name for one in node.names)
        graph[module] = {one for one in found if one in files and one != module}
    del graph["mess_core"]
    return {module: found - {"mess_core"} for module, found in graph.items()}


def room(module: str) -> str:
    """The room that a module is in."""
    return module.split(".")[1]


def svg() -> str:
    """The picture: rooms as rows and columns, and how many files of a row import a column."""
    counts: Counter[tuple[str, str]] = Counter()
    for module, found in import_graph().items():
        for target in {room(one) for one in found} - {room(module)}:
            counts[room(module), target] += 1
    cell, left, top = 28, 110, 110
    size = cell * len(ROOMS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + size + 10} '
        f'{top + size + 10}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Imports between the rooms of mess_core</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for number, name in enumerate(ROOMS):
        middle = number * cell + cell / 2
        parts += [
            f'<text x="{left - 8}" y="{top + middle + 4:g}" text-anchor="end">{name}</text>',
            f'<text transform="translate({left + middle + 4:g},{top - 8}) rotate(-60)">'
            f"{name}</text>",
            f'<rect x="{left + number * cell}" y="{top + number * cell}" width="{cell}" '
            f'height="{cell}" fill="#e6e6e6"/>',
        ]
    for (row, column), count in sorted(counts.items()):
        x, y = (left + cell * ROOMS.index(column), top + cell * ROOMS.index(row))
        parts += [
            f'<rect x="{x + 2}" y="{y + 2}" width="{cell - 4}" height="{cell - 4}" '
            f'rx="4" fill="#4477aa" fill-opacity="{0.25 + 0.75 * min(1.0, count / 10):.2f}"/>',
            f'<text x="{x + cell / 2:g}" y="{y + cell / 2 + 4:g}" text-anchor="middle">'
            f"{count}</text>",
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(svg())
    print(PICTURE)
