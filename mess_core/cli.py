"""The `mess` command. Commands that need Dagster plug in through the entry point group
``mess.commands``."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mess_core.errors import MessError
from mess_core.terminal import data_option, json_option, note, show_table

if TYPE_CHECKING:
    from mess_core.probing.stored import Grouping
    from mess_core.search.query import Library, SearchMode

__all__ = ["main"]


class _Commands(click.Group):
    """Commands of this package and of installed plug-ins; MESS errors become one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        plugin = _plugins().get(cmd_name)
        return None if plugin is None else plugin.load()

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MessError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mess")
def cli() -> None:
    """Music similarity that hears how a piece is played.

    Start with `mess demo`; then `mess tracks`, `mess search`, and `mess doctor` when
    something is missing. The data root is --data or MESS_DATA_ROOT, by default ./data.
    """


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--same-work", is_flag=True, help="Only performances of TRACK's work."),
        click.option("--other-performer", is_flag=True, help="Only by other performers."),
        click.option("--where", multiple=True, help="COLUMN=VALUE, for example composer=Liszt."),
    ):
        command = option(command)
    return command


@cli.command()
@data_option
@click.option("--failed", is_flag=True, help="Show failed tracks with reason and remedy instead.")
@click.option("--match", default="", help="Only tracks whose id, composer or title contains this.")
@click.option("--limit", default=50, show_default=True, help="Rows to show; 0 for all.")
@json_option
def tracks(data: str, failed: bool, match: str, limit: int, as_json: bool) -> None:
    """List the tracks of the library, or those that failed and why."""
    from mess_core.store import Layout, read_table
    from mess_core.store.failures import failures_table

    layout = Layout(data)
    if failed:
        table = failures_table(layout)
        shown = ["track_id", "stage", "problem", "path", "remedy"]
        title = f"{len(table)} failed"
    else:
        table = read_table(layout.tracks)
        shown = ["track_id", "dataset", "work_id", "performer", "duration_s", "audio", "midi"]
        table["audio"] = table["audio_path"].notna().map({True: "yes", False: "-"})
        table["midi"] = table["midi_path"].notna().map({True: "yes", False: "-"})
        title = f"{len(table)} tracks"
    if match:
        columns = [name for name in ("track_id", "composer", "title") if name in table]
        text = table[columns].fillna("").agg(" ".join, axis=1).str.casefold()
        table = table[text.str.contains(match.casefold(), regex=False)]
        title += f", {len(table)} match {match!r}"
    show_table(table[shown], title, limit, as_json)


@cli.command()
@click.argument("track")
@click.option("--aspects", default="", help="Weights such as brightness=0.7,rubato=0.3,tempo=-0.2.")
@click.option("-k", default=10, show_default=True, help="Number of hits.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "cosine", "subspace"]),
    default="auto",
    show_default=True,
    help="By all that an aspect's layers hold, by what probes read there, or what measured better.",
)
@click.option("--head", help="Rank by a learned head, such as expression-linear-infonce.")
@_filter_options
@data_option
@json_option
def search(
    track: str,
    aspects: str,
    k: int,
    mode: SearchMode,
    head: str | None,
    same_work: bool,
    other_performer: bool,
    where: tuple[str, ...],
    data: str,
    as_json: bool,
) -> None:
    """Rank the library by likeness to TRACK, a track id or an audio file; overall or by aspects."""
    from mess_core.search import Library
    from mess_core.search.aspects import parse_aspects
    from mess_core.search.passages import parse_filters

    library = Library.open(data)
    weights = parse_aspects(aspects) or None
    filters = parse_filters(where)
    relations = {"same_work": same_work, "other_performer": other_performer}
    if _is_file(track, library, **relations, mode=mode == "subspace"):
        hits = library.query_audio(track, aspects=weights, head=head, k=k, where=filters)
    else:
        hits = library.similar(
            track,
            weights,
            k=k,
            mode=mode,
            head=head,
            **relations,
            where=filters,
        )
    show_table(hits, f"like {track}   ({library.encoder})", 0, as_json)
    if modes := hits.attrs["modes"]:
        note("compared by " + ", ".join(f"{how} ({name})" for name, how in modes.items()))
    if library.encoder.startswith("untrained:"):
        note("The encoder is the untrained control: this shows the mechanics, not the music.")
    for line in hits.attrs["notes"]:
        note(line)


@cli.command()
@click.argument("track")
@click.option("--start", "start_s", default=0.0, show_default=True, help="Second in TRACK.")
@click.option("-k", default=10, show_default=True, help="Number of hits.")
@click.option("--own/--no-own", default=False, help="Whether TRACK itself may be among the hits.")
@_filter_options
@data_option
@json_option
def passages(
    track: str,
    start_s: float,
    k: int,
    own: bool,
    same_work: bool,
    other_performer: bool,
    where: tuple[str, ...],
    data: str,
    as_json: bool,
) -> None:
    """Find passages like the one that begins at --start of TRACK (a track id or an audio file)."""
    from mess_core.search import Library
    from mess_core.search.passages import parse_filters

    library = Library.open(data)
    filters = parse_filters(where)
    if _is_file(track, library, same_work=same_work, other_performer=other_performer, own=own):
        hits = library.query_audio(track, start_s=start_s, k=k, where=filters)
    else:
        hits = library.passages(
            track,
            start_s,
            k=k,
            include_own=own,
            same_work=same_work,
            other_performer=other_performer,
            where=filters,
        )
    query = hits.attrs["query"]
    title = f"like {track} {query['start_s']:.2f}-{query['end_s']:.2f} s   ({library.encoder})"
    show_table(hits, title, 0, as_json)


