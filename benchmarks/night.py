"""From nothing to search on a library of MAESTRO's size, then with a new and a bad track.

The library is made of MIDI files: the first 30 s of each, rendered with FluidSynth, and, until
there are enough, copies cut from later and played up to 15 % faster or slower. What is synthetic
is in the names: `-copy1`, `-copy2`. Then `mess run` is called as a user would call it, four times.
Prints seconds of each stage, peak memory, and what 199 hours would take; `--json FILE` keeps them.

    python benchmarks/night.py MAESTRO_MIDI --soundfont FluidR3_GM.sf2 --tracks 1276 --work FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from mess_core.datasets.demo import write_midi
from mess_core.datasets.rendering import play_soundfont
from mess_core.errors import MessError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.processes import in_processes

SECONDS, MAESTRO_HOURS = 30.0, 198.65
STAGE = re.compile(r"^\s*([\d.]+) s  (\S.*?)(?: …)?$")


@dataclass(frozen=True)
class Take:
    source: Path
    copy: int


def excerpt(take: Take) -> Performance | None:
    """The first 30 s of a file; of a copy later ones, at another tempo."""
    whole = read_performance(take.source)
    start = SECONDS * 2 * take.copy % max(whole.end_s - SECONDS, 1.0)
    part = whole.excerpt(start, start + SECONDS)
    if part is None:
        return None
    factor = 1.0 if not take.copy else float(np.random.default_rng(take.copy).uniform(0.85, 1.15))
    return replace(
        part,
        onset_s=(part.onset_s - start) / factor,
        offset_s=(part.offset_s - start) / factor,
        pedal_s=(part.pedal_s - start) / factor,
    )


def make(folder: Path, soundfont: str, take: Take) -> bool:
    """Write a take as audio and MIDI; return whether there were notes."""
    name = take.source.stem[:100] + (f"-copy{take.copy}" if take.copy else "")
    audio = folder / f"{name}.flac"
    if audio.exists():
        return True
    try:
        notes = excerpt(take)
    except MessError:
        return False
    if notes is None:
        return False
    write_midi(notes, folder / f"{name}.mid")
    wave = play_soundfont(notes, soundfont, sample_rate=24_000)
    sf.write(audio, wave[: int(SECONDS * 24_000)], 24_000)
    return True


def timed(what: str, work: Path, folder: Path) -> dict[str, object]:
    """Call `mess run`; return its seconds, those of its stages, and its peak memory."""
    settings = {
        "MESS_DATASETS": f"night={folder}",
        "MESS_DATA_ROOT": str(work / "root"),
        "DAGSTER_HOME": str(work / "home"),
        "MLFLOW_TRACKING_URI": "off",
    }
    (work / "home").mkdir(exist_ok=True)
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("mess")), "run"]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    stages: dict[str, float] = {}
    last, at = "start", 0.0
    for line in done.stdout.splitlines():
        found = STAGE.match(line)
        if found and not found[2].startswith(("embeddings ", "track_targets ")):
            stages[last] = stages.get(last, 0.0) + float(found[1]) - at
            last, at = found[2].partition(":")[0].partition(" (")[0], float(found[1])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\n{what}: {seconds:.1f} s, exit status {done.returncode}")
    print(f"  {peak:8.2f} GB  the largest process so far")
    for name, spent in stages.items():
        print(f"  {spent:8.1f} s  {name}")
    if done.returncode and "corrupt" not in what:
        print(done.stdout[-2000:], done.stderr[-2000:])
    return {"what": what, "seconds": seconds, "stages": stages, "peak_gb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("midi", type=Path)
    parser.add_argument("--soundfont", required=True)
    parser.add_argument("--tracks", type=int, default=1276)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    folder = args.work / "night"
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(args.midi.rglob("*.mid*"))
    takes = [Take(one, copy) for copy in range(9) for one in files][: args.tracks + 1]
    began = time.perf_counter()
    good = sum(in_processes(partial(make, folder, args.soundfont), takes))
    print(f"{good} takes of {len(files)} files made in {time.perf_counter() - began:.0f} s")
    aside = sorted(folder.glob("*.flac"))[-1]
    for suffix in (".flac", ".mid"):
        aside.with_suffix(suffix).rename(args.work / f"new{suffix}")
    runs = [timed("from nothing", args.work, folder), timed("unchanged", args.work, folder)]
    for suffix in (".flac", ".mid"):
        (args.work / f"new{suffix}").rename(folder / f"a new one{suffix}")
    runs.append(timed("one new track", args.work, folder))
    (folder / "bad.flac").write_bytes(b"fLaC" + bytes(500))
    runs.append(timed("one corrupt track", args.work, folder))
    stages = runs[0]["stages"]
    assert isinstance(stages, dict)
    heard_h = args.tracks * SECONDS / 3600
    per_hour = sum(stages.get(name, 0.0) for name in ("embeddings", "track_targets")) / heard_h
    rest = float(str(runs[0]["seconds"])) - per_hour * heard_h
    total = per_hour * MAESTRO_HOURS + rest
    print(
        f"\n199 h, if work per track grows with its length and all else with the number of tracks: "
        f"{per_hour:.0f} s per hour x {MAESTRO_HOURS} h + {rest:.0f} s = {total / 3600:.1f} h"
    )
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()
