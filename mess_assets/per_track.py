"""Report the outcomes of a per-track asset to Dagster.

One run processes many partitions. A materialisation is yielded for each good track as soon as it
is done; failures are collected, and after the last track one failure that names them all ends the
run. A run with a failed track therefore always ends as FAILURE, and its other results are stored.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg

from mess_assets.links import listen_url
from mess_assets.plots import picture, throughput_png
from mess_assets.side_by_side import end_if_asked


def report_outcomes(
    context: dg.AssetExecutionContext,
    outcomes: Iterable[Any],
    code_version: str,
    *,
    encoders: int = 1,
) -> Iterator[dg.AssetMaterialization]:
    """Yield a materialisation per track (and encoder, if there are several) that did not fail.

    Raises
    ------
    Failure
        After the last track, if any track failed.
    """
    from mess_core.store import escape_track_id

    total = len(context.partition_keys) * encoders
    failed: list[dict[str, Any]] = []
    rates: list[float] = []
    began = time.perf_counter()
    for count, outcome in enumerate(outcomes, start=1):
        end_if_asked()
        if outcome.status == "failed":
            failed.append(outcome.facts)
            context.log.error(
                f"{outcome.track_id}: {outcome.facts['problem']} ({outcome.facts['path']})"
            )
            continue
        tags = {"dagster/code_version": code_version}
        if outcome.digest is not None:
            of = "" if outcome.encoder is None else f"{outcome.encoder}-"
            tags["dagster/data_version"] = of + outcome.digest
        facts = {name: value for name, value in outcome.facts.items() if value is not None}
        if outcome.status == "done" and facts.get("audio_s_per_s"):
            rates.append(facts["audio_s_per_s"])
        yield dg.AssetMaterialization(
            asset_key=context.asset_key,
            partition=escape_track_id(outcome.track_id),
            metadata={
                "status": outcome.status,
                "track_id": outcome.track_id,
                **({} if outcome.encoder is None else {"encoder": outcome.encoder}),
                "listen": dg.MetadataValue.url(listen_url(outcome.track_id)),
                **facts,
            },
            tags=tags,
        )
        if count % 25 == 0 or count == total:
            rate = count / (time.perf_counter() - began)
            context.log.info(f"{count} of {total} tracks, {rate:.2f} tracks/s")
    if rates:
        # An observation of the whole asset, since a plot of the run belongs to no single partition.
        context.log_event(
            dg.AssetObservation(
                context.asset_key,
                metadata={
                    "tracks": len(rates),
                    "seconds": time.perf_counter() - began,
                    "throughput": picture(throughput_png(rates)),
                },
            )
        )
    if failed:
        raise dg.Failure(
            description=f"{len(failed)} of {total} tracks failed; the others are stored. "
            + "; ".join(f"{record['track_id']}: {record['problem']}" for record in failed[:10]),
            metadata={"failed": failure_table(failed)},
            allow_retries=False,
        )


def failure_table(records: list[dict[str, Any]]) -> dg.MetadataValue:
    """Return failure records as a table of track, stage, problem, file and remedy."""
    columns = ["track_id", "stage", "error", "problem", "path", "remedy"]
    return dg.MetadataValue.table(
        [
            dg.TableRecord({name: str(record.get(name) or "") for name in columns})
            for record in records[:200]
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )
