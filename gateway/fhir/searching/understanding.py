"""The parameters of a search, understood: what items must satisfy, in what order, in what parts, and what comes along."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from gateway.errors import Invalid
from gateway.fhir.searching import aliases, including, subsets
from gateway.fhir.searching.criteria import Reach, Test, Unknown, compiled, printable
from gateway.fhir.searching.including import Include
from gateway.fhir.searching.ordering import SORTABLE
from gateway.fhir.searching.records import Records
from gateway.fhir.searching.table import INCLUDES, REVINCLUDES, parameters
from gateway.model import Item, Json

DEFAULT_COUNT: Final = 50
MAXIMUM_COUNT: Final = 500
RESULT: Final = frozenset(
    {
        "_count",
        "_sort",
        "_format",
        "_pretty",
        "_cursor",
        "_total",
        "_summary",
        "_elements",
        "_contained",
        "_containedType",
        "_type",
    }
)
_LINKED: Final = frozenset({"_count", "_sort", "_total", "_summary", "_elements", "_type"})
_TOTALS: Final = frozenset({"none", "estimate", "accurate"})
_MOST_KEYS: Final = 3  # of a sort: a cursor stays short
_BRINGS: Final = {"_include": INCLUDES, "_revinclude": REVINCLUDES}  # what is known of those is their value
_EARLY: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Search:
    """A search, understood. The same question is the same value."""

    type: str
    tests: tuple[Test, ...] = ()
    count: int | None = None
    sort: tuple[tuple[str, bool], ...] = ()  # parameter name, descending
    cursor: str = ""
    used: tuple[tuple[str, str], ...] = ()  # parameters that were applied: the truthful self link
    ignored: tuple[str, ...] = ()  # names ignored because the caller asked for leniency
    includes: tuple[Include, ...] = ()
    summary: str = ""
    elements: tuple[str, ...] = ()
    total: bool = True
    provenance: bool = False
    types: frozenset[str] = field(default_factory=frozenset)  # other types it goes over or brings
    named: frozenset[str] = field(
        default_factory=frozenset
    )  # those of them that decide what is found: they must be open to the caller

    def matches(self, item: Item, records: Records = Records()) -> bool:  # noqa: B008 - without items, and never changed but for a count
        """Claim that an item satisfies every parameter."""
        return all(test(item, records) for test in self.tests)

    def admits(self, resource: Json, now: datetime = _EARLY) -> bool:
        """Claim that a resource satisfies every parameter, one that is no item of a patient."""
        item = Item(b"", str(resource.get("id", "")), self.type, "", "", "", "", "", _resource=resource)
        return self.matches(item, Records(now=now))

    @property
    def only_counts(self) -> bool:
        """Claim that no entry is asked for."""
        return self.count == 0 or self.summary == "count"


def understand(type_: str, given: Sequence[tuple[str, str]], *, lenient: bool = False) -> Search:
    """Read the parameters of a search, or say which one is not known.

    An unknown value is an error even when lenient; an unknown name or modifier is ignored then, and said so.

    Raises:
        Invalid: `unknown-parameter` or `invalid-parameter`.

    Spec: FHIR R4 3.1.1; handling of unknown parameters 3.1.1.3.2 ('servers MAY be instructed by Prefer').
    """
    return _understood(type_, tuple(given), lenient)


@lru_cache(maxsize=512)
def _understood(type_: str, given: tuple[tuple[str, str], ...], lenient: bool) -> Search:
    tests: list[Test] = []
    includes: list[Include] = []
    used: list[tuple[str, str]] = []
    ignored: list[str] = []
    result: dict[str, str] = {}
    reach, provenance = Reach(), False
    for name, value in given:
        if name in RESULT:
            if name in result:
                raise Invalid("invalid-parameter", name=name, why="give it once")
            result[name] = value
            continue
        try:
            if name in including.BACK and value == including.PROVENANCE:
                provenance = True
            elif name.partition(":")[0] in including.NAMES:
                includes += [including.include(type_, name, one) for one in aliases.includes(value)]
            else:
                tests.append(compiled(type_, name, value, reach))
        except Unknown as unknown:
            if not lenient:
                raise _not_known(unknown) from None
            ignored.append(printable(unknown.name))
        else:
            used.append((name, value))
    sort, left = _sort(result["_sort"], type_, lenient=lenient) if "_sort" in result else ((), ())
    result = _results(type_, result, includes, sort)
    return Search(
        type_, tuple(tests), _count(result.get("_count")), sort, result.get("_cursor", ""),
        (*used, *((name, value) for name, value in result.items() if name in _LINKED)), (*ignored, *left),
        tuple(includes), result.get("_summary", "").replace("false", ""),
        subsets.elements(type_, result["_elements"]) if "_elements" in result else (),
        result.get("_total") != "none", provenance,
        frozenset(reach.possible | reach.named).union(*(one.types for one in includes)) - {type_},
        frozenset(reach.named) - {type_},
    )  # fmt: skip


def _not_known(unknown: Unknown) -> Invalid:
    name, _, modifier = unknown.name.rpartition(".")[2].partition(":")
    row = parameters(unknown.type).get(name)
    if row is not None and modifier:
        known = ", ".join((name, *(f"{name}:{one}" for one in sorted(row.modifiers))))
        return Invalid("unknown-parameter", name=printable(unknown.name), type=unknown.type, known=known)
    brings = _BRINGS.get(unknown.name.partition("=")[0].partition(":")[0])
    known = ", ".join(sorted(brings.get(unknown.type, ()) if brings else parameters(unknown.type))) or "none"
    return Invalid("unknown-parameter", name=printable(unknown.name), type=printable(unknown.type), known=known)


def _results(
    type_: str, result: dict[str, str], includes: list[Include], sort: tuple[tuple[str, bool], ...]
) -> dict[str, str]:
    """Check what shapes the answer, and write it as it is applied."""
    allowed = (("_summary", subsets.SUMMARIES), ("_total", _TOTALS), ("_contained", {"false"}), ("_type", {type_}))
    for name, values in allowed:
        if name in result and result[name] not in values:
            raise Invalid("invalid-parameter", name=name, why=f"give {' or '.join(sorted(values))}")
    if "_containedType" in result:
        raise Invalid(
            "invalid-parameter", name="_containedType", why="contained resources are given in what contains them"
        )
    if result.get("_summary") == "text" and includes:
        raise Invalid("invalid-parameter", name="_summary", why="text cannot go together with _include or _revinclude")
    if result.get("_summary") in ("true", "text", "data") and "_elements" in result:
        raise Invalid("invalid-parameter", name="_elements", why="give _summary or _elements, not both")
    written = dict(result)
    count = _count(result.get("_count"))
    if count is not None:
        written["_count"] = str(count)
    if "_sort" in result:
        del written["_sort"]
        if sort:
            written["_sort"] = ",".join(f"{'-' if down else ''}{name}" for name, down in sort)
    return written


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise Invalid("invalid-parameter", name="_count", why="give a whole number, 0 or more")
    return min(int(text), MAXIMUM_COUNT)


def _sort(text: str, type_: str, *, lenient: bool) -> tuple[tuple[tuple[str, bool], ...], tuple[str, ...]]:
    known = parameters(type_)
    names = [(part.removeprefix("-"), part.startswith("-")) for part in text.split(",")]
    possible = {name for name, row in known.items() if row.kind in SORTABLE and name not in ("_text", "_content")}
    wrong = [name for name, _ in names if name not in possible]
    if (wrong and not lenient) or len(names) > _MOST_KEYS:
        why = f"sort by one to {_MOST_KEYS} of {', '.join(sorted(possible))}"
        raise Invalid("invalid-parameter", name="_sort", why=why)
    kept = tuple((name, down) for name, down in names if name in possible)
    return kept, tuple(f"_sort={printable(name)}" for name in wrong)
