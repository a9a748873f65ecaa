"""Search in memory, over one patient's permitted items: the face of `gateway.fhir.searching`; strict by default."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.fhir.searching import including, ordering
from gateway.fhir.searching.records import Records
from gateway.fhir.searching.table import INCLUDES, MODIFIERS, PARAMETERS, REVINCLUDES, Parameter, parameters
from gateway.fhir.searching.understanding import DEFAULT_COUNT, MAXIMUM_COUNT, RESULT, Search, understand
from gateway.model import Item

__all__ = [
    "DEFAULT_COUNT",
    "INCLUDES",
    "MAXIMUM_COUNT",
    "MODIFIERS",
    "PARAMETERS",
    "RESULT",
    "REVINCLUDES",
    "Parameter",
    "Records",
    "Search",
    "brought",
    "ordered",
    "parameters",
    "understand",
]


def ordered(items: Sequence[Item], search: Search, type_: str) -> list[Item]:
    """Sort as asked; else newest fact first, then by id, so that pages are stable."""
    return ordering.ordered(items, search.sort, type_)


def brought(matches: Sequence[Item], search: Search, records: Records) -> list[Item]:
    """What comes along with the matches, each once, none of them a match."""
    return including.brought(matches, search.includes, records)
