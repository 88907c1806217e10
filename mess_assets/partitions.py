"""The partitions definition: one dynamic partition per track, for all data sets.

All data sets share one definition, since data sets are configuration that may change while the
code is loaded, and an asset has only one definition. With one per data set there would be one
`embeddings` asset for each, and a folder added at night would have none. Keys of a data set are
adjacent, in the order of its manifest.
"""

import math
import os
from collections.abc import Collection, Sequence

import click
import dagster as dg

TRACKS = dg.DynamicPartitionsDefinition(name="tracks")
"""Keys are `mess_core.store.escape_track_id` of track ids, in the order of the manifest."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

_COMMANDS_FOR_RANGES = ("asset materialize", "dg launch")


def range_tags(keys: list[str]) -> dict[str, str]:
    """Return run tags for one run over the partitions from the first to the last of `keys`."""
    return {RANGE_START: keys[0], RANGE_END: keys[-1]}


def tracks_per_run() -> int:
    """Return the number of partitions per run (``MESS_TRACKS_PER_RUN``, default 100).

    Each run costs a few seconds and loads the model. A run that dies is repeated, except for the
    tracks that it has stored.

    Raises
    ------
    ValueError
        If the variable is not a positive integer.
    """
    text = os.environ.get("MESS_TRACKS_PER_RUN") or "100"
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"MESS_TRACKS_PER_RUN must be a positive integer, not {text!r}")
    return int(text)


def backfill_policy() -> dg.BackfillPolicy:
    """Return the policy: at most `tracks_per_run` partitions per run.

    The command that materialises a range in its own process (``--partition-range``) accepts only
    assets with a single-run policy, so it gets that policy.
    """
    command = click.get_current_context(silent=True)
    if command is not None and command.command_path.endswith(_COMMANDS_FOR_RANGES):
        return dg.BackfillPolicy.single_run()
    return dg.BackfillPolicy.multi_run(tracks_per_run())


def contiguous(
    keys: Sequence[str], order: Sequence[str], excluded: Collection[str] = ()
) -> list[list[str]]:
    """Split keys into stretches that are neighbours in `order`.

    A partition range covers everything between its ends. Up-to-date partitions cost little, so
    gaps of up to 20 keys are bridged, unless they contain an `excluded` key.
    """
    position = {key: index for index, key in enumerate(order)}
    stretches: list[list[str]] = []
    for key in sorted(keys, key=lambda one: position[one]):
        current = position[key]
        last = position[stretches[-1][-1]] if stretches else -math.inf
        if current - last <= 20 and not any(one in excluded for one in order[int(last) : current]):
            stretches[-1].append(key)
        else:
            stretches.append([key])
    return stretches


def batches(
    keys: Sequence[str],
    order: Sequence[str],
    size: int | None = None,
    excluded: Collection[str] = (),
) -> list[list[str]]:
    """Return ranges of partitions, one per run, that together cover `keys`.

    Each range is contiguous in `order`: it includes up-to-date keys in between, but no `excluded`
    key. It contains at most `size` of `keys` (default: `tracks_per_run`).
    """
    size = size or tracks_per_run()
    position = {key: index for index, key in enumerate(order)}
    ranges = []
    for stretch in contiguous(keys, order, excluded):
        for first in range(0, len(stretch), size):
            part = stretch[first : first + size]
            ranges.append(list(order[position[part[0]] : position[part[-1]] + 1]))
    return ranges
