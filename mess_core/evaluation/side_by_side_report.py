"""Encoders side by side, for people: a page, a figure, and files in the data root."""

from __future__ import annotations

import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mess_core.errors import StoreError
from mess_core.evaluation.encoder_criteria import SHARED
from mess_core.evaluation.html_page import html_page, image
from mess_core.evaluation.leaderboard import OWN_METRIC
from mess_core.evaluation.side_by_side import SideBySide
from mess_core.store.arrays import write_bytes
from mess_core.store.findings import Finding
from mess_core.store.layout import Layout
from mess_core.store.matrix import load_matrix
from mess_core.store.tables import read_json, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_side_by_side", "page_html", "profiles_figure", "save_side_by_side"]

_RECORD = "encoders.json"
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#bbbbbb", "#000000")


def save_side_by_side(layout: Layout, found: SideBySide) -> None:
    """Write tables, page and figure to the comparison folder of a data root."""
    folder = layout.comparison
    (folder / _RECORD).unlink(missing_ok=True)  # written last, so that half is never read
    for name, table in found.tables.items():
        write_table(folder / f"{name}.parquet", table)
    write_bytes(folder / "profiles.png", profiles_figure(found, "png"))
    write_bytes(layout.comparison_page, page_html(found).encode())
    record = {
        "made_from": found.made_from,
        "systems": found.systems,
        "tracks": found.tracks,
        "works": found.works,
        "notes": found.notes,
        "seconds": found.seconds,
    }
    write_json(folder / _RECORD, record)


def check_side_by_side(layout: Layout) -> Finding:
    """Check that the stored comparison is of the present embeddings."""
    record = read_json(layout.comparison / _RECORD)
    stale = [
        encoder
        for encoder, digest in record["made_from"].items()
        if _matrix_digest(layout.of(encoder)) != digest
    ]
    facts = {"encoders": ", ".join(record["made_from"]), "stale": stale, "tracks": record["tracks"]}
    return Finding(not stale, facts)


def _matrix_digest(layout: Layout) -> str | None:
    try:
        return str(load_matrix(layout)[2]["matrix_sha256"])
    except StoreError:  # the encoder has been removed
        return None


def page_html(found: SideBySide) -> str:
    """Return the page: one HTML file without scripts."""
    tables = found.tables
    compared = f"{found.tracks} tracks of {found.works} works"
    parts = [
        f"<h1>Encoders side by side</h1><p>{compared}, the same for all encoders; the same folds ",
        "by work and the same penalties. Intervals are 95 %, from a bootstrap over works.</p>",
        _list(found.notes),
        "<h2>What can be predicted from which encoder</h2>",
        "<p class='quiet'>R² out of fold, with the layer that inner folds chose. Bold: the "
        "highest. ▼: significantly below the highest (q at most 0.05). Grey: the interval "
        "contains 0.</p>",
        _scores(found, "r2"),
        "<h2>The same within works</h2>",
        "<p class='quiet'>R² of the differences between performances of one work.</p>",
        _scores(found, "r2_within"),
        "<h2>Layers</h2>",
        "<p class='quiet'>R² of every layer over relative depth: 0 is the input of the first "
        "block, 1 the last layer.</p>",
        image(
            profiles_figure(found, "svg"), "svg+xml", "R² by relative depth, one panel per target"
        ),
        "<h2>Significant differences</h2>",
        _differences(tables["differences"]),
        "<h2>Does a second encoder add anything?</h2>",
        "<p class='quiet'>Layers of both, combined with weights from inner folds, against the "
        "better one alone, combined in the same way. Only gains whose interval is above 0, not "
        "corrected for their number: one in forty is expected by chance.</p>",
        _fused(tables["fused"]),
        "<h2>Search by aspect</h2>",
        "<p class='quiet'>Faithfulness: how much nearer the hits are in the aspect's targets than "
        "random tracks (0) on the way to equal (1). The mode that the search uses.</p>",
        _by_encoder(tables["faithfulness"], "aspect", "faithfulness"),
        "<h2>Retrieval and listeners</h2>",
        "<p class='quiet'>On the queries that all encoders share.</p>",
        _retrieval(tables["retrieval"]),
        _plain(tables["retrieval_differences"]),
        "<h2>Costs of an hour of audio</h2>",
        _plain(tables["costs"]),
    ]
    return html_page("MESS: encoders side by side", parts)


def profiles_figure(found: SideBySide, kind: str = "png") -> bytes:
    """Return R² over relative depth, one panel per target, as "png" or "svg"."""
    from matplotlib.figure import Figure

    profiles = found.tables["profiles"]
    targets = list(dict.fromkeys(profiles["target"]))
    columns = min(4, len(targets))
    lines = -(-len(targets) // columns)
    figure = Figure(figsize=(3.2 * columns, 1.9 * lines + 0.6))
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, target in zip(grid, targets, strict=False):
        for system, colour, style in _looks(found):
            rows = profiles[(profiles["target"] == target) & (profiles["system"] == system)]
            flat = len(rows) == 1  # a baseline has no depth
            x, y = ([0, 1], [rows["r2"].iloc[0]] * 2) if flat else (rows["depth"], rows["r2"])
            axis.plot(x, np.clip(y, -0.5, 1), style, color=colour, label=system, linewidth=1.2)
        axis.axhline(0, color="black", linewidth=0.5)
        axis.set_title(target, fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in grid[len(targets) :]:
        axis.axis("off")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=4, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.55 / figure.get_size_inches()[1]))
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=110)
    return buffer.getvalue()


