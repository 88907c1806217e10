"""The `mess` commands that need Dagster: `mess demo` and `mess run`."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from mess_core.cli.terminal import data_option

STOPPED = "stopped; finished tracks are stored, run the same command again to resume"


@click.command()
@data_option
@click.option("--report/--no-report", default=True, help="Whether to validate the targets, too.")
def demo(data: str, report: bool) -> None:
    """Synthesise the demo corpus and materialise every asset on it (a minute or two)."""
    from mess_core.datasets.demo import write_demo_corpus

    corpus = Path(data) / "datasets" / "demo"
    count = write_demo_corpus(corpus)
    click.echo(f"demo corpus: {count} performances in {corpus}")
    _refresh(data, "", (), None, report=report)


@click.command()
@data_option
@click.option("--datasets", default=None, help="name=path pairs; default: MESS_DATASETS.")
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    help="Encoder name or folder; default: MESS_ENCODER. Repeatable: all share the decoding, and "
    "none replaces what another has computed.",
)
@click.option("--batch", type=click.IntRange(1), default=None, help="Tracks per Dagster run.")
def run(data: str, datasets: str | None, encoders: tuple[str, ...], batch: int | None) -> None:
    """Bring every asset up to date: scan, embed, describe, probe, index."""
    _refresh(data, datasets, encoders, batch)


def resources(data: str, datasets: str | None, encoder: str | None) -> tuple[Any, Any]:
    """Return the store and encoder resources; the environment sets options that are not given."""
    from mess_assets.defs.resources import EncoderResource, StoreResource

    store = StoreResource(data_root=data, **({} if datasets is None else {"datasets": datasets}))
    return store, EncoderResource(**({} if encoder is None else {"name": encoder}))


def open_instance() -> Any:
    """Return the Dagster instance of ``DAGSTER_HOME`` (default: ``.dagster`` in this folder)."""
    import dagster as dg

    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path(".dagster").resolve())))
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    return dg.DagsterInstance.get()


def _refresh(
    data: str,
    datasets: str | None,
    encoders: tuple[str, ...],
    batch: int | None,
    *,
    report: bool = False,
) -> None:
    import time

    from mess_assets.refresh import any_embedding, refresh
    from mess_core.store.lock import writing
    from mess_core.store.track_table import scan_summary

    store, chosen = resources(data, datasets, encoders[0] if encoders else None)
    also = [chosen.named(name) for name in dict.fromkeys(encoders) if name != chosen.name]
    began = time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"{time.perf_counter() - began:7.1f} s  {line}")

    try:
        with writing(store.layout, say), open_instance() as instance:
            done = refresh(
                instance,
                store=store,
                encoder=chosen,
                also=also,
                say=say,
                batch=batch,
                report=report,
                terminal=sys.stderr.isatty(),
            )
    except KeyboardInterrupt:
        raise click.ClickException(STOPPED) from None
    say(outcome(store.layout, done))
    for line in scan_summary(store.layout):
        click.secho(line, fg="yellow", err=True)
    if any_embedding(chosen.layout(store)):
        _print_next_steps(data, chosen.folder())
    if not done.success:
        raise SystemExit(1)


def _mlflow(root: Path) -> str:
    from mess_core.tracking import default_tracking_uri, without_password

    uri = default_tracking_uri(root)
    if uri == "off":
        return "off (MLFLOW_TRACKING_URI)"
    if uri.startswith(("http://", "https://", "databricks")):
        return without_password(uri)
    return f"mlflow ui --backend-store-uri {without_password(uri)}"


def outcome(layout: Any, done: Any) -> str:
    """Return how a refresh ended, and where to read on."""
    from mess_core.store.failures import failures_table

    if done.success:
        return "done"
    failed = failures_table(layout)["track_id"].nunique()
    if failed:
        return f"finished; {failed} tracks failed: mess tracks --failed"
    lacking = [name for name, _, good in done.runs if not good]
    if lacking:
        return f"finished, except: {', '.join(lacking)}; the reason is given above"
    return "finished, but a data set could not be read"


def _print_next_steps(data: str, encoder: str) -> None:
    from mess_core.encoders.chosen import choose_encoder
    from mess_core.errors import MessError
    from mess_core.search import Library
    from mess_core.search.suggestions import suggested_queries

    try:
        library = Library.open(data, encoder=encoder)
    except MessError as error:
        raise click.ClickException(str(error)) from error
    heatmap = Path(data) / "probing" / encoder / "heatmap.png"
    suggestions = suggested_queries(library)
    usual = choose_encoder(library.layout.of(None)).encoder == encoder
    option = "" if usual else f" --encoder {encoder}"
    width = max(len(one.command) for one in suggestions)
    queries = "\n             ".join(
        f"{one.command:{width}}{option}  # {one.reason}" for one in suggestions
    )
    available = sum(one.available for one in library.aspects.values())
    click.echo(
        f"""
aspects      {available} of {len(library.aspects)} available: mess aspects{option}
heatmap      {heatmap.resolve()}
ranked list  {queries}
passages     mess passages {suggestions[0].track} --start 5{option}
by ear       mess listen{option}
Dagster UI   dagster dev -h 127.0.0.1   then http://127.0.0.1:3000
MLflow UI    {_mlflow(Path(data).resolve())}"""
    )
    if library.encoder.startswith("untrained:"):
        click.echo(
            f"\nThe encoder is {library.encoder}, the untrained control: a trained encoder has to "
            "exceed its scores."
        )
