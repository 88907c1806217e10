"""From nothing to search on a library of MAESTRO's size, then with a new and a bad track.

The library is made of MIDI files: the first 30 s of each, rendered with FluidSynth, and, until
there are enough, copies cut from later and played up to 15 % faster or slower. What is synthetic
is in the names: `-copy1`, `-copy2`. Then `mess run` is called as a user would call it, four times.
Prints seconds of each stage and step, peak memory, and what 199 hours would take; `--json FILE`
keeps them. With `--sizes` it runs on so many of the tracks first, and `--plot FILE` draws the cost
of each step against the number of tracks.

    python benchmarks/night.py MAESTRO_MIDI --soundfont FluidR3_GM.sf2 --tracks 1276 --work FOLDER
    ... --sizes 160 320 640 --plot costs.svg
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
from typing import Any

import dagster as dg
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


def steps_of_tables(home: Path) -> dict[str, float]:
    """Return the seconds of each step of the latest run that made the tables."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name="tables"), limit=1)
        stats = instance.get_run_step_stats(runs[0].run_id) if runs else []
    return {
        one.step_key: one.end_time - one.start_time
        for one in stats
        if one.start_time is not None and one.end_time is not None
    }


def timed(what: str, work: Path, folder: Path) -> dict[str, Any]:
    """Call `mess run`; return its seconds, those of stages and steps, and its peak memory."""
    work.mkdir(exist_ok=True)
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
    tables = next((spent for name, spent in stages.items() if name.startswith("tables")), 0.0)
    steps = steps_of_tables(work / "home") if tables > 1 else {}
    for name, spent in sorted(steps.items(), key=lambda one: -one[1])[:8]:
        print(f"    {spent:8.1f} s  {name}")
    return {"what": what, "seconds": seconds, "stages": stages, "steps": steps, "peak_gb": peak}


def smaller(takes: list[Path], work: Path) -> dict[str, Any]:
    """Run on some of the tracks, in a data root of its own."""
    folder = work / f"night-{len(takes)}"
    folder.mkdir(exist_ok=True)
    for one in takes:
        for path in (one, one.with_suffix(".mid")):
            if not (folder / path.name).exists():
                os.link(path, folder / path.name)
    return timed(f"from nothing, {len(takes)} tracks", work / str(len(takes)), folder)


def plot_costs(path: Path, runs: dict[int, dict[str, Any]]) -> None:
    """Plot the seconds of each stage and step against the number of tracks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    sizes = sorted(runs)
    costs = {size: {**runs[size]["stages"], **runs[size]["steps"]} for size in sizes}
    largest = costs[sizes[-1]]
    for number, name in enumerate(sorted(largest, key=lambda one: -largest[one])[:14]):
        seconds = [costs[size].get(name, np.nan) for size in sizes]
        style = "o-" if name in runs[sizes[-1]]["stages"] else "s--"
        axes.plot(sizes, seconds, style, color=f"C{number % 10}", label=name.split(",")[0])
    axes.set(xlabel="tracks of 30 s", ylabel="s", xscale="log", yscale="log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_title("Stages (lines) and steps of the tables (dashed), 2 cores", fontsize=9)
    figure.savefig(path)
    print(f"wrote {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("midi", type=Path)
    parser.add_argument("--soundfont", required=True)
    parser.add_argument("--tracks", type=int, default=1276)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=[])
    parser.add_argument("--plot", type=Path)
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
    made = sorted(folder.glob("*.flac"))
    chosen = {size: made[:: max(1, len(made) // size)][:size] for size in args.sizes}
    by_size = {size: smaller(some, args.work) for size, some in chosen.items()}
    runs = [timed("from nothing", args.work, folder), timed("unchanged", args.work, folder)]
    if args.plot:
        plot_costs(args.plot, {**by_size, len(made): runs[0]})
    for suffix in (".flac", ".mid"):
        (args.work / f"new{suffix}").rename(folder / f"a new one{suffix}")
    runs.append(timed("one new track", args.work, folder))
    (folder / "bad.flac").write_bytes(b"fLaC" + bytes(500))
    runs.append(timed("one corrupt track", args.work, folder))
    stages = runs[0]["stages"]
    heard_h = args.tracks * SECONDS / 3600
    per_hour = sum(stages.get(name, 0.0) for name in ("embeddings", "track_targets")) / heard_h
    rest = runs[0]["seconds"] - per_hour * heard_h
    total = per_hour * MAESTRO_HOURS + rest
    print(
        f"\n199 h, if work per track grows with its length and all else with the number of tracks: "
        f"{per_hour:.0f} s per hour x {MAESTRO_HOURS} h + {rest:.0f} s = {total / 3600:.1f} h"
    )
    if args.json:
        args.json.write_text(json.dumps([*by_size.values(), *runs], indent=1))


if __name__ == "__main__":
    main()
