"""`mess publish` and `mess fetch`."""

from __future__ import annotations

import click

from mess_core.cli.terminal import data_option

__all__ = ["fetch_library", "publish_library"]


@click.command("publish")
@click.argument("place")
@data_option
def publish_library(place: str, data: str) -> None:
    """Copy what searching needs, without audio, to PLACE (a folder or s3://...) as a new version.

    `mess search --data PLACE` and `mess listen --data PLACE` then serve it.
    """
    from mess_core.search.publishing import publish

    manifest = publish(data, place, say=lambda line: click.echo(line, err=True))
    click.echo(f"{place} serves version {manifest['version']}: {manifest['tracks']} tracks")


@click.command("fetch")
@click.argument("source")
@click.argument("place")
def fetch_library(source: str, place: str) -> None:
    """Copy the library published at SOURCE to PLACE, verified, as a new version."""
    from mess_core.search.publishing import fetch

    manifest = fetch(source, place, say=lambda line: click.echo(line, err=True))
    click.echo(f"{place} serves version {manifest['version']}: {manifest['tracks']} tracks")
