"""Compile the maps of HL7 v2 to closures once: each looks only at fields that are there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mappings.concepts import concept_map
from mappings.definition import Definition, Line, MapError, Path, lines
from mappings.er7_agreement import TIDY
from mappings.er7_codes import code_of, concept_of
from mappings.er7_functions import DISPLAYS, ER7_FUNCTIONS
from mappings.er7_memory import again, remembered, repeats
from mappings.er7_paths import Claim, Select, claim_of, ends_on_segment, selector
from mappings.er7_primitives import ER7_PRIMITIVES, Convert
from mappings.er7_reading import Er7Reading
from mappings.er7_rules import (
    Rule,
    many,
    many_of_field,
    many_of_parts,
    single,
    single_of_field,
    single_of_part,
    spread,
    text_of_part,
)
from mappings.formats.er7_tree import Node, Segment
from mappings.model import Json
from profiles.definitions import Member, definitions

_MOST_FORMS: Final = 512  # of one map or type; then they are forgotten
_WHOLE: Final = frozenset({"integer", "positiveInt", "unsignedInt"})
# What must be there for a rule to do anything: a field or part by its place, or a segment below by its name.
Gate = int | str | None


@dataclass(frozen=True, slots=True)
class Er7Map:
    """One map ready to run."""

    definition: Definition
    claims: tuple[Claim, ...]
    key: tuple[Select | None, ...]  # none: the key of the patient
    rules: Rules
    needed: tuple[tuple[str, ...], ...]  # what FHIR asks of the target: of each the names that satisfy it

    def lacks(self, made: Json) -> list[str]:
        """Name what the target resource must have and has not."""
        return [names[0] for names in self.needed if made.keys().isdisjoint(names)]

    def holds(self, reading: Er7Reading, segment: Segment) -> bool:
        """Claim that this map makes something of a segment."""
        for claim in self.claims:  # noqa: SIM110 - a loop costs half of `all` with a generator
            if not claim(reading, segment):
                return False
        return True

    def run(self, reading: Er7Reading, segment: Segment) -> Json:
        """Make the target resource of one segment."""
        resource: Json = {"resourceType": self.definition.target}
        for rule in self.rules.of(segment):
            rule(reading, segment, resource)
        return resource


class Rules:
    """The rules of a map or type; which of them have something to read is worked out once for each form of a source."""

    def __init__(self, rules: Iterable[tuple[Gate, Rule]]) -> None:
        self.gated = tuple(rules)
        self._of: dict[Any, tuple[Rule, ...]] = {}

    def of(self, source: Segment | Node) -> tuple[Rule, ...]:
        """Give the rules that may do something with a segment or node, in their order."""
        form = source.form
        found = self._of.get(form)
        if found is None:
            if len(self._of) >= _MOST_FORMS:
                self._of.clear()
            found = self._of[form] = tuple(rule for gate, rule in self.gated if _is_open(gate, source))
        return found


def _is_open(gate: Gate, source: Segment | Node) -> bool:
    if isinstance(gate, int):
        return source.has(gate)
    return gate is None or (isinstance(source, Segment) and gate in source.children)


class Er7Compiler:
    """Compile lines; types are looked up when first used, so they may be recursive."""

    def __init__(self, types: dict[str, Any]) -> None:
        self._declared = types
        self._converters: dict[tuple[str, str, bool], Convert] = {}

    def compile(self, definition: Definition) -> Er7Map:
        """Compile one map.

        Raises:
            MapError: an unknown type, transform or code map.
        """
        try:
            claims = tuple(claim_of(one, on_segment=True) for one in definition.when)
            key = tuple(
                None if _is_the_patient(definition, place) else selector(place, on_segment=True)
                for place in definition.key
            )
            rules = self._rules(definition.lines, definition.target, on_segment=True)
            asked = tuple(tuple(one.split("|")) for one in definition.requires)
            return Er7Map(definition, claims, key, rules, (*asked, *_required(definition.target)))
        except (KeyError, MapError) as error:
            message = f"{definition.name}: {error}"
            raise MapError(message) from None

    def _rules(self, found: tuple[Line, ...], kind: str, *, on_segment: bool) -> Rules:
        return Rules(self._rule(one, _kind_of(kind, one.target), on_segment=on_segment) for one in found)

    def _rule(self, line: Line, kind: str, *, on_segment: bool) -> tuple[Gate, Rule]:
        sourced = bool(line.sources) and not line.link
        make = self._sourced(line, kind, on_segment=on_segment) if sourced else _fixed(line, on_segment)
        place = _gate(line) or _gate_of_claims(line)
        gate: Gate = place or (_child_of(line) if on_segment and sourced else None)
        if not line.when:
            return gate, make
        claims = tuple(claim_of(one, on_segment=on_segment) for one in line.when)
        if len(claims) == 1:
            return gate, _guarded(claims[0], make)

        def guarded(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
            for claim in claims:
                if not claim(reading, source):
                    return
            make(reading, source, out)

        return gate, guarded

    def _sourced(self, line: Line, kind: str, *, on_segment: bool) -> Rule:
        convert = self._converter(line, kind, on_segment=ends_on_segment(line.sources[0], on_segment=on_segment))
        target, plain = line.target, line.target != "*" and (line.many or line.default is None)
        field = _field_of(line) if on_segment and plain else 0
        if field:
            rule = many_of_field(target, field, convert) if line.many else single_of_field(target, field, convert)
            return remembered(rule, target, field, many=line.many) if repeats(line, self._declared) else rule
        parts = _parts_of(line) if plain and not on_segment else ()
        if parts and line.many:
            return many_of_parts(target, parts, convert)
        if len(parts) == 1:
            worded = convert is ER7_PRIMITIVES["string"] and parts[0] > 0
            return text_of_part(target, parts[0]) if worded else single_of_part(target, parts[0], convert)
        selects = tuple(selector(one, on_segment=on_segment) for one in line.sources)
        if line.many:
            return many(target, selects, convert)
        return spread(selects, convert) if target == "*" else single(target, selects, convert, again(line.default))

    def _converter(self, line: Line, kind: str, *, on_segment: bool) -> Convert:
        if line.elements:
            return self._complex(line.elements, kind, on_segment=on_segment)
        if line.transform:
            if line.transform not in ER7_FUNCTIONS:
                message = f"{line.target}: unknown transform {line.transform!r}"
                raise MapError(message)
            return ER7_FUNCTIONS[line.transform](line.arguments)
        name = line.types[0] if line.types else "string"
        if line.concept:
            codes = concept_map(line.concept)
            return concept_of(codes) if name == "CodeableConcept" else code_of(codes, whole=name in _WHOLE)
        return self._named(name, kind, on_segment=on_segment)

    def _named(self, name: str, kind: str, *, on_segment: bool) -> Convert:
        if name in ER7_PRIMITIVES:
            return ER7_PRIMITIVES[name]
        if name not in self._declared:
            message = f"unknown type {name!r}"
            raise MapError(message)

        key = (name, kind, on_segment)
        known: Convert | None = None

        def later(reading: Er7Reading, node: Any, at: int) -> Any:  # noqa: ANN401 - any JSON value
            nonlocal known
            if known is None:
                known = self._converters.get(key)
                if known is None:
                    known = self._declaration(self._declared[name], kind, on_segment=on_segment)
                    self._converters[key] = known
            return known(reading, node, at)

        return later

    def _declaration(self, declared: dict[str, Any], element: str, *, on_segment: bool) -> Convert:
        if "resource" not in declared:
            return self._complex(lines(declared), element, on_segment=on_segment)
        kind, requires = declared["resource"], declared.get("requires", [])
        rules = self._rules(lines(declared["elements"]), kind, on_segment=on_segment)
        needed = _required(kind)
        display = DISPLAYS.get(kind, _nothing)

        def supporting(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
            part = node.child(at) if at else node
            if part is None:
                return None
            made: Json = {"resourceType": kind}
            for rule in rules.of(part):
                rule(reading, part, made)
            if len(made) == 1 or (requires and made.keys().isdisjoint(requires)) or _lacking(needed, made):
                return None
            return reading.support(made, display(made)) or None

        return supporting

    def _complex(self, elements: tuple[Line, ...], kind: str, *, on_segment: bool) -> Convert:
        rules, needed = self._rules(elements, kind, on_segment=on_segment), _required(kind)
        tidy = TIDY.get(kind)
        if elements[0].target == "*":
            needed, tidy = (), None  # what it spreads stands in another object, which is held against its own type
        compound = all(
            isinstance(gate, int) and gate > 1 for gate, _ in rules.gated
        )  # a text without parts gives nothing
        lined = any(one.target == "_line" for one in elements)

        def convert(reading: Er7Reading, node: Any, at: int) -> Json | None:  # noqa: ANN401 - segment or node
            if compound and at and at <= len(node.parts) and node.parts[at - 1].__class__ is str:
                return None
            part = node.child(at) if at else node
            if part is None:
                return None
            out: Json = {}
            for rule in rules.of(part):
                rule(reading, part, out)
            if lined and "_line" in out:
                out["_line"] += [None] * (len(out.get("line", ())) - len(out["_line"]))
            if needed and _lacking(needed, out):
                return None  # FHIR knows no such part: what was read of it is reported with its parent
            if tidy is not None:
                tidy(reading, part, out)
            return out if len(out) > 1 or (out and "url" not in out) else None

        return convert


def _is_the_patient(definition: Definition, place: Path) -> bool:
    """Claim that a part of a key says who the patient is, which is said once for a message."""
    return definition.target == "Patient" or (place.rooted and place.steps[0].name == "PID")


def _lacking(needed: tuple[tuple[str, ...], ...], made: Json) -> bool:
    """Claim that something FHIR asks is not there."""
    for names in needed:  # noqa: SIM110 - a loop costs half of `any` with a generator, and this runs for every part
        if made.keys().isdisjoint(names):
            return True
    return False


def _kind_of(kind: str, target: str) -> str:
    """Name the FHIR type of an element of a type; empty where it has none of its own."""
    if target == "*":
        return kind
    declared = definitions().types.get(kind)
    found: Member | None = None
    if declared is not None and not target.startswith("_"):
        found = next((one for element in declared.elements for one in element.members if one.name == target), None)
    return found.type if found is not None else ""


def _required(kind: str) -> tuple[tuple[str, ...], ...]:
    """List what a type must hold: each the names, with their underscores, of which one must be there."""
    declared = definitions().types.get(kind)
    if declared is None or kind in {"Reference", "Extension"}:
        return ()
    return tuple(
        tuple(name for member in element.members for name in (member.name, f"_{member.name}"))
        for element in declared.elements
        if element.required
    )


def _guarded(claim: Claim, make: Rule) -> Rule:
    """Make something only where one claim holds, as most conditions are."""

    def guarded(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
        if claim(reading, source):
            make(reading, source, out)

    return guarded


def _gate(line: Line) -> int:
    """Give the field without which a line does nothing, if there is one."""
    if len(line.sources) != 1 or line.default is not None or line.link or not line.sources[0].steps:
        return 0
    place = line.sources[0]
    name = place.steps[0].name
    return int(name) if name.isdigit() and not place.rooted else 0


def _gate_of_claims(line: Line) -> int:
    """Give a field or part that must be there for the conditions of a line to hold, if there is one."""
    for claim in line.when:
        names = [step.name for step in claim.path.steps]
        if names and names[0].isdigit() and not claim.path.rooted and not claim.negated:
            return int(names[0])
    return 0


def _child_of(line: Line) -> str | None:
    """Name the segment below without which a line does nothing, if there is one."""
    names = [place.steps[0].name for place in line.sources if place.steps and not place.rooted]
    only = len(line.sources) == len(names) == 1 and line.default is None and names[0][:1].isalpha()
    return names[0] if only else None


def _parts_of(line: Line) -> tuple[int, ...]:
    """Give the parts of a node a line reads, or 0 for the node itself, if that is all its paths say."""
    found = tuple(_part_of(place) for place in line.sources)
    return tuple(one for one in found if one is not None) if None not in found else ()


def _part_of(place: Path) -> int | None:
    if place.rooted or len(place.steps) > 1:
        return None
    return int(place.steps[0].name) if place.steps else 0


def _fixed(line: Line, on_segment: bool) -> Rule:
    target, many, value, kind, anew = line.target, line.many, line.value, line.link, again(line.value)
    if kind and line.sources:
        return _linked(line, selector(line.sources[0], on_segment=on_segment))

    def link(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401, ARG001 - one signature a rule
        reference = reading.links.get(kind)
        if reference is not None and target not in out:
            out[target] = [{"reference": reference}] if many else {"reference": reference}

    def text(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401, ARG001 - one signature a rule
        if target not in out:
            out[target] = value

    def fixed(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401, ARG001 - one signature a rule
        if target not in out:
            out[target] = anew()
        elif many and isinstance(value, list):
            out[target].extend(anew())

    return link if kind else text if isinstance(value, str) else fixed


def _linked(line: Line, select: Select) -> Rule:
    """Refer to the resources of one type that were made of certain segments."""
    target, many, kind = line.target, line.many, line.link

    def linked(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
        found = [one for segment, _ in select(reading, source) for one in reading.made.get((id(segment), kind), ())]
        if found and many:
            out.setdefault(target, []).extend({"reference": one} for one in found)
        elif found:
            out.setdefault(target, {"reference": found[0]})

    return linked


def _field_of(line: Line) -> int:
    """Give the field a line reads whole, if that is all its path says."""
    place = line.sources[0]
    plain = len(line.sources) == 1 and len(place.steps) == 1 and not place.rooted and place.steps[0].name.isdigit()
    return int(place.steps[0].name) if plain else 0


def _nothing(resource: Json) -> str:  # noqa: ARG001 - one signature
    return ""
