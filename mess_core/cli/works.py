"""`mess works`: where titles and notes disagree about which music a track is."""

from __future__ import annotations

import click

from mess_core.cli.terminal import data_option, json_option, note, show_table

__all__ = ["works"]


@click.command()
@data_option
@click.option("--limit", default=50, show_default=True, help="Number of rows to show; 0 for all.")
@json_option
def works(data: str, limit: int, as_json: bool) -> None:
    """List tracks whose titles and notes disagree on the work.

    Tracks that share music are kept on one side of all folds, whatever they are called. Correct a
    wrong work in metadata/work_overrides.csv of the data root (track_id,work_id), and run `mess
    run` again.
    """
    from mess_core.store import Layout, read_table
    from mess_core.store.music import find_labels

    layout = Layout(data)
    tracks, table = read_table(layout.tracks), find_labels(layout)
    shown = ["finding", "confidence", "share", "track_id", "title", "other", "other_title"]
    show_table(table[[*shown, "stretches"]], f"{len(table)} disagreements", limit, as_json)
    if not as_json and tracks["midi_path"].isna().any():
        without = int(tracks["midi_path"].isna().sum())
        note(f"{without} tracks without MIDI are known by their titles alone.")
