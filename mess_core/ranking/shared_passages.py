"""Passages that several performers play: the same bars in each performance of a work.

Every performance of a work is aligned to the reference, the one with the median number of notes.
The reference is cut into passages of equal duration; where another performance plays the same
notes, the corresponding excerpt is its performance of the passage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import MidiError, StoreError
from mess_core.midi.alignment import TRUSTED, Alignment, align
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.ranking.descriptors import HALF_PEDAL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PassageSettings", "find_passages", "read_excerpts"]

_COLUMNS = ["clip_id", "passage_id", "work_id", "track_id", "performer", "start_s", "end_s"]


@dataclass(frozen=True)
class PassageSettings:
    """How passages are cut.

    Attributes
    ----------
    length_s, hop_s : float
        Length and hop of passages, in seconds of the reference.
    fewest_notes : int
        Minimum number of notes per performance of a passage.
    most_per_work : int
        Maximum number of passages per work.
    """

    length_s: float = 10.0
    hop_s: float = 10.0
    fewest_notes: int = 12
    most_per_work: int = 24


def find_passages(tracks: pd.DataFrame, settings: PassageSettings | None = None) -> pd.DataFrame:
    """Find the passages of all works with at least two tracks with MIDI.

    A performance whose MIDI cannot be used, or that plays other notes, is left out. Unknown
    performers count as different from all others.

    Parameters
    ----------
    tracks : DataFrame
        The track table.
    settings : PassageSettings, optional

    Returns
    -------
    DataFrame
        One row per performance of a passage: ``clip_id`` (``<track>@<start>``), ``passage_id``
        (``<work>#<number>``), ``work_id, track_id, performer, start_s, end_s, agreement``
        (mean share of notes in common in that excerpt, 0..1). Passages have at least two rows.
    """
    import pandas as pd

    chosen = settings or PassageSettings()
    with_midi = tracks[tracks["midi_path"].notna()]
    rows: list[dict[str, Any]] = []
    for work_id, members in with_midi.groupby("work_id", sort=True):
        if len(members) > 1:
            rows += _passages_of_work(str(work_id), members, chosen)
    table = pd.DataFrame(rows, columns=[*_COLUMNS, "agreement"])
    several = table.groupby("passage_id")["clip_id"].transform("size") > 1
    return table[several].reset_index(drop=True)


def read_excerpts(passages: pd.DataFrame, tracks: pd.DataFrame) -> list[Performance]:
    """Read the notes of each row of a passage table, with ``pedal_down=HALF_PEDAL``.

    Raises
    ------
    MidiError
        If a file is missing, or no longer has notes in that excerpt.
    StoreError
        If a track is not in the track table, or has no MIDI.
    """
    paths = dict(zip(tracks["track_id"].astype(str), tracks["midi_path"], strict=True))
    read: dict[str, Performance] = {}
    excerpts = []
    for row in passages.itertuples():
        track = str(row.track_id)
        if not isinstance(paths.get(track), str):
            raise StoreError(
                f"track {track!r} of a passage is not in the track table, or has no MIDI",
                remedy="Find the passages again: materialise `passages`",
            )
        if track not in read:
            read[track] = read_performance(paths[track], pedal_down=HALF_PEDAL)
        excerpt = read[track].excerpt(float(row.start_s), float(row.end_s))
        if excerpt is None:
            raise MidiError(
                f"has no notes from {row.start_s:g} s on: it changed after the passages were found",
                path=paths[track],
                remedy="Find the passages again: materialise `passages`",
            )
        excerpts.append(excerpt)
    return excerpts


def _passages_of_work(
    work_id: str, members: pd.DataFrame, settings: PassageSettings
) -> Iterator[dict[str, Any]]:
    performances: dict[str, Performance] = {}
    performer: dict[str, str] = {}
    for row in members.itertuples():
        try:
            performances[str(row.track_id)] = read_performance(str(row.midi_path))
        except MidiError:
            continue  # reported where its targets are computed
        known = isinstance(row.performer, str) and row.performer
        performer[str(row.track_id)] = str(row.performer) if known else f"track:{row.track_id}"
    if len(performances) < 2:
        return
    by_notes = sorted(performances, key=lambda track: (len(performances[track]), track))
    reference = by_notes[len(by_notes) // 2]
    first = performances[reference]
    maps: dict[str, Alignment | None] = {reference: None}
    for track, other in performances.items():
        if track == reference:
            continue
        try:
            found = align(first, other)
        except MidiError:
            continue  # nothing in common
        if found.agreement.mean() >= TRUSTED:
            maps[track] = found
    begin, end = float(first.onset_s[0]), float(first.onset_s[-1])
    starts = np.arange(begin, end - settings.length_s + 1e-6, settings.hop_s)
    if len(starts) > settings.most_per_work:  # spread over the whole work
        starts = starts[np.linspace(0, len(starts) - 1, settings.most_per_work).astype(int)]
    for number, start in enumerate(starts):
        stop = start + settings.length_s
        for track, alignment in maps.items():
            row = _excerpt_bounds(
                performances[track], alignment, float(start), float(stop), settings
            )
            if row is None:
                continue
            yield {
                "clip_id": f"{track}@{row['start_s']:.2f}",
                "passage_id": f"{work_id}#{number}",
                "work_id": work_id,
                "track_id": track,
                "performer": performer[track],
                **row,
            }


def _excerpt_bounds(
    one: Performance,
    alignment: Alignment | None,
    start: float,
    stop: float,
    settings: PassageSettings,
) -> dict[str, float] | None:
    """Map an excerpt of the reference to a performance; return None if it is not played there."""
    agreement = 1.0
    if alignment is not None:
        inside = (alignment.a_s >= start) & (alignment.a_s <= stop)
        agreement = float(alignment.agreement[inside].mean()) if inside.any() else 0.0
        start, stop = (float(time) for time in alignment.map_time([start, stop]))
    start = max(start, 0.0)
    excerpt = one.excerpt(start, stop)
    played = 0 if excerpt is None else len(excerpt)
    plausible = settings.length_s / 3 < stop - start < 3 * settings.length_s
    if agreement < TRUSTED or played < settings.fewest_notes or not plausible:
        return None
    return {"start_s": start, "end_s": stop, "agreement": agreement}
