"""A short scenario with the embedded default; `make scenario` runs it."""

import pytest

from tests.scenario.story import run_scenario

pytestmark = pytest.mark.scenario


def test_recovery_from_corrupt_tracks_and_killed_processes(tmp_path):
    found = run_scenario(tmp_path, tracks=16, new=12, broken=2, batch=6)
    assert (found["tracks"], found["good"], found["materialised"]) == (28, 26, 26)
    assert len(found["failed"]) == 2
    assert found["failed_named"]
    assert (found["partitions"], found["partitions_twice"]) == (28, 0)
    assert found["partitions_without_track"] == 0
    # Only the track that the killed worker was embedding may have been embedded twice.
    assert found["embedded_never"] == 0
    assert found["embedded_twice"] <= 1
    assert found["embedded_more_often"] == 0
    assert len(found["retries_of_killed_run"]) == 1
    assert found["rebuilds"] == 2
    assert found["tables_of_good_tracks"]
    # Missing tracks only warn; no blocking check has failed.
    assert "no_track_fails" in found["checks_not_passed"]
    assert not {name for name in found["checks_not_passed"] if name.endswith("_is_current")}
