"""`mess probe`: find the layers that encode each target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mess_core.cli.terminal import data_option, encoder_option, json_option, note, show_table

if TYPE_CHECKING:
    from mess_core.probing.folds import Grouping

__all__ = ["probe"]


@click.command()
@click.option(
    "--group-by",
    type=click.Choice(["work", "performer", "track", "as first published"]),
    default="work",
    show_default=True,
    help="What folds keep on one side. All choices except work leak and print a warning.",
)
@click.option("--folds", default=5, show_default=True, help="Outer folds.")
@click.option(
    "--permutations",
    default=500,
    show_default=True,
    help="Permutations for the null; 0 skips p values.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@data_option
@encoder_option
@json_option
def probe(
    group_by: Grouping,
    folds: int,
    permutations: int,
    device: str,
    data: str,
    encoder: str | None,
    as_json: bool,
) -> None:
    """Find the layer that encodes each target best, from the stored embeddings and targets."""
    from mess_core.encoders.chosen import choose_encoder
    from mess_core.probing.pipeline import probe_store, probing_folder
    from mess_core.store import Layout
    from mess_core.store.lock import writing

    layout = choose_encoder(Layout(data), encoder, indexed=False)
    with writing(layout, note):
        found, made_from = probe_store(
            layout,
            folds=folds,
            group_by=group_by,
            permutations=permutations,
            device=device,
            progress=lambda line: click.echo(line, err=True),
        )
    columns = [
        "target", "layer", "chosen_r2", "chosen_r2_low", "chosen_r2_high", "chosen_r2_within",
        "weighted_r2", "untrained_r2", "untrained_gain", "untrained_gain_low",
        "untrained_gain_high", "descriptors_r2", "q", "n", "works", "evidence", "learned",
    ]  # fmt: skip
    for line in found.notes:
        note(line)
    show_table(found.summary[columns], f"layers by {group_by} ({made_from['encoder']})", 0, as_json)
    click.echo(f"{probing_folder(layout, group_by) / 'heatmap.html'}", err=True)
