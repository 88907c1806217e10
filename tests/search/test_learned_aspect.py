"""The aspect "played alike": there only if a head helps, and then ranks as its head does."""

import pandas as pd
import pytest

from mess_core.errors import SearchError
from mess_core.search import Library
from mess_core.search.learned_aspect import PLAYED_ALIKE
from mess_core.store.tables import write_table
from tests.fixtures.heads import save_layer_head


@pytest.fixture
def with_head(workbench):
    """Return a function that writes a leaderboard with a verdict on the served head."""
    layout = workbench.layout
    save_layer_head(layout, 3, "expression-third", objective="expression", model="third")

    def write(verdict, low=0.72):
        score = {
            "system": "expression: third", "criterion": "expression", "metric": "triplets",
            "mean": 0.75, "low": low, "high": 0.8, "clusters": 40,
        }  # fmt: skip
        model = {
            "objective": "expression",
            "model": "expression: third",
            "verdict": verdict,
            "p": 0.001,
            "clusters": 40,
        }
        write_table(layout.leaderboard / "leaderboard.parquet", pd.DataFrame([score]))
        write_table(layout.leaderboard / "models.parquet", pd.DataFrame([model]))
        return Library.open(workbench.root)

    return write


def test_without_a_leaderboard_there_is_no_such_aspect(workbench):
    assert PLAYED_ALIKE not in Library.open(workbench.root).aspects


@pytest.mark.parametrize("verdict", ["not helping", "worse", "too few works to tell"])
def test_a_head_that_does_not_help_is_not_served_as_an_aspect(with_head, verdict):
    library = with_head(verdict)
    assert PLAYED_ALIKE not in library.aspects
    with pytest.raises(SearchError, match="no aspect"):
        library.similar(library.track_ids[0], {PLAYED_ALIKE: 1.0})


def test_the_aspect_ranks_as_its_head_and_says_what_is_known(with_head):
    library = with_head("better")
    query = library.track_ids[0]
    hits = library.similar(query, {PLAYED_ALIKE: 1.0}, k=8)
    by_head = library.similar(query, head="expression-third", k=8)
    assert hits["track_id"].tolist() == by_head["track_id"].tolist()
    aspect = library.aspects[PLAYED_ALIKE]
    assert aspect.available
    assert aspect.confidence == "medium"
    assert "40 works never trained on" in aspect.reason
    assert "0.75 (0.72 to 0.80)" in aspect.reason


def test_it_combines_with_other_aspects_and_is_explained(with_head):
    library = with_head("better")
    query = library.track_ids[0]
    both = library.similar(query, {PLAYED_ALIKE: 1.0, "tempo": 0.5}, k=5)
    assert {PLAYED_ALIKE, "tempo"} <= set(both.columns)
    explained = library.explain(query, both["track_id"].iloc[0])
    assert "tempo" in set(explained["aspect"])


def test_a_recording_from_outside_is_referred_to_the_head(with_head):
    library = with_head("better")
    _, vectors = library.vectors()
    with pytest.raises(SearchError, match="tracks of the library"):
        library._ranking.by_aspects(vectors[0], {PLAYED_ALIKE: 1.0}, set(library.track_ids), 3)


def test_the_confidence_falls_with_the_lower_bound(with_head):
    assert with_head("better", low=0.52).aspects[PLAYED_ALIKE].confidence == "low"
    assert not with_head("better", low=0.49).aspects[PLAYED_ALIKE].available
