"""Run the whole pipeline from one process: scan, per-track work, tables and indices."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from mess_assets.build import build_defs
from mess_assets.partitions import TRACKS, range_tags
from mess_assets.resources import EncoderResource, StoreResource
from mess_assets.sensors import contiguous, pending_keys

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Refreshed:
    """What a refresh did: runs as (name, run id, succeeded), and how many tracks it took."""

    runs: list[tuple[str, str, bool]] = field(default_factory=list)
    pending: int = 0

    @property
    def success(self) -> bool:
        return all(ok for _, _, ok in self.runs)


def refresh(
    instance: dg.DagsterInstance,
    *,
    store: StoreResource,
    encoder: EncoderResource,
    say: Callable[[str], None],
    batch: int = 100,
    report: bool = False,
) -> Refreshed:
    """Bring every asset up to date, in batches of partitions.

    Parameters
    ----------
    instance : DagsterInstance
    store, encoder : resources
    say : callable
        Called with a line per run.
    batch : int
        Tracks per run.
    report : bool
        Whether to examine the targets as well, which takes minutes.

    Returns
    -------
    Refreshed
        Failed tracks make their run fail; tables are built from the others.
    """
    runner = _Runner(
        build_defs(resource_overrides={"store": store, "encoder": encoder}), instance, say
    )
    done = runner.done
    if not runner.run("scan the data sets", ["tracks"]):
        return done
    keys = pending_keys(instance, store, encoder)
    done.pending = len(keys)
    order = instance.get_dynamic_partitions(TRACKS.name)
    for stretch in contiguous(keys, order):
        for first in range(0, len(stretch), batch):
            part = stretch[first : first + batch]
            span = list(order[order.index(part[0]) : order.index(part[-1]) + 1])
            for asset in ("embeddings", "track_targets"):
                runner.run(f"{asset}: {len(span)} tracks", [asset], range_tags(span))
    if any_embedding(store.layout):
        runner.run("tables, probing, aspects, indices, checks", job="tables")
    else:
        runner.run("works aligned, table of targets", ["aligned_targets", "proxy_targets"])
        say("no track has audio that could be embedded: no matrix, probing or index to build")
    if report:
        runner.run("report on the targets (planted clips)", ["targets_report"])
    return done


@dataclass
class _Runner:
    """Runs assets in this process and says in a line each how it went."""

    defs: dg.Definitions
    instance: dg.DagsterInstance
    say: Callable[[str], None]
    done: Refreshed = field(default_factory=Refreshed)

    def run(
        self,
        what: str,
        assets: list[str] | None = None,
        tags: dict[str, str] | None = None,
        *,
        job: str = "__ASSET_JOB",
    ) -> bool:
        self.say(f"{what} …")
        result = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
            run_config=_QUIET,
            tags=tags,
            raise_on_error=False,
        )
        self.done.runs.append((what, result.run_id, result.success))
        for event in result.all_events:
            if event.is_step_failure:
                self.say(f"  {event.step_key} failed: {_reason(event)}")
        return result.success


def any_embedding(layout: Any) -> bool:
    """Whether the store holds an embedding of any track."""
    return any((layout.root / "embeddings").glob("*-emb/sidecars/*.json"))


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return "unknown" if error is None else error.message.strip()
