"""Cursors: where a page ended, sealed for the client it was given to and for the question it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import msgspec

from gateway.errors import Invalid
from gateway.fhir.searching.ordering import place
from gateway.model import Item
from gateway.ports import Keys

_LONGEST: Final = 24  # characters of a text that is kept of a sort key
_WHY: Final = "use the next link as it was given, as the client it was given to"


class _Mark(msgspec.Struct, array_like=True):
    """The last item of a page and where it stood in the order."""

    id: str
    keys: list[int | str | None]


def cursor(last: Item, sort: Sequence[tuple[str, bool]], client: str, question: str, keys: Keys) -> str:
    """Seal where a page ended: the order knows the place also when the item is gone by then."""
    mark = _Mark(last.id, _keys(last, sort))
    sealed = keys.seal(client, msgspec.msgpack.encode(mark), _bound(question))
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def opened(text: str, client: str, question: str, keys: Keys) -> _Mark:
    """Open a cursor.

    Raises:
        Invalid: `invalid-parameter` for one of another client or question, or none at all.
    """
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(keys.unseal(client, sealed, _bound(question)), type=_Mark)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Invalid("invalid-parameter", name="_cursor", why=_WHY) from None


def position(items: Sequence[Item], mark: _Mark, sort: Sequence[tuple[str, bool]]) -> int:
    """Where the next page begins: after the item, or where it stood before it went away."""
    for at, item in enumerate(items):
        if item.id == mark.id and _keys(item, sort) == mark.keys:
            return at + 1
    for at, item in enumerate(items):
        if _is_after(_keys(item, sort), item.id, mark, sort):
            return at
    return len(items)


def _keys(item: Item, sort: Sequence[tuple[str, bool]]) -> list[int | str | None]:
    return [_short(key) for key in place(item, sort, item.type)]


def _is_after(keys: list[int | str | None], item: str, mark: _Mark, sort: Sequence[tuple[str, bool]]) -> bool:
    descending = [one for _, one in sort] or [True]
    for own, kept, down in zip(keys, mark.keys, descending, strict=False):
        if own == kept:
            continue
        if own is None or kept is None:
            return own is None
        return bool(own < kept) if down else bool(own > kept)  # type: ignore[operator]
    return item > mark.id


def _short(key: Any) -> int | str | None:  # noqa: ANN401 - the key of any kind of parameter
    if key is None:
        return None
    if isinstance(key, int):
        return key // 1000 if abs(key) < 10**21 else (10**18 if key > 0 else -(10**18))
    if isinstance(key, Fraction):
        return max(-(10**18), min(10**18, int(key * 1_000_000)))
    text: str = key[0] if isinstance(key, tuple) else key
    return text[:_LONGEST]


def _bound(question: str) -> bytes:
    return b"cursor|" + hashlib.blake2b(question.encode(), digest_size=16).digest()
