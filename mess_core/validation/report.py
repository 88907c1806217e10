"""Validation report on targets and alignment: Markdown and figures."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.datasets.asap import read_asap
from mess_core.datasets.percepiano import read_ratings
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.tables import read_json, read_table, write_json
from mess_core.targets.registry import TARGETS_VERSION, targets
from mess_core.validation.asynchrony import asynchrony_table
from mess_core.validation.beats import (
    WAYS,
    beat_table,
    timing_correlations,
    transfer_table,
    wrong_signs,
)
from mess_core.validation.correlation import grouped_spearman
from mess_core.validation.ratings import rating_table
from mess_core.validation.sweeps import OWN_SWEEP, sweep_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TargetsReport", "check_targets_report", "validate_targets"]

_FOLLOWS, _LEAKS = 0.9, 0.2
Say = Callable[[str], None]


@dataclass
class TargetsReport:
    """Validation report.

    Attributes
    ----------
    sections : list of str
        Markdown.
    pictures : dict of str to bytes
        File name to PNG.
    figures : dict of str to float
        Name to number.
    """

    sections: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def markdown(self) -> str:
        """The report as Markdown; pictures are referenced by file name."""
        head = f"# Validation of the targets, version {TARGETS_VERSION}\n"
        return "\n".join([head, *self.sections])

    def write(self, folder: Any) -> None:
        """Write ``report.md``, the pictures and ``figures.json`` into a folder (UPath).

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        from mess_core.store.arrays import write_bytes

        for name, png in self.pictures.items():
            write_bytes(folder / name, png)
        write_json(folder / "figures.json", {"targets_version": TARGETS_VERSION, **self.figures})
        write_bytes(folder / "report.md", self.markdown.encode())


def validate_targets(
    *,
    asap: str | PathLike[str] | None = None,
    percepiano: str | PathLike[str] | None = None,
    library: str | PathLike[str] | None = None,
    sweeps: bool = True,
    say: Say = lambda _: None,
) -> TargetsReport:
    """Validate targets and alignment against the data sets that are given.

    Parameters
    ----------
    asap, percepiano : path, optional
        Folders of these data sets.
    library : path, optional
        A data root whose targets are summarised and plotted.
    sweeps : bool
        Whether to synthesise and measure single-property sweeps (one or two minutes).
    say : callable
        Called with progress messages.

    Returns
    -------
    TargetsReport

    Raises
    ------
    DatasetError, StoreError
        If a given folder is not of the expected kind.
    """
    report = TargetsReport()
    if sweeps:
        _sweeps(report, say)
    if asap is not None:
        performances = read_asap(asap)
        _timing(report, performances, say)
        _transfer(report, performances, say)
        _asynchrony(report, performances, say)
    if percepiano is not None:
        _ratings(report, percepiano, say)
    if library is not None:
        _library(report, Layout(library))
    return report


def check_targets_report(layout: Layout) -> Finding:
    """Check that the last report is current and that each target follows its own property."""
    figures = read_json(layout.targets_report / "figures.json")
    if "planted_follow" in figures:
        earlier = "written by an earlier version of MESS: run `mess validate` again"
        return Finding(False, {"report": earlier})
    current = figures.get("targets_version") == TARGETS_VERSION
    following = figures.get("sweeps_followed")
    return Finding(
        current and following in (None, float(len(OWN_SWEEP))),
        {"of_present_definitions": current, **figures},
    )


def _sweeps(report: TargetsReport, say: Say) -> None:
    table = sweep_table(lambda sweep: say(f"sweep: {sweep}"))
    own = table[table["own"]].set_index("target")["spearman"]
    others = table[~table["own"]]
    rows = []
    for target, sweep in OWN_SWEEP.items():
        mine = others[others["target"] == target].sort_values("leak", ascending=False)
        moved = [
            f"{row.sweep} {row.spearman:+.2f} x {row.movement:.2f}"
            for row in mine[mine["leak"] > _LEAKS].itertuples()
        ]
        follows = "yes" if own[target] >= _FOLLOWS else "**no**"
        rows.append([target, sweep, f"{own[target]:.2f}", follows, "; ".join(moved) or "nothing"])
    clean = int((others.groupby("target")["leak"].max() <= _LEAKS).sum())
    report.figures["sweeps_followed"] = float((own >= _FOLLOWS).sum())
    report.figures["sweeps_clean"] = float(clean)
    report.pictures["sweeps.png"] = _sweeps_png(table)
    report.sections.append(
        "## Single-property sweeps\n\n"
        "Synthetic clips in which one property varies in about 10 steps. *Follows*: Spearman "
        f"with the target's own sweep at least {_FOLLOWS}. *Moved by*: other sweeps whose "
        "|Spearman| times relative movement (the target's spread over that sweep against its "
        f"own, at most 1) exceeds {_LEAKS}.\n\n"
        + _table(["target", "own sweep", "Spearman", "follows", "moved by"], rows)
        + f"\n\n{int(report.figures['sweeps_followed'])} of {len(own)} follow their own property; "
        f"{clean} are moved by nothing else.\n\n![sweeps](sweeps.png)\n"
    )


