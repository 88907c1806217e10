"""MESS: music similarity search by how a piece is performed.

Importing the package is fast: each public name is imported from its module on first access.

Examples
--------
>>> import mess_core as mess
>>> encoder = mess.load_encoder("untrained:tiny")
>>> encoder.num_layers
13
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mess_core.datasets import read_tracks
    from mess_core.encoders import Embedding, Encoder, EncoderSettings, load_encoder
    from mess_core.errors import MessError
    from mess_core.midi import Alignment, align, read_performance
    from mess_core.probing import (
        ASPECTS,
        Aspect,
        Discovery,
        ProbingSettings,
        discover,
        resolve_aspects,
    )
    from mess_core.search import Library
    from mess_core.targets import targets_from_audio, targets_from_midi

__version__ = "0.1.0"

_MODULES = {
    "ASPECTS": "mess_core.probing",
    "Alignment": "mess_core.midi",
    "Aspect": "mess_core.probing",
    "Discovery": "mess_core.probing",
    "Embedding": "mess_core.encoders",
    "Encoder": "mess_core.encoders",
    "EncoderSettings": "mess_core.encoders",
    "Library": "mess_core.search",
    "MessError": "mess_core.errors",
    "ProbingSettings": "mess_core.probing",
    "align": "mess_core.midi",
    "discover": "mess_core.probing",
    "load_encoder": "mess_core.encoders",
    "read_performance": "mess_core.midi",
    "read_tracks": "mess_core.datasets",
    "resolve_aspects": "mess_core.probing",
    "targets_from_audio": "mess_core.targets",
    "targets_from_midi": "mess_core.targets",
}

__all__ = [
    "ASPECTS",
    "Alignment",
    "Aspect",
    "Discovery",
    "Embedding",
    "Encoder",
    "EncoderSettings",
    "Library",
    "MessError",
    "ProbingSettings",
    "__version__",
    "align",
    "discover",
    "load_encoder",
    "read_performance",
    "read_tracks",
    "resolve_aspects",
    "targets_from_audio",
    "targets_from_midi",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
