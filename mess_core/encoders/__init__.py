"""Audio to vectors: one encoder interface, MERT and its untrained control behind it."""

from mess_core.encoders.base import Embedding, Encoder, EncoderSettings
from mess_core.encoders.extraction import embed_tracks
from mess_core.encoders.loading import load_encoder

__all__ = [
    "Embedding",
    "Encoder",
    "EncoderSettings",
    "embed_tracks",
    "load_encoder",
]
