"""Works by titles against works by titles and notes, on a folder of MIDI.

Prints how many tracks that share music are in different groups of folds and on both sides of a
split, where titles and notes disagree, and the time of each step.

    python benchmarks/work_identity.py maestro-v3.0.0
    python benchmarks/work_identity.py asap-dataset --pieces  # one folder per piece
"""

from __future__ import annotations

import argparse
import re
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mess_core.datasets import scan_source, track_table
from mess_core.datasets.label_comparison import compare_labels
from mess_core.datasets.shared_music import music_groups, same_music_pairs
from mess_core.evaluation.splits import make_split, work_groups
from mess_core.midi.note_sketches import NO_NOTES, note_sketches


def leaks(tracks: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> tuple[str, ...]:
    """Return the cells of a row: pairs, tracks and sides that share music across groups."""
    groups = np.array(work_groups(tracks))
    apart = groups[first] != groups[second]
    fold = make_split(tracks, "work", folds=5, seed=0).fold_of()
    side = np.array([fold.get(one, -1) for one in tracks["track_id"].astype(str)])
    across = side[first] != side[second]

    def touched(pairs: np.ndarray) -> str:
        return f"{len({*first[pairs], *second[pairs]}) / len(tracks):.1%}"

    shares = f"{1 - apart.mean():.1%}", str(int(apart.sum())), touched(apart), touched(across)
    return (str(len(set(groups))), *shares)


def against_folders(paths: pd.Series, music: np.ndarray) -> None:
    """Print how many pairs of files of one piece, and of two, the notes join."""
    piece = np.array([re.sub(r"(_no|_extra)?_repeat$", "", str(Path(one).parent)) for one in paths])
    first, second = np.triu_indices(len(piece), k=1)
    one_piece, joined = piece[first] == piece[second], music[first] == music[second]
    print(
        f"{len(piece)} files of {len(set(piece))} pieces: notes alone join "
        f"{(joined & one_piece).sum() / one_piece.sum():.1%} of {one_piece.sum()} pairs of one "
        f"piece, and {(joined & ~one_piece).sum()} pairs of two"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("midi")
    parser.add_argument("--pieces", action="store_true", help="Folders are pieces: score notes.")
    arguments = parser.parse_args()
    began = time.perf_counter()
    tracks = track_table({"midi": scan_source(arguments.midi, "midi")})
    tracks = tracks[tracks["midi_path"].notna()].reset_index(drop=True)
    found, unreadable = note_sketches(tracks["midi_path"].tolist())
    sketches = [found.get(path, NO_NOTES) for path in tracks["midi_path"]]
    read = time.perf_counter()
    music = music_groups(sketches, tracks["track_id"].astype(str).tolist())
    joined = time.perf_counter()
    pairs = same_music_pairs(sketches)
    first, second = pairs.first, pairs.second
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(tracks)} files, {len(unreadable)} unreadable; {len(first)} pairs share music, "
        f"{int((pairs.semitones != 0).sum())} of them in two keys; "
        f"reading {read - began:.0f} s, joining {joined - read:.2f} s, {peak:.0f} MB\n"
    )
    if arguments.pieces:
        against_folders(tracks["midi_path"], np.array(music, dtype=str))
        return
    labels = compare_labels(tracks, sketches)
    print("| works by | groups | sharing pairs in one group | in two | tracks touched | tracks "
          "with their music on the other side of 5 folds |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- |")
    for name, table in (("titles", tracks), ("titles and notes", tracks.assign(music=music))):
        print(f"| {name} | {' | '.join(leaks(table, first, second))} |")
    print("\n| finding | confidence | runs shared | title | other title |")
    print("| --- | --- | --- | --- | --- |")
    for row in labels.itertuples():
        print(f"| {row.finding} | {row.confidence} | {row.shared} ({row.share:.0%}) "
              f"| {row.title} | {row.other_title} |")  # fmt: skip


if __name__ == "__main__":
    main()
