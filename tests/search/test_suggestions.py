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


def _changed(library, track, aspect):
    plain, weighted = (
        set(library.similar(track, weights, k=5)["track_id"]) for weights in (None, {aspect: 1.0})
    )
    return plain != weighted


def _changed_by_some_layer(library, aspect, ids):
    """Let the aspect be of the first layer that changes a ranking, and return whose."""
    for layer in range(13):
        one = replace(library.aspects[aspect], weights={layer: 1.0})
        library.aspects[aspect] = one
        for track in sorted(ids):
            if _changed(library, track, aspect):
                return track
    raise AssertionError("no layer changes any ranking")


def test_each_suggestion_stands_out_in_an_available_aspect(library, monkeypatch):
    shown = {"legato": (0.4, {0: 1.0}), "dynamics": (0.2, {12: 1.0}), "brightness": (0.9, {3: 1.0})}
    for name, one in library.aspects.items():
        low, weights = shown.get(name, (0.0, one.weights))
        confidence = "low" if name in shown else "none"
        library.aspects[name] = replace(one, confidence=confidence, r2_low=low, weights=weights)
    ids = library.track_ids
    dry = next(one for one in ids if _changed(library, one, "legato"))
    loud = _changed_by_some_layer(library, "dynamics", set(ids) - {dry})
    table = pd.DataFrame({"track_id": ids, "articulation_ratio": 0.9, "dynamic_range": 20.0})
    table.loc[ids.index(dry), "articulation_ratio"] = 0.4
    table.loc[ids.index(loud), "dynamic_range"] = 45.0
    without = pd.DataFrame({"target": [], "evidence": []})
    monkeypatch.setattr(
        module, "read_table", lambda path: table if "proxy" in path.name else without
    )
    first, second = suggested_queries(library)  # the surer aspect first; brightness is not played
    assert (first.track, first.aspects) == (dry, {"legato": 1.0})
    assert first.command == f"mess search {dry} --aspects legato"
    assert first.reason == "its articulation_ratio is low: 0.4"
    assert (second.track, second.aspects) == (loud, {"dynamics": 1.0})
    assert second.reason == "its dynamic_range is high: 45 dB"
    for one in (first, second):
        assert _changed(library, one.track, next(iter(one.aspects)))
