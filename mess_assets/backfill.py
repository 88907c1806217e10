"""`mess backfill`: what would run, then running it, with progress, to be stopped and resumed."""

import time
from collections.abc import Sequence
from typing import Any

import click

from mess_core.cli.terminal import data_option


@click.command()
@data_option
@click.option("--datasets", default=None, help="name=path pairs; default: MESS_DATASETS.")
@click.option("--encoder", default=None, help="Encoder name or folder; default: MESS_ENCODER.")
@click.option("--dataset", "chosen", multiple=True, help="Only tracks of this data set.")
@click.option("--track", "tracks", multiple=True, help="Only this track.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice(["embeddings", "track_targets"]),
    help="Only this stage; default: both.",
)
@click.option("--batch", type=click.IntRange(1), default=None, help="Tracks per Dagster run.")
@click.option("--all", "everything", is_flag=True, help="Also look at what is up to date.")
@click.option("--failed", is_flag=True, help="Try tracks again that fail at present.")
@click.option("--rebuild/--no-rebuild", default=True, show_default=True, help="Tables afterwards.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and stop.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def backfill(
    data: str,
    datasets: str | None,
    encoder: str | None,
    chosen: tuple[str, ...],
    tracks: tuple[str, ...],
    stages: tuple[str, ...],
    batch: int | None,
    everything: bool,
    failed: bool,
    rebuild: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Show which tracks lack something, then compute it in batches.

    Ctrl-C stops after the track at hand; the same command goes on where it stopped. Runs appear
    in Dagster's UI like any others.
    """
    from mess_assets.commands import STOPPED, open_instance, resources
    from mess_assets.definitions import load_definitions
    from mess_assets.refresh import STAGES, Runner, plan_batches

    store, model = resources(data, datasets, encoder)
    with open_instance() as instance:
        runner = Runner(load_definitions({"store": store, "encoder": model}), instance, click.echo)
        if not runner.run("scan the data sets", ["tracks"]):
            raise SystemExit(1)
        planned = plan_batches(
            instance,
            store=store,
            encoder=model,
            batch=batch,
            stages=stages or tuple(STAGES),
            only=_filter(store.layout, chosen, tracks),
            everything=everything,
            failed_too=failed,
        )
        click.echo(_described(planned))
        if dry_run:
            return
        if not planned:
            if rebuild and _outdated(store.layout):
                runner.rebuild(store)
            return
        if not yes:
            click.confirm("Run this?", abort=True)
        try:
            _carry_out(runner, planned)
        except KeyboardInterrupt:
            raise click.ClickException(STOPPED) from None
        if rebuild:
            runner.rebuild(store)
    if not runner.done.success:
        raise click.ClickException("done, with failures: mess tracks --failed")


def _filter(layout: Any, datasets: Sequence[str], tracks: Sequence[str]) -> Any:
    """Predicate on partition keys, or None for all."""
    from mess_core.store import escape_track_id
    from mess_core.store.tables import read_table

    if not datasets and not tracks:
        return None
    table = read_table(layout.tracks)
    for name, column, wanted in (("data set", "dataset", datasets), ("track", "track_id", tracks)):
        unknown = sorted(set(wanted) - set(table[column]))
        if unknown:
            raise click.ClickException(f"there is no {name} {unknown[0]!r}; see mess tracks")
    if datasets:
        table = table[table["dataset"].isin(datasets)]
    if tracks:
        table = table[table["track_id"].isin(tracks)]
    return {escape_track_id(track_id) for track_id in table["track_id"]}.__contains__


def _outdated(layout: Any) -> bool:
    """Whether tables have to be renewed though no track has: an earlier rebuild was stopped."""
    from mess_assets.refresh import any_embedding
    from mess_core.store.track_table import outdated_tables

    reason = outdated_tables(layout)
    if reason is None and any_embedding(layout) and not layout.matrix_manifest.exists():
        reason = "there is no matrix yet"
    if reason is not None:
        click.echo(f"Tables are outdated: {reason}.")
    return reason is not None


def _described(planned: Sequence[Any]) -> str:
    if not planned:
        return (
            "Nothing to do: every track is up to date, or fails for a reason that has not changed."
        )
    lines = []
    for stage in dict.fromkeys(one.asset for one in planned):
        mine = [one for one in planned if one.asset == stage]
        wanted = sum(len(one.wanted) for one in mine)
        passed = sum(len(one.span) for one in mine) - wanted
        beside = f", looking at {passed} between them that are up to date" if passed else ""
        lines.append(f"{stage}: {wanted} tracks in {len(mine)} runs{beside}")
        shown = [key for one in mine for key in one.wanted][:5]
        lines.append(f"  {', '.join(shown)}{', …' if wanted > len(shown) else ''}")
    return "\n".join(lines)


def _carry_out(runner: Any, planned: Sequence[Any]) -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    began = time.perf_counter()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ) as progress:
        runner.say = progress.console.print
        tasks = {}
        for stage in dict.fromkeys(one.asset for one in planned):
            total = sum(len(one.span) for one in planned if one.asset == stage)
            tasks[stage] = progress.add_task(stage, total=total)
        for number, one in enumerate(planned, start=1):
            task = tasks[one.asset]
            done_before = progress.tasks[task].completed
            runner.run_batch(one, lambda _key, task=task: progress.advance(task))
            # Tracks that failed have no materialisation, and had their turn all the same.
            progress.update(task, completed=done_before + len(one.span))
            progress.console.print(
                f"run {number} of {len(planned)} after {time.perf_counter() - began:.0f} s"
            )