def _timing(report: TargetsReport, performances: pd.DataFrame, say: Say) -> None:
    began = time.perf_counter()
    table = beat_table(performances, say=lambda line: say(f"beats: {line}"))
    rows = []
    for (target, way), found in timing_correlations(table).items():
        rows.append([target, way, f"{found.across:.2f}", str(found), found.groups, found.rows])
        report.figures[f"asap_{target}_{WAYS[way]}_within"] = found.within
        report.figures[f"asap_{target}_{WAYS[way]}_across"] = found.across
    signs = [
        f"{target}, {way}: " + (", ".join(f"{piece} {r:.2f}" for piece, r in wrong) or "none")
        for (target, way), wrong in wrong_signs(table).items()
    ]
    report.pictures["beats.png"] = _beats_png(table)
    report.sections.append(
        "## Timing against human-checked beats (ASAP)\n\n"
        "Spearman correlation with the spread of log2 beat tempo around its 9-beat mean "
        "(rubato) and of that mean (tempo variability): across all performances, and within "
        "pieces with at least 4 (mean ± standard error). The last way is a ceiling: it knows the "
        "annotated beats of one performance.\n\n"
        + _table(["target", "measured", "across", "within", "pieces", "performances"], rows)
        + "\n\nPieces with at least 6 performances within which the sign is wrong:\n\n- "
        + "\n- ".join(signs)
        + f"\n\n{time.perf_counter() - began:.0f} s.\n\n![beats](beats.png)\n"
    )


def _transfer(report: TargetsReport, performances: pd.DataFrame, say: Say) -> None:
    pairs, errors = transfer_table(performances, say=lambda line: say(f"alignment: {line}"))
    trusted = errors[errors["trusted"]]
    struck = errors[errors["struck"]]
    parts = {"all beats": errors, "trusted regions": trusted, "beats on notes": struck}
    parts["beats on notes, trusted"] = struck[struck["trusted"]]
    rows = [
        [
            name,
            len(part),
            *(f"{part['error_ms'].quantile(q):.1f}" for q in (0.5, 0.95, 0.99)),
            f"{(part['error_ms'] > 250).mean():.2%}",
        ]
        for name, part in parts.items()
    ]
    per_5000 = 5000 * float(pairs["seconds"].sum() / pairs["notes"].sum())
    report.figures |= {
        "transfer_median_ms": float(trusted["error_ms"].median()),
        "transfer_p95_ms": float(trusted["error_ms"].quantile(0.95)),
        "transfer_struck_p99_ms": float(struck["error_ms"].quantile(0.99)),
        "transfer_gated": float(1 - errors["trusted"].mean()),
        "align_s_per_5000_notes": per_5000,
    }
    report.sections.append(
        "## Alignment: beats transferred from one performance to another\n\n"
        f"One random pair of each of {len(pairs)} pieces. Beats that are on no note (within 30 ms "
        "in both) were placed by a rule: they say how alignment interpolates.\n\n"
        + _table(["", "beats", "median ms", "p95 ms", "p99 ms", "over 250 ms"], rows)
        + f"\n\n{report.figures['transfer_gated']:.1%} of the beats lie outside trusted "
        f"regions; {per_5000:.1f} s per 5,000 notes.\n"
    )


def _asynchrony(report: TargetsReport, performances: pd.DataFrame, say: Say) -> None:
    table = asynchrony_table(performances, say=lambda line: say(f"asynchrony: {line}"))
    rows, truth = [], table["ground_truth_ms"].to_numpy()
    for name, column in (("onset_timing_std", "measured_ms"), ("chords of 30 ms", "fixed_ms")):
        values = table[column].to_numpy()
        found = grouped_spearman(values, truth, table["piece"].tolist())
        ratio = table[column].div(table["ground_truth_ms"]).groupby(table["piece"]).median()
        low, middle, high = ratio.quantile([0.1, 0.5, 0.9])
        rows.append([name, f"{found.across:.2f}", str(found), f"{values.mean():.1f}",
                     f"{middle:.2f} ({low:.2f} to {high:.2f})"])  # fmt: skip
        report.figures[f"asynchrony_{column}_within"] = found.within
        report.figures[f"asynchrony_{column}_ratio"] = float(middle)
    report.sections.append(
        "## Asynchrony against chords that several performances have in common (ASAP)\n\n"
        f"{len(table)} performances of {table['piece'].nunique()} pieces, {truth.mean():.1f} ms on "
        "average. Ratio of measured to true asynchrony: median over pieces, 10 to 90 %.\n\n"
        + _table(["measured", "across", "within", "ms", "ratio"], rows)
        + "\n"
    )


