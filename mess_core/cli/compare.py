"""`mess compare`: encoders side by side, on the same tracks."""

from __future__ import annotations

import time

import click

from mess_core.cli.terminal import data_option, json_option, note, show_table

__all__ = ["compare"]


@click.command()
@data_option
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    help="Encoder to compare, as `mess encoders` lists it. Repeatable; default: all stored.",
)
@click.option("--folds", default=5, show_default=True, help="Outer folds.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--within", is_flag=True, help="Print R² within works instead of R².")
@json_option
def compare(
    data: str, encoders: tuple[str, ...], folds: int, device: str, within: bool, as_json: bool
) -> None:
    """Compare the stored encoders: what can be predicted from each, and what each costs.

    All are probed on the tracks that all of them have, with the same folds and penalties, beside
    their untrained counterparts and means of MFCC and chroma. Works that an encoder was trained on
    are left out. Tables and a page are written to comparison/ in the data root.
    """
    from mess_core.encoders.chosen import choose_encoder
    from mess_core.evaluation.side_by_side import compare_stored_encoders
    from mess_core.evaluation.side_by_side_report import save_side_by_side
    from mess_core.probing.layer_probing import ProbingSettings
    from mess_core.store.layout import Layout
    from mess_core.store.lock import writing

    layout, began = Layout(data), time.perf_counter()
    chosen = [str(choose_encoder(layout, one, indexed=False).encoder) for one in encoders]
    settings = ProbingSettings(folds=folds, device=device, permutations=0)

    def say(line: str) -> None:
        click.echo(f"{time.perf_counter() - began:6.0f} s  {line}", err=True)

    with writing(layout, say):
        found = compare_stored_encoders(layout, chosen, settings=settings, say=say)
        save_side_by_side(layout, found)
    for line in found.notes:
        note(line)
    table = found.pivot("r2_within" if within else "r2")
    title = f"{'R² within works' if within else 'R²'}, {found.tracks} tracks of {found.works} works"
    show_table(table.reset_index(), title, 0, as_json)
    if not as_json:
        show_table(found.tables["costs"], "costs of an hour of audio", 0, as_json)
    differences = found.tables["differences"]
    click.echo(
        f"{int(differences['significant'].sum())} of {len(differences)} differences are "
        f"significant: {layout.comparison_page}",
        err=True,
    )
