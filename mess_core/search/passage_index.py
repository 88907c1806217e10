"""The passage index: segments of all tracks by one layer, in an index type that suits their number.

The type is chosen from `KINDS`, whose size limits were measured with `benchmarks/passages.py`. A
type that does not reach the target recall on the given vectors is replaced by the next slower and
more accurate one, and the manifest records this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import SearchError
from mess_core.search.index import selector, unit_layers

__all__ = ["KINDS", "Kind", "PassageIndex", "choose_kind"]

Floats = NDArray[np.float32]
Parts = Callable[[], Iterable[NDArray[np.floating[Any]]]]

_QUERIES = 400
_POINTS_PER_LIST = 40
_FEWEST = 1000
_REFINED = 256


@dataclass(frozen=True)
class Kind:
    """A type of FAISS index.

    Attributes
    ----------
    name : str
    factory : str
        Description for `faiss.index_factory`, with placeholders ``{lists}`` and ``{codes}``.
    largest : int
        Number of 768-dimensional vectors up to which a query takes at most 10 ms on one thread.
    exact : bool
        Whether every vector is compared with the query.
    """

    name: str
    factory: str
    largest: int
    exact: bool


KINDS: tuple[Kind, ...] = (
    Kind("flat", "Flat", 25_000, True),
    Kind("fp16", "SQfp16", 25_000, True),
    Kind("ivf", "IVF{lists},SQfp16", 5_000_000, False),
    Kind("ivfpq", "IVF{lists},PQ{codes}x4fsr,Refine(SQfp16)", 100_000_000, False),
)
"""Index types, from the most accurate to the one for the most vectors."""


def choose_kind(vectors: int, dim: int) -> Kind:
    """Return the most accurate index type that answers within 10 ms at this size.

    Parameters
    ----------
    vectors, dim : int

    Examples
    --------
    >>> choose_kind(2_000, 768).name, choose_kind(286_000, 768).name
    ('flat', 'ivf')
    """
    scaled = vectors * dim / 768
    for kind in KINDS:
        if scaled <= kind.largest:
            return kind
    return KINDS[-1]


class PassageIndex:
    """Index of the segments of all tracks by one layer.

    Parameters
    ----------
    index : faiss.Index over [segments, dim], inner product
    layer : int
    probes : int
        Number of inverted lists that a query searches, if the index has lists.
    measured : dict, optional
        Measurements of `build`: ``kind, factory, probes, recall_at_10, recall_target, queries,
        fell_back``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> tracks = [rng.standard_normal((10, 8)) for _ in range(5)]  # 10 segments of each track
    >>> index = PassageIndex.build(lambda: tracks, layer=3)
    >>> scores, rows = index.search(index.vector(12), k=3)
    >>> int(rows[0]), index.measured["kind"]
    (12, 'flat')
    """

    def __init__(
        self, index: Any, layer: int, *, probes: int = 1, measured: dict[str, Any] | None = None
    ) -> None:
        self.index = index
        self.layer = layer
        self.probes = probes
        self.measured = measured or {}

    @classmethod
    def build(
        cls,
        parts: Parts,
        layer: int,
        *,
        kind: str | None = None,
        recall_target: float = 0.99,
        seed: int = 0,
    ) -> PassageIndex:
        """Return an index of the segments of many tracks, built in a few passes over them.

        Parameters
        ----------
        parts : callable
            Each call iterates over the segments of each track, [segments, dim], in the same
            order. Only one track, the index and a training sample are in memory at once.
        layer : int
        kind : str, optional
            Name of one of `KINDS`; chosen by size if not given.
        recall_target : float
            Share of the ten nearest passages of other tracks that must be found. Half of a
            sample of 400 passages sets how many lists are searched; the other half measures the
            recall.
        seed : int

        Raises
        ------
        SearchError
            If there are no segments, or the kind is unknown.
        """
        sizes = [len(part) for part in parts()]
        total = sum(sizes)
        if total == 0:
            raise SearchError(
                "there are no segments to index", remedy="Materialise embeddings of some track"
            )
        dim = int(next(iter(parts())).shape[1])
        names = [one.name for one in KINDS]
        if kind is not None and kind not in names:
            raise SearchError(f"there is no index {kind!r}", remedy=f"One of {', '.join(names)}")
        wanted = choose_kind(total, dim) if kind is None else KINDS[names.index(kind)]
        reasons: list[str] = []
        if total < _FEWEST and not wanted.exact:
            reasons.append(f"{wanted.name} needs {_FEWEST} segments to find clusters")
            wanted = next(one for one in reversed(KINDS) if one.exact)
        exact = None
        while True:
            index = _filled(wanted, parts, total, dim, seed)
            found = cls(index, layer, probes=1)
            if wanted.exact and wanted.name == "flat":
                reached: float | None = 1.0
            else:
                exact = exact or _nearest(parts, sizes, seed)
                reached = found._tune(exact, recall_target)
            if reached is None or reached >= recall_target or wanted.name == "flat":
                break
            reasons.append(f"{wanted.name} reached recall@10 {reached:.3f}, below {recall_target}")
            wanted = next(one for one in reversed(KINDS[: KINDS.index(wanted)]))
        found.measured = {
            "kind": wanted.name,
            "factory": _factory(wanted, total, dim),
            "probes": found.probes,
            "recall_at_10": reached,
            "recall_target": recall_target,
            "queries": 0 if exact is None else len(exact.queries) // 2,
            "fell_back": "; ".join(reasons) or None,
            "choices": [asdict(one) for one in KINDS],
        }
        return found

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def vector(self, row: int) -> Floats:
        """Return the unit vector of a row, [dim], to the precision of the index."""
        vector: Floats = self.index.reconstruct(int(row))
        return unit_layers(vector)

    def search(
        self, query: Floats, k: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return cosines and rows of the nearest segments, best first, ties in row order.

        Parameters
        ----------
        query : ndarray, float32, shape [dim]
            Unit vector.
        k : int
        allowed : ndarray, bool, shape [segments], optional
            Restrict the search to these rows. With fewer rows, more lists are searched, so that
            segments of rare works are found too.

        Returns
        -------
        scores : ndarray, float64, shape [hits], descending
        rows : ndarray, int64, shape [hits]
        """
        id_selector = selector(allowed)
        share = 1.0 if allowed is None else max(1, int(allowed.sum())) / len(allowed)
        scores, rows = self.index.search(
            np.ascontiguousarray(query.reshape(1, -1), dtype=np.float32),
            min(k, len(self)),
            params=self._parameters(id_selector, share),
        )
        found = rows[0] >= 0
        order = np.lexsort((rows[0][found], -scores[0][found]))
        return scores[0][found][order].astype(np.float64), rows[0][found][order]

    def _parameters(self, id_selector: Any, share: float) -> Any:
        import faiss

        lists = _lists_of(self.index)
        if lists == 0:
            return None if id_selector is None else faiss.SearchParameters(sel=id_selector)
        probes = min(lists, max(self.probes, int(np.ceil(self.probes / share))))
        inner = faiss.SearchParametersIVF(nprobe=probes)
        if id_selector is not None:
            inner.sel = id_selector
        inner._selector = id_selector  # FAISS only holds a pointer, so prevent deletion
        if not isinstance(self.index, faiss.IndexRefine):
            return inner
        outer = faiss.IndexRefineSearchParameters(k_factor=_REFINED, base_index_params=inner)
        outer._inner = inner
        return outer

    def _tune(self, exact: _Nearest, target: float) -> float:
        """Set `probes` using every second query, and return the recall of the other queries."""
        lists = _lists_of(self.index)
        even, odd = slice(0, None, 2), slice(1, None, 2)
        probes = 1
        while lists:
            self.probes = probes = min(probes, lists)
            shares = exact.shares(self, even)
            # Require one standard error above the target, as the other half varies too.
            standard_error = float(shares.std()) / np.sqrt(len(shares))
            if probes == lists or float(shares.mean()) - standard_error >= target:
                break
            probes *= 2
        return float(exact.shares(self, odd).mean())


