"""The Definitions object that Dagster loads: everything in `mess_assets/defs`, and resources."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mess_assets.defs.jobs import EXECUTOR
from mess_assets.defs.resources import EncoderResource, StoreResource, TrackingResource


def load_definitions(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return all definitions, with some resources replaced.

    Parameters
    ----------
    resources : mapping of str to resource, optional
        Replacements for resources that the environment configures.
    """
    found = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    configured = {
        "store": StoreResource(),
        "encoder": EncoderResource(),
        "tracking": TrackingResource(),
    }
    own = dg.Definitions(resources={**configured, **(resources or {})}, executor=EXECUTOR)
    return dg.Definitions.merge(found, own)


defs = load_definitions()
