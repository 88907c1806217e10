"""Reports as HTML pages without scripts, readable from a file and served by `mess listen`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

__all__ = ["html_page", "image", "markdown_html"]

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2430; margin: 1.2rem auto; padding: 0 1rem;
  max-width: 90rem; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; }
th, td { border: 1px solid #d4d9e0; padding: .2rem .5rem; text-align: right; }
th { background: #f4f5f7; font-weight: 600; } th:first-child { text-align: left; }
td small { display: block; color: #45505e; font-size: .75rem; white-space: nowrap; }
.scroll { overflow-x: auto; } .quiet { color: #55606e; } img { max-width: 100%; }
.best { font-weight: 700; } .none { color: #6b7480; } .names td:first-child { text-align: left; }
"""


def html_page(title: str, parts: Sequence[str], *, kind: str = "") -> str:
    """Return a page.

    Parameters
    ----------
    title : str
    parts : sequence of str
        HTML of the body.
    kind : str
        Class of the body.
    """
    return "\n".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body class='{kind}'>",
            *parts,
            "</body></html>",
        ]
    )


def image(content: bytes, kind: str, alt: str) -> str:
    """Return an image that is part of the page; `kind` is "png" or "svg+xml"."""
    coded = base64.b64encode(content).decode()
    return f"<img alt='{escape(alt)}' src='data:image/{kind};base64,{coded}'>"


def markdown_html(text: str) -> str:
    """Return Markdown with tables as HTML; HTML in it is shown as text."""
    from markdown_it import MarkdownIt

    found: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return found.replace("<table>", "<div class='scroll'><table>").replace(
        "</table>", "</table></div>"
    )
