"""FAISS indices whose scores are exact sums of per-layer cosines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError

__all__ = ["PassageIndex", "TrackIndex", "unit_layers"]

Floats = NDArray[np.float32]


class TrackIndex:
    """Tracks by all layers, each L2-normalised, side by side in one flat index.

    The weights of a query are multiplied into the query's layers, so the inner product is
    the weighted sum of per-layer cosines for any weights without building anything anew.

    Parameters
    ----------
    index : faiss.IndexFlatIP over [tracks, layers * dim]
    layers : list of int
        Layer numbers in the order in which they lie side by side.
    """

    def __init__(self, index: Any, layers: list[int]) -> None:
        self.index = index
        self.layers = list(layers)
        self.dim = index.d // max(1, len(layers))

    @classmethod
    def build(cls, vectors: NDArray[np.floating[Any]], layers: list[int]) -> TrackIndex:
        """Index track vectors, [tracks, layers, dim]."""
        import faiss

        if vectors.ndim != 3 or vectors.shape[1] != len(layers) or len(vectors) == 0:
            raise SearchError(f"cannot index vectors of shape {list(vectors.shape)}")
        flat = unit_layers(vectors).reshape(len(vectors), -1)
        index = faiss.IndexFlatIP(flat.shape[1])
        index.add(np.ascontiguousarray(flat))
        return cls(index, layers)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def vector(self, row: int) -> Floats:
        """Unit vectors of a row, [layers, dim]."""
        flat: Floats = self.index.reconstruct(int(row))
        return flat.reshape(len(self.layers), self.dim)

    def search(
        self, query: Floats, weights: Mapping[int, float], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Rows with the highest weighted sum of per-layer cosines.

        Parameters
        ----------
        query : ndarray, shape [layers, dim]
            Unit vectors.
        weights : mapping of layer number to weight
        k : int
            At most all rows are returned.

        Returns
        -------
        scores : ndarray, float64, shape [hits], descending
        rows : ndarray, int64, shape [hits]
            Equal scores in ascending row order.
        """
        weight = np.array([weights.get(layer, 0.0) for layer in self.layers])
        # Sums are in float32: weights of any size must not leave its range.
        largest = float(np.abs(weight).max()) or 1.0
        weighted = (query * (weight / largest)[:, None]).astype(np.float32)
        k = min(k, len(self))
        used = np.flatnonzero(weight)
        if 0 < len(used) <= len(weight) // 2:
            scores, rows = self._by_layers(weighted, used, k)
        else:
            # A few more than asked, so that equal scores at the edge have a stable order.
            more = min(k + 16, len(self))
            found = self.index.search(np.ascontiguousarray(weighted.reshape(1, -1)), more)
            scores, rows = found[0][0], found[1][0]
        order = np.lexsort((rows, -scores))[:k]
        return scores[order].astype(np.float64) * largest, rows[order]

    def _by_layers(
        self, weighted: Floats, used: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The best rows from the layers in use alone, read in place from the index."""
        import faiss

        stored = faiss.rev_swig_ptr(self.index.get_xb(), len(self) * self.index.d)
        blocks = stored.reshape(len(self), len(self.layers), self.dim)
        scores = np.zeros(len(self), dtype=np.float32)
        for position in used:
            scores += blocks[:, position] @ weighted[position]
        # Equal vectors may differ in the last bit of a matrix product: all that could tie with
        # the last one are kept, and summed again one by one, for the caller to order.
        edge = np.partition(scores, -k)[-k] - np.float32(1e-5)
        rows = np.flatnonzero(scores >= edge)
        exact = np.zeros(len(rows))
        for position in used:
            wide = blocks[rows, position].astype(np.float64) * weighted[position]
            exact += wide.sum(axis=1)
        return exact, rows

    def all_cosines(self, row: int, weights: Mapping[int, float]) -> NDArray[np.float64]:
        """Weighted sum of per-layer cosines of a row with every row, float64 [tracks]."""
        scores, rows = self.search(self.vector(row), weights, len(self))
        result = np.empty(len(self))
        result[rows] = scores
        return result

    def cosines(self, query: Floats, row: int) -> NDArray[np.float64]:
        """Cosine of each layer between a query and a row, float64 [layers]."""
        product = query.astype(np.float64) * self.vector(row).astype(np.float64)
        cosines: NDArray[np.float64] = product.sum(axis=1)
        return cosines


class PassageIndex:
    """Segments of all tracks by one layer.

    Parameters
    ----------
    index : faiss.IndexFlatIP over [segments, dim]
    layer : int
    """

    def __init__(self, index: Any, layer: int) -> None:
        self.index = index
        self.layer = layer

    @classmethod
    def build(cls, segments: list[NDArray[np.floating[Any]]], layer: int) -> PassageIndex:
        """Index the segments of many tracks, each [segments, dim], one track at a time."""
        import faiss

        if not segments:
            raise SearchError("there are no segments to index")
        index = faiss.IndexFlatIP(int(segments[0].shape[1]))
        for part in segments:
            index.add(np.ascontiguousarray(unit_layers(part[:, None])[:, 0]))
        return cls(index, layer)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def vector(self, row: int) -> Floats:
        """Unit vector of a row, [dim]."""
        vector: Floats = self.index.reconstruct(int(row))
        return vector

    def search(
        self, query: Floats, k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Rows with the highest cosine, only among `allowed` ones if given."""
        import faiss

        parameters = None
        if allowed is not None:
            selector = faiss.IDSelectorBatch(np.ascontiguousarray(allowed, dtype=np.int64))
            parameters = faiss.SearchParameters(sel=selector)
        scores, rows = self.index.search(
            np.ascontiguousarray(query.reshape(1, -1), dtype=np.float32),
            min(k, len(self)),
            params=parameters,
        )
        found = rows[0] >= 0
        return scores[0][found].astype(np.float64), rows[0][found]


def unit_layers(vectors: NDArray[np.floating[Any]]) -> Floats:
    """Scale the last axis to unit length; zero vectors stay zero."""
    wide = np.asarray(vectors, dtype=np.float64)
    norm = np.linalg.norm(wide, axis=-1, keepdims=True)
    return (wide / np.where(norm > 0, norm, 1.0)).astype(np.float32)
