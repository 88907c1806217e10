"""Which triplets people are asked about: a third each of three kinds, seeded.

- ``same_passage``: x, a, b are one passage by three performers: how, with the what held fixed;
- ``across_works``: three works matched in density and in the pace of their chords, so that
  the answer is not the tempo's;
- ``disagreement``: two systems answer differently, each with conviction: there an answer
  decides most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mess_core.errors import TooLittleError
from mess_core.midi.performance import Performance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["matching_values", "sample_triplets"]

_WITHIN_OCTAVES = 0.35
_DRAWN = 20_000

Floats = NDArray[np.float64]


def matching_values(performances: Sequence[Performance]) -> Floats:
    """log2 notes per second and log2 chords per second of clips, [clips, 2]."""
    found = []
    for one in performances:
        span = max(float(one.onset_s[-1] - one.onset_s[0]), 0.1)
        found.append([np.log2(len(one) / span), np.log2(len(one.chord_onset_s) / span)])
    return np.array(found, dtype=np.float64)


def sample_triplets(
    passages: pd.DataFrame,
    matching: Floats,
    systems: tuple[Floats, Floats],
    *,
    count: int = 150,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw triplets of clips for listeners.

    Parameters
    ----------
    passages : DataFrame
        As `find_passages` gives.
    matching : ndarray, float64, shape [clips, 2]
        What triplets across works are matched in, in octaves.
    systems : pair of ndarray, float64, shape [clips, clips]
        Similarities by two systems, of which the third kind takes where they disagree.
    count : int
        A kind that has too few is made up for by the others.
    seed : int

    Returns
    -------
    DataFrame
        ``triplet_id, kind``, ``{x,a,b}_track``, ``_start_s``, ``_end_s``, ``expected`` ("").

    Raises
    ------
    TooLittleError
        If no triplet of any kind can be drawn.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    pools = {
        "same_passage": _same_passage(passages, rng),
        "across_works": _across_works(passages, matching, rng),
    }
    either = [triplet for pool in pools.values() for triplet in pool]
    pools["disagreement"] = _disagreements(either, systems)
    taken: set[tuple[int, frozenset[int]]] = set()
    rows: list[dict[str, Any]] = []
    wanted = {kind: count // 3 + (number < count % 3) for number, kind in enumerate(pools)}
    for last in (False, True):  # the second time round, what is missing comes from any kind
        for kind, pool in pools.items():
            left = count - len(rows) if last else wanted[kind]
            for x, a, b in pool:
                if left <= 0:
                    break
                if (key := (x, frozenset((a, b)))) in taken:
                    continue
                taken.add(key)
                left -= 1
                rows.append(_row(kind, passages, (x, a, b)))
    if not rows:
        raise TooLittleError(
            "no triplet can be drawn: no passage has three performances and no three works match",
            remedy="Add performances of the same works, with MIDI",
        )
    return pd.DataFrame(rows)


def _same_passage(passages: pd.DataFrame, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    pool = []
    table = passages.reset_index(drop=True)
    for _, rows in table.groupby("passage_id", sort=True):
        members = rows.index.to_numpy()
        by_performer = rows["performer"].to_numpy()
        order = rng.permutation(len(members))
        _, first = np.unique(by_performer[order], return_index=True)
        different = members[order[np.sort(first)]]
        if len(different) >= 3:
            pool.append((int(different[0]), int(different[1]), int(different[2])))
    return [pool[one] for one in rng.permutation(len(pool))]


def _across_works(
    passages: pd.DataFrame, matching: Floats, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    works = passages["work_id"].to_numpy()
    apart = np.abs(matching[:, None] - matching[None]).max(axis=2)
    near = (apart <= _WITHIN_OCTAVES) & (works[:, None] != works[None])
    pool = []
    for x in rng.permutation(len(works)).tolist():
        candidates = rng.permutation(np.flatnonzero(near[x])).tolist()
        for a in candidates:
            others = [b for b in candidates if near[a, b]]
            if others:
                pool.append((x, a, others[0]))
                break
    return pool


def _disagreements(
    pool: list[tuple[int, int, int]], systems: tuple[Floats, Floats]
) -> list[tuple[int, int, int]]:
    """Every clip of the drawn triplets asked about as x, the most contested first."""
    turned = [turn for x, a, b in pool for turn in ((x, a, b), (a, b, x), (b, x, a))][:_DRAWN]
    if not turned:
        return []
    x, a, b = np.array(turned).T
    margins = []
    for similarity in systems:
        difference = similarity[x, a] - similarity[x, b]
        margins.append(difference / max(float(np.std(difference)), 1e-12))
    contested = -margins[0] * margins[1]
    order = np.argsort(-contested, kind="stable")
    return [turned[one] for one in order[contested[order] > 0].tolist()]


def _row(kind: str, passages: pd.DataFrame, triplet: tuple[int, int, int]) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": kind, "expected": ""}
    for side, row in zip("xab", triplet, strict=True):
        clip = passages.iloc[row]
        found |= {
            f"{side}_track": str(clip["track_id"]),
            f"{side}_start_s": float(clip["start_s"]),
            f"{side}_end_s": float(clip["end_s"]),
        }
    content = repr(sorted(found.items())).encode()
    return {"triplet_id": hashlib.sha256(content).hexdigest()[:16], **found}
