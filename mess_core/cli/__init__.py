"""Command-line interface `mess`: one file per group of commands, imported on first use.

Commands that need Dagster are defined in `mess_assets` and registered through the entry point
group ``mess.commands``.

Examples
--------
>>> from click.testing import CliRunner
>>> from mess_core.cli import cli
>>> result = CliRunner().invoke(cli, ["targets", "--json"])
>>> result.exit_code
0
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import sys
from typing import Any

import click

from mess_core.errors import MessError

__all__ = ["cli", "main"]

_COMMANDS = {
    "aspects": "mess_core.cli.search:aspects",
    "compare": "mess_core.cli.compare:compare",
    "corpus": "mess_core.cli.corpus:corpus",
    "doctor": "mess_core.cli.doctor:doctor",
    "encoders": "mess_core.cli.encoders:encoders",
    "evaluate": "mess_core.cli.evaluate:evaluate",
    "explain": "mess_core.cli.search:explain",
    "fetch": "mess_core.cli.publishing:fetch_library",
    "judgements": "mess_core.cli.judgements:judgements",
    "listen": "mess_core.cli.listen:listen",
    "passages": "mess_core.cli.search:passages",
    "probe": "mess_core.cli.probe:probe",
    "publish": "mess_core.cli.publishing:publish_library",
    "search": "mess_core.cli.search:search",
    "targets": "mess_core.cli.targets:list_targets",
    "transcribe": "mess_core.cli.transcribe:transcribe",
    "train-encoder": "mess_core.cli.train_encoder:train_encoder",
    "tracks": "mess_core.cli.tracks:tracks",
    "validate": "mess_core.cli.targets:validate",
    "works": "mess_core.cli.works:works",
}
"""Maps the name of each command to the module and function that define it."""

_RENAMED = {"examine": "validate"}
"""Maps earlier names of commands, which still work, to the current ones."""


class _Commands(click.Group):
    """Group of the commands of this package and of plug-ins; prints MESS errors on one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *_plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module, _, name = _COMMANDS.get(_RENAMED.get(cmd_name, cmd_name), "").partition(":")
        if name:
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        plugin = _plugins().get(cmd_name)
        return None if plugin is None else plugin.load()

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MessError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mess")
def cli() -> None:
    """Music similarity that hears how a piece is played.

    Start with `mess demo`, then try `mess tracks` and `mess search`. If something is missing,
    run `mess doctor`. The data root is --data or MESS_DATA_ROOT, by default ./data.
    """


def main() -> None:
    """Run the command line; entry point of the console script.

    Examples
    --------
    >>> import sys
    >>> from contextlib import suppress
    >>> from unittest.mock import patch
    >>> with patch.object(sys, "argv", ["mess", "fetch", "--help"]), suppress(SystemExit):
    ...     main()  # doctest: +ELLIPSIS
    Usage: mess fetch ...
    """
    # A terminal that cannot show a character shows another one instead.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    cli(prog_name="mess")


def _plugins() -> dict[str, Any]:
    return {point.name: point for point in importlib.metadata.entry_points(group="mess.commands")}
