"""What of a search a source may be asked to leave out: never anything the search itself would find."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.fhir.searching import moments
from gateway.fhir.searching.table import parameters
from gateway.fhir.searching.understanding import Search

Filter = tuple[str, str, str]  # type, parameter, value

_DATED: Final = re.compile(r"(eq|gt|lt|ge|le|sa|eb)?([0-9].*)", re.DOTALL)
_FROM: Final = frozenset({"", "eq", "ge", "gt", "sa"})
_UNTIL: Final = frozenset({"", "eq", "le", "lt", "eb"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Wider than any time zone: a source may read a day that has none in its own.
_ROOM: Final = timedelta(days=2)


def filters(asked: Search, given: Sequence[tuple[str, str]]) -> tuple[Filter, ...]:
    """The filters a source may apply, written anew: dates, as whole days and wider than they were asked.

    Nothing when a search goes over other items or brings them: those must not be left out. Codes are never sent: what a
    source calls a code is known after translation only.

    INVARIANT: what the search finds in all items, it finds in those that meet these.
    """
    goes_over = asked.types or asked.includes or any("." in name or name.startswith("_has:") for name, _ in given)
    if goes_over or not asked.type:
        return ()
    known = parameters(asked.type)
    dated = (pair for pair in given if pair[0] in known and known[pair[0]].kind == "date")
    return tuple((asked.type, name, bound) for name, value in dated for bound in _bounds(value))


def _bounds(value: str) -> Iterator[str]:
    found = _DATED.fullmatch(value)  # one value: of several each alternative would need its own
    span = moments.span(found[2]) if found else None
    if found is None or span is None:
        return
    prefix = found[1] or ""
    try:
        if prefix in _FROM:
            yield f"ge{_day(span.low, -_ROOM)}"
        if prefix in _UNTIL:
            yield f"le{_day(span.high, _ROOM)}"
    except OverflowError:  # at the ends of the calendar there is nothing to leave out
        return


def _day(nanoseconds: int, room: timedelta) -> str:
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000) + room).date().isoformat()
