"""`mess publish` and `mess fetch`: copy a library as a new version."""

from __future__ import annotations

import click

from mess_core.cli.terminal import data_option

__all__ = ["fetch_library", "publish_library"]


@click.command("publish")
@click.argument("destination")
@data_option
@click.option(
    "--encoder", default=None, help="Only this encoder; default: all that can be searched."
)
def publish_library(destination: str, data: str, encoder: str | None) -> None:
    """Copy the files that search needs, without audio, to DESTINATION as a new version.

    DESTINATION is a folder or s3://... Search it with `mess search --data DESTINATION` or
    `mess listen --data DESTINATION`.
    """
    from mess_core.search.publishing import publish

    manifest = publish(
        data, destination, encoder=encoder, say=lambda line: click.echo(line, err=True)
    )
    click.echo(f"{destination} serves version {manifest['version']}: {manifest['tracks']} tracks")


@click.command("fetch")
@click.argument("source")
@click.argument("destination")
def fetch_library(source: str, destination: str) -> None:
    """Copy the library published at SOURCE to DESTINATION as a new version and verify it."""
    from mess_core.search.publishing import fetch

    manifest = fetch(source, destination, say=lambda line: click.echo(line, err=True))
    click.echo(f"{destination} serves version {manifest['version']}: {manifest['tracks']} tracks")
