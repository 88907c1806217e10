"""Probe directions: the direction in a layer that predicts a target, for ranking by it.

Probes are fitted on all tracks, with the layer that inner folds chose most often and its
median penalty. They are not used on the tracks they were fitted on: those get their
out-of-fold predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mess_core.probing.ridge import RidgePath
from mess_core.store.arrays import read_array, write_array
from mess_core.store.tables import read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

    from mess_core.probing.discovery import Discovery

__all__ = ["Probes", "fit_probes", "load_probes", "place_tracks", "save_probes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Probes:
    """One direction per target, which predicts it in standard deviations of the target.

    Attributes
    ----------
    targets : list of str
    layers : list of int
        Layer number that each target is predicted from.
    directions : ndarray, float64, shape [targets, dim]
    offsets : ndarray, float64, shape [targets]
    """

    targets: list[str]
    layers: list[int]
    directions: Floats
    offsets: Floats

    def project(self, x: ArrayLike, layers: Sequence[int]) -> Floats:
        """Return the projection of embeddings on every direction.

        Parameters
        ----------
        x : array_like, shape [rows, layers, dim]
        layers : sequence of int
            Numbers of the layers in `x`.

        Returns
        -------
        ndarray, float64, shape [rows, targets]
        """
        position_of = {layer: position for position, layer in enumerate(layers)}
        values = np.asarray(x, dtype=np.float64)
        used = [position_of[layer] for layer in self.layers]
        placed: Floats = np.einsum("rtd,td->rt", values[:, used], self.directions) + self.offsets
        return placed


def fit_probes(x: ArrayLike, y: pd.DataFrame, discovery: Discovery) -> Probes:
    """Return probes fitted on all tracks, one for every probed target.

    Parameters
    ----------
    x : array_like, shape [tracks, layers, dim]
    y : DataFrame, [tracks, targets]
        As given to `discover`.
    discovery : Discovery
    """
    values = np.asarray(x, dtype=np.float64)
    numbers = list(discovery.settings["layers"])
    names, layers, directions, offsets = [], [], [], []
    for row in discovery.summary.to_dict("records"):
        target, layer = str(row["target"]), int(row["layer"])
        wanted = y[target].to_numpy(dtype=np.float64)
        present = np.isfinite(wanted)
        row_of_layer = discovery.table[
            (discovery.table["target"] == target) & (discovery.table["layer"] == layer)
        ]
        features = values[present][:, numbers.index(layer)]
        scaled = (wanted[present] - wanted[present].mean()) / wanted[present].std()
        model = RidgePath(features, scaled[:, None])
        direction, offset = model.linear(float(row_of_layer["alpha"].iloc[0]))
        names.append(target)
        layers.append(layer)
        directions.append(direction[:, 0])
        offsets.append(offset[0])
    dim = values.shape[2]
    return Probes(
        names, layers, np.array(directions).reshape(-1, dim), np.array(offsets, dtype=np.float64)
    )


def place_tracks(
    x: ArrayLike, y: pd.DataFrame, discovery: Discovery, probes: Probes
) -> pd.DataFrame:
    """Return the position of every track on every direction, [tracks, targets].

    Tracks with the target get their out-of-fold prediction. Tracks without it were not used to
    fit the probe and get its prediction.
    """
    import pandas as pd

    placed = pd.DataFrame(probes.project(x, discovery.settings["layers"]), columns=probes.targets)
    for target in probes.targets:
        wanted = y[target].to_numpy(dtype=np.float64)
        known = wanted[np.isfinite(wanted)]
        held_out = (discovery.chosen[target] - known.mean()) / known.std()
        placed[target] = np.where(np.isfinite(held_out), held_out, placed[target])
    return placed


def save_probes(
    folder: Any, probes: Probes, placed: pd.DataFrame, *, made_from: dict[str, Any]
) -> None:
    """Write ``probes.npy``, ``placed.parquet`` (with ``track_id``) and, last, ``probes.json``."""
    (folder / "probes.json").unlink(missing_ok=True)
    write_array(folder / "probes.npy", np.column_stack([probes.offsets, probes.directions]))
    write_table(folder / "placed.parquet", placed)
    record = {"made_from": made_from, "targets": probes.targets, "layers": probes.layers}
    write_json(folder / "probes.json", record)


def load_probes(folder: Any) -> tuple[Probes, pd.DataFrame, dict[str, Any]]:
    """Load what `save_probes` wrote: probes, placed tracks and ``made_from``.

    Raises
    ------
    StoreError
        If a file is missing or damaged.
    """
    record = read_json(folder / "probes.json")
    stacked = np.array(read_array(folder / "probes.npy"))
    probes = Probes(record["targets"], record["layers"], stacked[:, 1:], stacked[:, 0])
    return probes, read_table(folder / "placed.parquet"), record["made_from"]