def _looks(found: SideBySide) -> Iterable[tuple[str, str, str]]:
    """Yield the systems with colour and line style; a control has its encoder's colour, dashed."""
    colour = {name: _COLOURS[at % 6] for at, name in enumerate(found.encoders)}
    for system in found.systems:
        own = system.removesuffix(" (untrained)")
        if system in colour:
            yield system, colour[system], "-"
        elif own in colour:
            yield system, colour[own], "--"
        else:
            yield system, "#777777", ":"


def _list(notes: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>" if notes else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{top}</tr>{body}</table></div>"


def _cell(value: float, low: float, high: float, *, mark: str = "", best: bool = False) -> str:
    if not np.isfinite(value):
        return "<td class='none'>-</td>"
    kind = "best" if best else "none" if not low > 0 else ""
    shade = f"background:rgba(68,119,170,{0.45 * max(0.0, min(value, 1.0)):.2f})" if low > 0 else ""
    interval = f"<small>{low:.2f} to {high:.2f}</small>" if np.isfinite(low) else ""
    return f"<td class='{kind}' style='{shade}'>{value:.2f}{mark}{interval}</td>"


def _scores(found: SideBySide, score: str) -> str:
    """Return a table of targets and systems, coloured by score."""
    scores = found.tables["scores"].set_index(["target", "system"])
    worse = _significantly_worse(found.tables["differences"]) if score == "r2" else set()
    rows = []
    for target in dict.fromkeys(scores.index.get_level_values(0)):
        part = scores.loc[target]
        best = part[score].idxmax() if part[score].notna().any() else None
        cells = [f"<th>{escape(target)}</th>", f"<td>{part['n'].iloc[0]}</td>"]
        for system in found.systems:
            one = part.loc[system]
            mark = " ▼" if (target, best, system) in worse else ""
            cells.append(
                _cell(one[score], one[f"{score}_low"], one[f"{score}_high"], mark=mark,
                      best=system == best and one[f"{score}_low"] > 0)
            )  # fmt: skip
        rows.append(cells)
    return _table(["target", "tracks", *found.systems], rows)


def _significantly_worse(differences: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Return (target, better, worse) of all significant differences."""
    return {
        (row["target"], *_ordered(row)[:2])
        for row in differences.to_dict("records")
        if row["significant"]
    }


def _ordered(row: dict[Any, Any]) -> tuple[str, str, float, float, float]:
    """Return the better and the worse one, and the gain with its interval."""
    if row["gain"] > 0:
        return row["first"], row["second"], row["gain"], row["gain_low"], row["gain_high"]
    return row["second"], row["first"], -row["gain"], -row["gain_high"], -row["gain_low"]


def _differences(table: pd.DataFrame) -> str:
    if table.empty or not table["significant"].any():
        return "<p>None.</p>"
    rows = []
    for row in table[table["significant"]].to_dict("records"):
        better, worse, gain, low, high = _ordered(row)
        texts = [row["target"], better, worse, f"{gain:+.2f}", f"{low:+.2f} to {high:+.2f}"]
        rows.append([f"<td>{escape(one)}</td>" for one in [*texts, f"{row['q']:.3f}"]])
    head = ["target", "better", "worse", "gain in R²", "95 % interval", "q"]
    return f"<details><summary>{len(rows)} of {len(table)}</summary>{_table(head, rows)}</details>"


def _fused(table: pd.DataFrame) -> str:
    gains = table[table["gain_low"] > 0] if len(table) else table
    if gains.empty:
        return f"<p>No gain in {len(table)} combinations of two encoders and a target.</p>"
    shown = gains.sort_values("gain", ascending=False)
    return f"<p>{len(gains)} of {len(table)} combinations:</p>" + _plain(shown)


def _by_encoder(table: pd.DataFrame, rows: str, score: str) -> str:
    """Return a table of one score with its interval, with a column per encoder."""
    if table.empty:
        return "<p>Not measured: none of the encoders has been probed.</p>"
    encoders = list(dict.fromkeys(table["encoder"]))
    known = table.set_index([rows, "encoder"])
    lines = []
    for name in dict.fromkeys(table[rows]):
        cells = [f"<th>{escape(name)}</th>"]
        for encoder in encoders:
            if (name, encoder) in known.index:
                one = known.loc[(name, encoder)]
                cells.append(_cell(one[score], one["low"], one["high"]))
            else:
                cells.append("<td class='none'>-</td>")
        lines.append(cells)
    return _table([rows, *encoders], lines)


def _retrieval(table: pd.DataFrame) -> str:
    """Return a table per criterion: systems in rows, encoders in columns."""
    if table.empty:
        return "<p>Not measured: fewer than two encoders have been evaluated.</p>"
    parts = []
    for (criterion, metric), part in table.groupby(["criterion", "metric"], sort=False):
        objective = "content" if criterion.startswith("content") else "expression"
        if metric != OWN_METRIC[objective]:
            continue
        shown = part.rename(columns={"mean": "score"})
        shown = shown.assign(encoder=shown["encoder"].replace(SHARED, "without an encoder"))
        size = f"{part['n'].max()} queries of {part['clusters'].max()} works"
        chance = f"chance {part['chance'].iloc[0]:.3f}"
        parts.append(f"<h3>{escape(criterion)} ({escape(metric)}, {size}, {chance})</h3>")
        parts.append(_by_encoder(shown, "system", "score"))
    return "\n".join(parts)


def _plain(table: pd.DataFrame) -> str:
    """Return a table as it is, with numbers rounded."""
    if table.empty:
        return ""
    rows = [[f"<td>{_text(one)}</td>" for one in row] for row in table.itertuples(index=False)]
    return _table(map(str, table.columns), rows)


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))
