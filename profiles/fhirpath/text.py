"""Functions on strings."""

from __future__ import annotations

import base64
import binascii
import html
import json

from profiles.exact import NotExact, decode_any
from profiles.fhirpath.equality import single
from profiles.fhirpath.errors import EvaluationError
from profiles.fhirpath.node import Items, Node, system
from profiles.fhirpath.regex import compiled
from profiles.fhirpath.registry import EMPTY, function, yes_or_no
from profiles.fhirpath.selecting import whole
from profiles.fhirpath.state import LONGEST_TEXT, State


def text(items: Items) -> str | None:
    """Read one string; a date of a resource is read as it is written. None for empty.

    Raises:
        EvaluationError: more items, or no string.
    """
    item = single(items)
    if type(item) is Node:
        item = item.value if type(item.value) is str else system(item)
    if item is None or type(item) is str:
        return item
    message = "a string is needed here"
    raise EvaluationError(message)


def bounded(value: str) -> Items:
    """Give a string as a collection.

    Raises:
        EvaluationError: it is longer than `LONGEST_TEXT`.
    """
    if len(value) > LONGEST_TEXT:
        message = "a string becomes too long"
        raise EvaluationError(message)
    return [value]


@function("indexOf", 1)
def index_of(items: Items, _: State, part: Items) -> Items:
    """N1 5.6.1."""
    value, wanted = text(items), text(part)
    return EMPTY if value is None or wanted is None else [value.find(wanted)]


@function("lastIndexOf", 1)
def last_index_of(items: Items, _: State, part: Items) -> Items:
    """FHIRPath 5.6 (after N1)."""
    value, wanted = text(items), text(part)
    return EMPTY if value is None or wanted is None else [value.rfind(wanted)]


@function("substring", 1, 2)
def substring(items: Items, _: State, start: Items, length: Items = EMPTY) -> Items:
    """N1 5.6.2: a start beyond the string gives nothing; an empty length reads to the end."""
    value, first, count = text(items), whole(start), whole(length)
    if value is None or first is None or not 0 <= first < len(value):
        return EMPTY
    return [value[first:] if count is None else value[first : first + max(count, 0)]]


@function("startsWith", 1)
def starts_with(items: Items, _: State, prefix: Items) -> Items:
    """N1 5.6.3."""
    value, wanted = text(items), text(prefix)
    return EMPTY if value is None or wanted is None else yes_or_no(value.startswith(wanted))


@function("endsWith", 1)
def ends_with(items: Items, _: State, suffix: Items) -> Items:
    """N1 5.6.4."""
    value, wanted = text(items), text(suffix)
    return EMPTY if value is None or wanted is None else yes_or_no(value.endswith(wanted))


@function("contains", 1)
def contains(items: Items, _: State, part: Items) -> Items:
    """N1 5.6.5."""
    value, wanted = text(items), text(part)
    return EMPTY if value is None or wanted is None else yes_or_no(wanted in value)


@function("upper")
def upper(items: Items, _: State) -> Items:
    """N1 5.6.6."""
    value = text(items)
    return EMPTY if value is None else [value.upper()]


@function("lower")
def lower(items: Items, _: State) -> Items:
    """N1 5.6.7."""
    value = text(items)
    return EMPTY if value is None else [value.lower()]


@function("replace", 2)
def replace(items: Items, _: State, pattern: Items, substitution: Items) -> Items:
    """N1 5.6.8: an empty pattern stands between all characters."""
    value, old, new = text(items), text(pattern), text(substitution)
    if value is None or old is None or new is None:
        return EMPTY
    places = len(value) + 1 if not old else value.count(old)
    if places * len(new) > LONGEST_TEXT:
        message = "a string becomes too long"
        raise EvaluationError(message)
    return [value.replace(old, new)]


@function("matches", 1)
def matches(items: Items, x: State, pattern: Items) -> Items:
    """N1 5.6.9: a match anywhere in the string; the dot matches any character."""
    value, expression = text(items), text(pattern)
    if value is None or expression is None:
        return EMPTY
    return yes_or_no(compiled(expression).found_in(value, x))


