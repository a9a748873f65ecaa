"""Searches the records of one simulated organization as its FHIR server does: strictly, one patient at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from gateway.demo.elements import Json, Version
from gateway.demo.persons import document
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

RESULT_PARAMETERS: Final = frozenset({"_count", "_include", "_summary", "_sort", "_format", "_elements", "max"})
_WITHOUT_PATIENT: Final = frozenset({"Patient", "Practitioner", "PractitionerRole", "Organization", "Medication"})
_PREFIXES: Final = ("eq", "ge", "le", "gt", "lt")
_ALWAYS: Final = {"_id": "id", "_profile": "meta"}

Pairs = Sequence[tuple[str, str]]


class BadSearch(ValueError):
    """The search is not one this server knows; the text names the parameter, never its value."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the matches in order, and what was to be sent along with a match."""

    matches: tuple[Json, ...]
    includes: tuple[str, ...]


@cache
def conformance(version: Version) -> dict[str, Any]:
    """The parameters and includes of one FHIR version."""
    rows: dict[str, Any] = document("search.yaml")[version]
    return rows


def holds_bsn(pairs: Pairs) -> bool:
    """Claim that a query string holds a BSN: its system, or a bare value that passes the eleven-test."""
    return any(
        BSN_SYSTEM in value or any(map(passes_elfproef, value.replace("|", ",").replace("/", ",").split(",")))
        for _, value in pairs
    )


class Records:
    """All resources of one organization, found by type and id."""

    def __init__(self, version: Version, resources: Sequence[Json]) -> None:
        self.version = version
        self._rows = conformance(version)
        self._by_type: dict[str, dict[str, Json]] = {}
        for resource in resources:
            self._by_type.setdefault(resource["resourceType"], {})[resource["id"]] = resource

    @property
    def types(self) -> Mapping[str, Mapping[str, str]]:
        """The types that can be searched, with their parameters."""
        types: Mapping[str, Mapping[str, str]] = self._rows["parameters"]
        return types

    def read(self, kind: str, resource_id: str) -> Json | None:
        """One resource by id."""
        return self._by_type.get(kind, {}).get(resource_id)

    def patients(self, kind: str, pairs: Pairs) -> frozenset[str]:
        """The ids of the patients a search is about."""
        return frozenset(found["id"] for name, value in pairs for found in self._patients(kind, name, value))

    def search(self, kind: str, pairs: Pairs) -> Found:
        """Every resource that meets all parameters.

        Raises:
            BadSearch: unknown type, parameter or include, or no patient named.
        """
        if kind not in self.types:
            message = f"type {kind} is not supported"
            raise BadSearch(message)
        known = self.types[kind]
        filters = [(name, value) for name, value in pairs if name not in RESULT_PARAMETERS]
        for name, _ in filters:
            if name.removesuffix(".identifier") not in known and name != "subject.identifier" and name not in _ALWAYS:
                message = f"parameter {name} is not known for {kind}"
                raise BadSearch(message)
        if not filters or (kind not in _WITHOUT_PATIENT and not self._names_patient(filters)):
            message = f"a search on {kind} needs a patient"
            raise BadSearch(message)
        matches = [
            resource
            for resource in self._by_type.get(kind, {}).values()
            if all(self._meets(resource, kind, name, value) for name, value in filters)
        ]
        return Found(tuple(_sorted(matches, pairs)), self._includes(pairs))

    def last(self, kind: str, pairs: Pairs) -> Found:
        """Per code the newest, as operation $lastn gives it."""
        if kind != "Observation":
            message = f"$lastn is not known for {kind}"
            raise BadSearch(message)
        found = self.search(kind, pairs)
        count = int(dict(pairs).get("max", "1"))
        groups: dict[str, list[Json]] = {}
        for resource in sorted(found.matches, key=lambda one: str(one.get("effectiveDateTime", "")), reverse=True):
            code = resource["code"]["coding"][0]
            groups.setdefault(f"{code['system']}|{code['code']}", []).append(resource)
        return Found(tuple(one for group in groups.values() for one in group[:count]), found.includes)

    def included(self, matches: Sequence[Json], includes: Sequence[str]) -> list[Json]:
        """What the matches refer to along the asked includes, each once."""
        seen: dict[str, Json] = {}
        for include in includes:
            element = self._rows["includes"][":".join(include.split(":")[:2])]
            for reference in _references(resource.get(element) for resource in matches):
                kind, _, resource_id = reference.rpartition("/")
                target = self.read(kind, resource_id)
                if target is not None:
                    seen[reference] = target
        return list(seen.values())

    def _includes(self, pairs: Pairs) -> tuple[str, ...]:
        asked = tuple(value for name, value in pairs if name == "_include")
        for include in asked:
            if ":".join(include.split(":")[:2]) not in self._rows["includes"]:
                message = "this _include is not known"
                raise BadSearch(message)
        return asked

    def _names_patient(self, filters: Pairs) -> bool:
        return any(name.partition(".")[0] in {"patient", "subject", "beneficiary"} for name, _ in filters)

    def _patients(self, kind: str, name: str, value: str) -> list[Json]:
        patients = self._by_type.get("Patient", {})
        if name.endswith(".identifier") or (kind == "Patient" and name == "identifier"):
            return [one for one in patients.values() if _matches(one["identifier"], value)]
        if name in {"patient", "beneficiary"} or (kind == "Patient" and name == "_id"):
            return [one for one in (patients.get(value.rpartition("/")[2]),) if one]
        return []

    def _meets(self, resource: Json, kind: str, name: str, value: str) -> bool:
        if name == "_profile":
            return not set(resource["meta"].get("profile", ())).isdisjoint(value.split(","))
        if name.endswith(".identifier"):
            found = {f"Patient/{patient['id']}" for patient in self._patients(kind, name, value)}
            element = self.types[kind].get("patient", "subject")
            return resource.get(element, {}).get("reference") in found
        element = _ALWAYS.get(name) or self.types[kind][name]
        return any(_matches(resource.get(element), choice) for choice in value.split(","))


