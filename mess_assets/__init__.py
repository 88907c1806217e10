"""Dagster definitions for `mess_core`: assets partitioned by track, checks, jobs, sensors."""

import warnings

# Dagster would print this warning with every command, and backfill policies are needed here.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy` .* is currently in beta")
