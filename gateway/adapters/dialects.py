"""Which queries a source understands: dialects are data, read once, and narrowed to what may be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec

from gateway.errors import StartError
from profiles.layers import paths, toml

IDENTIFIER: Final = "identifier"
_FOLDER: Final = "dialects"
Parameters = tuple[tuple[str, str], ...]


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    """One query as a dialect file writes it."""

    name: str
    type: str
    categories: tuple[str, ...]
    profiles: tuple[str, ...] = ()  # below the `canonical` of the file, joined as OR
    parameters: dict[str, str] = {}
    includes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()  # R4 types that come of it, when not just `type`
    patient: str = ""  # parameter that names the patient, when not that of the file
    method: str = ""
    narrow: str = ""  # parameter that narrows to the categories asked …
    narrow_to: dict[str, str] = {}  # … with this value per category
    sends: tuple[str, ...] = ()  # parameters of a caller's search that it takes as well
    pages: bool = True  # false where only the newest is asked
    interaction: str = ""  # HL7 v3: the interaction that asks …
    answer: str = ""  # … and the one that answers, without the number of its version


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """A dialect file."""

    name: str
    format: str
    specification: str
    queries: tuple[_Row, ...]
    patient: str = ""  # the parameter that names the patient; HL7 v3: the query that asks no more than who it is
    method: str = "POST"
    canonical: str = ""
    batch: str = ""  # HL7 v3: the interaction that holds several
    first_patient: bool = False
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """One search at a source: complete but for the patient."""

    name: str
    type: str
    method: str  # "GET" | "POST" (to _search)
    patient: str  # search parameter that names the patient
    parameters: Parameters
    categories: frozenset[str]
    gives: frozenset[str]  # R4 resource types
    narrow: str = ""
    narrow_to: tuple[tuple[str, str], ...] = ()
    pages: bool = True
    sends: frozenset[str] = frozenset()
    interaction: str = ""  # HL7 v3
    answer: str = ""

    @property
    def by_identifier(self) -> bool:
        """Claim that the patient is named by identifier, which may stand in a body only."""
        return self.patient.rpartition(".")[2] == IDENTIFIER


@dataclass(frozen=True, slots=True)
class Dialect:
    """The queries of one kind of source; `first_patient`: local ids must be asked before anything else."""

    name: str
    format: str  # "fhir-r4" | "fhir-stu3" | "hl7v3": the kind of source that speaks it
    first_patient: bool
    queries: tuple[Query, ...]
    partial: frozenset[str] = frozenset()  # categories of which its queries ask a part only (A1)
    patient: str = ""
    batch: str = ""

    @property
    def categories(self) -> frozenset[str]:
        """Every national data category this dialect can ask for."""
        return frozenset().union(*(query.categories for query in self.queries))

    @property
    def patient_query(self) -> Query:
        """The query that gives the Patient."""
        return next(query for query in self.queries if query.type == "Patient" or query.name == self.patient)

    def asking(self, categories: frozenset[str], types: frozenset[str]) -> tuple[Query, ...]:
        """The queries that serve a category asked, each narrowed to those categories, none twice.

        An empty `types` means every type.
        """
        found: dict[tuple[str, str, str, Parameters], Query] = {}
        for query in self.queries:
            wanted = query.categories & categories
            if not wanted or (types and not query.gives & types):
                continue
            narrowed = _narrowed(query, wanted)
            what = narrowed.interaction or narrowed.type
            found.setdefault((narrowed.method, what, narrowed.patient, narrowed.parameters), narrowed)
        return tuple(found.values())


def known() -> tuple[str, ...]:
    """The names of all dialects."""
    return tuple(sorted(_dialects()))


def dialect(name: str) -> Dialect:
    """The dialect of this name.

    Raises:
        StartError: no such dialect; the text lists the known ones. Exit code 1.
    """
    found = _dialects().get(name)
    if found is None:
        message = f"dialect '{name}' is not known; known are: {', '.join(known())}"
        raise StartError(message, 1)
    return found


def partial_by_dialect() -> dict[str, frozenset[str]]:
    """The categories each dialect asks in part only, by its name."""
    return {name: found.partial for name, found in _dialects().items() if found.partial}


@cache
def _dialects() -> dict[str, Dialect]:
    own = (f"{_FOLDER}/{entry.name}" for entry in (resources.files(__package__) / _FOLDER).iterdir())
    names = {path for path in (*own, *paths(_FOLDER)) if path.endswith(".toml")}
    files = [msgspec.convert(toml(__package__, name), _File) for name in sorted(names)]
    return {file.name: _made(file) for file in files}


def _made(file: _File) -> Dialect:
    return Dialect(
        file.name,
        file.format,
        file.first_patient,
        tuple(_query(file, row) for row in file.queries),
        frozenset(file.partial),
        file.patient,
        file.batch,
    )


def _query(file: _File, row: _Row) -> Query:
    parameters: list[tuple[str, str]] = []
    if row.profiles:
        parameters.append(("_profile", ",".join(file.canonical + profile for profile in row.profiles)))
    parameters += row.parameters.items()
    parameters += (("_include", include) for include in row.includes)
    query = Query(
        name=row.name,
        type=row.type,
        method=row.method or file.method,
        patient=row.patient or file.patient,
        parameters=tuple(parameters),
        categories=frozenset(row.categories),
        gives=frozenset(row.gives or (row.type,)),
        narrow=row.narrow,
        narrow_to=tuple(sorted(row.narrow_to.items())),
        pages=row.pages,
        sends=frozenset(row.sends),
        interaction=row.interaction,
        answer=row.answer,
    )
    if query.by_identifier and query.method != "POST":
        message = f"dialect '{file.name}', query '{row.name}': an identifier may not stand in a URL; use POST"
        raise StartError(message, 1)
    return query


def _narrowed(query: Query, wanted: frozenset[str]) -> Query:
    """The query for some of its categories; all of them together need no narrowing and miss nothing."""
    changes: dict[str, Any] = {"categories": wanted}
    if query.narrow and wanted != query.categories:
        values = ",".join(value for category, value in query.narrow_to if category in wanted)
        changes["parameters"] = (*query.parameters, (query.narrow, values))
    return replace(query, **changes)
