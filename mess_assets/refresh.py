"""Run the whole pipeline from one process: scan, per-track work, tables and indices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import dagster as dg

from mess_assets.definitions import load_definitions
from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.defs.sensors import pending_keys
from mess_assets.encoder_runs import ENCODER_TAG
from mess_assets.partitions import TRACKS, batches, range_tags
from mess_assets.progress import shown
from mess_assets.side_by_side import end_if_asked, side_by_side
from mess_core import errors
from mess_core.store.tables import read_table

STAGES = {"embeddings": "embed", "track_targets": "describe"}
"""Maps per-track assets to the jobs that materialise them."""

_OWN_ERRORS = frozenset(errors.__all__)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Batch:
    """A planned run: an asset, the pending partitions, and the range that covers them."""

    asset: str
    wanted: list[str]
    span: list[str]


@dataclass
class Refreshed:
    """Result of a refresh.

    Attributes
    ----------
    runs : list of (str, str, bool)
        Name, run id, success.
    pending : int
        Tracks that lacked something.
    unread : int
        Data sets that could not be read.
    """

    runs: list[tuple[str, str, bool]] = field(default_factory=list)
    pending: int = 0
    unread: int = 0

    @property
    def success(self) -> bool:
        return all(ok for _, _, ok in self.runs) and not self.unread


def plan_batches(
    instance: dg.DagsterInstance,
    *,
    store: StoreResource,
    encoder: EncoderResource,
    also: Sequence[EncoderResource] = (),
    batch: int | None = None,
    stages: Sequence[str] = tuple(STAGES),
    only: Callable[[str], bool] | None = None,
    everything: bool = False,
    failed_too: bool = False,
) -> list[Batch]:
    """Return the runs that would bring every track up to date.

    Parameters
    ----------
    instance : DagsterInstance
    store, encoder : resources
    also : sequence of EncoderResource
        Further encoders; a track is planned if it is pending for any.
    batch : int, optional
        Tracks per run; default: `partitions.tracks_per_run`.
    stages : sequence of {"embeddings", "track_targets"}
    only : callable, optional
        Predicate on the partition keys to consider; default: all.
    everything : bool
        Include up-to-date tracks, so that a new Dagster home records their materialisations.
    failed_too : bool
        Include failed tracks whose inputs have not changed.
    """
    order = instance.get_dynamic_partitions(TRACKS.name)
    if everything:
        keys = {stage: list(order) for stage in stages}
    else:
        found = [
            pending_keys(instance, store, one, order, failed_too=failed_too)
            for one in (encoder, *also)
        ]
        keys = {
            stage: list(dict.fromkeys(key for one in found for key in one[STAGES[stage]]))
            for stage in stages
        }
    planned: dict[str, list[Batch]] = {}
    for stage in stages:
        wanted = set(filter(only, keys[stage]))
        planned[stage] = [
            Batch(stage, [key for key in span if key in wanted], span)
            for span in batches(sorted(wanted), order, batch)
        ]
    # Alternate between stages: if they run in turns, an interruption leaves the same tracks
    # complete in all.
    longest = max((len(runs) for runs in planned.values()), default=0)
    return [
        runs[index] for index in range(longest) for runs in planned.values() if index < len(runs)
    ]


def refresh(
    instance: dg.DagsterInstance,
    *,
    store: StoreResource,
    encoder: EncoderResource,
    also: Sequence[EncoderResource] = (),
    say: Callable[[str], None],
    batch: int | None = None,
    rebuild: bool = True,
    report: bool = False,
    terminal: bool = False,
) -> Refreshed:
    """Bring every asset up to date, in batches of partitions.

    Parameters
    ----------
    instance : DagsterInstance
    store, encoder : resources
    also : sequence of EncoderResource
        Further encoders to embed with in the same pass, to build tables and indices for, and to
        compare with.
    say : callable
        Called with a line per run.
    batch : int, optional
        Tracks per run; default: `partitions.tracks_per_run`.
    rebuild : bool
        Whether to rebuild tables, probing and indices afterwards.
    report : bool
        Whether to validate the targets as well, which takes minutes.
    terminal : bool
        Whether to draw bars of progress instead of lines.

    Returns
    -------
    Refreshed
        Runs with failed tracks have failed; tables are built from the other tracks.
    """
    runner = Runner(store, encoder, instance, say, also=also)
    if not runner.scan():
        return runner.done
    planned = plan_batches(instance, store=store, encoder=encoder, also=also, batch=batch)
    runner.done.pending = len({key for one in planned for key in one.wanted})
    runner.run_batches(planned, terminal=terminal)
    if not planned:
        say("embeddings, track_targets: nothing to do, every track is up to date or has failed")
    if rebuild:
        rebuilt = False
        for further in also:
            other = Runner(store, further, instance, say)
            rebuilt |= other.rebuild()
            runner.done.runs += other.done.runs
        rebuilt |= runner.rebuild()
        if also and (rebuilt or planned):
            runner.run("encoders side by side", ["encoder_comparison"])
    if report:
        runner.run("report on the targets (synthetic clips)", ["targets_report"])
    return runner.done


@dataclass
class Runner:
    """Runs assets of one encoder in this process and reports each run in a line."""

    store: StoreResource
    encoder: EncoderResource
    instance: dg.DagsterInstance
    say: Callable[[str], None]
    also: Sequence[EncoderResource] = ()
    done: Refreshed = field(default_factory=Refreshed)

    @cached_property
    def defs(self) -> dg.Definitions:
        """Definitions with these resources."""
        return load_definitions({"store": self.store, "encoder": self.encoder})

    @property
    def _tags(self) -> dict[str, str]:
        return {ENCODER_TAG: self.encoder.folder()}

    def scan(self) -> bool:
        """Scan the data sets, and say what of them cannot be used."""
        from mess_core.store.track_table import scan_report, scan_summary

        good = self.run("scan the data sets", ["tracks"])
        if good:
            for line in scan_summary(self.store.layout):
                self.say(f"  {line}")
            self.done.unread = len(scan_report(self.store.layout)["problems"])
        return good

    def run_batches(self, planned: Sequence[Batch], *, terminal: bool) -> None:
        """Run batches, and show how far each stage is.

        If the encoder has a GPU, tracks are embedded on it while their targets are computed on
        the CPU; otherwise both would wait for the same cores, and batches alternate.

        Raises
        ------
        KeyboardInterrupt
            If a run was interrupted; it has then ended as failed or canceled.
        """
        if not planned:
            return
        tracks, encoders = read_table(self.store.layout.tracks), 1 + len(self.also)
        with shown(planned, tracks, self.say, terminal=terminal, encoders=encoders) as progress:

            def run(part: Sequence[Batch]) -> None:
                for one in part:
                    end_if_asked()
                    with progress.running(one.asset):
                        self.run_batch(one, progress.listener(one.asset))

            stages = [[one for one in planned if one.asset == stage] for stage in STAGES]
            if all(stages) and self.encoder.on_gpu():
                side_by_side(*(partial(run, part) for part in stages))
            else:
                run(planned)

    def run_batch(
        self, batch: Batch, heard: Callable[[dg.EventLogEntry], None] = lambda _: None
    ) -> bool:
        """Run one batch; `heard` is called with each event.

        Raises
        ------
        KeyboardInterrupt
            If the run was interrupted; it has then ended as failed or canceled.
        """
        job = STAGES[batch.asset]
        run_id = dg.DagsterRun(job_name=job).run_id
        self.instance.add_event_listener(run_id, heard)
        names = [one.name for one in self.also]
        shared: dict[str, Any] = {}
        if names and batch.asset == "embeddings":
            shared = {"ops": {"embeddings": {"config": {"also": names}}}}
        with_others = f" with {1 + len(names)} encoders" if shared else ""
        return self._run_job(
            f"{batch.asset}: {len(batch.span)} tracks{with_others}",
            job,
            tags=range_tags(batch.span),
            run_id=run_id,
            config=shared,
        )

    def rebuild(self) -> bool:
        """Rebuild tables, probing, aspects and indices, unless they are made from what is there.

        Without embeddings, only the works are aligned, and the table of targets is made.

        Returns
        -------
        bool
            Whether anything was built.
        """
        from mess_core.store.built_from import is_current, made_from, record_built

        layout = self.encoder.layout(self.store)
        what = "tables, probing, aspects, indices, checks"
        if is_current(layout):
            self.say(f"{what} ({self.encoder.folder()}): nothing to do, made from the same")
            return False
        made = made_from(layout)  # before: what changes meanwhile is built from the next time
        if any_embedding(layout):
            good = self._run_job(f"{what} ({self.encoder.folder()})", "tables")
        else:
            self.say("no track has audio that could be embedded: no matrix, probing, or index")
            good = self.run(
                "works aligned, table of targets", ["failures", "aligned_targets", "proxy_targets"]
            )
        if good:
            record_built(layout, made)
        return True

    def run(self, what: str, assets: list[str]) -> bool:
        """Materialise assets with their checks, and record whether they succeeded.

        Raises
        ------
        KeyboardInterrupt
            If the run was interrupted; it has then ended as failed or canceled.
        """
        self.say(f"{what} …")
        result = dg.materialize(
            [*(self.defs.assets or ()), *(self.defs.asset_checks or ())],
            selection=dg.AssetSelection.assets(*assets),
            resources=self.defs.resources,
            instance=self.instance,
            run_config=_QUIET,
            tags=self._tags,
            raise_on_error=False,
        )
        return self._record(what, result)

    def _run_job(
        self,
        what: str,
        job: str,
        *,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> bool:
        self.say(f"{what} …")
        result = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_config={**_QUIET, **(config or {})},
            tags={**self._tags, **(tags or {})},
            run_id=run_id,
            raise_on_error=False,
        )
        return self._record(what, result)

    def _record(self, what: str, result: dg.ExecuteInProcessResult) -> bool:
        self.done.runs.append((what, result.run_id, result.success))
        for event in result.all_events:
            if event.is_step_failure:
                if _interrupted(event):
                    raise KeyboardInterrupt
                self.say(f"  {event.step_key} failed: {_reason(event)}")
        return result.success


def any_embedding(layout: Any) -> bool:
    """Return whether the store contains an embedding of any track by the layout's encoder."""
    return any(layout.embeddings.glob("*-emb/sidecars/*.json"))


def _interrupted(event: dg.DagsterEvent) -> bool:
    # Dagster reports an interrupted step as a failure with its own exception class.
    error = event.step_failure_data.error
    interruptions = (dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__)
    while error is not None and error.cls_name not in interruptions:
        error = error.cause
    return error is not None


def _reason(event: dg.DagsterEvent) -> str:
    """Return MESS's own message, which names file and remedy, or else the innermost cause."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None:
        if error.cls_name in _OWN_ERRORS or error.cause is None:
            own = error.cls_name in _OWN_ERRORS
            text = error.message.strip()
            return text.partition(": ")[2] if own else text
        error = error.cause
    return "unknown"