@cli.command()
@click.argument("track")
@click.argument("hit")
@data_option
@json_option
def explain(track: str, hit: str, data: str, as_json: bool) -> None:
    """Say why HIT is like TRACK: every aspect among the whole library, with its targets."""
    from mess_core.search import Library

    library = Library.open(data)
    show_table(library.explain(track, hit), f"{track} and {hit}   ({library.encoder})", 0, as_json)


@cli.command()
@data_option
@json_option
def aspects(data: str, as_json: bool) -> None:
    """Show the 13 aspects with their layers, confidence and reason."""
    import pandas as pd

    from mess_core.search import Library

    library = Library.open(data)
    rows = []
    for aspect in library.aspects.values():
        layers = sorted(aspect.weights)
        rows.append(
            {
                "aspect": aspect.name,
                "layers": ", ".join(map(str, layers)) if aspect.available else "all",
                "confidence": aspect.confidence,
                "r2": aspect.r2,
                "reason": aspect.reason,
            }
        )
    show_table(pd.DataFrame(rows), f"aspects ({library.encoder})", 0, as_json)


@cli.command("targets")
@json_option
def list_targets(as_json: bool) -> None:
    """List all targets and curves with their units and definitions."""
    import pandas as pd

    from mess_core.targets import targets
    from mess_core.targets.registry import curves

    rows = [
        [one.name, "extra" if one.extra else one.dimension, one.source, one.unit, one.description]
        for one in targets(extra=True)
    ]
    rows += [[one.name, "curve", one.source, one.unit, one.description] for one in curves()]
    columns = ["name", "dimension", "source", "unit", "definition"]
    show_table(pd.DataFrame(rows, columns=columns), "targets and curves", 0, as_json)


@cli.command()
@click.option("--asap", type=click.Path(exists=True), help="Folder of the ASAP data set.")
@click.option("--percepiano", type=click.Path(exists=True), help="Folder of PercePiano.")
@click.option("--library/--no-library", default=True, help="Whether to draw the data root's table.")
@click.option("--planted/--no-planted", default=True, help="Whether to measure planted clips.")
@click.option("--out", default=None, help="Folder to write to; default: DATA/reports/targets.")
@data_option
def examine(
    asap: str | None,
    percepiano: str | None,
    library: bool,
    planted: bool,
    out: str | None,
    data: str,
) -> None:
    """Test whether targets and alignment mean what they say; write Markdown and pictures.

    Planted clips are synthesised; ASAP gives human-checked beats, PercePiano ratings. Minutes.
    """
    from upath import UPath

    from mess_core.evaluation.report import examine_targets
    from mess_core.store import Layout

    layout = Layout(data)
    folder = layout.targets_report if out is None else UPath(out)
    report = examine_targets(
        asap=asap,
        percepiano=percepiano,
        library=data if library and layout.proxy_targets.exists() else None,
        planted=planted,
        say=lambda line: click.echo(line, err=True),
    )
    report.write(folder)
    click.echo(f"{folder / 'report.md'}")


@cli.command()
@click.option(
    "--group-by",
    type=click.Choice(["work", "performer", "track", "as first published"]),
    default="work",
    show_default=True,
    help="What folds keep together; all but work leak, and say so.",
)
@click.option("--folds", default=5, show_default=True, help="Outer folds.")
@click.option("--permutations", default=500, show_default=True, help="Of the null; 0 for no p.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@data_option
@json_option
def probe(
    group_by: Grouping, folds: int, permutations: int, device: str, data: str, as_json: bool
) -> None:
    """Find which layer encodes which target, from the stored tables."""
    from mess_core.probing.stored import probe_store, probing_folder
    from mess_core.store import Layout

    layout = Layout(data)
    found, made_from = probe_store(
        layout,
        folds=folds,
        group_by=group_by,
        permutations=permutations,
        device=device,
        progress=lambda line: click.echo(line, err=True),
    )
    columns = [
        "target", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_r2_within",
        "weighted_r2", "untrained_r2", "descriptors_r2", "q", "n", "works", "evidence",
    ]  # fmt: skip
    for line in found.notes:
        note(line)
    show_table(found.summary[columns], f"layers by {group_by} ({made_from['encoder']})", 0, as_json)
    click.echo(f"{probing_folder(layout, group_by) / 'heatmap.html'}", err=True)


@cli.command()
@data_option
@json_option
def doctor(data: str, as_json: bool) -> None:
    """Say what is installed, what was found, and what to do next."""
    from mess_core.doctor import examine

    findings = examine(data)
    if as_json:
        click.echo(json.dumps([finding.__dict__ for finding in findings], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}
    for finding in findings:
        text = finding.fact + (f"  [dim]→ {finding.remedy}[/]" if finding.remedy else "")
        table.add_row(marks[finding.state], finding.subject, text)
    Console().print(table)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="mess")


def _plugins() -> dict[str, Any]:
    return {point.name: point for point in importlib.metadata.entry_points(group="mess.commands")}


def _is_file(track: str, library: Library, **needs_a_track: bool) -> bool:
    """Whether TRACK is a recording of the user's; options that say nothing of one are refused."""
    if track in set(library.tracks["track_id"]) or not Path(track).is_file():
        return False
    given = [f"--{name.replace('_', '-')}" for name, on in needs_a_track.items() if on]
    if given:
        raise click.UsageError(f"{', '.join(given)}: only for tracks of the library, not a file")
    return True
