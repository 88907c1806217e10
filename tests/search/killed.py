"""Kill a writer at random moments and open what a reader would: run by `test_killed.py`.

    python tests/search/killed.py {build,publish,switch} FOLDER TIMES

Prints how many writers were killed at work, and how many versions readers met.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mess_core.search.artifact import load_artifact, save_artifact
from mess_core.search.index import TrackIndex
from mess_core.search.published import publish
from mess_core.search.query import Library
from mess_core.store import Layout, write_table

TRACKS = 40


def made(number):
    vectors = np.random.default_rng(number).standard_normal((TRACKS, 3, 64)).astype(np.float32)
    rows = pd.DataFrame({"track_id": [f"v{number}-{row}" for row in range(TRACKS)]})
    return TrackIndex.build(vectors, [0, 1, 2]), rows


def build(root, number):
    index, rows = made(number)
    identity = {"layers": [0, 1, 2], "encoder": f"encoder-{number}", "matrix_sha256": str(number)}
    save_artifact(Layout(root).indices, "track", index.index, rows, identity)


def data_root(root, number):
    columns = ["composer", "title", "performer", "work_id", "audio_path", "midi_path"]
    _, rows = made(number)
    write_table(Layout(root).tracks, rows.assign(**dict.fromkeys(columns, "x")))
    build(root, number)


def read_index(root):
    _, rows, manifest = load_artifact(Layout(root).indices, "track")
    number = manifest["made_from"]["matrix_sha256"]
    assert list(rows["track_id"]) == [f"v{number}-{row}" for row in range(TRACKS)]
    return number


def read_library(place):
    library = Library.open(place)
    number = library.identity["matrix_sha256"]
    hits = library.similar(f"v{number}-0", k=TRACKS)
    assert len(hits) == TRACKS - 1
    assert set(library.tracks["track_id"]) == {f"v{number}-{row}" for row in range(TRACKS)}
    return number


def main():
    stage, folder, times = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    place = folder / "place"
    made(0)  # everything is imported before forking, so that kills hit the writing

    def root(turn):
        found = folder / f"root{turn}"
        if not found.exists():
            data_root(found, turn)
        return found

    if stage == "build":
        read, write = read_index, (lambda turn: build(place, turn))
    elif stage == "publish":
        read, write = read_library, (lambda turn: publish(root(turn), place))
    else:  # both are complete after the first two: only `latest` is written from then on
        read, write = read_library, (lambda turn: publish(root(turn % 2), place))

    def forked(turn):
        child = os.fork()
        if child == 0:
            write(turn)
            os._exit(0)
        return child

    def prepared(turn):
        if stage == "publish":
            root(turn)
        return forked(turn)

    for turn in range(2):
        os.waitpid(prepared(turn), 0)
    child = prepared(2)  # the third: a switch finds everything but `latest` in place
    began = time.perf_counter()
    os.waitpid(child, 0)
    lasts = time.perf_counter() - began
    dice = random.Random(0)
    killed, met = 0, set()
    for turn in range(3, 10 * times):
        child = prepared(turn)
        time.sleep(dice.uniform(0, 1.1 * lasts))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        met.add(read(place))
        if killed == times:
            break
    print(json.dumps({"killed": killed, "met": len(met)}))


if __name__ == "__main__":
    main()
