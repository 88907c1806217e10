"""What transcribed notes are worth: notes found, velocities, and how far each MIDI target moves.

Compares notes transcribed from recordings with the notes that were played, for a folder as in MAPS
(Emiya et al., 2010): a recording as `.flac`, its notes as `.tsv` (onset, offset, key, velocity).
A note is found if its key and its onset (within 50 ms) match (mir_eval). The audio's constant delay
is estimated from the matched notes and subtracted.

    python benchmarks/transcription.py MAPS_ENST [--device cuda] [--seconds 60] [--midi FOLDER]

With --midi, transcriptions are stored in, and taken from, that folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import mir_eval
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from mess_core.audio import load_audio
from mess_core.datasets.demo import write_midi
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.targets.registry import targets
from mess_core.transcription import Transcriber


def played(path: Path) -> Performance:
    """The notes of a `.tsv` file, from key down to key up."""
    onset, offset, key, velocity = np.loadtxt(path, skiprows=1, ndmin=2).T
    order = np.lexsort((key, onset))
    return Performance(
        onset[order],
        np.maximum(offset, onset + 1e-3)[order],
        key[order].astype(int),
        velocity[order].astype(int),
        np.empty((0, 2)),
    )


def transcribed(path: Path, model: Transcriber, args: argparse.Namespace) -> Performance | None:
    """The notes of a recording."""
    stored = None if args.midi is None else Path(args.midi) / f"{path.stem}.mid"
    if stored is not None and stored.exists():
        found: Performance | None = read_performance(stored)
    else:
        samples = load_audio(path, sample_rate=44_100)
        if args.seconds:
            samples = samples[: round(args.seconds * 44_100)]
        found = model.notes_of(samples)
        if stored is not None and found is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            write_midi(found, stored)
    return found


def delay_s(notes: Performance, found: Performance) -> float:
    """By how much the transcribed notes follow the played ones, in seconds, within 0.3 s."""
    apart = found.onset_s[None] - notes.onset_s[:, None]
    apart = apart[(found.pitch[None] == notes.pitch[:, None]) & (np.abs(apart) < 0.3)]
    count, edges = np.histogram(apart, bins=np.arange(-0.3, 0.31, 0.02))
    middle = edges[np.argmax(count)] + 0.01
    return float(np.median(apart[np.abs(apart - middle) < 0.03]))


def matched(one: Performance, other: Performance, shift_s: float) -> np.ndarray:
    """Indices of notes of both that match by key and onset, int64 [pairs, 2]."""
    sides = [
        (np.stack([notes.onset_s, notes.onset_s + 0.1], axis=1) + delay, notes.pitch)
        for notes, delay in ((one, shift_s), (other, 0.0))
    ]
    (a, keys), (b, others) = sides
    hertz = [mir_eval.util.midi_to_hz(one.astype(float)) for one in (keys, others)]
    pairs = mir_eval.transcription.match_notes(a, hertz[0], b, hertz[1], offset_ratio=None)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def main() -> None:
    """Print one row per recording, and one per target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=0.0, help="of each recording; 0 for all")
    parser.add_argument("--midi")
    args = parser.parse_args()
    model = Transcriber(args.device)
    wanted = targets("midi")
    rows, values = [], []
    for path in sorted(args.folder.glob("*.flac")):
        began = time.perf_counter()
        found = transcribed(path, model, args)
        seconds = time.perf_counter() - began
        notes = played(path.with_suffix(".tsv"))
        heard_s = args.seconds or notes.end_s
        notes = notes.excerpt(0.0, heard_s - 0.1)
        if found is None or notes is None:
            print(f"{path.stem}: nothing found")
            continue
        delay = delay_s(notes, found)
        mine, theirs = matched(notes, found, delay).T
        precision, recall = len(mine) / len(found), len(mine) / len(notes)
        rows.append({
            "recording": path.stem,
            "notes": len(notes),
            "F1": 2 * precision * recall / max(precision + recall, 1e-9),
            "velocity r": np.corrcoef(notes.velocity[mine], found.velocity[theirs])[0, 1],
            "onset sd ms": 1000 * np.std(found.onset_s[theirs] - notes.onset_s[mine]),
            "delay ms": 1000 * delay,
            "audio s/s": heard_s / seconds,
        })  # fmt: skip
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
        both = notes, found
        values.append([[one.function(side) for one in wanted] for side in both])
    table = pd.DataFrame(rows)
    print("mean", table.drop(columns="recording").mean().round(3).to_dict())
    array = np.array(values)  # [recordings, played or transcribed, targets]
    print(f"\n{len(array)} recordings, played against transcribed notes")
    for number, one in enumerate(wanted):
        true, heard = array[:, 0, number], array[:, 1, number]
        known = np.isfinite(true) & np.isfinite(heard)
        order = spearmanr(true[known], heard[known])[0]
        print(
            f"{one.name:24s} n {known.sum():2d}  Spearman {order:5.2f}"
            f"  bias {np.mean(heard[known] - true[known]):+.3g} {one.unit}"
            f"  spread {np.std(true[known]):.3g}"
        )


if __name__ == "__main__":
    main()
