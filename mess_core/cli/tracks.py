"""`mess tracks`: list the tracks of the library."""

from __future__ import annotations

import click

from mess_core.cli.terminal import data_option, json_option, note, show_table

__all__ = ["tracks"]


@click.command()
@data_option
@click.option("--failed", is_flag=True, help="List failed tracks with the reason and remedy.")
@click.option("--skipped", is_flag=True, help="List files that the scan skipped, and why.")
@click.option(
    "--match", default="", help="Only tracks whose id, composer or title contains this text."
)
@click.option("--limit", default=50, show_default=True, help="Number of rows to show; 0 for all.")
@json_option
def tracks(data: str, failed: bool, skipped: bool, match: str, limit: int, as_json: bool) -> None:
    """List the tracks of the library, or what failed or was skipped, with the reason."""
    import pandas as pd

    from mess_core.store import Layout, read_table
    from mess_core.store.failures import failures_table
    from mess_core.store.track_table import scan_report, scan_summary
    from mess_core.store.transcriptions import OWN

    layout = Layout(data)
    if failed:
        table = failures_table(layout)
        shown = ["track_id", "stage", "problem", "path", "remedy"]
        title = f"{len(table)} failed"
    elif skipped:
        rows = [
            {"dataset": dataset["dataset"], **one}
            for dataset in scan_report(layout)["datasets"]
            for one in dataset["skipped"]
        ]
        shown = ["dataset", "path", "reason"]
        table = pd.DataFrame(rows, columns=shown)
        title = f"{len(table)} skipped"
    else:
        table = read_table(layout.tracks)
        shown = ["track_id", "dataset", "work_id", "performer", "duration_s", "audio", "midi"]
        table["audio"] = table["audio_path"].notna().map({True: "yes", False: "-"})
        table["midi"] = table["midi_path"].notna().map({True: "yes", False: "-"})
        if "midi_source" in table:  # not in tables of earlier versions
            transcribed = table["midi_source"].notna() & (table["midi_source"] != OWN)
            table.loc[transcribed, "midi"] = "transcribed"
        title = f"{len(table)} tracks"
    if match:
        columns = [name for name in ("track_id", "composer", "title", "path") if name in table]
        text = table[columns].fillna("").agg(" ".join, axis=1).str.casefold()
        table = table[text.str.contains(match.casefold(), regex=False)]
        title += f", {len(table)} match {match!r}"
    show_table(table[shown], title, limit, as_json)
    if not (failed or skipped):
        for line in scan_summary(layout):
            note(line)
