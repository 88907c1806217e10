"""`mess listen`: serve the pages for searching by ear and for the listening test."""

from __future__ import annotations

import click

from mess_core.cli.terminal import data_option, encoder_option

__all__ = ["listen"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, help="Port; 0 for any free one.")
@data_option
@encoder_option
@click.option(
    "--open/--no-open", "show", default=False, help="Whether to open the page in the browser."
)
def listen(host: str, port: int, data: str, encoder: str | None, show: bool) -> None:
    """Serve the pages for searching by ear and for the listening test.

    Only this machine can open them unless --host is given.
    """
    import socket

    import uvicorn

    from mess_core.listen.app import create_app

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port} ({error.strerror}). Choose another --port."
        ) from error
    bound.listen()  # early requests wait until the server has started
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{bound.getsockname()[1]}"
    own = host in {"127.0.0.1", "localhost", "::1"}
    if not own:
        click.secho(
            "Anyone who can reach this address can listen to the library.", fg="yellow", err=True
        )
    app = create_app(data, encoder=encoder, hosts=() if own else ("*",))
    click.echo(f"MESS on {address}   (Ctrl+C stops it)")
    if show:
        click.launch(address)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[bound])
