"""Settings that environment variables give, cheap to import."""

from __future__ import annotations

import os

__all__ = ["PIANO", "configured_encoder"]

PIANO = "mess-piano"
"""The small encoder that comes with the package; see ``encoders/weights/README.md``."""


def configured_encoder() -> str:
    """Return the name or folder of the encoder: ``MESS_ENCODER``, or else ``"mess-piano"``.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", MESS_ENCODER=""):
    ...     configured_encoder()
    'mess-piano'
    """
    return os.environ.get("MESS_ENCODER") or PIANO
