"""Probe the embeddings in the store, and write the results to the store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import ProbingError, StoreError
from mess_core.probing.discovery import ALPHAS, Discovery, discover
from mess_core.probing.folds import Grouping, grouping
from mess_core.probing.probes import fit_probes, place_tracks, save_probes
from mess_core.probing.results import load_discovery, read_results, save_discovery
from mess_core.store.cache import CachedTable
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, read_table, write_table
from mess_core.targets.registry import TARGETS_VERSION, targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PREVIOUS",
    "ProbingInputs",
    "check_probing",
    "check_r2_drop",
    "heard_in_training",
    "probe_store",
    "probing_folder",
    "probing_inputs",
    "works_in_training",
]

_FIRST_ALPHA = 1.0

PREVIOUS = "previous_summary.parquet"
"""File with the summary of the previous run, in the folder of the current results."""

_DROP = 0.05
"""Smallest drop of R² worth a warning; smaller drops can be caused by a few tracks."""


@dataclass(frozen=True)
class ProbingInputs:
    """Embeddings, targets and baselines of the tracks that have both.

    Attributes
    ----------
    x : ndarray, float32, shape [tracks, layers, dim]
    y : DataFrame
        The 22 targets, as log2 where the registry says so.
    rows : DataFrame
        ``track_id, dataset, work_id, performer``.
    manifest : dict
        Manifest of the embedding matrix.
    untrained : ndarray, float32, shape [tracks, layers, dim], or None
    descriptors : ndarray, float64, shape [tracks, 64], or None
    notes : list of str
        Reasons for missing baselines and tracks.
    """

    x: NDArray[np.float32]
    y: pd.DataFrame
    rows: pd.DataFrame
    manifest: dict[str, Any]
    untrained: NDArray[np.float32] | None = None
    descriptors: NDArray[np.float64] | None = None
    notes: list[str] = field(default_factory=list)


def probing_inputs(layout: Layout) -> ProbingInputs:
    """Load the inputs of `probe_store`.

    Raises
    ------
    StoreError, ProbingError
        If a table is missing, or no track has both embeddings and targets.
    """
    matrix, rows, manifest = load_matrix(layout)
    table = read_table(layout.proxy_targets).set_index("track_id")
    both = rows["track_id"].isin(table.index).to_numpy()
    if not both.any():
        raise ProbingError(
            "no track has both an embedding and proxy targets",
            path=str(layout.root),
            remedy="Materialise `embeddings` and `track_targets` for the same tracks",
        )
    notes: list[str] = []
    control = _control(layout, manifest["identity"], notes)
    if control is not None:
        lacking = both & ~rows["track_id"].isin(control[1]).to_numpy()
        if lacking.any():
            # Without a comparison on the same tracks, a gain would say nothing about training.
            notes.append(f"{lacking.sum()} tracks left out: the untrained control lacks them")
            both = both & ~lacking
    x, rows = matrix[both], rows[both].reset_index(drop=True)
    untrained = None
    if control is not None:
        control_row = {track: index for index, track in enumerate(control[1])}
        untrained = control[0][[control_row[track] for track in rows["track_id"]]]
    y = in_probed_units(table.loc[rows["track_id"]].reset_index(drop=True))
    encoder = str(manifest["identity"]["encoder"])
    y[heard_in_training(layout, rows, encoder, notes)] = np.nan
    return ProbingInputs(
        x=x,
        y=y,
        rows=rows,
        manifest=manifest,
        untrained=untrained,
        descriptors=_descriptors(layout, rows),
        notes=notes,
    )


def in_probed_units(table: pd.DataFrame) -> pd.DataFrame:
    """Return those of the 22 targets that are in a table, as log2 where the registry says so."""
    published = [one for one in targets() if one.name in table]
    values = table[[one.name for one in published]].copy()
    for one in published:
        if one.log2:
            values[one.name] = np.log2(values[one.name].where(values[one.name] > 0))
    return values


def probe_store(
    layout: Layout,
    *,
    folds: int = 5,
    group_by: Grouping = "work",
    permutations: int = 500,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> tuple[Discovery, dict[str, Any]]:
    """Run `discover` on the tables in the store and write the results to `probing_folder`.

    A library too small for probing gives an empty result with the reason. It can still be
    searched, with aspects that are marked as a fallback.

    Parameters
    ----------
    layout : Layout
    folds : int
        Outer folds; reduced, with a note, if there are fewer groups.
    group_by : {"work", "performer", "track", "as first published"}
        What folds keep on one side. All but "work" let works leak, and the result has a
        warning; "as first published" shuffles tracks and fixes the penalty at 1.
    permutations : int
    seed : int
    device : str
        "cpu" or "cuda".
    progress : callable, optional

    Returns
    -------
    discovery : Discovery
    made_from : dict
        Encoder, targets version and checksums of the inputs.

    Raises
    ------
    StoreError, ProbingError
        If inputs are missing, or `group_by` is unknown.
    """
    inputs = probing_inputs(layout)
    groups = grouping(layout, inputs.rows, group_by)
    present = len(set(groups))
    usable = max(2, min(folds, present))
    discovery = discover(
        inputs.x,
        inputs.y,
        inputs.rows["work_id"].tolist(),
        groups=groups,
        ungrouped=group_by == "as first published",
        folds=usable,
        layers=inputs.manifest["identity"]["layers"],
        untrained=inputs.untrained,
        descriptors=inputs.descriptors,
        permutations=permutations,
        seed=seed,
        device=device,
        progress=progress,
        allow_empty=True,
        alphas=[_FIRST_ALPHA] if group_by == "as first published" else ALPHAS,
    )
    discovery.settings["grouped_by"] = group_by
    discovery.notes.extend(inputs.notes)
    if usable < folds:
        discovery.notes.insert(
            0, f"{usable} folds instead of {folds}: there are only {present} groups"
        )
    made_from = origin(inputs.manifest)
    folder = probing_folder(layout, group_by)
    _store_previous_summary(folder)
    save_discovery(discovery, folder, made_from=made_from)
    probes = fit_probes(inputs.x, inputs.y, discovery)
    placed = place_tracks(inputs.x, inputs.y, discovery, probes)
    placed.insert(0, "track_id", inputs.rows["track_id"])
    save_probes(folder, probes, placed, made_from=made_from)
    return discovery, made_from


def check_probing(layout: Layout, folder: Any = None) -> Finding:
    """Check that scores and intervals are valid and computed from the current matrix.

    Parameters
    ----------
    layout : Layout
    folder : UPath, optional
        Folder of the results; by default those of whole tracks.
    """
    discovery, made_from = load_discovery(folder or layout.probing)
    _, _, manifest = load_matrix(layout)
    table = discovery.table
    scores = table["r2"].dropna()
    current = made_from["matrix_sha256"] == manifest["matrix_sha256"]
    ordered = not (table["r2_low"] > table["r2_high"]).any()
    return Finding(
        bool((scores <= 1 + 1e-9).all()) and ordered and current,
        {
            "rows": len(table),
            "targets": int(table["target"].nunique()),
            "best_r2": float(scores.max()) if len(scores) else None,
            "of_present_matrix": current,
            "encoder": made_from["encoder"],
        },
    )


def check_r2_drop(layout: Layout) -> Finding:
    """Check that no target's R² dropped by more than 0.05 below its previous interval.

    Runs with different encoders are not compared.
    """
    record, (summary,) = read_results(layout.probing, "summary.parquet")
    now, made_from = summary.set_index("target"), record["made_from"]
    try:
        before = read_table(layout.probing / PREVIOUS).set_index("target")
    except StoreError:
        return Finding(True, {"compared": "nothing: this is the first run"})
    if set(before["encoder"]) != {made_from["encoder"]}:
        return Finding(True, {"compared": "nothing: the previous run used another encoder"})
    both = now.join(before.add_suffix("_before"), how="inner")
    limit = both["chosen_r2_low_before"].fillna(both["chosen_r2_before"]) - _DROP
    fallen = both[both["chosen_r2"] < limit]
    change = (both["chosen_r2"] - both["chosen_r2_before"]).dropna()
    return Finding(
        fallen.empty,
        {
            "compared": len(both),
            "fallen": {
                str(target): [float(row["chosen_r2_before"]), float(row["chosen_r2"])]
                for target, row in fallen.iterrows()
            },
            "median_change": float(change.median()) if len(change) else None,
        },
    )


def _store_previous_summary(folder: Any) -> None:
    """Copy the current summary, with its encoder, for comparison with the next run."""
    with contextlib.suppress(StoreError, KeyError):  # no previous run, or an interrupted one
        encoder = read_json(folder / "results.json")["made_from"]["encoder"]
        summary = read_table(folder / "summary.parquet")
        write_table(folder / PREVIOUS, summary.assign(encoder=encoder))


def probing_folder(layout: Layout, group_by: Grouping) -> Any:
    """Return the folder that `probe_store` writes to.

    Groupings that leak works get their own folders, which aspects are never read from.
    """
    if group_by == "work":
        return layout.probing
    return layout.probing / f"by {group_by}".replace("by as", "as").replace(" ", "-")


def origin(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the encoder, versions and checksum that a result from this matrix depends on."""
    return {
        "encoder": manifest["identity"]["encoder"],
        "identity": manifest["identity"],
        "targets_version": TARGETS_VERSION,
        "matrix_sha256": manifest["matrix_sha256"],
    }


