"""What all audio targets share: one decode, one STFT, one CQT, one onset envelope.

Times are in seconds from the track's start; frames are centred, 512 samples apart at
24 kHz (21.3 ms). A frame counts as *sounding* if its RMS is within 60 dB of the loudest
frame's, so silence before, after and between does not move a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import SAMPLE_RATE
from mess_core.errors import AudioError

__all__ = ["FRAME_RATE_HZ", "HOP", "N_FFT", "AudioAnalysis"]

N_FFT = 2048
HOP = 512
FRAME_RATE_HZ = SAMPLE_RATE / HOP
_SILENCE_DB = 60.0
_FINE_HOP = 64
_FINE_FRAME = 256

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AudioAnalysis:
    """Lazily computed shared features of one track.

    Parameters
    ----------
    samples : ndarray, float32, shape [samples]
        Mono, 24 kHz.

    Raises
    ------
    AudioError
        If there are fewer samples than one STFT frame.
    """

    samples: Floats

    def __post_init__(self) -> None:
        if len(self.samples) < N_FFT:
            raise AudioError(
                f"is too short to analyse: {len(self.samples)} samples at {SAMPLE_RATE} Hz, "
                f"at least {N_FFT} are needed"
            )

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    @cached_property
    def magnitude(self) -> Floats:
        """STFT magnitude, float32 [1 + N_FFT / 2, frames]."""
        import librosa

        magnitude: Floats = np.abs(librosa.stft(self.samples, n_fft=N_FFT, hop_length=HOP))
        return magnitude

    @cached_property
    def rms(self) -> Floats:
        """RMS of each frame, float32 [frames] (librosa's, from the samples)."""
        import librosa

        rms: Floats = librosa.feature.rms(y=self.samples, frame_length=N_FFT, hop_length=HOP)[0]
        return rms

    @cached_property
    def sounding(self) -> NDArray[np.bool_]:
        """Whether each frame is within 60 dB of the loudest, bool [frames]."""
        floor = self.rms.max() * 10 ** (-_SILENCE_DB / 20)
        sounding: NDArray[np.bool_] = (self.rms > floor) & (self.rms > 0)
        return sounding

    @property
    def sounding_s(self) -> float:
        """Seconds of sounding frames."""
        return float(self.sounding.sum()) / FRAME_RATE_HZ

    @cached_property
    def loudness_db(self) -> Floats:
        """RMS in dB relative to the loudest frame, floored at -60, float32 [frames]."""
        peak = max(float(self.rms.max()), 1e-12)
        floor = 10 ** (-_SILENCE_DB / 20)
        loudness: Floats = (20 * np.log10(np.maximum(self.rms / peak, floor))).astype(np.float32)
        return loudness

    @cached_property
    def onset_envelope(self) -> Floats:
        """Spectral-flux onset strength on the mel scale, float32 [frames] (librosa's)."""
        import librosa

        mel = librosa.feature.melspectrogram(S=self.magnitude**2, sr=SAMPLE_RATE)
        envelope: Floats = librosa.onset.onset_strength(
            S=librosa.power_to_db(mel), sr=SAMPLE_RATE, hop_length=HOP
        )
        return envelope

    @cached_property
    def onset_frames(self) -> NDArray[np.int64]:
        """Frames of detected onsets in sounding stretches, int64 [onsets]."""
        import librosa

        frames = librosa.onset.onset_detect(
            onset_envelope=self.onset_envelope, sr=SAMPLE_RATE, hop_length=HOP
        )
        frames = np.asarray(frames, dtype=np.int64)
        # The peak of the flux precedes the peak of the energy by up to two frames.
        near = np.minimum(frames + 2, len(self.sounding) - 1)
        heard: NDArray[np.int64] = frames[self.sounding[near]]
        return heard

    @cached_property
    def chroma(self) -> Floats:
        """CQT chroma, float32 [12, frames] (librosa's, tuning estimated)."""
        import librosa

        if not self.sounding.any():
            return np.zeros((12, len(self.rms)), dtype=np.float32)
        chroma: Floats = librosa.feature.chroma_cqt(y=self.samples, sr=SAMPLE_RATE, hop_length=HOP)
        return chroma

    @cached_property
    def fine_loudness_db(self) -> Floats:
        """Loudness of 10.7 ms frames every 2.7 ms in dB, float32 [fine frames]."""
        import librosa

        rms = librosa.feature.rms(y=self.samples, frame_length=_FINE_FRAME, hop_length=_FINE_HOP)[0]
        peak = max(float(rms.max()), 1e-12)
        loud: Floats = (20 * np.log10(np.maximum(rms / peak, 1e-4))).astype(np.float32)
        return loud

    @property
    def fine_rate_hz(self) -> float:
        return SAMPLE_RATE / _FINE_HOP

    @cached_property
    def attacks(self) -> tuple[Floats, Floats]:
        """Rise in dB and its duration in seconds at each onset, float32 [onsets] each.

        The rise runs from the lowest point of the energy envelope in the 80 ms before the
        onset's energy peak up to that peak; the outer tenths of the rise are left out of
        its duration, as in the log-attack-time of Peeters (2004).
        """
        loud = self.fine_loudness_db
        rate = self.fine_rate_hz
        rises, durations = [], []
        for onset in self.onset_frames:
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
            if rise <= 0.5:  # dB: nothing rose here
                continue
            part = loud[trough : peak + 1]
            begins = int(np.argmax(part > loud[trough] + 0.1 * rise))
            ends = int(np.argmax(part >= loud[trough] + 0.9 * rise))
            rises.append(rise)
            durations.append(max(ends - begins, 1) / rate)
        return np.asarray(rises, dtype=np.float32), np.asarray(durations, dtype=np.float32)
