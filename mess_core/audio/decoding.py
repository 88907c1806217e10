"""Decode, downmix and resample audio, as a stream of bounded blocks.

All other code receives mono float32 at one sample rate. libsndfile decodes (through
``soundfile``), and ``soxr`` resamples the stream, so a 45-minute recording is never held in
memory as a whole unless `load_audio` is called.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import AudioError
from mess_core.paths import locate

if TYPE_CHECKING:
    import soundfile as sf

__all__ = [
    "AUDIO_SUFFIXES",
    "OTHER_AUDIO_SUFFIXES",
    "SAMPLE_RATE",
    "AudioInfo",
    "audio_info",
    "file_sha256",
    "load_audio",
    "load_passage",
    "stream_audio",
]

SAMPLE_RATE = 24_000
"""Sample rate in Hz at which MERT was trained, and that of all analysis."""

AUDIO_SUFFIXES = frozenset(
    {
        ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64",
        ".w64", ".wav",
    }
)  # fmt: skip
"""Suffixes of files that a scan takes for audio; what they hold decides how they are read."""

OTHER_AUDIO_SUFFIXES = frozenset(
    {
        ".aac", ".ac3", ".alac", ".ape", ".dff", ".dsf", ".m4a", ".m4b", ".mka", ".mp4", ".mpc",
        ".webm", ".wma", ".wv",
    }
)  # fmt: skip
"""Suffixes of audio that libsndfile cannot read."""

_REMEDY = "Check that it plays in another program, or convert it again (ffmpeg -i IN OUT.flac)"
_INVERTED = 0.01
_PROBE_S = 10.0

_log = logging.getLogger("mess")


@dataclass(frozen=True)
class AudioInfo:
    """Content of a file's header: `duration_s` (s), `sample_rate` (Hz), `channels`."""

    duration_s: float
    sample_rate: int
    channels: int


def load_audio(
    path: str | PathLike[str], *, sample_rate: int = SAMPLE_RATE, allow_silence: bool = False
) -> NDArray[np.float32]:
    """Decode a file to mono float32.

    Parameters
    ----------
    path : path-like or fsspec URL
        Any format that libsndfile reads: WAV, FLAC, MP3, OGG, AIFF; any rate, any
        number of channels. The mean over channels is taken, except of two that cancel each other
        (one has its polarity inverted): then the first, with a warning.
    sample_rate : int
        Target rate in Hz.
    allow_silence : bool
        If False, a file whose samples are all zero raises an error.

    Returns
    -------
    numpy.ndarray, float32, shape [samples]

    Raises
    ------
    AudioError
        If the file is missing, empty, truncated, not audio, silent, or contains
        NaN or infinite samples.
    """
    blocks = list(stream_audio(path, sample_rate=sample_rate, allow_silence=allow_silence))
    return np.concatenate(blocks)


def load_passage(
    path: str | PathLike[str],
    start_s: float,
    end_s: float,
    *,
    sample_rate: int = SAMPLE_RATE,
) -> NDArray[np.float32]:
    """Decode a part of a file to mono float32, without decoding what precedes it.

    Parameters
    ----------
    path : path-like or fsspec URL
    start_s, end_s : float
        Seconds from the start of the recording; whatever is past its end is left out.
    sample_rate : int
        Target rate in Hz.

    Returns
    -------
    numpy.ndarray, float32, shape [samples]

    Raises
    ------
    AudioError
        If the file cannot be decoded, or ends before the passage begins.
    """
    import soxr

    inverted = _is_inverted(path)
    with _opened(path) as audio:
        rate = audio.samplerate
        first, last = round(start_s * rate), round(end_s * rate)
        if not 0 <= first < min(last, audio.frames):
            raise AudioError(
                f"has no passage from {start_s:.2f} s to {end_s:.2f} s "
                f"(it lasts {audio.frames / rate:.2f} s)",
                path=fspath(path),
            )
        audio.seek(first)
        frames = _read(audio, last - first, path)  # [frames, channels]
    mono = _mono(frames, inverted)
    if not np.isfinite(mono).all():
        raise AudioError("holds NaN or infinite samples", path=fspath(path), remedy=_REMEDY)
    if rate == sample_rate:
        return mono
    resampled: NDArray[np.float32] = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return resampled


