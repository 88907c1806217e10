"""Imports inside `mess_core` point down only."""

import ast
from pathlib import Path

import mess_core

ROOM = Path(mess_core.__file__).parent
ROWS = [
    {"cli", "doctor"}, {"listen"}, {"evaluation"}, {"ranking"}, {"search"}, {"probing"},
    {"targets"}, {"encoders"}, {"store"}, {"datasets"}, {"midi"},
    {"tracking", "audio", "terminal", "places", "errors"},
]  # fmt: skip
ROW = {name: number for number, row in enumerate(ROWS) for name in row}


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def test_nothing_imports_from_a_row_above_itself():
    upwards = []
    for path in sorted(ROOM.rglob("*.py")):
        name = path.relative_to(ROOM).with_suffix("").parts[0]
        if name == "__init__":
            continue
        for module in _imported(path):
            package, _, rest = module.partition(".")
            above = rest.partition(".")[0]
            if package == "mess_core" and rest and ROW[above] < ROW[name]:
                upwards.append(f"{path.relative_to(ROOM)}: {module}")
    assert upwards == []
