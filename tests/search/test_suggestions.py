"""Suggested queries: what stands out, and only by aspects that are available."""

from dataclasses import replace

import pandas as pd
import pytest

from mess_core.search import Library
from mess_core.search import suggestions as module
from mess_core.search.suggestions import suggested_queries


@pytest.fixture
def library(built):
    return Library.open(built.root)


def test_without_available_aspects_the_suggestion_has_none(library):
    library.aspects = {
        name: replace(one, confidence="none") for name, one in library.aspects.items()
    }
    (only,) = suggested_queries(library)
    assert only.aspects == {}
    assert only.command == f"mess search {only.track}"
    assert only.track in library.track_ids


def test_each_suggestion_stands_out_in_an_available_aspect(library, monkeypatch):
    sure = {"legato": 0.4, "dynamics": 0.2, "brightness": 0.9}  # brightness is not of the playing
    for name, one in library.aspects.items():
        confidence = "low" if name in sure else "none"
        library.aspects[name] = replace(one, confidence=confidence, r2_low=sure.get(name, 0.0))
    ids = library.track_ids
    dry, unchanged, loud = ids[2], ids[5], ids[8]

    def similar(track, aspects=None, *, k):
        """The aspect changes the hits of all tracks but one."""
        same = aspects is None or track == unchanged
        return pd.DataFrame({"track_id": ids[:k] if same else ids[-k:]})

    monkeypatch.setattr(library, "similar", similar)
    table = pd.DataFrame({"track_id": ids, "articulation_ratio": 0.9, "dynamic_range": 20.0})
    table = table.set_index("track_id")
    table.loc[dry, "articulation_ratio"] = 0.4
    table.loc[unchanged, "articulation_ratio"] = 0.1
    table.loc[loud, "dynamic_range"] = 45.0
    without = pd.DataFrame({"target": [], "evidence": []})
    monkeypatch.setattr(
        module,
        "read_table",
        lambda path: table.reset_index() if "proxy" in path.name else without,
    )
    first, second = suggested_queries(library)  # the surer aspect first
    assert (first.track, first.aspects) == (dry, {"legato": 1.0})
    assert first.command == f"mess search {dry} --aspects legato"
    assert first.reason == "its articulation_ratio is low: 0.4"
    assert (second.track, second.aspects) == (loud, {"dynamics": 1.0})
    assert second.reason == "its dynamic_range is high: 45 dB"
