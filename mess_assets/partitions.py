"""The one partitions definition: a dynamic partition per track."""

import dagster as dg

TRACKS = dg.DynamicPartitionsDefinition(name="tracks")
"""Keys are `mess_core.store.escape_track_id` of the track id, added in sorted order."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def range_tags(keys: list[str]) -> dict[str, str]:
    """Run tags for one run over the partitions from the first to the last of `keys`."""
    return {RANGE_START: keys[0], RANGE_END: keys[-1]}
