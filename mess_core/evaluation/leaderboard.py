"""Leaderboard: mean scores with confidence intervals, and paired comparisons of models."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.evaluation.html_page import html_page, image, markdown_html
from mess_core.evaluation.single_factor import NOTICED
from mess_core.statistics import clustered_mean, compare_paired
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "OWN_METRIC",
    "check_leaderboard",
    "compare_models",
    "leaderboard_html",
    "leaderboard_markdown",
    "leaderboard_png",
    "summarise",
]

SIGNIFICANT = 0.05
_FEWEST_WORKS = 6
_CONTENT = "RR@10"
_TRIPLETS = "triplets"

OWN_METRIC = {"content": _CONTENT, "expression": _TRIPLETS}
"""The metric by which models of an objective are compared."""

_CHANCE = {_TRIPLETS: 0.5}
_READS_NOTES = "midi"
"""How the names of systems begin that compare notes, not audio."""


def summarise(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the mean score and 95 % interval of each system, criterion and metric.

    Parameters
    ----------
    answers : DataFrame
        ``system, criterion, metric, query, cluster, value``.

    Returns
    -------
    DataFrame
        ``system, criterion, metric, mean, low, high, n, clusters, chance``. Chance is 0.5 for
        triplets, and otherwise the mean score of the system "random".
    """
    import pandas as pd

    random = answers[answers["system"] == "random"].groupby(["criterion", "metric"])["value"].mean()
    rows = []
    for key, part in answers.groupby(["system", "criterion", "metric"], sort=False):
        system, criterion, metric = key
        found = clustered_mean(part["value"], part["cluster"].tolist())
        rows.append(
            {
                "system": system,
                "criterion": criterion,
                "metric": metric,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "clusters": found.clusters,
                "chance": _CHANCE.get(metric, float(random.get((criterion, metric), np.nan))),
            }
        )
    return pd.DataFrame(rows)


