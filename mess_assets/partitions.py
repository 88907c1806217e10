"""The one partitions definition: a dynamic partition per track, of whatever data set.

One definition serves all data sets, since those are configuration that may change while the
code is loaded, and since an asset has one definition: with one per data set there would be an
`embeddings` for each, and a folder that is added at night would have none. Keys of a data set
are neighbours, in the order of its manifest.
"""

import math
import os
from collections.abc import Collection, Sequence

import click
import dagster as dg

TRACKS = dg.DynamicPartitionsDefinition(name="tracks")
"""Keys are `mess_core.store.escape_track_id` of the track id, added in the manifest's order."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

_COMMANDS_FOR_RANGES = ("asset materialize", "dg launch")


def range_tags(keys: list[str]) -> dict[str, str]:
    """Run tags for one run over the partitions from the first to the last of `keys`."""
    return {RANGE_START: keys[0], RANGE_END: keys[-1]}


def tracks_per_run() -> int:
    """``MESS_TRACKS_PER_RUN``: how many partitions one run takes (default 100).

    A run that dies is done again, but for what it had stored; a run costs a few seconds and
    loads the model.
    """
    text = os.environ.get("MESS_TRACKS_PER_RUN") or "100"
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"MESS_TRACKS_PER_RUN must be a whole number from 1 on, not {text!r}")
    return int(text)


def backfill_policy() -> dg.BackfillPolicy:
    """Many partitions a run, and no more than `tracks_per_run`.

    The command that materialises a range in its own process (``--partition-range``) takes
    assets of single runs only, so there the policy is that.
    """
    command = click.get_current_context(silent=True)
    if command is not None and command.command_path.endswith(_COMMANDS_FOR_RANGES):
        return dg.BackfillPolicy.single_run()
    return dg.BackfillPolicy.multi_run(tracks_per_run())


def contiguous(
    keys: Sequence[str], order: Sequence[str], barred: Collection[str] = ()
) -> list[list[str]]:
    """Split keys into stretches that are neighbours in `order`.

    A partition range covers everything between its ends; what is up to date in between costs
    only a look, so gaps of up to 20 keys are bridged, unless a `barred` key lies in them.
    """
    position = {key: index for index, key in enumerate(order)}
    stretches: list[list[str]] = []
    for key in sorted(keys, key=lambda one: position[one]):
        here = position[key]
        last = position[stretches[-1][-1]] if stretches else -math.inf
        if here - last <= 20 and not any(one in barred for one in order[int(last) : here]):
            stretches[-1].append(key)
        else:
            stretches.append([key])
    return stretches


def batches(
    keys: Sequence[str],
    order: Sequence[str],
    size: int | None = None,
    barred: Collection[str] = (),
) -> list[list[str]]:
    """Ranges of partitions for one run each that together cover `keys`.

    Each is complete, with the keys in between that are up to date but none that is `barred`,
    and has at most `size` of `keys` (default: `tracks_per_run`).
    """
    size = size or tracks_per_run()
    position = {key: index for index, key in enumerate(order)}
    ranges = []
    for stretch in contiguous(keys, order, barred):
        for first in range(0, len(stretch), size):
            part = stretch[first : first + size]
            ranges.append(list(order[position[part[0]] : position[part[-1]] + 1]))
    return ranges
