"""The passage index: segments of all tracks by one layer, in the kind of index that its size needs.

`KINDS` is the table that the choice is made from; its figures are what `benchmarks/passages.py`
measured. A kind that does not reach its recall on the vectors at hand is replaced by the next one
that is slower and surer, and the manifest says so.
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
    """A kind of FAISS index.

    Attributes
    ----------
    name : str
    factory : str
        For `faiss.index_factory`, with ``{lists}`` and ``{codes}`` to fill in.
    largest : int
        Vectors of 768 dimensions up to which a query takes at most 10 ms on one thread.
    exact : bool
        Whether every vector is looked at.
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
"""From the surest to the largest."""


def choose_kind(vectors: int, dim: int) -> Kind:
    """The surest kind that answers within 10 ms at this size.

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
    """Segments of all tracks by one layer.

    Parameters
    ----------
    index : faiss.Index over [segments, dim], inner product
    layer : int
    probes : int
        Lists that a query looks at, where the index has lists.
    measured : dict, optional
        What `build` found out: ``kind, factory, probes, recall_at_10, recall_target, queries,
        fell_back``.
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
        """Index the segments of many tracks in one or a few passes over them.

        Parameters
        ----------
        parts : callable
            Each call iterates over the tracks' segments, [segments, dim], in the same order. Only
            one track, the index and a training sample are in memory at once.
        layer : int
        kind : str, optional
            Name of one of `KINDS`; chosen by size if not given.
        recall_target : float
            Share of the ten true nearest passages of other tracks that must be found. Half of a
            sample of 400 passages sets how many lists are searched; the other half measures.
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
        truth = None
        while True:
            index = _filled(wanted, parts, total, dim, seed)
            found = cls(index, layer, probes=1)
            if wanted.exact and wanted.name == "flat":
                reached: float | None = 1.0
            else:
                truth = truth or _nearest(parts, sizes, seed)
                reached = found._tune(truth, recall_target)
            if reached is None or reached >= recall_target or wanted.name == "flat":
                break
            reasons.append(
                f"{wanted.name} reached recall@10 {reached:.3f}, {recall_target} was asked for"
            )
            wanted = next(one for one in reversed(KINDS[: KINDS.index(wanted)]))
        found.measured = {
            "kind": wanted.name,
            "factory": _factory(wanted, total, dim),
            "probes": found.probes,
            "recall_at_10": reached,
            "recall_target": recall_target,
            "queries": 0 if truth is None else len(truth.queries) // 2,
            "fell_back": "; ".join(reasons) or None,
            "choices": [asdict(one) for one in KINDS],
        }
        return found

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def vector(self, row: int) -> Floats:
        """Unit vector of a row, [dim]; to the index's own precision."""
        vector: Floats = self.index.reconstruct(int(row))
        return unit_layers(vector)

    def search(
        self, query: Floats, k: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Rows with the highest cosine, best first, equal ones in row order.

        Parameters
        ----------
        query : ndarray, float32, shape [dim]
            Unit vector.
        k : int
        allowed : ndarray, bool, shape [segments], optional
            Only these rows. The fewer they are, the more lists are searched, so that a rare work is
            found too.
        """
        kept = selector(allowed)
        share = 1.0 if allowed is None else max(1, int(allowed.sum())) / len(allowed)
        scores, rows = self.index.search(
            np.ascontiguousarray(query.reshape(1, -1), dtype=np.float32),
            min(k, len(self)),
            params=self._parameters(kept, share),
        )
        found = rows[0] >= 0
        order = np.lexsort((rows[0][found], -scores[0][found]))
        return scores[0][found][order].astype(np.float64), rows[0][found][order]

    def _parameters(self, kept: Any, share: float) -> Any:
        import faiss

        lists = _lists_of(self.index)
        if lists == 0:
            return None if kept is None else faiss.SearchParameters(sel=kept)
        probes = min(lists, max(self.probes, int(np.ceil(self.probes / share))))
        inner = faiss.SearchParametersIVF(nprobe=probes)
        if kept is not None:
            inner.sel = kept
        inner._kept = kept  # FAISS holds a bare pointer
        if not isinstance(self.index, faiss.IndexRefine):
            return inner
        outer = faiss.IndexRefineSearchParameters(k_factor=_REFINED, base_index_params=inner)
        outer._inner = inner
        return outer

    def _tune(self, truth: _Nearest, target: float) -> float:
        """Set `probes` on every second query; the recall of the others."""
        lists = _lists_of(self.index)
        even, odd = slice(0, None, 2), slice(1, None, 2)
        probes = 1
        while lists:
            self.probes = probes = min(probes, lists)
            shares = truth.shares(self, even)
            # By a standard error above the target: the other half has its own luck.
            luck = float(shares.std()) / np.sqrt(len(shares))
            if probes == lists or float(shares.mean()) - luck >= target:
                break
            probes *= 2
        return float(truth.shares(self, odd).mean())


@dataclass(frozen=True)
class _Nearest:
    """True nearest passages of other tracks, for a sample of passages."""

    queries: Floats
    spans: NDArray[np.int64]  # [queries, 2]: rows of the query's own track
    rows: NDArray[np.int64]  # [queries, 10], -1 where there are fewer
    total: int

    def shares(self, index: PassageIndex, part: slice) -> NDArray[np.float64]:
        """Share of each query's true nearest that the index finds, [queries of the part]."""
        shares = []
        for query, (first, last), true in zip(
            self.queries[part], self.spans[part], self.rows[part], strict=True
        ):
            allowed = np.ones(self.total, dtype=bool)
            allowed[first:last] = False
            true = true[true >= 0]
            _, found = index.search(query, 10, allowed=allowed)
            shares.append(len(np.intersect1d(found, true)) / len(true) if len(true) else 1.0)
        return np.array(shares) if shares else np.ones(1)


def _nearest(parts: Parts, sizes: list[int], seed: int) -> _Nearest:
    """Compare a sample with everything, a track at a time."""
    total = sum(sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rng = np.random.default_rng([seed, 53])
    chosen = np.sort(rng.permutation(total)[:_QUERIES])
    track = np.searchsorted(starts, chosen, side="right") - 1
    spans = np.stack([starts[track], starts[track + 1]], axis=1)
    gathered = []
    for number, part in enumerate(parts()):
        mine = chosen[track == number] - starts[number]
        if len(mine):
            gathered.append(unit_layers(np.asarray(part[mine])))
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
    """Unit vectors of the tracks in order, in blocks that a BLAS or FAISS call is worth."""
    held: list[Floats] = []
    count = 0
    for part in parts():
        held.append(unit_layers(np.asarray(part)))
        count += len(held[-1])
        if count >= rows:
            yield np.concatenate(held)
            held, count = [], 0
    if count:
        yield np.concatenate(held)


def _filled(kind: Kind, parts: Parts, total: int, dim: int, seed: int) -> Any:
    import faiss

    index = faiss.index_factory(dim, _factory(kind, total, dim), faiss.METRIC_INNER_PRODUCT)
    lists = _lists_of(index)
    if lists:
        sample = _sample(parts, total, max(_POINTS_PER_LIST * lists, 10_000), seed)
        ivf = faiss.extract_index_ivf(index)
        gpus = _on_gpus(dim)  # held until trained: FAISS keeps a bare pointer
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
    """Number of inverted lists; 0 for an index without."""
    import faiss

    base = faiss.downcast_index(index.base_index) if isinstance(index, faiss.IndexRefine) else index
    return int(base.nlist) if isinstance(base, faiss.IndexIVF | faiss.IndexIVFFastScan) else 0


def _sample(parts: Parts, total: int, wanted: int, seed: int) -> Floats:
    """Rows spread over all tracks, [wanted or fewer, dim]."""
    chosen = np.random.default_rng([seed, 59]).random(total) < min(1.0, wanted / total)
    found, first = [], 0
    for part in parts():
        mine = np.flatnonzero(chosen[first : first + len(part)])
        if len(mine):
            found.append(unit_layers(np.asarray(part[mine])))
        first += len(part)
    return np.concatenate(found)


def _on_gpus(dim: int) -> Any:
    """An index to cluster with on all GPUs; None where the installed FAISS has none."""
    import faiss

    if not hasattr(faiss, "index_cpu_to_all_gpus") or faiss.get_num_gpus() == 0:
        return None
    return faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dim))