def stream_audio(
    path: str | PathLike[str],
    *,
    sample_rate: int = SAMPLE_RATE,
    block_s: float = 20.0,
    allow_silence: bool = False,
) -> Iterator[NDArray[np.float32]]:
    """Decode a file block by block; concatenated, the blocks are `load_audio`'s result.

    Parameters
    ----------
    path, sample_rate, allow_silence
        As in `load_audio`.
    block_s : float
        Seconds decoded at a time; bounds the memory in use, not the result.

    Yields
    ------
    numpy.ndarray, float32, shape [samples_of_block]

    Raises
    ------
    AudioError
        As in `load_audio`; an error within the file is raised when it is reached.
    """
    import soxr

    from mess_core.audio.containers import refuse_missing_frames

    heard_sound = False
    read = 0
    inverted = _is_inverted(path)
    if inverted:
        _log.warning("%s: its channels cancel each other; only the first is used", fspath(path))
    with _opened(path) as audio:
        source_rate = audio.samplerate
        resampler = (
            None
            if source_rate == sample_rate
            else soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")
        )
        block_frames = max(1, int(block_s * source_rate))
        while True:
            frames = _read(audio, block_frames, path)  # [frames, channels]
            read += len(frames)
            last = len(frames) < block_frames
            mono = _mono(frames, inverted)
            if not np.isfinite(mono).all():
                at = (read - len(mono) + int(np.argmin(np.isfinite(mono)))) / source_rate
                raise AudioError(
                    f"holds NaN or infinite samples (the first at {at:.3f} s)",
                    path=fspath(path),
                    remedy=_REMEDY,
                )
            heard_sound = heard_sound or bool(np.any(mono))
            block = mono if resampler is None else resampler.resample_chunk(mono, last=last)
            if len(block):
                yield block
            if last:
                break
        refuse_missing_frames(audio, read)
    if read == 0:
        raise AudioError("holds no samples", path=fspath(path), remedy=_REMEDY)
    if not heard_sound and not allow_silence:
        raise AudioError(
            "is silent: every sample is zero",
            path=fspath(path),
            remedy="Replace it with a recording that contains sound, or remove it from the folder",
        )


def audio_info(path: str | PathLike[str]) -> AudioInfo:
    """Return how long a file is, at which rate and in how many channels.

    Only the header is read, unless it does not state the length: then the frames are counted.

    Raises
    ------
    AudioError
        If the file is missing, empty or not audio.
    """
    with _opened(path) as audio:
        return AudioInfo(audio.frames / audio.samplerate, audio.samplerate, audio.channels)


def file_sha256(path: str | PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    AudioError
        If the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with locate(path).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise AudioError(
            f"cannot be read ({error})",
            path=fspath(path),
            remedy="Check that the file is there and may be read",
            # The next scan notices a missing file; other read errors may be transient.
            transient=not isinstance(error, FileNotFoundError),
        ) from error
    return digest.hexdigest()


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[sf.SoundFile]:
    import soundfile as sf

    from mess_core.audio.containers import open_sound

    try:
        source = locate(path)
        if not source.exists():
            raise AudioError("does not exist", remedy="Check the path")
        if source.is_dir():
            raise AudioError("is a folder, not an audio file")
        if source.stat().st_size == 0:
            raise AudioError("is empty (0 bytes)", remedy="Download it again")
        with source.open("rb") as file, open_sound(file) as audio:
            yield audio
    except AudioError as error:
        if error.path is not None:
            raise
        raise AudioError(error.problem, path=fspath(path), remedy=error.remedy) from None
    except sf.LibsndfileError as error:
        raise AudioError(
            f"cannot be decoded ({error.error_string.rstrip('.')})",
            path=fspath(path),
            remedy=_REMEDY,
        ) from error
    except (ValueError, TypeError) as error:  # of soundfile, on headers that it does not expect
        raise AudioError(
            f"cannot be decoded ({error})", path=fspath(path), remedy=_REMEDY
        ) from error
    except OSError as error:
        raise AudioError(
            f"cannot be read ({error})",
            path=fspath(path),
            remedy="Check the permissions of the file and the connection to its storage",
            transient=True,
        ) from error


def _read(audio: sf.SoundFile, frames: int, path: str | PathLike[str]) -> NDArray[np.float32]:
    try:
        block: NDArray[np.float32] = audio.read(frames, dtype="float32", always_2d=True)
    except RuntimeError as error:  # LibsndfileError is one
        raise AudioError(
            f"is corrupt or truncated: decoding failed ({error})",
            path=fspath(path),
            remedy=_REMEDY,
        ) from error
    return block


def _mono(frames: NDArray[np.float32], inverted: bool) -> NDArray[np.float32]:
    """Return one channel, float32 [frames], of frames [frames, channels]."""
    return frames[:, 0] if inverted else frames.mean(axis=1, dtype=np.float32)


def _is_inverted(path: str | PathLike[str]) -> bool:
    """Return whether the two channels of a file cancel each other, from its first sound."""
    with _opened(path) as audio:
        block = round(_PROBE_S * audio.samplerate)
        while audio.channels == 2 and len(frames := _read(audio, block, path)):
            if np.abs(frames).max() > 1e-3:
                together = float(np.square(frames.sum(axis=1)).mean())
                apart = float(np.square(frames[:, 0] - frames[:, 1]).mean())
                return together < _INVERTED**2 * apart
    return False
