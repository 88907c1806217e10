"""Features that all audio targets share: one decoding, one STFT, one CQT, one onset envelope.

Times are in seconds from the start of the track; frames are centred and 512 samples apart at
24 kHz (21.3 ms). A frame counts as *sounding* if its RMS is within 60 dB of the loudest frame
of the track, so silence before, after or within the music does not change a target.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE
from mess_core.errors import AudioError
from mess_core.targets.spectrum import FRAME_RATE_HZ, HOP, N_FFT, spectral_frames

__all__ = ["FRAME_RATE_HZ", "HOP", "N_FFT", "AudioAnalysis", "analyse"]

_SILENCE_DB = 60.0
_FINE_HOP = 64
_FINE_FRAME = 256
_ATTACK_DB = 6.0
_MFCC = 20
_compiled: list[bool] = []

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class AudioAnalysis:
    """Shared features of a track or of an excerpt, computed by `analyse`.

    Attributes
    ----------
    rms, zero_crossings : ndarray, float32, shape [frames]
        librosa's RMS and zero-crossing rate of each frame.
    centroid_hz, bandwidth_hz, rolloff_hz : ndarray, float32, shape [frames]
    loudness_db : ndarray, float32, shape [frames]
        RMS relative to the track's loudest frame, floored at -60.
    sounding : ndarray, bool, shape [frames]
    onset_envelope : ndarray, float32, shape [frames]
        Spectral-flux onset strength on the mel scale (librosa's).
    onset_frames : ndarray, int64, shape [onsets]
        Detected onsets in sounding frames.
    chroma : ndarray, float32, shape [12, frames]
        CQT chroma (librosa's, tuning estimated).
    mfcc : ndarray, float32, shape [20, frames]
        Mel-frequency cepstral coefficients (librosa's).
    attack_frames : ndarray, int64, shape [attacks]
        Onsets at which the energy rises.
    attack_rise_db, attack_slope_db_s : ndarray, float32, shape [attacks]
        Rise of the energy envelope from its minimum in the 80 ms before the onset's energy
        peak up to that peak, and its slope over the last 6 dB (or the whole rise if that is
        smaller), without the outer tenths as in the log-attack-time of Peeters (2004). The
        slope therefore does not depend on how far the previous note had decayed.
    """

    rms: Floats
    zero_crossings: Floats
    centroid_hz: Floats
    bandwidth_hz: Floats
    rolloff_hz: Floats
    loudness_db: Floats
    sounding: NDArray[np.bool_]
    onset_envelope: Floats
    onset_frames: Ints
    chroma: Floats
    mfcc: Floats
    attack_frames: Ints
    attack_rise_db: Floats
    attack_slope_db_s: Floats

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.rms)

    @property
    def sounding_s(self) -> float:
        """Seconds of sounding frames."""
        return float(self.sounding.sum()) / FRAME_RATE_HZ

    def excerpt(self, start_s: float, end_s: float) -> AudioAnalysis:
        """Return the features between two times (s); loudness stays relative to the track."""
        first = min(self.frames - 1, max(0, round(start_s * FRAME_RATE_HZ)))
        last = min(self.frames, max(first + 1, round(end_s * FRAME_RATE_HZ)))
        here = slice(first, last)
        onsets = (self.onset_frames >= first) & (self.onset_frames < last)
        attacks = (self.attack_frames >= first) & (self.attack_frames < last)
        return replace(
            self,
            rms=self.rms[here],
            zero_crossings=self.zero_crossings[here],
            centroid_hz=self.centroid_hz[here],
            bandwidth_hz=self.bandwidth_hz[here],
            rolloff_hz=self.rolloff_hz[here],
            loudness_db=self.loudness_db[here],
            sounding=self.sounding[here],
            onset_envelope=self.onset_envelope[here],
            onset_frames=self.onset_frames[onsets] - first,
            chroma=self.chroma[:, here],
            mfcc=self.mfcc[:, here],
            attack_frames=self.attack_frames[attacks] - first,
            attack_rise_db=self.attack_rise_db[attacks],
            attack_slope_db_s=self.attack_slope_db_s[attacks],
        )


def analyse(samples: Floats) -> AudioAnalysis:
    """Compute all features that audio targets and curves need.

    Parameters
    ----------
    samples : ndarray, float32, shape [samples]
        Mono, 24 kHz.

    Returns
    -------
    AudioAnalysis
        Time and memory are linear in duration.

    Raises
    ------
    AudioError
        If there are fewer samples than one STFT frame.
    """
    import librosa

    if len(samples) < N_FFT:
        raise AudioError(
            f"is too short to analyse: {len(samples)} samples at {SAMPLE_RATE} Hz, "
            f"at least {N_FFT} are needed"
        )
    # A constant offset, as cheap converters add, is no sound; it would lower the centroid and count
    # as loudness in soft passages.
    samples = samples - np.float32(samples.mean(dtype=np.float64))
    spectrum = spectral_frames(samples)
    # The constant-Q transform takes half of the time, and FFTs let other threads run.
    with ThreadPoolExecutor(1, thread_name_prefix="mess-chroma") as pool:
        chroma = pool.submit(_chroma, samples, spectrum.tuning)
        if not _compiled:
            # librosa compiles functions at the first call, which is not safe in two threads.
            chroma.result()
            _compiled.append(True)
        rms = librosa.feature.rms(y=samples, frame_length=N_FFT, hop_length=HOP)[0]
        peak = float(rms.max())
        floor = 10 ** (-_SILENCE_DB / 20)
        sounding = (rms > peak * floor) & (rms > 0)
        loudness = 20 * np.log10(np.maximum(rms / max(peak, 1e-12), floor))
        envelope = librosa.onset.onset_strength(S=spectrum.mel_db, sr=SAMPLE_RATE, hop_length=HOP)
        onsets = _onsets(envelope, sounding)
        attacks = _attacks(samples, onsets)
        mfcc = librosa.feature.mfcc(S=spectrum.mel_db, n_mfcc=_MFCC)
        return AudioAnalysis(
            rms=rms,
            zero_crossings=_zero_crossing_rate(samples),
            centroid_hz=spectrum.centroid_hz,
            bandwidth_hz=spectrum.bandwidth_hz,
            rolloff_hz=spectrum.rolloff_hz,
            loudness_db=loudness.astype(np.float32),
            sounding=sounding,
            onset_envelope=envelope,
            onset_frames=onsets,
            chroma=chroma.result(),
            mfcc=mfcc,
            attack_frames=attacks[0],
            attack_rise_db=attacks[1],
            attack_slope_db_s=attacks[2],
        )


def _chroma(samples: Floats, tuning: float) -> Floats:
    import librosa

    frames = 1 + len(samples) // HOP
    if not samples.any():
        return np.zeros((12, frames), dtype=np.float32)
    chroma: Floats = librosa.feature.chroma_cqt(
        y=samples, sr=SAMPLE_RATE, hop_length=HOP, tuning=tuning
    )[:, :frames]
    return chroma


def _onsets(envelope: Floats, sounding: NDArray[np.bool_]) -> Ints:
    import librosa

    frames = librosa.onset.onset_detect(onset_envelope=envelope, sr=SAMPLE_RATE, hop_length=HOP)
    frames = np.asarray(frames, dtype=np.int64)
    # The peak of the flux precedes the peak of the energy by up to two frames.
    near = np.minimum(frames + 2, len(sounding) - 1)
    heard: Ints = frames[sounding[near]]
    return heard


def _zero_crossing_rate(samples: Floats) -> Floats:
    """Return librosa.feature.zero_crossing_rate, from one running count of sign changes."""
    padded = np.pad(samples, N_FFT // 2, mode="edge")
    # librosa treats magnitudes up to 1e-10 as zero, and zero as positive.
    negative = padded < -1e-10
    changes = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])
    starts = np.arange(0, len(padded) - N_FFT + 1, HOP)
    rate: Floats = ((changes[starts + N_FFT - 1] - changes[starts]) / N_FFT).astype(np.float32)
    return rate


def _attacks(samples: Floats, onset_frames: Ints) -> tuple[Ints, Floats, Floats]:
    """Return onsets at which the energy rises (10.7 ms frames), the rises (dB), slopes (dB/s)."""
    import librosa

    rms = librosa.feature.rms(y=samples, frame_length=_FINE_FRAME, hop_length=_FINE_HOP)[0]
    loud = 20 * np.log10(np.maximum(rms / max(float(rms.max()), 1e-12), 1e-4))
    rate = SAMPLE_RATE / _FINE_HOP
    found, rises, slopes = [], [], []
    for onset in onset_frames:
        centre = int(onset / FRAME_RATE_HZ * rate)
        low, high = max(0, centre - int(0.05 * rate)), min(len(loud), centre + int(0.1 * rate))
        if high - low < 4:
            continue
        peak = low + int(np.argmax(loud[low:high]))
        first = max(0, peak - int(0.08 * rate))
        if peak <= first:
            continue
        trough = first + int(np.argmin(loud[first : peak + 1]))
        rise = float(loud[peak] - loud[trough])
        if rise <= 0.5:  # dB: not a rise
            continue
        part = loud[trough : peak + 1]
        last = min(rise, _ATTACK_DB)
        # Interpolate between frames, or the slope would depend on their phase.
        first_step = len(part) - 1 - int(np.argmax(part[::-1] <= loud[peak] - 0.9 * last))
        ascent = np.maximum.accumulate(part[first_step:])
        ends_db = loud[peak] - last * np.array([0.9, 0.1])
        begins, ends = np.interp(ends_db, ascent, np.arange(len(ascent), dtype=np.float64))
        found.append(int(onset))
        rises.append(rise)
        slopes.append(0.8 * last * rate / max(float(ends - begins), 0.5))
    return (
        np.asarray(found, dtype=np.int64),
        np.asarray(rises, dtype=np.float32),
        np.asarray(slopes, dtype=np.float32),
    )