def works_in_training(layout: Layout, rows: pd.DataFrame, encoder: str) -> dict[str, str]:
    """Return the tracks of works that the encoder was trained on, with the work.

    A score on them would say what the encoder remembers. Only `mess-piano` and encoders of
    ``mess train-encoder`` list the works that they were trained on.

    Parameters
    ----------
    layout : Layout
    rows : DataFrame
        With ``track_id``, in any number of rows per track.
    encoder : str
        From the identity of the embeddings.
    """
    from mess_core.encoders.chosen import encoder_files
    from mess_core.encoders.heard_works import heard_tracks
    from mess_core.encoders.piano import WORKS

    folder = encoder_files(layout, {"encoder": encoder})
    if folder is None or not (folder / WORKS).is_file():
        return {}
    cached = CachedTable(layout.probing / "heard_works")
    works = heard_tracks(read_table(layout.tracks), folder, cached)
    return {track: works[track] for track in rows["track_id"].unique() if track in works}


def heard_in_training(
    layout: Layout, rows: pd.DataFrame, encoder: str, notes: list[str]
) -> NDArray[np.bool_]:
    """Return which rows are of works that the encoder was trained on, and add a note."""
    heard = works_in_training(layout, rows, encoder)
    if heard:
        notes.append(
            f"{len(heard)} tracks are not scored: {encoder} was trained on their works "
            f"({len(set(heard.values()))} in all)"
        )
    return np.isin(rows["track_id"].to_numpy(dtype=str), list(heard))


def _control(
    layout: Layout, identity: dict[str, Any], notes: list[str]
) -> tuple[NDArray[np.float32], list[str]] | None:
    """Return vectors and track ids of the untrained counterpart, or None and add a note."""
    if str(identity["encoder"]).startswith("untrained:"):
        notes.append("the encoder is untrained: these scores are the control, not a finding")
        return None
    try:
        matrix, rows, manifest = load_matrix(layout.control)
    except StoreError:
        notes.append("no untrained control: scores do not show what training adds")
        return None
    if manifest.get("control_of") != identity:
        notes.append("the untrained control is of another encoder or other settings: not compared")
        return None
    return matrix, [str(track) for track in rows["track_id"]]


def _descriptors(layout: Layout, rows: pd.DataFrame) -> NDArray[np.float64] | None:
    found = []
    for row in rows.to_dict("records"):
        stored = read_json(layout.track_targets(row["dataset"], row["track_id"]))
        found.append(stored.get("vectors", {}).get("audio_descriptors"))
    size = next((len(one) for one in found if one is not None), 0)
    if size == 0:
        return None
    filled = [[float("nan")] * size if one is None else one for one in found]
    return np.asarray(filled, dtype=np.float64)
