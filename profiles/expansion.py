"""Value sets as far as they are known offline: the codes that are surely in, and the systems nobody here can judge."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from profiles.exact import Json

ANY: Final = "*"
_MOST_NESTED: Final = 20
# Spec: FHIR R4 4.9.9.5.1, the filters that can be evaluated on a code system that is published whole.
_BELOW: Final = {"is-a": True, "descendent-of": False}


class Expansions:
    """Expands value sets from the code systems at hand, each once."""

    def __init__(self, value_sets: Mapping[str, Json], code_systems: Mapping[str, Json]) -> None:
        self._value_sets = value_sets
        self._code_systems = code_systems
        self._made: dict[str, Json] = {}

    def expansion(self, canonical: str, depth: int = 0) -> Json:
        """Give `codes` by system and the systems in `open`, of which membership is not known; `*` is any system."""
        url = canonical.partition("|")[0]
        if url not in self._made:
            value_set = self._value_sets.get(canonical) or self._value_sets.get(url)
            if value_set is None or depth > _MOST_NESTED:
                return {"codes": {}, "open": [ANY]}
            self._made[url] = {"codes": {}, "open": [ANY]}  # a value set that includes itself knows nothing
            self._made[url] = _written(*self._composed(value_set, depth))
        return self._made[url]

    def _composed(self, value_set: Json, depth: int) -> tuple[dict[str, set[str]], set[str]]:
        codes: dict[str, set[str]] = {}
        unknown: set[str] = set()
        compose = value_set.get("compose")
        if compose is None:
            for system, code in _expanded(value_set.get("expansion", {}).get("contains", ())):
                codes.setdefault(system, set()).add(code)
            return codes, unknown if codes else {ANY}
        for include in compose.get("include", ()):
            more, less_known = self._included(include, depth)
            for system, members in more.items():
                codes.setdefault(system, set()).update(members)
            unknown |= less_known
        for exclude in compose.get("exclude", ()):
            out, not_known = self._included(exclude, depth)
            for system, members in out.items():
                codes.get(system, set()).difference_update(members)
            for system in not_known:
                # What may be taken out is no longer surely in.
                if codes.pop(system, None):
                    unknown.add(system)
        return codes, unknown

    def _included(self, include: Json, depth: int) -> tuple[dict[str, set[str]], set[str]]:
        parts = [self._read(self.expansion(url, depth + 1)) for url in include.get("valueSet", ())]
        if "system" in include:
            parts.append(self._of_system(include))
        codes, unknown = parts[0] if parts else ({}, {ANY})
        for more, less_known in parts[1:]:
            codes, unknown = _intersection(codes, unknown, more, less_known)
        return codes, unknown

    @staticmethod
    def _read(expansion: Json) -> tuple[dict[str, set[str]], set[str]]:
        return {system: set(codes) for system, codes in expansion["codes"].items()}, set(expansion["open"])

    def _of_system(self, include: Json) -> tuple[dict[str, set[str]], set[str]]:
        system = include["system"]
        if "concept" in include:
            return {system: {concept["code"] for concept in include["concept"]}}, set()
        published = self._code_systems.get(system)
        if published is None or published.get("content") != "complete":
            return {}, {system}
        concepts = dict(_concepts(published.get("concept", ()), ()))
        for rule in include.get("filter", ()):
            kept = _filtered(concepts, rule)
            if kept is None:
                return {}, {system}
            concepts = kept
        return {system: set(concepts)}, set()


def _written(codes: dict[str, set[str]], unknown: set[str]) -> Json:
    return {"codes": {s: sorted(c) for s, c in sorted(codes.items()) if c}, "open": sorted(unknown)}


def _expanded(contains: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    for row in contains:
        if "code" in row and "system" in row and not row.get("abstract"):
            yield row["system"], row["code"]
        yield from _expanded(row.get("contains", ()))


def _concepts(concepts: Any, above: tuple[str, ...]) -> Iterator[tuple[str, tuple[Json, tuple[str, ...]]]]:  # noqa: ANN401 - JSON
    """Give every concept with the codes above it, by nesting and by its property subsumedBy or parent."""
    for concept in concepts:
        more = tuple(
            str(p["valueCode"])
            for p in concept.get("property", ())
            if p.get("code") in ("subsumedBy", "parent") and "valueCode" in p
        )
        yield concept["code"], (concept, above + more)
        yield from _concepts(concept.get("concept", ()), (*above, concept["code"]))


def placed(concepts: Any) -> dict[str, tuple[str, ...]]:  # noqa: ANN401 - JSON
    """Give every concept of a code system with the codes above it, as far as it says itself."""
    found: dict[str, tuple[str, ...]] = {}
    for code, (_, above) in _concepts(concepts, ()):
        found[code] = (*found.get(code, ()), *above)
    return found


_Known = dict[str, tuple[Json, tuple[str, ...]]]


def _filtered(concepts: _Known, rule: Json) -> _Known | None:
    """Apply one filter; nothing when it is of a kind that is not evaluated here."""
    name, operator, value = rule.get("property"), rule.get("op"), str(rule.get("value", ""))
    if name == "concept" and operator in _BELOW:
        found = below({code: above for code, (_, above) in concepts.items()}, value)
        return {c: concepts[c] for c in found | ({value} & concepts.keys() if _BELOW[operator] else set())}
    if name in ("code", "concept") and operator == "regex":
        try:
            pattern = re.compile(value)
        except re.error:
            return None
        return {code: row for code, row in concepts.items() if pattern.fullmatch(code)}
    if operator == "=" and name is not None:
        return {code: row for code, row in concepts.items() if value in _property(row[0], name)}
    return None


def below(parents: Mapping[str, tuple[str, ...]], top: str) -> set[str]:
    """Give every code under another, itself left out, by the codes above each."""
    found: set[str] = set()
    wider = {top}
    while wider:
        wider = {code for code, above in parents.items() if code not in found and not wider.isdisjoint(above)}
        found |= wider
    return found


def _property(concept: Json, name: str) -> list[str]:
    return [
        str(value).lower() if isinstance(value, bool) else str(value)
        for row in concept.get("property", ())
        if row.get("code") == name
        for key, value in row.items()
        if key.startswith("value") and not isinstance(value, dict)
    ]


def _intersection(
    one: dict[str, set[str]], one_open: set[str], other: dict[str, set[str]], other_open: set[str]
) -> tuple[dict[str, set[str]], set[str]]:
    """Keep what is in both; what is in one and unknown in the other is unknown."""
    both = {system: one[system] & other[system] for system in one.keys() & other.keys()}
    unknown = (one_open | one.keys()) & other_open | (other_open | other.keys()) & one_open
    if ANY in one_open:
        unknown |= other_open | other.keys()
    if ANY in other_open:
        unknown |= one_open | one.keys()
    return both, unknown
