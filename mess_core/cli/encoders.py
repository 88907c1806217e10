"""`mess encoders`: list the encoders, and remove what was computed with one."""

from __future__ import annotations

import click

from mess_core.cli.terminal import data_option, json_option, show_table

__all__ = ["encoders"]


@click.command()
@data_option
@click.option("--remove", metavar="ENCODER", help="Delete everything computed with this encoder.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
def encoders(data: str, remove: str | None, yes: bool, as_json: bool) -> None:
    """List the known encoders, and what is stored of each: tracks, size, probed, indexed.

    Every encoder has folders of its own in the data root, so that none replaces another. With
    --remove, the embeddings, probing results, indices, heads and scores of one are deleted;
    tracks, targets and judgements are shared and stay.
    """
    import pandas as pd

    from mess_core.encoders.chosen import move_old_store, named_settings
    from mess_core.encoders.loading import weights_location
    from mess_core.encoders.registry import find_encoder, main_names
    from mess_core.store.layout import Layout
    from mess_core.store.stored_encoders import encoders_table, remove_encoder

    layout = Layout(data)
    move_old_store(layout)
    if remove is not None:
        if not yes:
            click.confirm(f"Delete everything computed with {remove} in {layout.root}?", abort=True)
        size = remove_encoder(layout, remove)
        click.echo(f"removed {remove}: {size / 1e6:.1f} MB of embeddings and all that follows")
        return
    stored = encoders_table(layout)
    known = [find_encoder(name) for name in main_names()]
    rows = pd.DataFrame(
        {
            "encoder": [one.folder() for one in known],
            "name": [one.name for one in known],
            "weights": [weights_location(one) for one in known],
        }
    )
    table = rows.merge(stored, on="encoder", how="outer", sort=False)
    own = {one: named_settings(layout.of(one)) for one in stored["encoder"]}
    table["name"] = table["encoder"].map(own).fillna(table["name"])
    table["tracks"] = table["tracks"].fillna(0).astype(int)
    table["MB"] = (table.pop("bytes").fillna(0) / 1e6).round(1)
    for name in ("probed", "indexed", "evaluated"):
        table[name] = table[name].map({True: "yes"}).fillna("-")
    table = table.sort_values(["tracks", "encoder"], ascending=[False, True], kind="stable")
    show_table(table.drop(columns="identity"), f"encoders of {layout.root}", 0, as_json)
