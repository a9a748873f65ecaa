"""The pages of the guide as HTML: plain, without scripts, and nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from typing import Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}h1,h2{line-height:1.2}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid #767676}"
    "code,pre{font:14px/1.5 ui-monospace,monospace;background:#f2f2f2}pre{padding:1rem;overflow-x:auto}"
    "a{color:#0b4f9e}a:focus{outline:3px solid #0b4f9e}nav{margin-bottom:1.5rem}"
)
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NAV: Final = (("/", "start"), ("/docs", "API"), ("/errors", "errors"), ("/docs/examples.http", "examples"))


def page(title: str, parts: Iterable[str], language: str) -> str:
    """One whole page."""
    links = " · ".join(link(url, text) for url, text in _NAV)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><nav>{links}</nav><main><h1>{escape(title)}</h1>{''.join(parts)}</main></body></html>"
    )


def link(url: str, text: str) -> str:
    """A link; the text is escaped."""
    return f'<a href="{escape(url, quote=True)}">{escape(text)}</a>'


def code(text: str) -> str:
    """A name as it is typed."""
    return f"<code>{escape(text)}</code>"


def block(text: str) -> str:
    """Something to copy."""
    return f"<pre>{escape(text)}</pre>"


def paragraph(text: str) -> str:
    """One paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """The head of a part."""
    return f"<h2>{escape(text)}</h2>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are markup already."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
