"""`mess judgements`."""

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
    """Gather what listeners answered into one table, and say how far they agree.

    Answers are given on listening-test.html of `mess listen`. Answers to triplets that have been
    replaced since stay in the table but do not count here.
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
    _tell(found)


def _tell(found: dict[str, Any]) -> None:
    click.echo(f"{found['answers']} answers of {len(found['listeners'])} listeners")
    for one in found["listeners"]:
        click.echo(
            f"  {one['listener']}  {one['answers']:4d} triplets, median {one['median_s']:.0f} s;"
            f" same again {_share(one['same'])} of {one['repeats']};"
            f" attention {_share(one['attentive'])} of {one['checks']}: {one['status']}"
        )
    parts = [("all listeners", found["all"])]
    if any(one["status"] != "passed" for one in found["listeners"]):
        parts.append(("who passed attention checks", found["passed"]))
    for name, part in parts:
        alpha, halves, others = part["alpha"], part["split_half"], part["leave_one_out"]
        click.echo(
            f"{name} ({alpha['listeners']} listeners,"
            f" {alpha['triplets']} triplets of two or more):\n"
            f"  Krippendorff's alpha {_number(alpha['value'])}"
            f" [{_number(alpha['low'])}, {_number(alpha['high'])}]\n"
            f"  halves of the listeners agree {_share(halves['value'])}"
            f" [{_share(halves['low'])}, {_share(halves['high'])}];"
            f" a perfect measure would agree with one of them {_share(part['perfect'])}\n"
            f"  a listener agrees with the others {_share(others['value'])}"
            f" [{_share(others['low'])}, {_share(others['high'])}]"
        )
    same = found["consistency"]
    click.echo(
        f"listeners with themselves: {_share(same['share'])}"
        f" [{_share(same['low'])}, {_share(same['high'])}] of {same['n']} repeats"
    )
    if found["answers_to_other_triplets"]:
        click.secho(
            f"{found['answers_to_other_triplets']} answers to other triplets are left out.",
            fg="yellow",
            err=True,
        )
    if found["unreadable_lines"]:
        click.secho(f"{found['unreadable_lines']} lines were not readable.", fg="yellow", err=True)
    click.echo(found["table"], err=True)


def _share(value: float) -> str:
    return "-" if value != value else f"{100 * value:.0f} %"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


def _plain(value: Any) -> Any:
    """As JSON has it: missing values are null."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and value != value else value
