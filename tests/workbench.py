"""Libraries built through Dagster: one for all tests that only read, copies to change."""

import os
import shutil
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock


class Workbench:
    """A data root with data sets, a Dagster instance (an ephemeral one), and the pipeline."""

    def __init__(self, root: Path, instance: dg.DagsterInstance | None = None) -> None:
        from mess_assets.resources import EncoderResource, StoreResource
        from mess_core.store import Layout

        self.root = root
        self.datasets = root / "datasets"
        self.datasets.mkdir(parents=True, exist_ok=True)
        self.layout = Layout(root)
        self.store = StoreResource(data_root=str(root), datasets="")
        self.encoder = EncoderResource(name="untrained:tiny", device="cpu")
        self.instance = instance or dg.DagsterInstance.ephemeral()
        self.lines: list[str] = []

    def refresh(self, **kwargs):
        from mess_assets.refresh import refresh

        return refresh(
            self.instance,
            store=self.store,
            encoder=self.encoder,
            say=self.lines.append,
            **kwargs,
        )

    def materialised(self, asset: str, partition: str) -> list:
        """Status of each materialisation of a partition, newest first."""
        found = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition]), limit=100
        )
        return [record.asset_materialization.metadata["status"].value for record in found.records]


@pytest.fixture(scope="session")
def built(tmp_path_factory, corpus) -> Workbench:
    """Built by the worker that needs it first; only to be read, since all have the same."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of the whole session
    (folder / "dagster").mkdir(exist_ok=True)
    with FileLock(folder / "built.lock"):
        instance = dg.DagsterInstance.local_temp(str(folder / "dagster"))
        bench = Workbench(folder / "built", instance)
        if not (folder / "built.ready").exists():
            shutil.copytree(corpus, bench.datasets / "demo")
            done = bench.refresh()
            assert done.success, bench.lines
            (folder / "built.ready").touch()
    return bench


@pytest.fixture
def quick_probing(monkeypatch) -> None:
    """Rebuilds without drawing and with fewer draws; `built` has done all of it once."""
    from functools import partial

    from mess_assets import plots
    from mess_core.probing import report, stored, stored_segments

    monkeypatch.setattr(plots, "_png", lambda *_, **__: b"not drawn")

    for name in ("heatmap_png", "profiles_png", "within_png"):
        monkeypatch.setattr(report, name, lambda *_, **__: b"not drawn")
    monkeypatch.setattr(report, "heatmap_html", lambda *_, **__: "not drawn")
    few = {"alphas": (1.0, 100.0), "resamples": 50, "folds": 3, "inner_folds": 2}

    def fewer(function, **changes):
        return lambda *args, **kwargs: function(*args, **{**kwargs, **changes})

    monkeypatch.setattr(stored, "discover", fewer(stored.discover, permutations=5, resamples=50))
    monkeypatch.setattr(stored_segments, "discover", partial(stored_segments.discover, **few))
    monkeypatch.setattr(
        stored_segments, "discover_curves", partial(stored_segments.discover_curves, **few)
    )


@pytest.fixture
def workbench(tmp_path, built, quick_probing) -> Workbench:
    """A copy of the built library, to change at will."""
    shutil.copytree(built.root, tmp_path / "library")
    bench = Workbench(tmp_path / "library")
    keys = list(built.instance.get_dynamic_partitions("tracks"))
    bench.instance.add_dynamic_partitions("tracks", keys)
    return bench


@pytest.fixture
def fresh(tmp_path, corpus, quick_probing) -> Workbench:
    """The demo corpus, nothing computed yet."""
    bench = Workbench(tmp_path / "library")
    shutil.copytree(corpus, bench.datasets / "demo")
    return bench
