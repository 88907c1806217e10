"""What is sent to this server by a page of its own, and what is not."""

from __future__ import annotations

from fastapi import Request

from mess_core.errors import SearchError

__all__ = ["refuse_foreign"]


def refuse_foreign(request: Request, sent: str) -> None:
    """Refuse what another site's page sends through the visitor's browser.

    Parameters
    ----------
    request : Request
    sent : str
        What is sent, for the message.

    Raises
    ------
    SearchError
        If the request names an origin other than this server. Programs name none.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise SearchError(f"{sent} was sent from another page", remedy="Open this page itself")
