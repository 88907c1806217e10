"""Dagster assets over `mess_core`: thin, partitioned by track, everything with lineage."""

import warnings

# It would stand at the top of every command, and names a parameter that is here to stay.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy` .* is currently in beta")
