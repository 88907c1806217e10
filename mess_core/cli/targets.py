"""`mess targets` and `mess validate`: list the targets and validate them."""

from __future__ import annotations

import click

from mess_core.cli.terminal import data_option, json_option, show_table

__all__ = ["list_targets", "validate"]


@click.command("targets")
@json_option
def list_targets(as_json: bool) -> None:
    """List all targets and curves with their units and definitions."""
    import pandas as pd

    from mess_core.targets import targets
    from mess_core.targets.registry import curves

    rows = [
        [one.name, "extra" if one.extra else one.dimension, one.source, one.unit, one.description]
        for one in targets(extra=True)
    ]
    rows += [[one.name, "curve", one.source, one.unit, one.description] for one in curves()]
    columns = ["name", "dimension", "source", "unit", "definition"]
    show_table(pd.DataFrame(rows, columns=columns), "targets and curves", 0, as_json)


@click.command()
@click.option("--asap", type=click.Path(exists=True), help="Folder of the ASAP data set.")
@click.option(
    "--percepiano", type=click.Path(exists=True), help="Folder of the PercePiano data set."
)
@click.option(
    "--library/--no-library", default=True, help="Whether to plot the targets of the data root."
)
@click.option(
    "--sweeps/--no-sweeps",
    default=True,
    help="Whether to measure synthetic clips with known ground truth.",
)
@click.option("--out", default=None, help="Folder to write to; default: DATA/reports/targets.")
@data_option
def validate(
    asap: str | None,
    percepiano: str | None,
    library: bool,
    sweeps: bool,
    out: str | None,
    data: str,
) -> None:
    """Validate the targets and the alignment; write a Markdown report with figures.

    The ground truth is synthetic clips, human-checked beats (--asap) and human ratings
    (--percepiano). This takes a few minutes.
    """
    from upath import UPath

    from mess_core.store import Layout
    from mess_core.validation.report import validate_targets

    layout = Layout(data)
    folder = layout.targets_report if out is None else UPath(out)
    report = validate_targets(
        asap=asap,
        percepiano=percepiano,
        library=data if library and layout.proxy_targets.exists() else None,
        sweeps=sweeps,
        say=lambda line: click.echo(line, err=True),
    )
    report.write(folder)
    click.echo(f"{folder / 'report.md'}")