@dataclass(frozen=True)
class _Nearest:
    """Exact nearest passages of other tracks, for a sample of passages."""

    queries: Floats
    spans: NDArray[np.int64]  # [queries, 2]: rows of the query's own track
    rows: NDArray[np.int64]  # [queries, 10], -1 where there are fewer
    total: int

    def shares(self, index: PassageIndex, part: slice) -> NDArray[np.float64]:
        """Return the share of each query's nearest passages that the index finds, [queries]."""
        shares = []
        for query, (first, last), expected in zip(
            self.queries[part], self.spans[part], self.rows[part], strict=True
        ):
            allowed = np.ones(self.total, dtype=bool)
            allowed[first:last] = False
            expected = expected[expected >= 0]
            _, found = index.search(query, 10, allowed=allowed)
            overlap = len(np.intersect1d(found, expected))
            shares.append(overlap / len(expected) if len(expected) else 1.0)
        return np.array(shares) if shares else np.ones(1)


def _nearest(parts: Parts, sizes: list[int], seed: int) -> _Nearest:
    """Return the exact nearest passages of a sample, comparing with one block at a time."""
    total = sum(sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rng = np.random.default_rng([seed, 53])
    chosen = np.sort(rng.permutation(total)[:_QUERIES])
    track = np.searchsorted(starts, chosen, side="right") - 1
    spans = np.stack([starts[track], starts[track + 1]], axis=1)
    gathered = []
    for number, part in enumerate(parts()):
        own_rows = chosen[track == number] - starts[number]
        if len(own_rows):
            gathered.append(unit_layers(np.asarray(part[own_rows])))
    queries = np.concatenate(gathered)
    best = np.full((len(queries), 10), -np.inf, dtype=np.float32)
    rows = np.full((len(queries), 10), -1, dtype=np.int64)
    first = 0
    for block in _blocks(parts):
        scores = queries @ block.T
        here = np.arange(first, first + len(block))
        own = (here >= spans[:, :1]) & (here < spans[:, 1:])
        scores[own] = -np.inf
        both = np.concatenate([best, scores], axis=1)
        ids = np.concatenate([rows, np.broadcast_to(here, scores.shape)], axis=1)
        top = np.argpartition(-both, 9, axis=1)[:, :10]
        best, rows = np.take_along_axis(both, top, 1), np.take_along_axis(ids, top, 1)
        first += len(block)
    rows[~np.isfinite(best)] = -1
    shuffle = rng.permutation(len(queries))
    return _Nearest(queries[shuffle], spans[shuffle], rows[shuffle], total)


def _blocks(parts: Parts, rows: int = 16_384) -> Iterator[Floats]:
    """Yield unit vectors of the tracks in order, in blocks large enough for BLAS and FAISS."""
    pending: list[Floats] = []
    count = 0
    for part in parts():
        pending.append(unit_layers(np.asarray(part)))
        count += len(pending[-1])
        if count >= rows:
            yield np.concatenate(pending)
            pending, count = [], 0
    if count:
        yield np.concatenate(pending)


def _filled(kind: Kind, parts: Parts, total: int, dim: int, seed: int) -> Any:
    import faiss

    index = faiss.index_factory(dim, _factory(kind, total, dim), faiss.METRIC_INNER_PRODUCT)
    lists = _lists_of(index)
    if lists:
        sample = _sample(parts, total, max(_POINTS_PER_LIST * lists, 10_000), seed)
        ivf = faiss.extract_index_ivf(index)
        gpus = _on_gpus(dim)  # referenced until trained: FAISS only holds a pointer
        ivf.clustering_index = gpus
        index.train(sample)
        ivf.clustering_index = None
    elif not index.is_trained:
        index.train(np.zeros((1, dim), dtype=np.float32))  # float16 codes need no training
    for block in _blocks(parts):
        index.add(block)
    if lists and not isinstance(index, faiss.IndexRefine):
        faiss.extract_index_ivf(index).make_direct_map()  # for `vector`
    return index


def _factory(kind: Kind, total: int, dim: int) -> str:
    lists = 1 << max(0, round(np.log2(max(1.0, 4 * np.sqrt(total)))))
    lists = min(lists, max(1, total // _POINTS_PER_LIST))
    codes = max(2, dim // 2)
    return kind.factory.format(lists=lists, codes=codes)


def _lists_of(index: Any) -> int:
    """Return the number of inverted lists; 0 for an index without lists."""
    import faiss

    base = faiss.downcast_index(index.base_index) if isinstance(index, faiss.IndexRefine) else index
    return int(base.nlist) if isinstance(base, faiss.IndexIVF | faiss.IndexIVFFastScan) else 0


def _sample(parts: Parts, total: int, wanted: int, seed: int) -> Floats:
    """Return random rows of all tracks as unit vectors, about [wanted, dim]."""
    chosen = np.random.default_rng([seed, 59]).random(total) < min(1.0, wanted / total)
    found, first = [], 0
    for part in parts():
        rows = np.flatnonzero(chosen[first : first + len(part)])
        if len(rows):
            found.append(unit_layers(np.asarray(part[rows])))
        first += len(part)
    return np.concatenate(found)


def _on_gpus(dim: int) -> Any:
    """Return an index for clustering on all GPUs; None if FAISS finds no GPU."""
    import faiss

    if not hasattr(faiss, "index_cpu_to_all_gpus") or faiss.get_num_gpus() == 0:
        return None
    return faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dim))
