"""`mess transcribe`: find the notes of recordings that have no MIDI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mess_core.cli.terminal import data_option, note

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.store import Layout
    from mess_core.transcription import Transcriber

__all__ = ["transcribe"]


@click.command()
@click.argument("track_ids", nargs=-1)
@data_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
def transcribe(track_ids: tuple[str, ...], data: str, device: str) -> None:
    """Find the notes of the library's recordings that have no MIDI, or of TRACK_IDS only.

    With Transkun (pip install 'mess[transcribe]'): on a CPU slower than the music, on a GPU many
    times faster. A stopped call continues. Then `mess run` uses the notes: they are in
    transcriptions/ under the data root, and every table marks them as transcribed.
    """
    from mess_core.errors import StoreError
    from mess_core.store import Layout, read_table
    from mess_core.store.lock import writing
    from mess_core.transcription import Transcriber

    layout = Layout(data)
    tracks = read_table(layout.tracks)
    if track_ids:
        unknown = sorted(set(track_ids) - set(tracks["track_id"]))
        if unknown:
            raise StoreError(
                f"track {unknown[0]!r} is not in the library",
                path=str(layout.tracks),
                remedy="`mess tracks` lists them; `mess run` scans for new files",
            )
        tracks = tracks[tracks["track_id"].isin(track_ids)]
    tracks = tracks[tracks["audio_path"].notna() & (tracks["midi_source"].fillna("") != "file")]
    if tracks.empty:
        click.echo("nothing to transcribe: every recording has MIDI of its own")
        return
    model = Transcriber(device)
    with writing(layout, note):
        _transcribe(tracks, layout, model)


def _transcribe(tracks: pd.DataFrame, layout: Layout, model: Transcriber) -> None:
    from mess_core.transcription import transcribe_tracks

    began, counts, heard_s = time.perf_counter(), {"done": 0, "fresh": 0, "failed": 0}, 0.0
    lengths = dict(zip(tracks["track_id"], tracks["duration_s"], strict=True))
    for number, outcome in enumerate(transcribe_tracks(tracks, layout, model), start=1):
        counts[outcome.status] += 1
        text = f"{outcome.facts.get('notes')} notes"
        if outcome.status == "failed":
            text = f"failed: {outcome.facts['problem']}. {outcome.facts['remedy']}"
        elif outcome.status == "done":
            heard_s += float(lengths[outcome.track_id])
        seconds = time.perf_counter() - began
        note(f"{seconds:6.0f} s  {number}/{len(tracks)}  {outcome.track_id}: {text}")
    speed = heard_s / max(time.perf_counter() - began, 1e-9)
    click.echo(
        f"{counts['done']} transcribed ({speed:.1f} s of audio per s), {counts['fresh']} had been, "
        f"{counts['failed']} failed. Next: mess run"
    )
    if counts["failed"]:
        raise SystemExit(1)
