"""Sampling of triplets for the listening test, a third of each kind.

- ``same_passage``: the same passage by three performers, so that only the performance differs;
- ``across_works``: three works matched in note density and chord rate, so that listeners cannot
  decide by tempo alone;
- ``disagreement``: two systems disagree by a wide margin, so that an answer is most informative.
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
    """Return log2 notes per second and log2 chords per second of each clip.

    Parameters
    ----------
    performances : sequence of Performance
        The notes of each clip.

    Returns
    -------
    ndarray, float64, shape [clips, 2]
    """
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
    """Draw triplets of clips for the listening test.

    Parameters
    ----------
    passages : DataFrame
        As returned by `find_passages`.
    matching : ndarray, float64, shape [clips, 2]
        Values in which triplets across works are matched, in octaves; see `matching_values`.
    systems : pair of ndarray, float64, shape [clips, clips]
        Similarities by two systems; the third kind uses triplets on which they disagree.
    count : int
        Number of triplets. If one kind has too few, the other kinds fill the gap.
    seed : int
        Random seed.

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
    candidates = [triplet for pool in pools.values() for triplet in pool]
    pools["disagreement"] = _disagreements(candidates, systems)
    used: set[tuple[int, frozenset[int]]] = set()
    rows: list[dict[str, Any]] = []
    wanted = {kind: count // 3 + (number < count % 3) for number, kind in enumerate(pools)}
    for fill in (False, True):  # the second pass fills gaps with triplets of any kind
        for kind, pool in pools.items():
            left = count - len(rows) if fill else wanted[kind]
            for x, a, b in pool:
                if left <= 0:
                    break
                if (key := (x, frozenset((a, b)))) in used:
                    continue
                used.add(key)
                left -= 1
                rows.append(_row(kind, passages, (x, a, b)))
    if not rows:
        raise TooLittleError(
            "no triplets can be drawn: no passage has three performances and no three works match",
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
    """Return the triplets with each clip as x, sorted by how strongly the systems disagree."""
    rotated = [one for x, a, b in pool for one in ((x, a, b), (a, b, x), (b, x, a))][:_DRAWN]
    if not rotated:
        return []
    x, a, b = np.array(rotated).T
    margins = []
    for similarity in systems:
        difference = similarity[x, a] - similarity[x, b]
        margins.append(difference / max(float(np.std(difference)), 1e-12))
    disagreement = -margins[0] * margins[1]
    order = np.argsort(-disagreement, kind="stable")
    return [rotated[one] for one in order[disagreement[order] > 0].tolist()]


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
