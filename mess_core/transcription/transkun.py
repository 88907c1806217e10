"""Transcribe piano recordings with Transkun, from the package `transkun` (extra `transcribe`).

Yan and Duan, "Scoring intervals using non-hierarchical transformer for automatic piano
transcription", ISMIR 2024; code and weights under the MIT licence. The weights come with the
package, so that nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import sys
import types
import warnings
from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.audio import load_audio
from mess_core.encoders.loading import pick_device
from mess_core.errors import AudioError, EncoderError
from mess_core.midi.performance import Performance

__all__ = ["Transcriber"]

_REMEDY = "Install it: pip install 'mess[transcribe]'"
_PEDAL = -64
"""Transkun reports controllers as negative pitches; 64 is the sustain pedal."""


class Transcriber:
    """Transkun on a device.

    Parameters
    ----------
    device : str
        As in `load_encoder`: ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Attributes
    ----------
    name : str
        The model and its version, such as ``"transkun 2.0.1"``.

    Raises
    ------
    EncoderError
        If the package is not installed, or the device is not available.

    Examples
    --------
    >>> performance = Transcriber().notes("take.flac")  # doctest: +SKIP
    >>> len(performance)  # doctest: +SKIP
    412
    """

    def __init__(self, device: str = "auto") -> None:
        if importlib.util.find_spec("transkun") is None:
            raise EncoderError("the package transkun is not installed", remedy=_REMEDY)
        self.name = f"transkun {importlib.metadata.version('transkun')}"
        self._device = pick_device(device)
        self._model = _load().to(self._device)

    def notes(self, path: str | PathLike[str]) -> Performance:
        """Return the notes and the pedal of a piano recording.

        Parameters
        ----------
        path : path-like or fsspec URL

        Raises
        ------
        AudioError
            If the audio cannot be used, or no note is found in it.
        """
        samples = load_audio(path, sample_rate=self._model.fs)
        found = self.notes_of(samples)
        if found is None:
            raise AudioError(
                "holds no piano notes that could be transcribed",
                path=fspath(path),
                remedy="Check that it is a recording of a piano",
            )
        return found

    def notes_of(self, samples: NDArray[np.float32]) -> Performance | None:
        """Return the notes of samples at 44.1 kHz, float32 [samples]; None if there are none."""
        import torch

        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its checkpoints of gradients, which are not needed
            wave = torch.from_numpy(samples).to(self._device)[:, None]
            events = self._model.transcribe(wave)
        notes = sorted((one.start, one.pitch, one.end, one.velocity) for one in events)
        keys = np.array([one for one in notes if one[1] >= 0], dtype=np.float64).reshape(-1, 4)
        if not len(keys):
            return None
        pedal = np.array(
            [(one[0], one[2]) for one in notes if one[1] == _PEDAL and one[2] > one[0]]
        )
        return Performance(
            onset_s=keys[:, 0],
            offset_s=np.maximum(keys[:, 2], keys[:, 0] + 1e-3),
            pitch=keys[:, 1].astype(np.int64),
            velocity=np.clip(keys[:, 3], 1, 127).astype(np.int64),
            pedal_s=pedal.reshape(-1, 2),
        )


def _load() -> Any:
    """Return the model with the weights of the package, on the CPU."""
    import torch

    with _filter_bank_of_librosa():
        architecture = importlib.import_module("transkun.ModelTransformer")
        folder = Path(sys.modules["transkun"].__path__[0]) / "pretrained"
        config = architecture.ModelConfig()
        stated = json.loads((folder / "2.0.conf").read_text(encoding="utf-8"))
        for name, value in stated["Model"]["config"].items():
            setattr(config, name, value)
        model: Any = architecture.TransKun(config)
    checkpoint = torch.load(folder / "2.0.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(checkpoint.get("best_state_dict", checkpoint.get("state_dict")))
    return model.eval()


@contextlib.contextmanager
def _filter_bank_of_librosa() -> Iterator[None]:
    """Offer librosa's mel filter bank where `transkun` imports torchaudio.

    It takes nothing else from torchaudio, whose builds have to match torch's exactly.
    """

    def melscale_fbanks(
        n_freqs: int, f_min: float, f_max: float, n_mels: int, sample_rate: int
    ) -> Any:
        import librosa
        import torch

        bank = librosa.filters.mel(
            sr=sample_rate,
            n_fft=2 * (n_freqs - 1),
            n_mels=n_mels,
            fmin=f_min,
            fmax=f_max,
            htk=True,
            norm=None,
        )
        return torch.from_numpy(bank.T.astype(np.float32))

    stand_in = types.ModuleType("torchaudio")
    stand_in.__dict__["functional"] = types.SimpleNamespace(melscale_fbanks=melscale_fbanks)
    before = sys.modules.get("torchaudio")
    sys.modules["torchaudio"] = stand_in
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
        if before is not None:
            sys.modules["torchaudio"] = before
