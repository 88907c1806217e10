"""`mess judgements`: collect the answers of the listening test and report agreement."""

from __future__ import annotations

import json
from typing import Any

import click

from mess_core.cli.terminal import data_option, json_option

__all__ = ["judgements"]


@click.command()
@data_option
@json_option
def judgements(data: str, as_json: bool) -> None:
    """Collect the answers of all listeners in one table and report how well they agree.

    Listeners answer on the page listening-test.html of `mess listen`. Answers to earlier triplets
    stay in the table, but the report leaves them out.
    """
    from mess_core.judgements.agreement import agreement
    from mess_core.judgements.response_log import export_judgements, read_triplets
    from mess_core.store.layout import Layout

    layout = Layout(data)
    table = export_judgements(layout)
    current = table[table["triplets"] == read_triplets(layout).digest]
    found: dict[str, Any] = {
        "table": str(layout.judgements_table),
        "answers": len(current),
        "answers_to_other_triplets": len(table) - len(current),
        "unreadable_lines": table.attrs["bad_lines"],
        **agreement(current),
    }
    if as_json:
        click.echo(json.dumps(_plain(found), indent=1))
        return
    _print_report(found)


def _print_report(found: dict[str, Any]) -> None:
    click.echo(f"{found['answers']} answers from {len(found['listeners'])} listeners")
    for one in found["listeners"]:
        click.echo(
            f"  {one['listener']}  {one['answers']:4d} triplets, median {one['median_s']:.0f} s;"
            f" consistent on {_share(one['same'])} of {one['repeats']} repeats;"
            f" correct on {_share(one['attentive'])} of {one['checks']} attention checks:"
            f" {one['status']}"
        )
    parts = [("all listeners", found["all"])]
    if any(one["status"] != "passed" for one in found["listeners"]):
        parts.append(("listeners who passed the attention checks", found["passed"]))
    for name, part in parts:
        alpha, halves, others = part["alpha"], part["split_half"], part["leave_one_out"]
        click.echo(
            f"{name} ({alpha['listeners']} listeners,"
            f" {alpha['triplets']} triplets with two or more answers):\n"
            f"  Krippendorff's alpha {_number(alpha['value'])}"
            f" [{_number(alpha['low'])}, {_number(alpha['high'])}]\n"
            f"  two halves of the listeners agree on {_share(halves['value'])}"
            f" [{_share(halves['low'])}, {_share(halves['high'])}];"
            f" noise ceiling {_share(part['perfect'])}\n"
            f"  a listener agrees with the majority of the others on {_share(others['value'])}"
            f" [{_share(others['low'])}, {_share(others['high'])}]"
        )
    same = found["consistency"]
    click.echo(
        f"listeners agree with themselves on {_share(same['share'])}"
        f" [{_share(same['low'])}, {_share(same['high'])}] of {same['n']} repeats"
    )
    if found["answers_to_other_triplets"]:
        click.secho(
            f"{found['answers_to_other_triplets']} answers to earlier triplets are left out.",
            fg="yellow",
            err=True,
        )
    if found["unreadable_lines"]:
        click.secho(f"{found['unreadable_lines']} lines could not be read.", fg="yellow", err=True)
    click.echo(found["table"], err=True)


def _share(value: float) -> str:
    return "-" if value != value else f"{100 * value:.0f} %"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


def _plain(value: Any) -> Any:
    """Convert to plain JSON types; missing values become None."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and value != value else value
