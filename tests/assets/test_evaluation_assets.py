"""The job `evaluate` in Dagster, on a library that is too small for some models."""

import dagster as dg
import pytest


@pytest.fixture
def evaluated(workbench, monkeypatch):
    from mess_assets.definitions import defs
    from mess_assets.defs.resources import TrackingResource
    from mess_core.evaluation import pipeline, preparation, protocol
    from mess_core.evaluation.systems import baselines

    monkeypatch.setattr(preparation, "MOST_SOURCES", 1)
    monkeypatch.setattr(protocol, "PERMUTATIONS", 1)
    few = baselines([0], "untrained:tiny")
    monkeypatch.setattr(pipeline, "baselines", lambda *_: few)
    names = ["splits", "passages", "single_factor_triplets", "human_triplets", "head_diagonal"]
    names += ["retrieval_evaluation", "human_evaluation", "leaderboard"]
    return dg.materialize(
        [*defs.assets, *defs.asset_checks],
        selection=dg.AssetSelection.assets(*names),
        instance=workbench.instance,
        resources={
            "store": workbench.store,
            "encoder": workbench.encoder,
            "tracking": TrackingResource(uri="off"),
        },
        raise_on_error=False,
    ), workbench


def test_the_job_succeeds_and_reports_models_that_could_not_be_trained(evaluated):
    done, bench = evaluated
    assert done.success
    made = {
        event.asset_key.to_user_string(): event.materialization
        for event in done.get_asset_materialization_events()
    }
    assert {"splits", "passages", "leaderboard", "head_diagonal"} <= set(made)
    board = made["leaderboard"].metadata["leaderboard"].value
    assert "## single factor: pedal (triplets, chance 0.500)" in board
    # With two players, x has only one other performance, so there are no triplets.
    heads = made["head_diagonal"].metadata["heads"].value
    assert "problem" in heads["expression-diagonal"]
    checked = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert checked["frozen_splits_do_not_leak"].passed
    assert checked["leaderboard_is_sound"].passed
    assert not checked["head_diagonal_can_be_served"].passed
    assert (bench.layout.leaderboard / "leaderboard.md").exists()