def _ratings(report: TargetsReport, folder: str | PathLike[str], say: Say) -> None:
    say("ratings")
    table = rating_table(*read_ratings(folder))
    rows = []
    for row in table.itertuples():
        within = f"{row.within:.2f} ± {row.standard_error:.2f}"
        rows.append([row.target, row.scale, within, f"{row.ceiling:.2f}", f"{row.across:.2f}"])
        report.figures[f"percepiano_{row.target}_{row.scale}"] = float(row.within)
    report.sections.append(
        "## Listeners' ratings (PercePiano)\n\n"
        "Spearman correlation with mean ratings within passages (mean ± standard error over "
        f"{int(table['passages'].max())} passages). The ceiling is the square root of the raters' "
        "reliability. The scale *tempo* runs from fast to slow.\n\n"
        + _table(["target", "scale", "within passages", "ceiling", "across"], rows)
        + "\n"
    )


def _library(report: TargetsReport, layout: Layout) -> None:
    table = read_table(layout.proxy_targets)
    names = [one.name for one in targets() if table[one.name].notna().sum() > 2]
    report.pictures["pairs.png"] = _pairs_png(table[names])
    rows = [
        [
            one.name,
            one.dimension,
            one.unit,
            int(table[one.name].notna().sum()),
            *(f"{table[one.name].quantile(q):.4g}" for q in (0.05, 0.5, 0.95)),
        ]
        for one in targets(extra=True)
    ]
    report.sections.append(
        f"## The library: {len(table)} tracks\n\n"
        + _table(["target", "dimension", "unit", "tracks", "5 %", "median", "95 %"], rows)
        + "\n\n![pairs](pairs.png)\n"
    )


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _sweeps_png(table: pd.DataFrame) -> bytes:
    from matplotlib.figure import Figure

    order = list(OWN_SWEEP)
    sweeps = list(dict.fromkeys(table["sweep"]))
    signed = table.assign(value=np.sign(table["spearman"]) * table["leak"])
    grid = signed.pivot(index="target", columns="sweep", values="value").loc[order, sweeps]
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid.to_numpy(dtype=float), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(sweeps)), sweeps, rotation=60, ha="right")
    axes.set_yticks(range(len(order)), order)
    for row, target in enumerate(order):
        axes.scatter(sweeps.index(OWN_SWEEP[target]), row, marker="s", s=140, fc="none", ec="k")
    axes.set_title("Spearman x relative movement; squares: the target's own property")
    figure.colorbar(image)
    return _png(figure)


def _beats_png(table: pd.DataFrame) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(WAYS), 7), layout="constrained")
    panels = figure.subplots(2, len(WAYS))
    for row, target in enumerate(("rubato", "tempo_variability")):
        for axes, (way, column) in zip(panels[row], WAYS.items(), strict=True):
            axes.scatter(table[f"{target}_truth"], table[f"{target}_{column}"], s=6, alpha=0.6)
            axes.set(xlabel=f"{target} from beats", ylabel=way, title=target)
    return _png(figure)


def _pairs_png(values: pd.DataFrame) -> bytes:
    """Plot scatters of all pairs below the diagonal, Spearman above, histograms on it.

    All panels share one pair of axes, because hundreds of axes take many times as long to draw.
    """
    from matplotlib.figure import Figure

    names = list(values.columns)
    count = len(names)
    ranks = values.corr(method="spearman").to_numpy()
    below, beside = np.tril_indices(count, -1)
    table = values.to_numpy(dtype=np.float64)
    least, most = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    inside = 0.06 + 0.88 * (table - least) / np.where(most > least, most - least, 1.0)
    figure = Figure(figsize=(0.7 * count + 2, 0.7 * count + 2), layout="constrained")
    axes = figure.subplots()
    shown = np.where(np.triu(np.ones((count, count)), 1) > 0, ranks, np.nan)
    axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, extent=(0, count, count, 0), aspect="auto")
    for row, column in zip(*np.triu_indices(count, 1), strict=True):
        text = f"{ranks[row, column]:.2f}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8)
    axes.plot(
        (beside + inside[:, beside]).ravel(),
        (below + 1 - inside[:, below]).ravel(),
        ",",
        color="C0",
    )
    for index in range(count):
        known = inside[np.isfinite(inside[:, index]), index]
        height, edges = np.histogram(known, bins=20, range=(0.0, 1.0))
        level = index + 1 - 0.9 * height / max(1, height.max())
        axes.stairs(level, index + edges, baseline=index + 1, fill=True, color="0.5")
    axes.set_xticks(np.arange(count) + 0.5, names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(np.arange(count) + 0.5, names, fontsize=8)
    axes.set_xticks(np.arange(count + 1), minor=True)
    axes.set_yticks(np.arange(count + 1), minor=True)
    axes.tick_params(which="both", length=0)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.set(xlim=(0, count), ylim=(count, 0))
    return _png(figure)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