def _matches(node: Any, text: str) -> bool:  # noqa: ANN401 - FHIR elements are any JSON
    """Claim that an element meets a token, reference, string or date as the search writes it."""
    if isinstance(node, list):
        return any(_matches(one, text) for one in node)
    if isinstance(node, dict):
        if "coding" in node:
            return _matches(node["coding"], text)
        if "reference" in node:
            return bool(node["reference"].rpartition("/")[2] == text.rpartition("/")[2])
        return _token(str(node.get("system", "")), str(node.get("code", node.get("value", ""))), text)
    if not isinstance(node, str):
        return False
    if text[:2] in _PREFIXES and text[2:3].isdigit():
        return _dated(node, text[:2], text[2:])
    return node == text or (text[:4].isdigit() and node.startswith(text)) or node == text.rpartition("|")[2]


def _token(system: str, code: str, text: str) -> bool:
    wanted, bar, value = text.rpartition("|")
    return (not bar or wanted == system) and (value in ("", code))


def _dated(node: str, prefix: str, value: str) -> bool:
    own = node[: len(value)]
    return {"eq": own == value, "ge": own >= value, "le": own <= value, "gt": own > value, "lt": own < value}[prefix]


def _sorted(matches: list[Json], pairs: Pairs) -> list[Json]:
    """Sort by date when asked; other sort keys are refused."""
    keys = [value for name, value in pairs if name == "_sort"]
    if not keys:
        return matches
    if keys[0].lstrip("-") not in {"date", "effective"}:
        message = "this _sort is not known"
        raise BadSearch(message)
    return sorted(matches, key=lambda one: str(one.get("effectiveDateTime", "")), reverse=keys[0].startswith("-"))


def _references(nodes: Any) -> Iterator[str]:  # noqa: ANN401 - FHIR elements are any JSON
    for node in nodes:
        if isinstance(node, list):
            yield from _references(node)
        elif isinstance(node, dict) and "reference" in node:
            yield node["reference"]
