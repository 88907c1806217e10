"""Audio to vectors: one encoder interface for all models and their untrained counterparts.

Importing the package is fast: each public name is imported from its module on first access.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mess_core.encoders.base import Encoder
    from mess_core.encoders.control import build_control_matrix, load_control
    from mess_core.encoders.embedding import Embedding, EncoderSettings
    from mess_core.encoders.extraction import embed_tracks
    from mess_core.encoders.loading import load_encoder

_MODULES = {
    "Embedding": "embedding",
    "Encoder": "base",
    "EncoderSettings": "embedding",
    "build_control_matrix": "control",
    "embed_tracks": "extraction",
    "load_control": "control",
    "load_encoder": "loading",
}

__all__ = [
    "Embedding",
    "Encoder",
    "EncoderSettings",
    "build_control_matrix",
    "embed_tracks",
    "load_control",
    "load_encoder",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