@function("matchesFull", 1)
def matches_full(items: Items, x: State, pattern: Items) -> Items:
    """FHIRPath 5.6 (after N1): the whole string matches."""
    value, expression = text(items), text(pattern)
    if value is None or expression is None:
        return EMPTY
    return yes_or_no(compiled(expression).found_in(value, x, whole=True))


@function("replaceMatches", 2)
def replace_matches(items: Items, x: State, pattern: Items, substitution: Items) -> Items:
    """N1 5.6.10."""
    value, expression, new = text(items), text(pattern), text(substitution)
    if value is None or expression is None or new is None:
        return EMPTY
    return bounded(compiled(expression).replaced(value, new, x) if expression else value)


@function("length")
def length(items: Items, _: State) -> Items:
    """N1 5.6.11."""
    value = text(items)
    return EMPTY if value is None else [len(value)]


@function("toChars")
def to_chars(items: Items, x: State) -> Items:
    """N1 5.6.12."""
    value = text(items)
    x.spend(len(value or ""))
    return EMPTY if value is None else list(value)


@function("trim")
def trim(items: Items, _: State) -> Items:
    """FHIRPath 5.6 (after N1)."""
    value = text(items)
    return EMPTY if value is None else [value.strip()]


@function("split", 1)
def split(items: Items, x: State, separator: Items) -> Items:
    """FHIRPath 5.6 (after N1)."""
    value, between = text(items), text(separator)
    if value is None or between is None:
        return EMPTY
    x.spend(len(value))
    return value.split(between) if between else list(value)


@function("join", 0, 1)
def join(items: Items, _: State, separator: Items = EMPTY) -> Items:
    """FHIRPath 5.6 (after N1)."""
    between = text(separator) or ""
    parts = [text([item]) or "" for item in items]
    if sum(map(len, parts)) + len(between) * len(parts) > LONGEST_TEXT:
        message = "a string becomes too long"
        raise EvaluationError(message)
    return [between.join(parts)] if parts else EMPTY


@function("encode", 1)
def encode(items: Items, _: State, form: Items) -> Items:
    """FHIRPath 5.6 (after N1): hex, base64, urlbase64."""
    value, name = text(items), text(form)
    if value is None or name is None:
        return EMPTY
    raw = value.encode("utf-8", "replace")
    if name == "hex":
        return bounded(raw.hex())
    if name in ("base64", "urlbase64"):
        return bounded((base64.urlsafe_b64encode if name == "urlbase64" else base64.b64encode)(raw).decode())
    return EMPTY


@function("decode", 1)
def decode(items: Items, _: State, form: Items) -> Items:
    """FHIRPath 5.6 (after N1); what is not in the form gives nothing."""
    value, name = text(items), text(form)
    if value is None or name is None:
        return EMPTY
    try:
        if name == "hex":
            return [bytes.fromhex(value).decode()]
        if name in ("base64", "urlbase64"):
            raw = value.encode("ascii")
            return [base64.b64decode(raw, b"-_" if name == "urlbase64" else None, validate=True).decode()]
    except (ValueError, binascii.Error):
        return EMPTY
    return EMPTY


@function("escape", 1)
def escape(items: Items, _: State, form: Items) -> Items:
    """FHIRPath 5.6 (after N1): html, json."""
    value, name = text(items), text(form)
    if value is None or name not in ("html", "json"):
        return EMPTY
    return bounded(html.escape(value) if name == "html" else json.dumps(value, ensure_ascii=False)[1:-1])


@function("unescape", 1)
def unescape(items: Items, _: State, form: Items) -> Items:
    """FHIRPath 5.6 (after N1)."""
    value, name = text(items), text(form)
    if value is None or name not in ("html", "json"):
        return EMPTY
    if name == "html":
        return [html.unescape(value)]
    try:
        found = decode_any(f'"{value}"'.encode("utf-8", "replace"))
    except NotExact:
        return EMPTY
    return [found] if type(found) is str else EMPTY
