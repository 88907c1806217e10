"""How long sensors take on a library of 10,000 tracks: new files, and what is pending.

    python benchmarks/sensors.py DATA [--tracks 10000] [--encoder mess-piano]

DATA is a data root whose data set lies in it, such as that of `make demo`. Its files are linked
under new names until there are enough tracks; nothing is embedded or analysed. Prints seconds of
the first tick of each sensor, and the median of five more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from mess_assets.defs.resources import EncoderResource, StoreResource
from mess_assets.defs.sensors import lost_workers, new_tracks, pending_keys
from mess_assets.partitions import TRACKS
from mess_core.store import escape_track_id
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table, write_json, write_table


def enlarged(data: Path, root: Path, count: int) -> list[str]:
    """Link the tracks of a data root under new names, and return the names of all."""
    files: dict[str, list[Path]] = {}
    for path in data.rglob("*"):
        if path.is_file():
            files.setdefault(path.name.partition(".")[0], []).append(path)
    layout = Layout(data)
    table = read_table(layout.tracks)
    parts = [table.iloc[:0]]
    for turn in range(-(-count // len(table))):
        part = table.head(count - turn * len(table)).copy()
        ending = f"-{turn}" if turn else ""
        for track in part["track_id"]:
            for path in files[track]:
                place = root / path.relative_to(data)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place.with_name(f"{track}{ending}{path.suffix}"))
        part["track_id"] += ending
        for column in ("audio_path", "midi_path"):
            suffixes = part[column].map(lambda path: Path(path).suffix)
            part[column] = str(root / "datasets" / "demo") + "/" + part["track_id"] + suffixes
        parts.append(part)
    import pandas as pd

    whole = pd.concat(parts, ignore_index=True)
    write_table(Layout(root).tracks, whole)
    write_json(Layout(root).tracks_report, read_json(layout.tracks_report))
    return [str(track) for track in whole["track_id"]]


def report(name: str, tick: Callable[[], object]) -> None:
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        said = tick()
        seconds.append(time.perf_counter() - began)
    print(f"| {name} | {seconds[0]:.2f} | {statistics.median(seconds[1:]):.2f} | {said} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--encoder", default="mess-piano")
    args = parser.parse_args()
    beside = args.data.resolve().parent  # links do not cross file systems
    with (
        tempfile.TemporaryDirectory(dir=beside) as folder,
        dg.DagsterInstance.local_temp() as instance,
    ):
        names = enlarged(args.data, Path(folder), args.tracks)
        instance.add_dynamic_partitions(TRACKS.name, [escape_track_id(one) for one in names])
        store = StoreResource(data_root=folder, datasets="")
        encoder = EncoderResource(name=args.encoder, device="cpu")

        def context() -> dg.SensorEvaluationContext:
            return dg.build_sensor_context(instance=instance, resources={"store": store})

        def pending() -> str:
            found = pending_keys(instance, store, encoder)
            return ", ".join(f"{job}: {len(keys)}" for job, keys in found.items())

        print(f"{len(names)} tracks\n\n| sensor | first, s | median, s | said |")
        print("| --- | --- | --- | --- |")
        report("new_tracks", lambda: _said(new_tracks(context())))
        report("pending_tracks", pending)
        report("lost_workers", lambda: _said(lost_workers(context())))


def _said(found: object) -> str:
    return found.skip_message if isinstance(found, dg.SkipReason) else type(found).__name__


if __name__ == "__main__":
    main()
