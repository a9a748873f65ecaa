"""Is this JSON value a well-formed FHIR primitive?"""

from __future__ import annotations

import math
import re
from calendar import monthrange
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any, Final

from profiles.definitions import Primitive, definitions
from profiles.narrative import problems
from profiles.walk import Path, Walk

Check = Callable[[Any, Path, Walk], None]
_DAY: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])-([0-9]{2})")
_BLANK: Final = re.compile(r"[ \t\r\n]+")


@cache
def primitive_check(name: str) -> Check:
    """Give the check of one primitive type."""
    primitive = definitions().primitives[name]
    if name == "xhtml":
        return _xhtml
    if primitive.json == "boolean":
        return _boolean
    if primitive.json == "integer":
        return _integer(primitive)
    if primitive.json == "decimal":
        return _decimal
    if name in ("date", "dateTime", "instant"):
        return _calendar(_text(primitive))
    return _base64(_text(primitive)) if name == "base64Binary" else _text(primitive)


def _boolean(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
    if value is not True and value is not False:
        walk.add("primitive-type", at, "true or false")


def is_whole(value: Any) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that a number was written without fraction and exponent."""
    return type(value) is int or (type(value) is Decimal and value.is_finite() and value.as_tuple().exponent == 0)


def _integer(primitive: Primitive) -> Check:
    least, most = primitive.least, primitive.most
    assert least is not None
    assert most is not None

    def check(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        if not is_whole(value):
            walk.add("primitive-type", at, primitive.name)
        elif not least <= value <= most:
            walk.add("range", at, f"{least} - {most}")

    return check


def _decimal(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
    kind = type(value)
    if kind is Decimal or kind is int:
        finite = kind is int or value.is_finite()
    else:
        finite = kind is float and math.isfinite(value)
    if not finite:
        walk.add("primitive-type", at, "decimal")


def _text(primitive: Primitive) -> Check:
    # ASCII classes: the fast tier knows other Unicode blanks, and what it accepts must be accepted here.
    matches = re.compile(primitive.pattern or r"(?s:.+)", re.ASCII).fullmatch
    longest = primitive.longest or 2**31
    name = primitive.name

    def check(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        if type(value) is not str:
            walk.add("primitive-type", at, f"{name} (JSON string)")
        elif not value:
            walk.add("ele-1", at)
        elif len(value) > longest:
            walk.add("too-long", at, str(longest))
        elif not value.isascii() and not _is_unicode(value):
            walk.add("not-unicode", at)
        elif not matches(value):
            walk.add("primitive-format", at, name)

    return check


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _calendar(form: Check) -> Check:
    def check(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        before = len(walk.issues)
        form(value, at, walk)
        if len(walk.issues) == before and type(value) is str and (day := _DAY.match(value)):
            year, month, number = map(int, day.groups())
            if number > monthrange(year, month)[1]:
                walk.add("calendar", at)

    return check


def _base64(form: Check) -> Check:
    def check(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
        form(_BLANK.sub("", value) if type(value) is str else value, at, walk)

    return check


def _xhtml(value: Any, at: Path, walk: Walk) -> None:  # noqa: ANN401 - JSON is any value
    if type(value) is not str or not value:
        walk.add("narrative-form", at)
        return
    for rule in problems(value):
        walk.add(rule, at)
