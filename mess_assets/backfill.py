"""`mess backfill`: show pending tracks, then compute them in batches that can be resumed."""

import sys
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
@click.option("--all", "everything", is_flag=True, help="Include tracks that are up to date.")
@click.option("--failed", is_flag=True, help="Retry tracks that currently fail.")
@click.option(
    "--rebuild/--no-rebuild", default=True, show_default=True, help="Rebuild tables afterwards."
)
@click.option("--dry-run", is_flag=True, help="Show what would run, then stop.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
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
    """Show which tracks lack embeddings or targets, then compute them in batches.

    Ctrl-C stops after the current track; run the same command again to resume. Runs appear in
    Dagster's UI like all others.
    """
    from mess_assets.commands import STOPPED, open_instance, outcome, resources
    from mess_assets.refresh import STAGES, Runner, plan_batches
    from mess_core.store.lock import writing

    store, model = resources(data, datasets, encoder)
    with writing(store.layout, click.echo), open_instance() as instance:
        runner = Runner(store, model, instance, click.echo)
        if not runner.scan():
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
        click.echo(_summary(planned))
        if dry_run:
            return
        if not planned:
            if rebuild and _outdated(model.layout(store)):
                runner.rebuild()
            return
        if not yes:
            click.confirm("Run this?", abort=True)
        try:
            runner.run_batches(planned, terminal=sys.stderr.isatty())
        except KeyboardInterrupt:
            raise click.ClickException(STOPPED) from None
        if rebuild:
            runner.rebuild()
    if not runner.done.success:
        raise click.ClickException(outcome(store.layout, runner.done))


def _filter(layout: Any, datasets: Sequence[str], tracks: Sequence[str]) -> Any:
    """Return a predicate on partition keys, or None for all keys."""
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
    """Return whether tables must be rebuilt although no track is pending.

    This is the case if an earlier rebuild was stopped.
    """
    from mess_assets.refresh import any_embedding
    from mess_core.store.track_table import outdated_tables

    reason = outdated_tables(layout)
    if reason is None and any_embedding(layout) and not layout.matrix_manifest.exists():
        reason = "there is no matrix yet"
    if reason is not None:
        click.echo(f"Tables are outdated: {reason}.")
    return reason is not None


def _summary(planned: Sequence[Any]) -> str:
    if not planned:
        return (
            "Nothing to do: every track is up to date, or has failed and its inputs are unchanged."
        )
    lines = []
    for stage in dict.fromkeys(one.asset for one in planned):
        runs = [one for one in planned if one.asset == stage]
        pending = sum(len(one.wanted) for one in runs)
        current = sum(len(one.span) for one in runs) - pending
        note = f", and {current} up-to-date tracks between them" if current else ""
        lines.append(f"{stage}: {pending} tracks in {len(runs)} runs{note}")
        shown = [key for one in runs for key in one.wanted][:5]
        lines.append(f"  {', '.join(shown)}{', …' if pending > len(shown) else ''}")
    return "\n".join(lines)
