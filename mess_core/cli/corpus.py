"""`mess corpus`: render the works that a folder of MIDI files contains several times."""

from __future__ import annotations

import time

import click

__all__ = ["corpus"]


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@click.argument("out", type=click.Path(file_okay=False))
@click.option(
    "--soundfont",
    "soundfonts",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Soundfont to render with. Repeatable: each performance draws one.",
)
@click.option("--seconds", default=60.0, show_default=True, help="Longest excerpt.")
@click.option("--seed", default=0, show_default=True)
@click.option("--jobs", default=2, show_default=True, help="Processes.")
def corpus(
    folders: tuple[str, ...],
    out: str,
    soundfonts: tuple[str, ...],
    seconds: float,
    seed: int,
    jobs: int,
) -> None:
    """Render the beginnings of all works of which FOLDERS hold several performances, into OUT.

    FOLDERS hold MIDI in any layout that MESS reads. Works are joined by their notes, whatever their
    files are called, and a performance that several folders contain counts once. OUT becomes a data
    set with audio, MIDI and metadata: MESS_DATASETS=NAME=OUT mess run. A stopped call continues.
    """
    from mess_core.datasets import scan_source, track_table
    from mess_core.datasets.same_performance import copies_of_others
    from mess_core.datasets.shared_music import music_groups
    from mess_core.datasets.shared_works import write_shared_works
    from mess_core.datasets.works import joined_by
    from mess_core.midi.note_sketches import note_sketches

    began = time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"{time.perf_counter() - began:6.0f} s  {line}", err=True)

    sources = {f"midi{number}": scan_source(one, "midi") for number, one in enumerate(folders)}
    files = track_table(sources)
    files = files[files["midi_path"].notna()].reset_index(drop=True)
    sketches, unreadable = note_sketches(files["midi_path"].tolist())
    for path, problem in unreadable.items():
        say(f"{path}: left out, {problem}")
    files = files[files["midi_path"].isin(sketches)].reset_index(drop=True)
    music = music_groups([sketches[path] for path in files["midi_path"]], files["track_id"])
    files["work_id"] = joined_by(files["work_id"], music)
    say(f"{len(files)} performances of {files['work_id'].nunique()} works read")
    copies = copies_of_others(files["midi_path"].tolist(), files["work_id"].tolist(), workers=jobs)
    for copy, original in copies.items():
        same = files["midi_path"].iloc[original]
        say(f"{files['midi_path'].iloc[copy]}: left out, the same performance as {same}")
    files = files.drop(index=list(copies)).reset_index(drop=True)
    table = write_shared_works(
        files, out, soundfonts, seconds=seconds, seed=seed, jobs=jobs, say=say
    )
    works = table["work_id"].nunique()
    click.echo(f"{len(table)} performances of {works} works in {out}")
