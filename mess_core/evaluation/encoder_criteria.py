"""Search, retrieval and costs of several encoders, on the same tracks and queries."""

from __future__ import annotations

from dataclasses import asdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import MessError, StoreError
from mess_core.evaluation.common_tracks import CommonTracks
from mess_core.evaluation.fingerprints import library_fingerprint
from mess_core.evaluation.leaderboard import OWN_METRIC, summarise
from mess_core.evaluation.pipeline import cached_scores
from mess_core.probing.probes import load_probes
from mess_core.probing.results import load_aspects
from mess_core.search.faithfulness import faithfulness_table
from mess_core.statistics import compare_paired, false_discovery_rate
from mess_core.store.embeddings import EmbeddingStore
from mess_core.store.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SHARED", "costs", "faithfulness", "retrieval_differences", "retrieval_scores"]

SHARED = "any"
"""In place of an encoder, for systems that use none: random order, MIDI, audio descriptors."""

_WITHOUT_ENCODER = ("random", "midi", "audio descriptors", "raters")
"""How the names of such systems begin."""

_STEPS = ("retrieval-work", "ratings", "listeners")
_CHOSEN = "layer chosen for {}"


def faithfulness(layout: Layout, common: CommonTracks, notes: list[str]) -> pd.DataFrame:
    """Return how faithful the search for each aspect is with each encoder.

    Aspects and probes are those that the search uses, fitted on all tracks of the encoder; tracks
    are placed by probes of folds without them. Queries and candidates are the common tracks.

    Parameters
    ----------
    layout : Layout
    common : CommonTracks
    notes : list of str
        Encoders left out are added.

    Returns
    -------
    DataFrame
        ``encoder`` and the columns of `faithfulness_table`; only the mode that is served.
    """
    import pandas as pd

    tables = []
    for encoder, manifest in common.encoders.items():
        own = layout.of(common.folders[encoder])
        try:
            _, placed, made_from = load_probes(own.probing)
            aspects = load_aspects(own.probing / "aspects.json")
        except StoreError as error:
            notes.append(f"{encoder}: no faithfulness, it has not been probed ({error.problem})")
            continue
        if made_from["matrix_sha256"] != manifest["matrix_sha256"]:
            notes.append(f"{encoder}: no faithfulness, its probes are of other embeddings")
            continue
        known = placed.set_index("track_id")
        if not common.rows["track_id"].isin(known.index).all():
            notes.append(f"{encoder}: no faithfulness, its probes lack common tracks")
            continue
        table = faithfulness_table(
            common.systems[encoder],
            manifest["identity"]["layers"],
            known.loc[common.rows["track_id"]].reset_index(drop=True),
            common.y,
            common.groups,
            aspects,
        )
        served = table[table["served"].astype(bool)].drop(columns="served")
        served.insert(0, "encoder", encoder)
        tables.append(served)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def retrieval_scores(
    layout: Layout, common: CommonTracks, notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the leaderboard's scores of all encoders on the queries that they share.

    Parameters
    ----------
    layout : Layout
    common : CommonTracks
    notes : list of str
        Encoders left out are added.

    Returns
    -------
    answers : DataFrame
        ``encoder, system, criterion, metric, query, cluster, value``; criteria with permuted
        labels are left out, and so are works that an encoder was trained on.
    summary : DataFrame
        ``encoder`` and the columns of `summarise`. Systems that use no encoder are listed once,
        for the encoder `SHARED`.
    """
    import pandas as pd

    tables = [
        table
        for encoder, manifest in common.encoders.items()
        if (table := _answers(layout.of(common.folders[encoder]), encoder, manifest, notes))
        is not None
    ]
    if len(tables) < 2:
        if tables:
            notes.append("retrieval: not compared, only one encoder has been evaluated")
        return pd.DataFrame(), pd.DataFrame()
    answers = pd.concat(tables, ignore_index=True)
    answers = answers[~answers["criterion"].str.endswith("(permuted)")]
    answers = answers[~answers["cluster"].isin(set(common.heard.values()))]
    key = ["criterion", "metric", "query"]
    having = answers.groupby(key)["run"].transform("nunique")
    shared = answers[having == len(tables)]
    lost = (
        answers[key[::2]].drop_duplicates().shape[0] - shared[key[::2]].drop_duplicates().shape[0]
    )
    if lost:
        notes.append(f"retrieval: {lost} queries left out, not all encoders have them")
    shared = shared.drop_duplicates(["encoder", "system", *key]).drop(columns="run")
    summaries = []
    random = shared[shared["system"] == "random"]
    for encoder, part in shared.groupby("encoder", sort=False):
        with_random = part if encoder == SHARED else pd.concat([random, part])
        found = summarise(with_random)
        if encoder != SHARED:
            found = found[found["system"] != "random"]
        found.insert(0, "encoder", encoder)
        summaries.append(found)
    return shared, pd.concat(summaries, ignore_index=True)


def retrieval_differences(answers: pd.DataFrame) -> pd.DataFrame:
    """Compare encoders in pairs by their chosen layers, on the same queries.

    Parameters
    ----------
    answers : DataFrame
        From `retrieval_scores`.

    Returns
    -------
    DataFrame
        ``first, second, criterion, metric, difference, low, high, p, q, n, clusters``; q is the
        false discovery rate over all rows.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    if answers.empty:
        return pd.DataFrame(rows)
    for criterion in answers["criterion"].unique():
        objective = "content" if criterion.startswith("content") else "expression"
        part = answers[
            (answers["criterion"] == criterion)
            & (answers["metric"] == OWN_METRIC[objective])
            & (answers["system"] == _CHOSEN.format(objective))
        ]
        values = part.pivot(index="query", columns="encoder", values="value")
        cluster = part.drop_duplicates("query").set_index("query")["cluster"].loc[values.index]
        for first, second in combinations(values.columns, 2):
            found = compare_paired(values[first], values[second], cluster.tolist())
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "criterion": criterion,
                    "metric": OWN_METRIC[objective],
                    **asdict(found),
                }
            )
    table = pd.DataFrame(rows)
    if len(table):
        table.insert(
            table.columns.get_loc("p") + 1, "q", false_discovery_rate(table["p"].to_numpy())
        )
    return table


