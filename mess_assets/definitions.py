"""The one Definitions object that Dagster loads."""

import warnings

import dagster as dg

# backfill_policy is marked beta; the warning would stand at the top of every command.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from mess_assets.build import build_defs  # noqa: E402

defs = build_defs()
