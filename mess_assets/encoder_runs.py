"""The encoder in run tags and data versions, so that results of several can be told apart."""

from typing import Any

import dagster as dg

ENCODER_TAG = "mess/encoder"
"""Run tag with the folder name of the encoder."""


def encoder_version(layout: Any, digest: object) -> dg.DataVersion:
    """Return the data version of content that depends on the layout's encoder."""
    return dg.DataVersion(f"{layout.encoder}-{digest}")
