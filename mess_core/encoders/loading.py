"""Load an encoder by name or from a folder, and put it on a device."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mess_core.encoders.base import Encoder
from mess_core.encoders.checkpoint import Checkpoint
from mess_core.encoders.collapse import COLLAPSED, clip_similarity
from mess_core.encoders.embedding import EncoderSettings
from mess_core.encoders.families import Family
from mess_core.encoders.registry import EncoderSource, changed_settings, find_encoder
from mess_core.encoders.untrained import untrained_checkpoint
from mess_core.environment import PIANO
from mess_core.errors import EncoderError

__all__ = [
    "downloaded_intact",
    "fetch",
    "load_encoder",
    "pick_device",
    "pick_dtype",
    "show_licence",
    "weights_location",
]

_log = logging.getLogger("mess")
_licence_shown: set[str] = set()
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
        ``"mess-piano"`` (in the package), the name of published weights such as
        ``"mert-v1-95m"`` (from the Hugging Face hub or its cache; `mess encoders` lists all), a
        folder in their format or written by ``mess train-encoder``, or ``"untrained:tiny"``,
        ``"untrained:95m"``, ``"untrained:<published name>"`` (random weights: the control).
        Settings may follow: ``"mess-piano,pooling=percentiles"``.
    revision : str, optional
        Revision of the hub repository, instead of the pinned one.
    device : str
        ``"auto"`` picks CUDA, then MPS, then CPU; or a torch device such as ``"cuda:1"``.
    dtype : {"auto", "float32", "float16", "bfloat16"}
        ``"auto"`` is float16 on CUDA (for MuQ and MusicFM float32) and float32 elsewhere. Of the
        two half precisions, float16 is more accurate: the relative error of the states is 0.0013
        to 0.0017, that of bfloat16 0.011 to 0.014 (random 95M weights, 2 s of noise).
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
    source = find_encoder(name_or_path)
    if settings is not None and (options or source.settings):
        raise EncoderError("pass either settings or its fields, not both")
    torch_device = pick_device(device)
    checkpoint, at = _open(source, revision=revision, offline=offline)
    settings = settings or EncoderSettings(
        **{**source.family.settings, **options, **source.settings}
    )
    _check_window(source.family, settings.window_s)
    encoder = Encoder(
        f"{source.name}@{at[:12]}",
        checkpoint,
        device=torch_device,
        dtype=pick_dtype(dtype, torch_device, half=source.family.half),
        layers=layers,
        settings=settings,
    )
    changes = changed_settings(source.family, asdict(settings))
    if len(encoder.layers) < encoder.num_layers:
        changes["layers"] = list(encoder.layers)
    if source.published is not None and at != source.published.revision:
        changes["revision"] = at[:12]  # none is pinned, or another one was asked for
    encoder.folder = source.folder(changes)
    encoder.load_name = source.name if source.known else str(source.path)
    if source.size is None and source.name != PIANO:
        _warn_of_collapse(encoder)
    return encoder


def _open(
    source: EncoderSource, *, revision: str | None, offline: bool | None
) -> tuple[Checkpoint, str]:
    """Return a checkpoint, and the revision or digest of its weights."""
    if source.size is not None:
        checkpoint = untrained_checkpoint(source.size)
        return checkpoint, checkpoint.digest
    module = importlib.import_module(source.family.module)
    if source.published is not None:
        show_licence(
            source.published.repository,
            source.published.licence,
            non_commercial=source.published.non_commercial,
        )
        folder, at = fetch(source, revision=revision, offline=offline)
        return module.open_folder(folder, source.family), at
    if source.name == PIANO and source.known:
        show_licence(PIANO, _PIANO_LICENCE)
    assert source.path is not None
    return module.open_folder(source.path, source.family), source.digest()


def _warn_of_collapse(encoder: Encoder) -> None:
    similarity = clip_similarity(encoder)
    if similarity.min() > COLLAPSED:
        _log.warning(
            "%s gives almost the same states for different sounds (cosine %.4f): its weights may "
            "be damaged or collapsed",
            encoder.name,
            similarity.min(),
        )


def _check_window(family: Family, window_s: float) -> None:
    if family.longest_s is not None and window_s > family.longest_s:
        raise EncoderError(
            f"{family.name} takes windows of at most {family.longest_s:g} s, not {window_s:g} s",
            remedy="Shorten window_s",
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


def pick_dtype(wanted: str, device: torch.device, *, half: bool = True) -> torch.dtype:
    """Resolve a dtype name; "auto" is float16 on CUDA and float32 elsewhere.

    Parameters
    ----------
    wanted : str
    device : torch.device
    half : bool
        Whether the family is known to work in float16, see `Family.half`.
    """
    if wanted == "auto":
        return torch.float16 if device.type == "cuda" and half else torch.float32
    if wanted not in _DTYPES:
        raise EncoderError(f"dtype must be auto or one of {', '.join(_DTYPES)}, not {wanted!r}")
    return _DTYPES[wanted]


def fetch(source: EncoderSource, *, revision: str | None, offline: bool | None) -> tuple[Path, str]:
    """Return a published model's folder, downloading it to the Hugging Face cache if needed.

    Returns
    -------
    folder : Path
    revision : str

    Raises
    ------
    EncoderError
        If the model is not in the cache and cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    published = source.published
    assert published is not None
    wanted = revision or published.revision or "main"
    try:
        folder = snapshot_download(
            published.repository,
            revision=wanted,
            allow_patterns=[*source.family.files, *source.family.weights],
            local_files_only=bool(offline),
        )
    except Exception as error:  # the hub raises errors of its own and of its HTTP client
        raise EncoderError(
            f"{published.repository} at revision {wanted[:12]} is neither in the Hugging Face "
            f"cache nor can it be downloaded ({type(error).__name__})",
            remedy="Connect to the internet once, or pass a folder that holds config.json, "
            'preprocessor_config.json and the weights; "untrained:tiny" works without either',
        ) from error
    # The folder of a snapshot is named by its commit.
    return Path(folder), Path(folder).name if published.revision is None else wanted


def downloaded_intact(path: Path) -> bool | None:
    """Return whether a file in the Hugging Face cache has the hash that the hub gives for it.

    Large files are links to blobs that are named by their SHA-256.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool or None
        None if the cache does not tell: small files, and systems without links.
    """
    expected = path.resolve().name
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == expected


def show_licence(weights: str, licence: str, *, non_commercial: bool = True) -> None:
    """Log the licence of weights, once per process; as a warning if it forbids commercial use."""
    if weights in _licence_shown:
        return
    _licence_shown.add(weights)
    level = logging.WARNING if non_commercial else logging.INFO
    use = " (no commercial use)" if non_commercial else ""
    _log.log(level, "%s: the weights are licensed %s%s", weights, licence, use)


def weights_location(source: EncoderSource) -> str:
    """Return where weights are: "in the package", "random", "downloaded", "to download"."""
    from huggingface_hub import try_to_load_from_cache

    if source.size is not None:
        return "random"
    if source.published is None:
        return "in the package" if source.known else "in a folder"
    found = (
        try_to_load_from_cache(
            source.published.repository, file, revision=source.published.revision or "main"
        )
        for file in source.family.weights
    )
    return "downloaded" if any(isinstance(one, str) for one in found) else "to download"