def costs(layout: Layout, common: CommonTracks) -> pd.DataFrame:
    """Return what an hour of audio costs with each encoder.

    Returns
    -------
    DataFrame
        ``encoder, layers, dim, tracks, seconds_per_hour`` (of the model, without decoding; NaN if
        the sidecars do not say), ``device``, ``megabytes_per_hour`` (segments and tracks as
        stored).
    """
    import pandas as pd

    rows = []
    for encoder, manifest in common.encoders.items():
        store = EmbeddingStore(layout.of(common.folders[encoder]))
        pairs = zip(common.rows["dataset"], common.rows["track_id"], strict=True)
        found = [one for pair in pairs if (one := store.sidecar(*pair)) is not None]
        hours = sum(one["duration_s"] for one in found) / 3600
        size = sum(_bytes(one["shapes"]) for one in found)
        timed = [one for one in found if "seconds" in one]
        timed_hours = sum(one["duration_s"] for one in timed) / 3600
        rows.append(
            {
                "encoder": encoder,
                "layers": manifest["shape"][1],
                "dim": manifest["shape"][2],
                "tracks": len(found),
                "seconds_per_hour": (
                    sum(one["seconds"] for one in timed) / timed_hours if timed else np.nan
                ),
                "device": ", ".join(sorted({str(one["device"]) for one in timed})),
                "megabytes_per_hour": size / hours / 1e6 if hours else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _bytes(shapes: dict[str, list[int]]) -> int:
    """Return the size of a track's arrays: vectors of the track are float32, all others float16."""
    return sum(
        int(np.prod(shape)) * (4 if kind == "aggregated" else 2) for kind, shape in shapes.items()
    )


def _answers(
    layout: Layout, encoder: str, manifest: dict[str, Any], notes: list[str]
) -> pd.DataFrame | None:
    """Return the answers of one encoder's evaluation, with the encoder of each system."""
    import pandas as pd

    tables = []
    for step in _STEPS:
        cached = cached_scores(layout, step)
        try:
            made_of = cached.record().get("library")
            if made_of not in {None, library_fingerprint(layout, "work")}:
                notes.append(f"{encoder}: {step} left out, of another state of the library")
                continue
            tables.append(cached.table())
        except MessError:  # this step has not been run
            continue
    if not tables:
        notes.append(
            f"{encoder}: no retrieval scores, run `mess evaluate --encoder {layout.encoder}`"
        )
        return None
    table = pd.concat(tables, ignore_index=True)
    prefix = str(manifest["identity"]["encoder"]).partition("@")[0] + ", "
    own = ~table["system"].str.startswith(_WITHOUT_ENCODER)
    return table.assign(
        run=encoder,
        encoder=np.where(own, encoder, SHARED),
        system=table["system"].str.removeprefix(prefix),
    )
