"""Run the whole pipeline from one process: scan, per-track work, tables and indices."""

from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg

from mess_assets.build import build_defs
from mess_assets.partitions import TRACKS
from mess_assets.resources import EncoderResource, StoreResource
from mess_assets.sensors import contiguous, pending_keys

_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


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

    Returns
    -------
    Refreshed
        Failed tracks make their run fail; tables are built from the others.
    """
    defs = build_defs(resource_overrides={"store": store, "encoder": encoder})
    done = Refreshed()

    def run(job: str, what: str, tags: dict[str, str] | None = None) -> bool:
        say(f"{what} …")
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance, run_config=_QUIET, tags=tags, raise_on_error=False
        )
        done.runs.append((what, result.run_id, result.success))
        if not result.success:
            say(f"  failed in part: run {result.run_id[:8]}")
        return result.success

    if not run("scan", "scan the data sets"):
        return done
    keys = pending_keys(instance, store, encoder)
    done.pending = len(keys)
    order = instance.get_dynamic_partitions(TRACKS.name)
    for stretch in contiguous(keys, order):
        for first in range(0, len(stretch), batch):
            part = stretch[first : first + batch]
            span = order[order.index(part[0]) : order.index(part[-1]) + 1]
            for job in ("embeddings", "track_targets"):
                _run_partitions(defs, instance, job, span, done, say)
    run("tables", "tables, probing, aspects, indices, checks")
    return done


def _run_partitions(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    asset: str,
    keys: list[str],
    done: Refreshed,
    say: Callable[[str], None],
) -> None:
    from mess_assets.partitions import range_tags

    what = f"{asset}: {len(keys)} tracks"
    say(f"{what} …")
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset)],
        run_config=_QUIET,
        tags=range_tags(keys),
        raise_on_error=False,
    )
    done.runs.append((what, result.run_id, result.success))
    if not result.success:
        say(f"  failed in part: run {result.run_id[:8]}; see `mess tracks --failed`")
