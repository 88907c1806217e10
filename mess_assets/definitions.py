"""The one Definitions object that Dagster loads."""

from mess_assets.build import build_defs

defs = build_defs()
