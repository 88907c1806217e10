"""Convert a user's aspect weights to layer weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError
from mess_core.probing.aspects import Aspect
from mess_core.search.index import TrackIndex

__all__ = ["aspect_parts", "layer_weights", "opposed_aspects", "parse_aspects", "weight_notes"]


def parse_aspects(text: str) -> dict[str, float]:
    """Return the weights in a text such as ``brightness=0.7,rubato=-0.3``.

    A name without a number has weight 1.

    Raises
    ------
    SearchError
        If a weight is not a number or a name is listed twice.

    Examples
    --------
    >>> parse_aspects("brightness=0.7, rubato")
    {'brightness': 0.7, 'rubato': 1.0}
    """
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if name in weights:
            raise SearchError(f"aspect {name!r} is listed twice")
        try:
            weights[name] = float(number) if equals else 1.0
        except ValueError:
            raise SearchError(
                f"the weight of {name!r} is {number!r}, not a number",
                remedy="Write for example brightness=0.7,rubato=0.3",
            ) from None
    return weights


def require_known(wanted: Iterable[str], aspects: Mapping[str, Aspect]) -> None:
    """Raise a `SearchError` if an aspect is unknown."""
    for name in wanted:
        if name not in aspects:
            raise SearchError(f"there is no aspect {name!r}", remedy=f"Known: {', '.join(aspects)}")


def layer_weights(
    wanted: Mapping[str, float] | None, aspects: Mapping[str, Aspect], layers: list[int]
) -> dict[int, float]:
    """Return the weight of each layer's cosine similarity for a query.

    Parameters
    ----------
    wanted : mapping of aspect to weight, or None
        A negative weight means "but not". None gives all layers equal weights.
    aspects : mapping of name to Aspect
    layers : list of int
        Layers of the index.

    Returns
    -------
    dict
        Layer to weight; the score of a hit is the sum of weight times cosine.

    Raises
    ------
    SearchError
        If an aspect is unknown, all weights are zero, a weight is not finite, a layer is not in
        the index, or positive and negative weights cancel on every layer.
    """
    if wanted is None:
        return {layer: 1.0 / len(layers) for layer in layers}
    require_known(wanted, aspects)
    total: dict[int, float] = {}
    for name, weight in wanted.items():
        if weight != weight or weight in (float("inf"), float("-inf")):
            raise SearchError(f"the weight of {name!r} is {weight}, not a finite number")
        for layer, share in aspects[name].weights.items():
            total[layer] = total.get(layer, 0.0) + weight * share
    if not wanted or all(weight == 0 for weight in wanted.values()):
        raise SearchError("all aspect weights are zero", remedy="Give one aspect a weight")
    absent = sorted(set(total) - set(layers))
    if absent:
        raise SearchError(
            f"the index has no layer {absent[0]}",
            remedy="Materialise track_index again after aspects",
        )
    largest = max(map(abs, wanted.values()))
    if all(abs(weight) < 1e-9 * largest for weight in total.values()):
        raise SearchError(
            f"the weights of {', '.join(wanted)} cancel: they are read from the same layers",
            remedy="Leave one of them out",
        )
    return total


def opposed_aspects(wanted: Mapping[str, float], aspects: Mapping[str, Aspect]) -> list[str]:
    """Return a note for each pair of aspects with opposite weights that share a layer."""
    notes = []
    for name, weight in wanted.items():
        for other, against in wanted.items():
            shared = sorted(set(aspects[name].weights) & set(aspects[other].weights))
            if weight > 0 > against and shared:
                layers = ", ".join(map(str, shared))
                notes.append(
                    f"{name} and {other} are both read from layer {layers}: only the difference "
                    "of their weights counts there"
                )
    return notes


def aspect_parts(
    index: TrackIndex,
    query: NDArray[np.float32],
    rows: NDArray[np.int64],
    wanted: Mapping[str, float],
    aspects: Mapping[str, Aspect],
) -> dict[str, NDArray[np.float64]]:
    """Return the contribution of each aspect to the scores of hits: weight times cosine.

    Parameters
    ----------
    index : TrackIndex
    query : ndarray, float32, shape [layers, dim]
        Unit vectors of the query.
    rows : ndarray, int64, shape [hits]
    wanted : mapping of aspect to weight
    aspects : mapping of name to Aspect

    Returns
    -------
    dict of aspect to ndarray, float64, shape [hits]
    """
    position_of = {layer: position for position, layer in enumerate(index.layers)}
    cosines = np.zeros((len(rows), len(position_of)))
    for hit, row in enumerate(rows):
        cosines[hit] = index.cosines(query, int(row))
    parts = {}
    for name, weight in wanted.items():
        shares = np.zeros(len(position_of))
        for layer, share in aspects[name].weights.items():
            shares[position_of[layer]] = share
        parts[name] = weight * (cosines @ shares)
    return parts


def weight_notes(
    wanted: Mapping[str, float], aspects: Mapping[str, Aspect], modes: Mapping[str, str]
) -> list[str]:
    """Return notes on the weights of a ranking.

    They name aspects that probing does not support, and opposite weights that share a layer.
    """
    by_layer = {name: weight for name, weight in wanted.items() if modes[name] == "cosine"}
    unsupported = [
        f"{name}: {aspects[name].reason}" for name in wanted if not aspects[name].available
    ]
    return unsupported + opposed_aspects(by_layer, {name: aspects[name] for name in by_layer})
