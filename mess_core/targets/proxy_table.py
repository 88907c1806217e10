"""The table of the proxy targets of a library, and its checks."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

import numpy as np

from mess_core.errors import StoreError
from mess_core.store.embeddings import tracks_with_audio
from mess_core.store.findings import EXAMPLES, Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table, write_json, write_table
from mess_core.targets.aligned import stored_aligned_targets
from mess_core.targets.registry import TARGETS_VERSION, targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_loudness", "check_proxy_targets", "collect_proxy_targets", "proxy_target_table"]

_OUTLYING = 3.5
_LOUD_BY_DB = 6.0


def proxy_target_table(tracks: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Return the stored targets, one row per track that has any, in the order of `tracks`.

    Returns
    -------
    DataFrame
        ``track_id``, ``midi_source`` ("file", or the model that transcribed the notes), the 22
        targets, the additional columns; NaN where not available.

    Examples
    --------
    >>> import pandas as pd
    >>> tracks = pd.DataFrame({"track_id": ["a"], "dataset": ["takes"], "work_id": ["takes:a"]})
    >>> table = proxy_target_table(tracks, Layout("memory://no-targets-yet"))
    >>> len(table), list(table.columns[:2])
    (0, ['track_id', 'midi_source'])
    """
    import pandas as pd

    names = [one.name for one in targets(extra=True)]
    aligned = stored_aligned_targets(tracks, layout)
    rows = []
    for row in tracks.to_dict("records"):
        path = layout.track_targets(row["dataset"], row["track_id"])
        try:
            stored = read_json(path)
        except StoreError:  # the coverage check names the tracks that are not in the table
            continue
        if stored.get("version") == TARGETS_VERSION:
            known = stored["values"] | aligned.get(row["track_id"], {})
            values = {name: known.get(name) for name in names}
            source = row.get("midi_source")  # absent from track tables of earlier versions
            rows.append({"track_id": row["track_id"], "midi_source": source, **values})
    table = pd.DataFrame(rows, columns=["track_id", "midi_source", *names])
    return table.astype({"midi_source": "string", **dict.fromkeys(names, np.float64)})


def collect_proxy_targets(tracks: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, str]:
    """Write the table of `proxy_target_table` to the store.

    Returns
    -------
    table : DataFrame
    digest : str
        SHA-256 of the table's content and of the targets' version.

    Raises
    ------
    StoreError
        If no track has targets, or the store cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from mess_core.datasets import parse_sources, read_tracks
    >>> from mess_core.datasets.demo import Expression, demo_score, perform, write_midi
    >>> from mess_core.targets import compute_track_targets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_midi(perform(demo_score(0), Expression(), seed=0), f"{folder}/take.mid")
    ...     tracks, _, _ = read_tracks(parse_sources(f"takes={folder}"))
    ...     layout = Layout(f"{folder}/root")
    ...     outcomes = list(compute_track_targets(tracks, layout))
    ...     table, digest = collect_proxy_targets(tracks, layout)
    >>> table["track_id"].tolist(), len(digest)
    (['take'], 64)
    """
    table = proxy_target_table(tracks, layout)
    if table.empty:
        raise StoreError("no track has proxy targets", remedy="Materialise `track_targets` first")
    content = f"{TARGETS_VERSION}\n{table.to_csv(index=False)}"
    digest = hashlib.sha256(content.encode()).hexdigest()
    write_table(layout.proxy_targets, table)
    write_json(
        layout.proxy_targets_manifest,
        {"version": TARGETS_VERSION, "sha256": digest, "rows": len(table)},
    )
    return table, digest


def check_loudness(layout: Layout) -> Finding:
    """Check that no track is much louder or quieter than its data set.

    Such tracks have a wrong gain or hardly any signal. Outliers have a modified z-score (Iglewicz
    and Hoaglin, 1993) above 3.5 and are at least 6 dB from the median of their data set, since each
    data set was recorded at its own level.
    """
    import pandas as pd

    rows = []
    for row in tracks_with_audio(layout).itertuples():
        with contextlib.suppress(StoreError):  # no targets: reported by another check
            record = read_json(layout.track_targets(str(row.dataset), str(row.track_id)))
            if record.get("level_db") is not None:
                rows.append((str(row.track_id), str(row.dataset), float(record["level_db"])))
    table = pd.DataFrame(rows, columns=["track_id", "dataset", "level_db"])
    levels = table.groupby("dataset")["level_db"]
    distance = (table["level_db"] - levels.transform("median")).abs()
    spread = distance.groupby(table["dataset"]).transform("median") / 0.6745
    outliers = table[distance > (_OUTLYING * spread).clip(lower=_LOUD_BY_DB)]
    return Finding(
        outliers.empty,
        {
            "tracks": len(table),
            "median_db": {str(name): float(value) for name, value in levels.median().items()},
            "outliers": dict(zip(outliers["track_id"], outliers["level_db"].round(1), strict=True)),
        },
    )


def check_proxy_targets(layout: Layout) -> Finding:
    """Check that the table has the present version, every track, and no infinite value."""
    table = read_table(layout.proxy_targets)
    manifest = read_json(layout.proxy_targets_manifest)
    tracks = read_table(layout.tracks)
    missing = sorted(set(tracks["track_id"]) - set(table["track_id"]))
    values = table.drop(columns=["track_id", "midi_source"], errors="ignore")
    infinite = [str(name) for name in values.columns if np.isinf(values[name]).any()]
    empty = [str(name) for name in values.columns if values[name].isna().all()]
    return Finding(
        not missing and not infinite and manifest["version"] == TARGETS_VERSION,
        {
            "rows": len(table),
            "coverage": 1.0 - len(missing) / max(1, len(tracks)),
            "missing": missing[:EXAMPLES],
            "infinite": infinite,
            "never_available": empty,
            "version": manifest["version"],
        },
    )
