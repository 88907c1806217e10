"""Dagster assets over `mess_core`: thin, partitioned by track, everything with lineage."""
