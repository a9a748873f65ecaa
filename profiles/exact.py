"""JSON in and out without losing a digit: decimals stay decimals, duplicate keys and bad text are refused."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final

import msgspec

Json = dict[str, Any]

MAXIMUM_DEPTH: Final = 64
# Only tab, line feed and carriage return are text in FHIR; an escaped backslash before the letters is no escape.
_CONTROL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:u00(?:0[0-8bBcCeEfF]|1[0-9a-fA-F])|[bf])")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b'[]{}"'))
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class NotExact(ValueError):
    """The bytes are not one JSON object that can be kept exactly; the text never repeats content."""


def decode(raw: bytes) -> Json:
    """Read one JSON object; every number keeps its digits.

    Raises:
        NotExact: not UTF-8, a byte order mark, not JSON, not an object, a duplicate key,
            NaN or infinity, a control character, or deeper than `MAXIMUM_DEPTH` levels.

    Spec: FHIR R4 2.6.2 'JSON representation'; RFC 8259 section 4 (names SHOULD be unique) read as SHALL.
    """
    value = decode_any(raw)
    if not isinstance(value, dict):
        message = "expected a JSON object"
        raise NotExact(message)
    return value


def decode_any(raw: bytes) -> Any:  # noqa: ANN401 - JSON is any value
    """Read one JSON value under the same rules as `decode`.

    Raises:
        NotExact: see `decode`.
    """
    if raw[:3] == b"\xef\xbb\xbf":
        message = "byte order mark before the JSON text; send plain UTF-8"
        raise NotExact(message)
    try:
        value = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError) as error:  # 1e9999999999999999999 as well
        raise NotExact(_without_content(error)) from None
    except RecursionError:
        message = "nested too deeply"
        raise NotExact(message) from None
    # Without the two commonest escapes there is seldom a backslash left, and a quote is where a string begins or ends.
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    if b"\\" in bare and (b"\\u0" in bare or b"\\b" in bare or b"\\f" in bare) and _CONTROL.search(raw):
        message = "control character in a string"
        raise NotExact(message)
    if not _is_surely_shallow(bare) and _is_deep(value):
        message = f"nested deeper than {MAXIMUM_DEPTH} levels"
        raise NotExact(message)
    # A duplicate key would be dropped by the decoder. The same bytes after encoding again prove that nothing
    # was dropped (compact senders: the fast path); the same length does not, as 1e5 is written longer.
    if _encoder.encode(value) != raw:
        _refuse_duplicate_keys(raw)
    return value


def encode(value: Any) -> bytes:  # noqa: ANN401 - JSON is any value
    """Write JSON; a Decimal is written with the digits it was read with."""
    return _encoder.encode(value)


def _refuse_duplicate_keys(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            message = "duplicate key in a JSON object"
            raise NotExact(message)

    json.loads(raw, object_pairs_hook=unique, parse_float=str, parse_int=str)


def _is_surely_shallow(bare: bytes) -> bool:
    """Claim, from the brackets of a JSON text without escaped quotes, that it is not too deep; False means not known.

    INVARIANT: True only when no bracket stands in a string: each such bracket keeps a quote beside it.
    """
    left = bare.translate(None, _NO_BRACKET).replace(b'""', b"")
    if len(left) <= MAXIMUM_DEPTH:
        return True
    if b'"' in left:
        return False
    for _ in range(MAXIMUM_DEPTH):
        if not left:
            return True
        left = left.replace(b"{}", b"").replace(b"[]", b"")
    return not left


def _is_deep(value: Any) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim more than `MAXIMUM_DEPTH` levels; walks level by level, because this runs on every Bundle."""
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if node.__class__ is dict else node)
            if child.__class__ is dict or child.__class__ is list
        ]
        if not level:
            return False
    return True


def _without_content(error: Exception) -> str:
    """Keep the kind and byte position of a decode error, never the text around it."""
    position = re.search(r"byte (\d+)", str(error))
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if "truncated" in str(error):
        return "malformed JSON: it ends too early, or there is none"
    return "malformed JSON" + (f" at byte {position[1]}" if position else "")
