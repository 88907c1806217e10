"""Faithfulness distinguishes hits near in one property from hits near in all."""

import numpy as np
import pandas as pd
import pytest

from mess_core.errors import SearchError
from mess_core.probing import discover
from mess_core.probing.aspects import Aspect
from mess_core.probing.probes import fit_probes, load_probes, place_tracks
from mess_core.search import Library
from mess_core.search.faithfulness import faithfulness_table, measure_store
from mess_core.store.tables import read_json


@pytest.fixture(scope="module")
def synthetic():
    """A layer that encodes tempo in one of many directions, so cosine is dominated by others."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 2, 20)).astype(np.float32)
    works = [f"w{index % 30}" for index in range(120)]
    y = pd.DataFrame(
        {
            "tempo": x[:, 1, 0] + 0.1 * rng.standard_normal(120),
            "rubato": x[:, 0, 3] + 0.1 * rng.standard_normal(120),
        }
    )
    found = discover(x, y, works, permutations=39, resamples=50)
    probes = fit_probes(x, y, found)
    return x, y, works, found, probes


def test_probes_use_the_chosen_layer(synthetic):
    x, y, _, _, probes = synthetic
    assert dict(zip(probes.targets, probes.layers, strict=True)) == {"tempo": 1, "rubato": 0}
    placed = probes.project(x, [0, 1])
    for column, target in enumerate(probes.targets):
        assert np.corrcoef(placed[:, column], y[target])[0, 1] > 0.98
        assert placed[:, column].std() == pytest.approx(1, abs=0.1)


def test_tracks_are_projected_by_probes_not_trained_on_them(synthetic):
    x, y, _, found, probes = synthetic
    holes = y.copy()
    holes.loc[:4, "tempo"] = np.nan
    placed = place_tracks(x, y, found, probes)
    known = (found.chosen["tempo"] - y["tempo"].mean()) / y["tempo"].std(ddof=0)
    np.testing.assert_allclose(placed["tempo"], known)
    again = discover(x, holes, synthetic[2], permutations=0, resamples=20)
    probe = fit_probes(x, holes, again)
    filled = place_tracks(x, holes, again, probe)
    assert np.isfinite(filled).all(axis=None)
    at = probe.targets.index("tempo")
    np.testing.assert_allclose(filled["tempo"][:5], probe.project(x, [0, 1])[:5, at])


def test_subspace_is_more_faithful_if_the_layer_encodes_other_properties(synthetic):
    x, y, works, found, probes = synthetic
    placed = place_tracks(x, y, found, probes)
    aspects = {
        "tempo": Aspect("tempo", {1: 1.0}, "high", 0.9, 0.9, ""),
        "rubato": Aspect("rubato", {0: 1.0}, "high", 0.9, 0.9, ""),
    }
    table = faithfulness_table(x, [0, 1], placed, y, works, aspects, resamples=100)
    by = table.set_index(["aspect", "mode"])
    assert by.loc[("tempo", "subspace"), "faithfulness"] > 0.7
    assert by.loc[("tempo", "cosine"), "faithfulness"] < 0.5
    assert abs(by.loc[("tempo", "subspace"), "others"]) < 0.15
    assert by.loc[("tempo", "subspace"), "served"]
    assert by.loc[("tempo", "subspace"), "choice_faithfulness"] > 0.7
    assert (table["low"] <= table["faithfulness"]).all()
    assert (table["faithfulness"] <= table["high"]).all()


def test_random_positions_are_not_faithful(synthetic):
    x, y, works, _, _ = synthetic
    noise = pd.DataFrame(np.random.default_rng(1).standard_normal(y.shape), columns=y.columns)
    aspects = {"tempo": Aspect("tempo", {0: 1.0}, "high", 0.9, 0.9, "")}
    table = faithfulness_table(x, [0, 1], noise, y, works, aspects, resamples=100)
    assert table["faithfulness"].abs().max() < 0.15
    assert "rubato" not in set(table["aspect"])


@pytest.mark.filterwarnings("error")
def test_resamples_without_a_measured_work_are_left_out(synthetic):
    """With targets of two works among three, one resample in 27 has nothing to compare."""
    x, y, works, _, _ = synthetic
    three = [row for row, work in enumerate(works) if work in ("w0", "w1", "w2")]
    placed = y.iloc[three].reset_index(drop=True)
    of_work = [works[row] for row in three]
    measured = placed.where(pd.Series(of_work) != "w2", axis=0)
    aspects = {"tempo": Aspect("tempo", {1: 1.0}, "high", 0.9, 0.9, "")}
    table = faithfulness_table(x[three], [0, 1], placed, measured, of_work, aspects, resamples=200)
    assert (table["low"] <= table["high"]).all()


def test_library_uses_the_more_faithful_mode(built):
    table = measure_store(built.layout)
    served = read_json(built.layout.probing / "faithfulness.json")["served"]
    assert served == table[table["served"]].set_index("aspect")["mode"].to_dict()
    library = Library.open(built.root)
    first = str(library.tracks["track_id"].iloc[0])
    wanted = {"dynamics": 0.7, "tempo": -0.3}
    for mode in ("auto", "cosine", "subspace"):
        hits = library.similar(first, wanted, k=20, mode=mode)
        expected = served if mode == "auto" else dict.fromkeys(wanted, mode)
        assert hits.attrs["modes"] == {name: expected[name] for name in wanted}
        assert len(hits) == 11
        assert first not in set(hits["track_id"])
        np.testing.assert_allclose(hits["score"], hits["dynamics"] + hits["tempo"])
        assert (np.diff(hits["score"]) <= 1e-12).all()
    _, placed, _ = load_probes(built.layout.probing)
    near = library.similar(first, {"tempo": 1.0}, k=1, mode="subspace")["track_id"][0]
    tempo = placed.set_index("track_id")["tempo"]
    assert near == (tempo - tempo[first]).abs().drop(first).idxmin()
    with pytest.raises(SearchError, match="mode must be"):
        library.similar(first, wanted, mode="best")
    library._ranking.subspaces.placed.pop("legato")  # as if none of its targets had been probed
    assert library.similar(first, {"legato": 1.0}, mode="auto").attrs["modes"]
    with pytest.raises(SearchError, match="legato has no subspace"):
        library.similar(first, {"legato": 1.0}, mode="subspace")


def test_without_faithfulness_the_mode_is_cosine(workbench):
    (workbench.layout.probing / "faithfulness.json").unlink()
    library = Library.open(workbench.root)
    first = str(library.tracks["track_id"].iloc[0])
    assert library.similar(first, {"tempo": 1.0}).attrs["modes"] == {"tempo": "cosine"}
    with pytest.raises(SearchError, match="no probe subspaces"):
        library.similar(first, {"tempo": 1.0}, mode="subspace")
