"""Two performances for the page: curves on a common time, notes, and further performances."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import MidiError, SearchError, StoreError
from mess_core.listen.library_cache import changed
from mess_core.listen.moments import sound_map
from mess_core.midi.alignment import TRUSTED
from mess_core.midi.comparison import (
    CURVES,
    Comparison,
    PerformanceCurves,
    carry,
    compare_performances,
)
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.paths import locate
from mess_core.search.query import Library
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

__all__ = ["compared", "other_performances"]

_MOST_OTHERS = 24
_CACHED = 16
_SOUND_STEP_S = 1.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Pair:
    comparison: Comparison
    a: Performance
    b: Performance


_pairs: OrderedDict[tuple[Any, ...], Future[_Pair]] = OrderedDict()
_lock = threading.Lock()


def compared(library: Library, query: str, hit: str) -> dict[str, Any]:
    """Return how a query and a hit of the same work differ, over the time that they share.

    Parameters
    ----------
    library : Library
    query, hit : str
        Track ids.

    Returns
    -------
    dict
        ``how`` ("notes" or "sound"), ``confidence``, ``unit`` of the common time, ``curves`` (name
        to unit), ``a`` and ``b`` (each ``time_s`` and, per curve, a value between each two of its
        times), ``notes`` of both and ``links`` between them (empty without MIDI), ``differences``:
        repeats and cuts.

    Raises
    ------
    SearchError
        If the two are not of one work, or have too little in common to be compared.
    """
    one, other = _rows(library, query, hit)
    problem = "MIDI is missing for at least one of the two"
    if isinstance(one["midi_path"], str) and isinstance(other["midi_path"], str):
        try:
            return _by_notes(_pair(one["midi_path"], other["midi_path"]))
        except MidiError as error:
            problem = error.problem
    found = _by_sound(library.layout, one, other)
    if found is None:
        raise SearchError(
            f"{query!r} and {hit!r} cannot be compared: {problem}, and their sound does not match",
            remedy="Compare two performances of the same music",
        )
    return {**found, "note": problem}


def other_performances(library: Library, query: str, hit: str) -> dict[str, Any]:
    """Return the curves of the work's further performances, on the beats of `compared`.

    Returns
    -------
    dict
        ``performances``, each ``track_id`` and its curves; ``left_out``: how many had too little in
        common, or were too many.
    """
    one, other = _rows(library, query, hit)
    if not (isinstance(one["midi_path"], str) and isinstance(other["midi_path"], str)):
        return {"performances": [], "left_out": 0}
    pair = _pair(one["midi_path"], other["midi_path"])
    tracks = library.tracks
    same = tracks[(tracks["work_id"] == one["work_id"]) & tracks["midi_path"].notna()]
    further = same[~same["track_id"].isin([query, hit])]
    found = []
    for row in further.head(_MOST_OTHERS).itertuples():
        try:
            curves = carry(pair.comparison, pair.a, read_performance(str(row.midi_path)))
        except MidiError:
            continue
        if curves is not None:
            found.append({"track_id": str(row.track_id), **_curves(curves)})
    return {"performances": found, "left_out": len(further) - len(found)}


def _rows(library: Library, query: str, hit: str) -> tuple[Any, Any]:
    tracks = library.tracks.set_index("track_id")
    for track in (query, hit):
        if track not in tracks.index:
            raise SearchError(f"track {track!r} is not in the library")
    one, other = tracks.loc[query], tracks.loc[hit]
    if query == hit or one["work_id"] != other["work_id"]:
        raise SearchError(
            "only two performances of the same work can be compared on a common time",
            remedy="Choose a hit of the same work: `same work only`",
        )
    return one, other


def _pair(a: str, b: str) -> _Pair:
    """Return the comparison of two files; requests at the same time wait for one alignment."""
    key = (a, changed(locate(a)), b, changed(locate(b)))
    with _lock:
        known = _pairs.get(key)
        is_first = known is None
        future: Future[_Pair] = Future() if known is None else known
        _pairs[key] = future
        _pairs.move_to_end(key)
        while len(_pairs) > _CACHED:
            _pairs.popitem(last=False)
    if is_first:
        try:
            first, second = read_performance(a), read_performance(b)
            future.set_result(_Pair(compare_performances(first, second), first, second))
        except BaseException as error:
            with _lock:
                _pairs.pop(key, None)  # the next request tries again
            future.set_exception(error)
    return future.result()


def _by_notes(pair: _Pair) -> dict[str, Any]:
    found = pair.comparison
    return {
        "how": "notes",
        "confidence": round(found.confidence, 3),
        "shared": found.shared_beats,
        "unit": "beat",
        "curves": CURVES,
        "a": _curves(found.a),
        "b": _curves(found.b),
        "notes": {"a": _notes(pair.a), "b": _notes(pair.b)},
        "links": found.links.tolist(),
        "differences": [
            text.replace("only a ", "only A ").replace("only b ", "only B ")
            for text in found.differences
        ],
    }


def _curves(curves: PerformanceCurves) -> dict[str, Any]:
    digits = {"tempo": 1, "velocity": 1, "articulation": 3, "pedal": 3, "asynchrony": 1}
    found = {name: _rounded(getattr(curves, name), digits[name]) for name in CURVES}
    return {"time_s": _rounded(curves.beats_s, 3), **found}


def _notes(performance: Performance) -> dict[str, Any]:
    return {
        "onset_s": _rounded(performance.onset_s, 3),
        "offset_s": _rounded(performance.offset_s, 3),
        "pitch": performance.pitch.tolist(),
        "velocity": performance.velocity.tolist(),
        "pedal_s": np.round(performance.pedal_s, 3).tolist(),
    }


def _rounded(values: Floats, digits: int) -> list[float | None]:
    rounded = np.round(values, digits)
    return [value if value == value else None for value in rounded.tolist()]


_FROM_AUDIO = {
    "loudness": ("dynamic_arc", "dB below the loudest"),
    "brightness": ("centroid_trajectory", "Hz"),
}


def _by_sound(layout: Layout, one: Any, other: Any) -> dict[str, Any] | None:
    """Return curves of audio over seconds of the query, aligned by chroma; None if that fails."""
    if not all(isinstance(row["audio_path"], str) for row in (one, other)):
        return None
    time_map = sound_map(one["audio_path"], other["audio_path"])
    if time_map is None:
        return None
    edges = np.arange(0.0, float(one["duration_s"]), _SOUND_STEP_S)
    mapped = np.array([time_map(float(at)) for at in edges])  # [times, (seconds, confidence)]
    if mapped[:, 1].mean() < TRUSTED:
        return None
    there = np.maximum.accumulate(np.clip(mapped[:, 0], 0.0, float(other["duration_s"])))
    sides = {
        name: {
            "time_s": _rounded(at, 3),
            **_audio_curves(layout, str(row["dataset"]), str(row.name), at),
        }
        for name, row, at in (("a", one, edges), ("b", other, there))
    }
    units = {name: unit for name, (_, unit) in _FROM_AUDIO.items()}
    return {
        "how": "sound",
        "confidence": round(float(mapped[:, 1].mean()), 3),
        "shared": len(edges) - 1,
        "unit": "second of A",
        "curves": {**units, "onset_density": "onsets / s"},
        **sides,
        "notes": None,
        "links": [],
        "differences": [],
    }


def _audio_curves(layout: Layout, dataset: str, track: str, at: Floats) -> dict[str, Any]:
    """Return the stored curves between times (s), and the onset density of the windows there."""
    middle = (at[1:] + at[:-1]) / 2
    nothing: list[float | None] = [None] * len(middle)
    found: dict[str, Any] = {**dict.fromkeys(_FROM_AUDIO, nothing), "onset_density": nothing}
    try:
        curves = read_table(layout.curves(dataset, track))
        windows = read_table(layout.segment_targets(dataset, track))
    except StoreError:  # not computed yet: the page draws nothing
        return found
    for name, (column, _) in _FROM_AUDIO.items():
        if column in curves:
            found[name] = _rounded(np.interp(middle, curves["time_s"], curves[column]), 2)
    if "onset_density" in windows:
        centre = (windows["start_s"] + windows["end_s"]) / 2
        found["onset_density"] = _rounded(np.interp(middle, centre, windows["onset_density"]), 2)
    return found
