"""Imports inside `mess_core` point down only, and no file imports itself by way of others.

Imports for typing count: whoever reads a file has to know what they name.
"""

import importlib.util
from graphlib import TopologicalSorter
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "import_graph.py"
spec = importlib.util.spec_from_file_location("import_graph", SCRIPT)
drawn = importlib.util.module_from_spec(spec)
spec.loader.exec_module(drawn)

GRAPH = drawn.import_graph()
LAYER = {name: number for number, name in enumerate(drawn.ROOMS)}


def test_every_room_has_a_layer():
    assert {drawn.room(module) for module in GRAPH} == set(LAYER)


def test_nothing_imports_from_a_layer_above_itself():
    upwards = [
        f"{module} imports {one}"
        for module, found in GRAPH.items()
        for one in found
        if LAYER[drawn.room(one)] < LAYER[drawn.room(module)]
    ]
    assert upwards == []


def test_no_file_imports_itself_by_way_of_others():
    TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names the files


def test_the_figure_in_the_documentation_is_that_of_the_code():
    assert drawn.PICTURE.read_text() == drawn.svg(), "run `python docs/import_graph.py`"
