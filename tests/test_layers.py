"""Imports inside `mess_core` point down only, and no file imports itself by way of others.

Imports for typing count: whoever reads a file has to know what they name.
"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import mess_core

ROOT = Path(mess_core.__file__).parent
ROWS = [
    {"cli"}, {"listen"}, {"evaluation"}, {"judgements", "validation"}, {"ranking"}, {"search"},
    {"probing"}, {"targets"}, {"encoders"}, {"statistics"}, {"store"}, {"datasets"}, {"midi"},
    {"tracking", "audio", "paths", "errors"},
]  # fmt: skip
"""The rooms of `mess_core` from top to bottom, as CONTRIBUTING.md lists them."""
ROW = {name: number for number, row in enumerate(ROWS) for name in row}


def _module(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in sorted(ROOT.rglob("*.py"))}


def _imported(path):
    """Modules of `mess_core` that a file names, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for one in node.names:
                inner = f"{node.module}.{one.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


GRAPH = {
    module: {one for one in _imported(path) if one in MODULES and one != module}
    for module, path in MODULES.items()
}


def _room(module):
    return module.split(".")[1]


def test_every_room_has_a_row():
    assert {_room(module) for module in MODULES if "." in module} == set(ROW)


def test_nothing_imports_from_a_row_above_itself():
    upwards = [
        f"{module} imports {one}"
        for module, found in GRAPH.items()
        for one in found
        if module != "mess_core" and one != "mess_core" and ROW[_room(one)] < ROW[_room(module)]
    ]
    assert upwards == []


def test_no_file_imports_itself_by_way_of_others():
    # The lazy package file names what it offers; nothing inside imports it.
    graph = {module: found for module, found in GRAPH.items() if module != "mess_core"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files
