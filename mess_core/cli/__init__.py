"""The `mess` command: one file per group of commands, loaded when a command is used.

Commands that need Dagster live in `mess_assets`; they plug in through the entry point group
``mess.commands``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import click

from mess_core.errors import MessError

__all__ = ["cli", "main"]

_COMMANDS = {
    "aspects": "mess_core.cli.search:aspects",
    "doctor": "mess_core.cli.doctor:doctor",
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
    "tracks": "mess_core.cli.tracks:tracks",
    "validate": "mess_core.cli.targets:validate",
}
"""Name of a command to the module and function that define it."""

_RENAMED = {"examine": "validate"}


class _Commands(click.Group):
    """Commands of this package and of installed plug-ins; MESS errors become one line."""

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

    Start with `mess demo`; then `mess tracks`, `mess search`, and `mess doctor` when
    something is missing. The data root is --data or MESS_DATA_ROOT, by default ./data.
    """


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="mess")


def _plugins() -> dict[str, Any]:
    return {point.name: point for point in importlib.metadata.entry_points(group="mess.commands")}
