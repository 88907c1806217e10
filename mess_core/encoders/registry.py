"""Load an encoder by name or from a folder, and put it on a device."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from mess_core.encoders.base import Encoder, EncoderSettings
from mess_core.encoders.checkpoint import Checkpoint
from mess_core.encoders.mert import HUB_MODELS, fetch, open_checkpoint
from mess_core.encoders.piano import WEIGHTS, open_weights
from mess_core.encoders.untrained import SIZES, untrained_checkpoint
from mess_core.environment import PIANO, configured_encoder
from mess_core.errors import EncoderError

__all__ = [
    "folder_of",
    "load_encoder",
    "name_or_folder",
    "pick_device",
    "pick_dtype",
]

_log = logging.getLogger("mess")
_licence_shown: set[str] = set()
_PIANO_FOLDER = Path(__file__).with_name("weights")
_PIANO_LICENCE = "CC BY-NC-SA 4.0"
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    layers: Iterable[int] | None = None,
    offline: bool | None = None,
    settings: EncoderSettings | None = None,
    **options: Any,
) -> Encoder:
    """Load an encoder by name or from a folder.

    Parameters
    ----------
    name_or_path : str or path-like
        ``"mess-piano"`` (in the package), ``"mert-v1-95m"`` or ``"mert-v1-330m"`` (from the
        Hugging Face hub or its cache), a folder in their format or written by
        ``mess train-encoder``, or ``"untrained:tiny"``, ``"untrained:95m"``, ``"untrained:330m"``
        (random weights: the control).
    revision : str, optional
        Revision of the hub repository, instead of the pinned one.
    device : str
        ``"auto"`` picks CUDA, then MPS, then CPU; or a torch device such as ``"cuda:1"``.
    dtype : {"auto", "float32", "float16", "bfloat16"}
        ``"auto"`` is float16 on CUDA and float32 elsewhere. Of the two half precisions, float16
        is more accurate: the relative error of the states is 0.0013 to 0.0017, that of
        bfloat16 0.011 to 0.014 (random 95M weights, 2 s of noise).
    layers : iterable of int, optional
        Hidden states to compute and return; all by default.
    offline : bool, optional
        Whether to use the local cache only; by default ``HF_HUB_OFFLINE`` decides.
    settings : EncoderSettings, optional
        Alternatively, pass its fields as keyword arguments: ``window_s=5.0, hop_s=2.5, ...``.

    Returns
    -------
    Encoder

    Raises
    ------
    EncoderError
        If the encoder or the device is not available, or the encoder's files are invalid.

    Examples
    --------
    >>> encoder = load_encoder("untrained:tiny", device="cpu")
    >>> encoder.num_layers, encoder.dim
    (13, 64)
    """
    if settings is not None and options:
        raise EncoderError("pass either settings or its fields, not both")
    torch_device = pick_device(device)
    name = os.fspath(name_or_path)
    if name.startswith("untrained:"):
        size = name.removeprefix("untrained:")
        checkpoint = untrained_checkpoint(size)
        identity = f"untrained:{size}@{checkpoint.digest[:12]}"
    elif name.lower() in HUB_MODELS:
        name = name.lower()
        _show_licence(HUB_MODELS[name].repository, HUB_MODELS[name].licence)
        folder, at = fetch(name, revision=revision, offline=offline)
        checkpoint = open_checkpoint(folder)
        identity = f"{name}@{at[:12]}"
    elif name.lower() == PIANO:
        _show_licence(PIANO, _PIANO_LICENCE)
        checkpoint = _open_piano(_PIANO_FOLDER / WEIGHTS)
        identity = f"{PIANO}@{checkpoint.digest[:12]}"
    elif (Path(name) / WEIGHTS).is_file():
        checkpoint = _open_piano(Path(name) / WEIGHTS)
        identity = f"{Path(name).resolve().name}@{checkpoint.digest[:12]}"
    elif Path(name).is_dir():
        checkpoint = open_checkpoint(Path(name))
        identity = f"{Path(name).resolve().name}@{checkpoint.digest[:12]}"
    else:
        known = [PIANO, *HUB_MODELS, *(f"untrained:{size}" for size in SIZES)]
        raise EncoderError(
            f"there is no encoder or folder {name!r}", remedy=f"Known: {', '.join(known)}"
        )
    settings = settings or EncoderSettings(**{**checkpoint.defaults, **options})
    return Encoder(
        identity,
        checkpoint,
        device=torch_device,
        dtype=pick_dtype(dtype, torch_device),
        layers=layers,
        settings=settings,
    )


def pick_device(wanted: str = "auto") -> torch.device:
    """Resolve a device name; "auto" picks CUDA, then MPS, then CPU, and logs its choice.

    Raises
    ------
    EncoderError
        If the device is not on this machine.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            device = torch.device("cuda")
        elif torch.backends.mps.is_available():
            device = torch.device("mps")
        else:
            device = torch.device("cpu")
        _log.info("device auto: using %s", device)
        return device
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise EncoderError(f"{wanted!r} is not a torch device") from error
    missing = (
        (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count())
        or (device.type == "mps" and not torch.backends.mps.is_available())
        or device.type not in {"cpu", "cuda", "mps"}
    )
    if missing:
        raise EncoderError(
            f"device {wanted!r} is not available on this machine",
            remedy="Use device='auto' or 'cpu', or install a PyTorch build for it",
        )
    return device


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Resolve a dtype name; "auto" is float16 on CUDA and float32 elsewhere."""
    if wanted == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if wanted not in _DTYPES:
        raise EncoderError(f"dtype must be auto or one of {', '.join(_DTYPES)}, not {wanted!r}")
    return _DTYPES[wanted]


def name_or_folder(encoder: str) -> str | Path:
    """Return what `load_encoder` takes to load the encoder that made embeddings.

    Parameters
    ----------
    encoder : str
        From the identity of embeddings, such as "mess-piano@7785a06cbead". A folder's path is
        not part of it, only its name: the folder is looked for in ``MESS_ENCODER``.
    """
    name = encoder.partition("@")[0]
    configured = Path(configured_encoder()).resolve()
    return configured if configured.name == name and configured.is_dir() else name


def folder_of(encoder: str) -> Path | None:
    """Return the folder of that encoder's files, or None if it has none that is known."""
    found = name_or_folder(encoder)
    if found == PIANO:
        return _PIANO_FOLDER
    return found if isinstance(found, Path) else None


def _open_piano(path: Path) -> Checkpoint:
    try:
        return open_weights(path.read_bytes())
    except OSError as error:
        raise EncoderError(f"cannot be read ({error})", path=str(path)) from error
    except EncoderError as error:
        raise EncoderError(error.problem, path=str(path), remedy=error.remedy) from error


def _show_licence(weights: str, licence: str) -> None:
    if weights not in _licence_shown:
        _licence_shown.add(weights)
        _log.warning("%s: the weights are licensed %s (no commercial use)", weights, licence)
