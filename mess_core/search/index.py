"""The track index: exact weighted sums of per-layer cosine similarities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError

__all__ = ["TrackIndex", "first_allowed", "selector", "unit_layers"]

Floats = NDArray[np.float32]
_CHUNK = 4096


class TrackIndex:
    """Flat index of tracks by the concatenation of all layers, each L2-normalised.

    The layers of a query are multiplied by their weights, so that the inner product is the
    weighted sum of per-layer cosines. One index therefore serves any weights.

    Parameters
    ----------
    index : faiss.IndexFlatIP over [tracks, layers * dim]
    layers : list of int
        Layer numbers in the order of concatenation.

    Examples
    --------
    >>> import numpy as np
    >>> vectors = np.random.default_rng(0).standard_normal((100, 2, 8))  # 100 tracks, 2 layers
    >>> index = TrackIndex.build(vectors, layers=[3, 7])
    >>> scores, rows = index.search(index.vector(42), {3: 0.2, 7: 0.8}, k=3)
    >>> int(rows[0]), round(float(scores[0]), 4)
    (42, 1.0)
    """

    def __init__(self, index: Any, layers: list[int]) -> None:
        self.index = index
        self.layers = list(layers)
        self.dim = index.d // max(1, len(layers))

    @classmethod
    def build(cls, vectors: NDArray[np.floating[Any]], layers: list[int]) -> TrackIndex:
        """Return an index of track vectors, [tracks, layers, dim].

        Raises
        ------
        SearchError
            If the shape does not fit `layers`, or there are no tracks.
        """
        import faiss

        if vectors.ndim != 3 or vectors.shape[1] != len(layers) or len(vectors) == 0:
            raise SearchError(
                f"cannot index vectors of shape {list(vectors.shape)}",
                remedy="Materialise embedding_matrix; at least one track must be embedded",
            )
        index = faiss.IndexFlatIP(vectors.shape[1] * vectors.shape[2])
        for first in range(0, len(vectors), _CHUNK):
            part = unit_layers(vectors[first : first + _CHUNK])
            index.add(np.ascontiguousarray(part.reshape(len(part), -1)))
        return cls(index, layers)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @cached_property
    def _blocks(self) -> Floats:
        """The stored vectors without a copy, [tracks, layers, dim]."""
        import faiss

        stored: Floats = faiss.rev_swig_ptr(self.index.get_xb(), len(self) * self.index.d)
        return stored.reshape(len(self), len(self.layers), self.dim)

    @cached_property
    def _coarse(self) -> tuple[Any, float]:
        """A float16 copy, which is faster to read, and the norm of its largest rounding error."""
        import faiss

        copy = faiss.IndexScalarQuantizer(
            self.index.d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        flat = self._blocks.reshape(len(self), -1)
        largest = 0.0
        for first in range(0, len(flat), _CHUNK):
            part = flat[first : first + _CHUNK]
            copy.add(part)
            rounded = copy.reconstruct_n(first, len(part))
            largest = max(largest, float(np.linalg.norm(part - rounded, axis=1).max()))
        return copy, largest

    def vector(self, row: int) -> Floats:
        """Return the unit vectors of a row, [layers, dim]."""
        vector: Floats = self._blocks[int(row)].copy()
        return vector

    def vectors(self) -> Floats:
        """Return the unit vectors of all rows, read-only, [tracks, layers, dim]."""
        view = self._blocks.view()
        view.flags.writeable = False
        return view

    def search(
        self,
        query: Floats,
        weights: Mapping[int, float],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the rows with the highest weighted sum of per-layer cosines.

        Parameters
        ----------
        query : ndarray, shape [layers, dim]
            Unit vectors.
        weights : mapping of layer number to weight
        k : int
            Number of hits; fewer if fewer rows are allowed.
        allowed : ndarray, bool, shape [tracks], optional
            Restrict the search to these rows.

        Returns
        -------
        scores : ndarray, float64, shape [hits], descending
        rows : ndarray, int64, shape [hits]
            Equal scores in ascending row order.
        """
        weight = np.array([weights.get(layer, 0.0) for layer in self.layers])
        # Sums are computed in float32, whose range very large or small weights would exceed.
        largest = float(np.abs(weight).max()) or 1.0
        weight = weight / largest
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        if k < 1:
            return np.zeros(0), np.zeros(0, dtype=np.int64)
        used = np.flatnonzero(weight)
        if len(used) <= len(weight) // 3:
            rows, scores = self._by_layers(query, weight, used, k, allowed)
        else:
            rows, scores = self._by_copy(query, weight, k, allowed)
        order = np.lexsort((rows, -scores))[:k]
        return scores[order] * largest, rows[order]

    def _by_layers(
        self,
        query: Floats,
        weight: NDArray[np.float64],
        used: NDArray[np.int64],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return candidates for the best rows, from the layers with non-zero weights."""
        scores = np.zeros(len(self), dtype=np.float32)
        for position in used:
            part = query[position] * np.float32(weight[position])
            scores += self._blocks[:, position] @ part
        if allowed is not None:
            scores[~allowed] = -np.inf
        # Equal vectors may differ in the last bit of a matrix product. All rows that could tie
        # with the last hit are returned with exact scores, and the caller sorts them.
        edge = np.partition(scores, -k)[-k] - np.float32(1e-5)
        rows = np.flatnonzero(scores >= edge)
        return rows, self._exact(query, weight, rows)

    def _by_copy(
        self,
        query: Floats,
        weight: NDArray[np.float64],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return candidates from the float16 copy, as many as its rounding error requires."""
        import faiss

        copy, rounding = self._coarse
        flat = (query * weight[:, None]).astype(np.float32).reshape(1, -1)
        # Largest error of a score of the copy, by the Cauchy-Schwarz inequality.
        tolerance = rounding * float(np.linalg.norm(flat)) + 1e-5
        id_selector = selector(allowed)
        parameters = None if id_selector is None else faiss.SearchParameters(sel=id_selector)
        most = len(self) if allowed is None else int(allowed.sum())
        candidates = min(k + 54, most)
        while True:
            near, found = copy.search(flat, candidates, params=parameters)
            # The exact kth score is at least near[k - 1] - tolerance; drop rows below that.
            reach = near[0] >= near[0][k - 1] - 2 * tolerance
            if candidates == most or not reach.all():
                rows = found[0][reach]
                return rows, self._exact(query, weight, rows)
            candidates = min(4 * candidates, most)

    def _exact(
        self, query: Floats, weight: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        exact = np.zeros(len(rows))
        for position in np.flatnonzero(weight):
            wide = self._blocks[rows, position].astype(np.float64)
            exact += weight[position] * (wide * query[position]).sum(axis=1)
        return exact

    def all_cosines(self, row: int, weights: Mapping[int, float]) -> NDArray[np.float64]:
        """Return the weighted sum of per-layer cosines of a row with all rows, float64 [tracks]."""
        query = self._blocks[int(row)]
        total = np.zeros(len(self))
        for layer, weight in weights.items():
            position = self.layers.index(layer)
            total += weight * (self._blocks[:, position] @ query[position]).astype(np.float64)
        return total

    def cosines(self, query: Floats, row: int) -> NDArray[np.float64]:
        """Return the cosine of each layer between a query and a row, float64 [layers]."""
        product = query.astype(np.float64) * self._blocks[int(row)]
        cosines: NDArray[np.float64] = product.sum(axis=1)
        return cosines


def selector(allowed: NDArray[np.bool_] | None) -> Any:
    """Return a FAISS id selector of the rows that are True; None selects all rows."""
    import faiss

    if allowed is None:
        return None
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def first_allowed(
    scores: NDArray[np.float64], allowed: NDArray[np.bool_], k: int
) -> NDArray[np.int64]:
    """Return the rows of the `k` highest allowed scores; ties are in row order."""
    order = np.argsort(-scores, kind="stable")
    hits: NDArray[np.int64] = order[allowed[order]][:k]
    return hits


def unit_layers(vectors: NDArray[np.floating[Any]]) -> Floats:
    """Return vectors scaled to unit length along the last axis; zero vectors stay zero."""
    wide = np.asarray(vectors, dtype=np.float64)
    norm = np.linalg.norm(wide, axis=-1, keepdims=True)
    return (wide / np.where(norm > 0, norm, 1.0)).astype(np.float32)
