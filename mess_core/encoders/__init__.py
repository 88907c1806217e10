"""Audio to vectors: one encoder interface for MERT and its untrained counterpart."""

from mess_core.encoders.base import Embedding, Encoder, EncoderSettings
from mess_core.encoders.control import build_control_matrix, load_control
from mess_core.encoders.extraction import embed_tracks
from mess_core.encoders.registry import load_encoder

__all__ = [
    "Embedding",
    "Encoder",
    "EncoderSettings",
    "build_control_matrix",
    "embed_tracks",
    "load_control",
    "load_encoder",
]
