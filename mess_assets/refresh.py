"""Run the whole pipeline from one process: scan, per-track work, tables and indices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from mess_assets.definitions import load_definitions
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.defs.sensors import pending_keys
from mess_assets.partitions import TRACKS, batches, range_tags

STAGES = {"embeddings": "embed", "track_targets": "describe"}
"""Per-track asset to the job that makes it."""

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Batch:
    """One run to come: an asset, the partitions that need it, and the range that covers them."""

    asset: str
    wanted: list[str]
    span: list[str]


@dataclass
class Refreshed:
    """What a refresh did: runs as (name, run id, succeeded), and how many tracks it took."""

    runs: list[tuple[str, str, bool]] = field(default_factory=list)
    pending: int = 0

    @property
    def success(self) -> bool:
        return all(ok for _, _, ok in self.runs)


def plan_batches(
    instance: dg.DagsterInstance,
    *,
    store: StoreResource,
    encoder: EncoderResource,
    batch: int | None = None,
    stages: Sequence[str] = tuple(STAGES),
    only: Callable[[str], bool] | None = None,
    everything: bool = False,
    failed_too: bool = False,
) -> list[Batch]:
    """The runs that would bring every track up to date.

    Parameters
    ----------
    instance : DagsterInstance
    store, encoder : resources
    batch : int, optional
        Tracks per run; default: `partitions.tracks_per_run`.
    stages : sequence of {"embeddings", "track_targets"}
    only : callable, optional
        Which partition keys to consider.
    everything : bool
        Also what is up to date: it costs a look, and Dagster then knows of it.
    failed_too : bool
        Also tracks that failed and have not changed.
    """
    order = instance.get_dynamic_partitions(TRACKS.name)
    if everything:
        keys = {stage: list(order) for stage in stages}
    else:
        pending = pending_keys(instance, store, encoder, order, failed_too=failed_too)
        keys = {stage: pending[STAGES[stage]] for stage in stages}
    planned: dict[str, list[Batch]] = {}
    for stage in stages:
        wanted = set(filter(only, keys[stage]))
        planned[stage] = [
            Batch(stage, [key for key in span if key in wanted], span)
            for span in batches(sorted(wanted), order, batch)
        ]
    # By turns, so that an interruption leaves the same tracks complete in all stages.
    longest = max((len(runs) for runs in planned.values()), default=0)
    return [
        runs[index] for index in range(longest) for runs in planned.values() if index < len(runs)
    ]


def refresh(
    instance: dg.DagsterInstance,
    *,
    store: StoreResource,
    encoder: EncoderResource,
    say: Callable[[str], None],
    batch: int | None = None,
    rebuild: bool = True,
    report: bool = False,
) -> Refreshed:
    """Bring every asset up to date, in batches of partitions.

    Parameters
    ----------
    instance : DagsterInstance
    store, encoder : resources
    say : callable
        Called with a line per run.
    batch : int, optional
        Tracks per run; default: `partitions.tracks_per_run`.
    rebuild : bool
        Whether to renew tables, probing and indices afterwards.
    report : bool
        Whether to examine the targets as well, which takes minutes.

    Returns
    -------
    Refreshed
        Failed tracks make their run fail; tables are built from the others.
    """
    runner = Runner(load_definitions({"store": store, "encoder": encoder}), instance, say)
    if not runner.run("scan the data sets", ["tracks"]):
        return runner.done
    planned = plan_batches(instance, store=store, encoder=encoder, batch=batch)
    runner.done.pending = len({key for one in planned for key in one.wanted})
    for one in planned:
        runner.run_batch(one)
    if rebuild:
        runner.rebuild(store)
    if report:
        runner.run("report on the targets (planted clips)", ["targets_report"])
    return runner.done


@dataclass
class Runner:
    """Runs assets in this process and says in a line each how it went."""

    defs: dg.Definitions
    instance: dg.DagsterInstance
    say: Callable[[str], None]
    done: Refreshed = field(default_factory=Refreshed)

    def run_batch(self, batch: Batch, told: Callable[[str], None] | None = None) -> bool:
        """Run one batch; `told` is called with each partition key as it is done.

        Raises
        ------
        KeyboardInterrupt
            If it was interrupted; the run has then ended as failed or canceled.
        """
        job = STAGES[batch.asset]
        run_id = dg.DagsterRun(job_name=job).run_id
        if told is not None:
            self.instance.add_event_listener(run_id, lambda event: _tell(event, told))
        return self._run_job(
            f"{batch.asset}: {len(batch.span)} tracks",
            job,
            tags=range_tags(batch.span),
            run_id=run_id,
        )

    def rebuild(self, store: StoreResource) -> bool:
        """Tables, probing, aspects and indices, as far as there is something to build from."""
        if any_embedding(store.layout):
            return self._run_job("tables, probing, aspects, indices, checks", "tables")
        self.say("no track has audio that could be embedded: no matrix, probing or index to build")
        return self.run(
            "works aligned, table of targets", ["failures", "aligned_targets", "proxy_targets"]
        )

    def run(self, what: str, assets: list[str]) -> bool:
        """Materialise some assets with their checks, and note how it went.

        Raises
        ------
        KeyboardInterrupt
            If it was interrupted; the run has then ended as failed or canceled.
        """
        self.say(f"{what} …")
        result = dg.materialize(
            [*(self.defs.assets or ()), *(self.defs.asset_checks or ())],
            selection=dg.AssetSelection.assets(*assets),
            resources=self.defs.resources,
            instance=self.instance,
            run_config=_QUIET,
            raise_on_error=False,
        )
        return self._noted(what, result)

    def _run_job(self, what: str, job: str, **options: Any) -> bool:
        self.say(f"{what} …")
        result = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, run_config=_QUIET, raise_on_error=False, **options
        )
        return self._noted(what, result)

    def _noted(self, what: str, result: dg.ExecuteInProcessResult) -> bool:
        self.done.runs.append((what, result.run_id, result.success))
        for event in result.all_events:
            if event.is_step_failure:
                if _interrupted(event):
                    raise KeyboardInterrupt
                self.say(f"  {event.step_key} failed: {_reason(event)}")
        return result.success


def any_embedding(layout: Any) -> bool:
    """Whether the store holds an embedding of any track."""
    return any((layout.root / "embeddings").glob("*-emb/sidecars/*.json"))


def _tell(entry: dg.EventLogEntry, told: Callable[[str], None]) -> None:
    event = entry.dagster_event
    if event is not None and event.is_step_materialization and event.partition:
        told(event.partition)


def _interrupted(event: dg.DagsterEvent) -> bool:
    # Dagster turns the interruption of a step into a failure of its own kind.
    error = event.step_failure_data.error
    interruption = dg.DagsterExecutionInterruptedError.__name__
    while error is not None and error.cls_name != interruption:
        error = error.cause
    return error is not None


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return "unknown" if error is None else error.message.strip()
