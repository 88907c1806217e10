"""Render a library of works that an encoder was not trained on, to probe it on.

Excerpts of 40 s of at most eight performances per work, rendered with a soundfont that was not used
in training. Works that the encoder heard, by title or by notes, are left out, with every file
that shares notes with them. What is written is a folder of audio with MIDI, so that the scores
themselves come from `mess run`:

    python benchmarks/unheard_works.py MAESTRO_MIDI OUT --soundfont FluidR3_GM.sf2
    export MESS_DATASETS=unheard=OUT
    MESS_DATA_ROOT=piano-data MESS_ENCODER=mess-piano mess run
    MESS_DATA_ROOT=tiny-data MESS_ENCODER=untrained:tiny mess run
    python benchmarks/encoder_table.py piano-data tiny-data
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from joblib import Parallel, delayed

from mess_core import encoders
from mess_core.datasets import scan_source, track_table
from mess_core.datasets.demo import write_midi
from mess_core.datasets.rendering import play_soundfont
from mess_core.datasets.shared_music import music_groups
from mess_core.datasets.synthesis import Notes
from mess_core.datasets.works import joined_by
from mess_core.encoders.heard_works import HeardWorks
from mess_core.encoders.piano import WORKS
from mess_core.midi.note_sketches import note_sketches
from mess_core.midi.reading import read_performance

SECONDS = 40.0
SKIPPED_S = 20.0
PER_WORK = 8
RATE = 24_000


def unheard(midi: Path, encoder: Path, count: int, seed: int) -> pd.DataFrame:
    """Return `count` files of works that the encoder did not hear, in turn over works."""
    table = track_table({"midi": scan_source(midi, "midi")})
    sketches, _ = note_sketches(table["midi_path"].tolist())
    table = table[table["midi_path"].isin(sketches)].reset_index(drop=True)
    known = [sketches[path] for path in table["midi_path"]]
    table["work"] = joined_by(table["work_id"], music_groups(known, table["track_id"]))
    notes = [one.in_key for one in known]
    heard = HeardWorks.load(encoder / WORKS).find(notes, table["work_id"].tolist())
    gone = set(table.loc[[one is not None for one in heard], "work"])
    table = table[~table["work"].isin(gone)].sample(frac=1, random_state=seed)
    table["turn"] = table.groupby("work").cumcount()
    return table[table["turn"] < PER_WORK].sort_values("turn", kind="stable").head(count)


def render(path: str, target: Path, soundfont: str) -> None:
    """Write an excerpt as audio and MIDI, unless both are there."""
    if target.with_suffix(".flac").exists():
        return
    whole = read_performance(path)
    start = float(np.clip(whole.end_s - SECONDS - 6, 0, SKIPPED_S))
    part = whole.excerpt(start, start + SECONDS)
    assert part is not None, f"{path} has no notes from {start} s"
    notes = Notes(
        (part.onset_s - start).clip(0),
        (part.offset_s - start).clip(1e-3),
        part.pitch,
        part.velocity,
        (part.pedal_s - start).clip(0),
    )
    write_midi(notes, target.with_suffix(".mid"))
    wave = play_soundfont(notes, soundfont, sample_rate=RATE)[: int(SECONDS * RATE)]
    sf.write(target.with_suffix(".flac"), wave, RATE, subtype="PCM_16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("midi", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--soundfont", required=True)
    weights = Path(encoders.__file__).with_name("weights")
    parser.add_argument("--encoder", type=Path, default=weights, help="Its folder.")
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = unheard(args.midi, args.encoder, args.count, args.seed)
    names = [f"unheard_{number:03d}" for number in range(len(chosen))]
    rows = pd.DataFrame(
        {
            "track_id": names,
            "composer": chosen["composer"].to_numpy(),
            "title": chosen["title"].to_numpy(),
            "work_id": chosen["work"].to_numpy(),
        }
    )
    rows.to_csv(args.out / "metadata.csv", index=False)
    Parallel(n_jobs=2, verbose=5)(
        delayed(render)(path, args.out / name, args.soundfont)
        for path, name in zip(chosen["midi_path"], names, strict=True)
    )
    print(f"{len(chosen)} performances of {chosen['work'].nunique()} works in {args.out}")


if __name__ == "__main__":
    main()
