"""Protection against requests that other sites send through the visitor's browser."""

from __future__ import annotations

from fastapi import Request

from mess_core.errors import SearchError

__all__ = ["refuse_foreign"]


def refuse_foreign(request: Request, sent: str) -> None:
    """Refuse a request that a page of another site sends through the visitor's browser.

    Parameters
    ----------
    request : Request
    sent : str
        Name of the content sent, for the error message.

    Raises
    ------
    SearchError
        If the ``Origin`` header differs from this server. Requests without the header, which
        come from programs other than browsers, are accepted.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise SearchError(
            f"{sent} was sent from another site", remedy="Open the page of this server"
        )
