"""Compute the targets of files and of whole track tables."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.audio import SAMPLE_RATE, file_sha256, load_audio
from mess_core.errors import MessError, StoreError
from mess_core.midi.performance import Performance
from mess_core.midi.reading import read_performance
from mess_core.processes import in_processes
from mess_core.store.failures import clear_failure, is_transient, record_failure
from mess_core.store.layout import Layout
from mess_core.store.outcomes import TrackOutcome
from mess_core.store.segment_windows import windows_serve
from mess_core.store.tables import read_json, write_json, write_table
from mess_core.targets.analysis import AudioAnalysis, analyse
from mess_core.targets.registry import TARGETS_VERSION, Source, targets
from mess_core.targets.segments import (
    curve_table,
    segment_bounds,
    segment_table,
    track_vectors,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compute_track_targets", "targets_from_audio", "targets_from_midi"]


def targets_from_audio(path: str | PathLike[str]) -> dict[str, float]:
    """Return the 15 audio targets of a recording.

    Parameters
    ----------
    path : path-like or fsspec URL

    Returns
    -------
    dict
        Target name to value in its unit; NaN where the property is not defined.

    Raises
    ------
    AudioError
        If the audio cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> import soundfile as sf
    >>> import mess_core as mess
    >>> from mess_core.datasets.demo import Expression, demo_score, perform
    >>> from mess_core.datasets.synthesis import synthesise
    >>> samples = synthesise(perform(demo_score(0, bars=2), Expression(), seed=0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sf.write(f"{folder}/take.wav", samples, 24_000)
    ...     values = mess.targets_from_audio(f"{folder}/take.wav")
    >>> len(values), values["onset_density"] > 1
    (15, True)
    """
    return _values("audio", _analysed(path)[0])


def targets_from_midi(path: str | PathLike[str]) -> dict[str, float]:
    """Return the 7 MIDI targets of a performance, and the additional MIDI scalars.

    Parameters
    ----------
    path : path-like or fsspec URL

    Returns
    -------
    dict
        Target name to value in its unit; NaN where the property is not defined.

    Raises
    ------
    MidiError
        If the file cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> import mess_core as mess
    >>> from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
    >>> notes = perform(demo_score(0), Expression(articulation=0.5), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_midi(notes, f"{folder}/take.mid")
    ...     values = mess.targets_from_midi(f"{folder}/take.mid")
    >>> round(values["articulation_ratio"], 1)
    0.5
    """
    return _values("midi", read_performance(path))


def compute_track_targets(
    tracks: pd.DataFrame, layout: Layout, *, window_s: float = 5.0, hop_s: float = 2.5
) -> Iterator[TrackOutcome]:
    """Compute and store the targets of each track of a track table, and of its segments.

    Targets that are stored for the same files and version are reused, if they are for these
    windows or include them (`mess_core.store.segment_windows.windows_serve`). Audio and
    MIDI fail independently: a track with a truncated MIDI file still gets its audio targets,
    and counts as failed. Tracks are computed in ``MESS_WORKERS`` processes.

    Parameters
    ----------
    tracks : DataFrame
        Rows of the track table.
    layout : Layout
    window_s, hop_s : float
        Window length and hop of the encoder, in seconds.

    Yields
    ------
    TrackOutcome

    Raises
    ------
    StoreError
        If the data root cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from mess_core.datasets import parse_sources, read_tracks
    >>> from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_midi(perform(demo_score(0), Expression(), seed=0), f"{folder}/take.mid")
    ...     tracks, _, _ = read_tracks(parse_sources(f"takes={folder}"))
    ...     outcomes = list(compute_track_targets(tracks, Layout(f"{folder}/root")))
    >>> [(outcome.track_id, outcome.status) for outcome in outcomes]
    [('take', 'done')]
    """
    compute = partial(_compute, layout=layout, windows={"window_s": window_s, "hop_s": hop_s})
    yield from in_processes(compute, tracks.to_dict("records"), prepare=_compile)


def _values(source: Source, analysed: Any) -> dict[str, float]:
    return {one.name: float(one.function(analysed)) for one in targets(source, extra=True)}


def _analysed(path: str | PathLike[str]) -> tuple[AudioAnalysis, int]:
    """Return the features of an audio file, and its length in samples."""
    samples = load_audio(path)
    try:
        return analyse(samples), len(samples)
    except MessError as error:
        raise type(error)(error.problem, path=path, remedy=error.remedy) from None


@dataclass
class _Track:
    """Targets and features computed from a track's files."""

    values: dict[str, float] = field(default_factory=dict)
    audio: AudioAnalysis | None = None
    performance: Performance | None = None
    samples: int = 0

    @property
    def notes_left_out(self) -> int | None:
        """Notes of the MIDI file that are no piano's; None without MIDI."""
        return None if self.performance is None else self.performance.notes_left_out

    def read_all(self, files: dict[Source, Any]) -> dict[Source, Exception]:
        """Read the files; return the errors by source."""
        failures: dict[Source, Exception] = {}
        for source, path in files.items():
            try:
                self.read(source, path)
            except Exception as error:  # any error of a library fails this track only
                failures[source] = error
        return failures

    def read(self, source: Source, path: Any) -> None:
        if source == "audio":
            self.audio, self.samples = _analysed(path)
            self.values |= _values(source, self.audio)
        else:
            self.performance = read_performance(path)
            self.values |= _values(source, self.performance)

    def store(self, layout: Layout, dataset: str, track_id: str, record: dict[str, Any]) -> None:
        """Write the tables, then the record that validates them."""
        path = layout.track_targets(dataset, track_id)
        path.unlink(missing_ok=True)
        if not self.values:
            return
        samples = self.samples
        if self.performance is not None and self.audio is None:
            samples = int(np.ceil(self.performance.end_s * SAMPLE_RATE))
        bounds = segment_bounds(samples, **record["windows"])
        segments = segment_table(self.audio, self.performance, *bounds)
        write_table(layout.segment_targets(dataset, track_id), segments)
        curve = curve_table(self.audio, self.performance, samples / SAMPLE_RATE)
        write_table(layout.curves(dataset, track_id), curve)
        vectors = track_vectors(self.audio, self.performance)
        level = None if self.audio is None else _level_db(self.audio)
        found = {"values": self.values, "vectors": vectors, "level_db": level}
        write_json(path, {**record, **found, "notes_left_out": self.notes_left_out})


@cache
def _compile() -> None:
    """Compile librosa's functions once; processes that do so at the same time damage its cache."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the clip is short
        analyse(np.sin(np.arange(2 * SAMPLE_RATE) * 0.1).astype(np.float32))


def _level_db(audio: AudioAnalysis) -> float:
    """Return the RMS level of the sounding frames in dBFS, for checks."""
    power = float(np.mean(np.square(audio.rms[audio.sounding], dtype=np.float64)))
    return 10 * float(np.log10(max(power, 1e-12)))


def _compute(row: dict[str, Any], layout: Layout, windows: dict[str, float]) -> TrackOutcome:
    """Update the stored targets of one track."""
    began = time.perf_counter()
    track_id, dataset = row["track_id"], row["dataset"]
    files = _files(row)
    digests, failures = _hashed(files, row.get("audio_sha256"))
    stored: dict[str, Any] = {}
    with contextlib.suppress(StoreError):  # missing or damaged: either way computed again
        stored = read_json(layout.track_targets(dataset, track_id))
    if windows_serve(stored.get("windows", {}), windows):
        windows = stored["windows"]
    record = {"track_id": track_id, "version": TARGETS_VERSION, "windows": windows}
    expected = {**record, "sources": digests}
    fresh = not failures and all(stored.get(name) == value for name, value in expected.items())
    values: dict[str, Any] = stored["values"] if fresh else {}
    notes_left_out = stored.get("notes_left_out") if fresh else None
    heard_s = 0.0
    # Stored targets stay valid while a file is temporarily unreadable.
    unreadable_for_now = bool(stored) and any(map(is_transient, failures.values()))
    if not fresh and not unreadable_for_now:
        track = _Track()
        failures |= track.read_all(
            {one: path for one, path in files.items() if one not in failures}
        )
        sources = {one: digest for one, digest in digests.items() if one not in failures}
        track.store(layout, dataset, track_id, {**record, "sources": sources})
        values, heard_s = track.values, track.samples / SAMPLE_RATE
        notes_left_out = track.notes_left_out
    if failures:
        return _failed(layout, dataset, track_id, failures, digests)
    clear_failure(layout, "track_targets", track_id)
    seconds = time.perf_counter() - began
    content = f"{TARGETS_VERSION}:{sorted(windows.items())}:{sorted(digests.items())}"
    facts = {
        "targets": sum(value is not None and value == value for value in values.values()),
        "sources": ", ".join(digests),
        "notes_left_out": notes_left_out,
        "seconds": seconds,
        "audio_s_per_s": heard_s / seconds if heard_s else None,
    }
    digest = hashlib.sha256(content.encode()).hexdigest()
    return TrackOutcome(track_id, dataset, "fresh" if fresh else "done", facts, digest)


def _files(row: dict[str, Any]) -> dict[Source, Any]:
    """Return the files that a track has, by source."""
    import pandas as pd

    paths: dict[Source, Any] = {"audio": row["audio_path"], "midi": row["midi_path"]}
    return {source: path for source, path in paths.items() if not pd.isna(path)}


def _hashed(
    files: dict[Source, Any], scanned_sha256: object
) -> tuple[dict[Source, str], dict[Source, Exception]]:
    """Return the SHA-256 of each file, "unreadable" where there is none, and the errors."""
    digests: dict[Source, str] = {}
    failures: dict[Source, Exception] = {}
    for source, path in files.items():
        try:
            digests[source] = file_sha256(path)
        except MessError as error:
            # The next scan will find the same hash for a temporarily unreadable file.
            known = scanned_sha256 if source == "audio" and error.transient else None
            digests[source] = known if isinstance(known, str) else "unreadable"
            failures[source] = error
    return digests, failures


def _failed(
    layout: Layout,
    dataset: str,
    track_id: str,
    failures: dict[Source, Exception],
    digests: dict[Source, str],
) -> TrackOutcome:
    """Record the failure that determines whether the track is tried again."""
    # A transient failure takes precedence: only it is worth another attempt.
    shown = next((one for one in failures.values() if is_transient(one)), None)
    recorded = record_failure(
        layout,
        "track_targets",
        dataset,
        track_id,
        shown or next(iter(failures.values())),
        cause={"version": TARGETS_VERSION, **{one: digests[one] for one in failures}},
    )
    return TrackOutcome(track_id, dataset, "failed", recorded)
