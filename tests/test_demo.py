"""The demo corpus as the default encoder hears it, from synthesis to suggested queries."""

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mess_assets.defs.resources import EncoderResource
from mess_core.datasets.demo import HABITS, write_demo_corpus
from mess_core.environment import PIANO
from mess_core.probing import discover, pipeline
from mess_core.search import Library
from mess_core.search.suggestions import suggested_queries
from mess_core.store.tables import read_table
from tests.fixtures.workbench import Workbench


@pytest.fixture
def demo(tmp_path, quick_probing, monkeypatch):
    """The whole demo library; fewer permutations and resamples than users get."""

    def fewer(*args, **kwargs):
        return discover(*args, **{**kwargs, "permutations": 120, "resamples": 200})

    monkeypatch.setattr(pipeline, "discover", fewer)
    (tmp_path / "dagster").mkdir()
    bench = Workbench(tmp_path / "data", dg.DagsterInstance.local_temp(str(tmp_path / "dagster")))
    bench.encoder = EncoderResource(name=PIANO, device="cpu")
    assert write_demo_corpus(bench.datasets / "demo") == 120
    assert bench.refresh().success, bench.lines
    return bench


@pytest.mark.longest
def test_the_demo_lets_its_players_be_found_by_how_they_play(demo):
    library = Library.open(demo.root)
    truth = pd.read_csv(demo.datasets / "demo" / "ground_truth.csv").set_index("track_id")
    player = library.tracks.set_index("track_id")["performer"]
    assert set(player) == set(HABITS)

    # What was put in is what is measured.
    measured = read_table(demo.layout.proxy_targets).set_index("track_id")
    for target, cause in (
        ("velocity_mean", "velocity"),
        ("articulation_ratio", "articulation"),
        ("rubato", "rubato"),
        ("pedal_fraction", "pedal"),
    ):
        assert measured[target].corr(truth[cause], method="spearman") > 0.6, target

    # What is measured is available to a search.
    available = [one for one in library.aspects.values() if one.available]
    assert len(available) >= 10
    assert sum(one.confidence in ("medium", "high") for one in available) >= 5

    # Suggested queries change the ranking, and hits are played like the query.
    cause = {"legato": "articulation", "expressiveness": "dynamics"}
    suggestions = suggested_queries(library)
    assert len(suggestions) == 3
    assert {name for one in suggestions for name in one.aspects} & set(cause)
    for one in suggestions:
        hits = library.similar(one.track, one.aspects, k=10)["track_id"]
        assert set(hits) != set(library.similar(one.track, k=10)["track_id"])
        (aspect,) = one.aspects
        if aspect in cause:
            apart = (truth[cause[aspect]] - truth.loc[one.track, cause[aspect]]).abs()
            assert apart[hits].mean() < 0.7 * apart.mean(), aspect
            others = player[player.index != one.track]
            assert np.mean(player[hits] == player[one.track]) > 1.5 * np.mean(
                others == player[one.track]
            )