def compare_models(answers: pd.DataFrame, sequences: dict[str, list[str]]) -> pd.DataFrame:
    """Compare each model with the best earlier one, on its own criterion.

    Parameters
    ----------
    answers : DataFrame
        As for `summarise`.
    sequences : dict of str to list of str
        Objective to the names of its models, simplest first.

    Returns
    -------
    DataFrame
        ``objective, model, against, difference, low, high, p, n, clusters, verdict``. A model
        is "better" or "worse" if it is so significantly (p < 0.05), and otherwise "not helping";
        with fewer than six works, where no p-value can be that small, "too few works to tell".
        Later models are compared with the last one that was better.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for objective, names in sequences.items():
        own = answers[
            (answers["criterion"] == objective) & (answers["metric"] == OWN_METRIC[objective])
        ]
        values = own.pivot(index="query", columns="system", values="value")
        cluster = own.drop_duplicates("query").set_index("query")["cluster"].loc[values.index]
        present = [name for name in names if name in values]
        if not present:
            continue
        best = present[0]
        for name in present[1:]:
            found = compare_paired(values[name], values[best], cluster.tolist())
            better = found.difference > 0 and found.p < SIGNIFICANT
            worse = found.difference < 0 and found.p < SIGNIFICANT
            few = found.clusters < _FEWEST_WORKS
            rows.append(
                {
                    "objective": objective,
                    "model": name,
                    "against": best,
                    "difference": found.difference,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p,
                    "n": found.n,
                    "clusters": found.clusters,
                    "verdict": (
                        "too few works to tell"
                        if few
                        else "better"
                        if better
                        else "worse"
                        if worse
                        else "not helping"
                    ),
                }
            )
            if better:
                best = name
    columns = ["objective", "model", "against", "difference", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=[*columns, "clusters", "verdict"])


def leaderboard_markdown(summary: pd.DataFrame, models: pd.DataFrame, notes: dict[str, str]) -> str:
    """Return the leaderboard as Markdown."""
    lines = ["# Leaderboard", ""]
    lines += [f"- {name}: {text}" for name, text in notes.items()]
    for criterion, metric in _shown(summary):
        part = summary[(summary["criterion"] == criterion) & (summary["metric"] == metric)]
        part = part.sort_values("mean", ascending=False, kind="stable")
        chance = part["chance"].iloc[0]
        lines += ["", f"## {criterion} ({metric}, chance {chance:.3f})", ""]
        notes_read, whole = (
            part["system"].str.startswith(_READS_NOTES),
            part["n"] == part["n"].max(),
        )
        lines += _ranking(part[whole & ~notes_read])
        for title, apart in (
            ("Read the notes, which the answers come from", part[whole & notes_read]),
            ("On fewer queries, not comparable", part[~whole]),
        ):
            if len(apart):
                lines += ["", f"{title}:", "", *_ranking(apart)]
    lines += _noticed(summary)
    lines += [
        "",
        "## Does each model help?",
        "",
        "Each model against the best earlier one, on the same queries; p from sign flips of works.",
        "",
        "| objective | model | against | difference | 95 % interval | p | n | works | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.objective} | {row.model} | {row.against} | {row.difference:+.3f} "
        f"| {_interval(row.low, row.high, '+.3f')} | {row.p:.3f} | {row.n} "
        f"| {row.clusters} | {row.verdict} |"
        for row in models.itertuples()
    ]
    return "\n".join([*lines, ""])


def leaderboard_html(markdown: str, png: bytes) -> str:
    """Return the leaderboard as a page."""
    picture = image(png, "png", "Means with intervals, one panel per criterion")
    parts = ["<p><a href='/'>Back to the search</a></p>", markdown_html(markdown), picture]
    return html_page("MESS: leaderboard", parts, kind="names")


def _ranking(part: pd.DataFrame) -> list[str]:
    return [
        "| system | mean | 95 % interval | n | clusters |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {row.system} | {row.mean:.3f} | {_interval(row.low, row.high, '.3f')} | {row.n} "
            f"| {row.clusters} |"
            for row in part.itertuples()
        ),
    ]


def _noticed(summary: pd.DataFrame) -> list[str]:
    """Return the factors by how much they move each system, beside what listeners notice."""
    from scipy.stats import kendalltau

    moved = summary[summary["criterion"] == "moved by"]
    if moved.empty:
        return []
    table = moved.pivot(index="system", columns="metric", values="mean")[list(NOTICED)]
    agreement = {
        name: float(kendalltau(row.to_numpy(), list(NOTICED.values())).statistic)
        for name, row in table.iterrows()
    }
    lines = [
        "",
        "## Which changes count for much",
        "",
        "Share of the other factors' changes that count for less, of the same clip (0.5: no "
        "difference), and Kendall's tau of their order with listeners' (arXiv 2401.00471).",
        "",
        f"| system | {' | '.join(NOTICED)} | tau |",
        f"| --- |{' --- |' * (len(NOTICED) + 1)}",
        f"| listeners notice | {' | '.join(f'{value:.0f} %' for value in NOTICED.values())} | |",
    ]
    for name in sorted(table.index, key=lambda one: -np.nan_to_num(agreement[one], nan=-2)):
        shares = " | ".join(f"{value:.2f}" for value in table.loc[name])
        lines.append(f"| {name} | {shares} | {agreement[name]:+.2f} |")
    return lines


def leaderboard_png(summary: pd.DataFrame) -> bytes:
    """Return a PNG of means with intervals, one panel per criterion."""
    from matplotlib.figure import Figure

    panels = [pair for pair in _shown(summary) if "permuted" not in pair[0]]
    names = list(dict.fromkeys(summary["system"]))
    figure = Figure(figsize=(3.0 * len(panels) + 3.0, 0.22 * len(names) + 1.2))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (criterion, metric) in zip(axes, panels, strict=True):
        part = summary[(summary["criterion"] == criterion) & (summary["metric"] == metric)]
        rows = [names.index(name) for name in part["system"]]
        error = np.abs(np.stack([part["mean"] - part["low"], part["high"] - part["mean"]]))
        axis.errorbar(part["mean"], rows, xerr=error, fmt="o", markersize=3, linewidth=1)
        axis.axvline(part["chance"].iloc[0], color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(f"{criterion}\n{metric}", fontsize=8)
        axis.tick_params(labelsize=7)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _interval(low: float, high: float, form: str) -> str:
    return f"{low:{form}} to {high:{form}}" if np.isfinite(low) else "-"


def _shown(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (criterion, metric) pairs to show, in order of appearance."""
    pairs = summary[["criterion", "metric"]].drop_duplicates().itertuples(index=False)
    return [
        (criterion, metric)
        for criterion, metric in pairs
        if metric == (_CONTENT if criterion.startswith("content") else _TRIPLETS)
    ]


def check_leaderboard(layout: Layout) -> Finding:
    """Check that every mean lies within its interval and that n is given.

    A score on a single work has no interval.
    """
    table = read_table(layout.leaderboard / "leaderboard.parquet")
    inside = (table["low"] - 1e-9 <= table["mean"]) & (table["mean"] <= table["high"] + 1e-9)
    inside |= table["clusters"] == 1
    return Finding(
        bool(inside.all() and (table["n"] > 0).all()),
        {"systems": table["system"].nunique(), "criteria": table["criterion"].nunique()},
    )
