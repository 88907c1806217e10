"""`mess search`, `mess passages`, `mess explain` and `mess aspects`: search the library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mess_core.cli.terminal import data_option, encoder_option, json_option, note, show_table

if TYPE_CHECKING:
    from mess_core.search.query import Library, SearchMode

__all__ = ["aspects", "explain", "passages", "search"]


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--same-work", is_flag=True, help="Only performances of TRACK's work."),
        click.option("--other-performer", is_flag=True, help="Only other performers."),
        click.option(
            "--where", multiple=True, help="Filter COLUMN=VALUE, for example composer=Liszt."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("track")
@click.option("--aspects", default="", help="Weights such as brightness=0.7,rubato=0.3,tempo=-0.2.")
@click.option("-k", default=10, show_default=True, help="Number of hits.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "cosine", "subspace"]),
    default="auto",
    show_default=True,
    help="Compare by whole layers (cosine), by the probes' subspace, or by the better of both.",
)
@click.option("--head", help="Rank by a learned head, such as expression-linear-infonce.")
@_filter_options
@data_option
@encoder_option
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
    encoder: str | None,
    as_json: bool,
) -> None:
    """Rank the library by similarity to TRACK (a track id or an audio file).

    Similarity is overall unless --aspects or --head is given.
    """
    from mess_core.search import Library
    from mess_core.search.aspect_weights import parse_aspects
    from mess_core.search.passages import parse_filters

    library = Library.open(data, encoder=encoder)
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
    show_table(hits, f"similar to {track}   ({library.encoder})", 0, as_json)
    if modes := hits.attrs["modes"]:
        note("compared by " + ", ".join(f"{how} ({name})" for name, how in modes.items()))
    if library.encoder.startswith("untrained:"):
        note("The encoder is the untrained control: the ranking only demonstrates the commands.")
    for line in hits.attrs["notes"]:
        note(line)


@click.command()
@click.argument("track")
@click.option(
    "--start",
    "start_s",
    default=0.0,
    show_default=True,
    help="Start of the passage in TRACK, in seconds.",
)
@click.option("-k", default=10, show_default=True, help="Number of hits.")
@click.option("--own/--no-own", default=False, help="Whether to include passages of TRACK itself.")
@_filter_options
@data_option
@encoder_option
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
    encoder: str | None,
    as_json: bool,
) -> None:
    """Find passages similar to the one at --start of TRACK (a track id or an audio file)."""
    from mess_core.search import Library
    from mess_core.search.passages import parse_filters

    library = Library.open(data, encoder=encoder)
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
    title = (
        f"similar to {track} {query['start_s']:.2f}-{query['end_s']:.2f} s   ({library.encoder})"
    )
    show_table(hits, title, 0, as_json)


@click.command()
@click.argument("track")
@click.argument("hit")
@data_option
@encoder_option
@json_option
def explain(track: str, hit: str, data: str, encoder: str | None, as_json: bool) -> None:
    """Explain why HIT is similar to TRACK: the percentile of each aspect and its targets."""
    from mess_core.search import Library

    library = Library.open(data, encoder=encoder)
    show_table(library.explain(track, hit), f"{track} and {hit}   ({library.encoder})", 0, as_json)


@click.command()
@data_option
@encoder_option
@json_option
def aspects(data: str, encoder: str | None, as_json: bool) -> None:
    """List the aspects with their layers, confidence and reason."""
    import pandas as pd

    from mess_core.search import Library

    library = Library.open(data, encoder=encoder)
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


def _is_file(track: str, library: Library, **needs_a_track: bool) -> bool:
    """Return whether TRACK is an audio file; refuse options that only apply to library tracks."""
    from mess_core.audio import AUDIO_SUFFIXES
    from mess_core.errors import AudioError

    path = Path(track).expanduser()
    if track in set(library.tracks["track_id"]):
        return False
    if not path.is_file():
        if path.suffix.lower() in AUDIO_SUFFIXES or len(path.parts) > 1:
            raise AudioError(
                "does not exist, and no track of the library is called so",
                path=track,
                remedy="Check the path, or see `mess tracks`",
            )
        return False
    given = [f"--{name.replace('_', '-')}" for name, on in needs_a_track.items() if on]
    if given:
        raise click.UsageError(f"{', '.join(given)}: only for tracks of the library, not for files")
    return True
