"""Compile maps to closures once, and run them over a source tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from mappings.codings import coded, distinct, originals
from mappings.concepts import concept_map
from mappings.definition import Definition, Line, MapError, Path, lines
from mappings.functions import FUNCTIONS, PRIMITIVES
from mappings.model import Json
from mappings.reading import Reading

Convert = Callable[[Reading, Any, Any], Any]  # (reading, container, key) → target value, or None for nothing
Rule = Callable[[Reading, Json, Json], None]  # (reading, source node, target object)
Gate = frozenset[str] | None  # the children without all of which a rule does nothing
_MOST_FORMS: Final = 512  # of one map or type; then they are forgotten
_MOST_CHILDREN: Final = 40  # no element of FHIR has more; a stranger form is not remembered


class Rules:
    """The rules of a map or type; which of them have something to read is worked out once for each form of a node."""

    def __init__(self, rules: Iterable[tuple[Gate, Rule]]) -> None:
        self._gated = tuple(rules)
        self._of: dict[tuple[str, ...], tuple[Rule, ...]] = {}

    def of(self, node: Json) -> tuple[Rule, ...]:
        """Give the rules that may do something with a node, in their order."""
        form = tuple(node)
        found = self._of.get(form)
        if found is None:
            found = tuple(rule for gate, rule in self._gated if gate is None or not gate.isdisjoint(form))
            if len(self._of) >= _MOST_FORMS:
                self._of.clear()
            if len(form) <= _MOST_CHILDREN:
                self._of[form] = found
        return found


@dataclass(frozen=True, slots=True)
class CompiledMap:
    """One map ready to run."""

    definition: Definition
    rules: Rules

    def run(self, reading: Reading, node: Json) -> Json:
        """Make the target resource of one source node."""
        resource: Json = {"resourceType": self.definition.target}
        for rule in self.rules.of(node):
            rule(reading, node, resource)
        return resource

    def refusal(self, reading: Reading, node: Json) -> str:
        """Say why the target cannot hold this source node safely; empty when it can."""
        for claims, reason in self.definition.refused:
            if all(reading.holds(claim, node) for claim in claims):
                return reason
        return ""


class Compiler:
    """Compile the lines of one format; types are looked up when first used, so they may be recursive."""

    def __init__(
        self, types: dict[str, Any], *, shadows: bool, otherwise: Callable[[str], Definition | None] | None = None
    ) -> None:
        self._otherwise = otherwise  # the map of a type that has none of its own
        self._declared = types
        self._shadows = shadows  # FHIR JSON: "_name" beside a primitive holds its extensions
        self._converters: dict[str, Convert] = {}
        self._maps: dict[str, list[CompiledMap]] = {}

    def choose(self, reading: Reading, node: Json) -> CompiledMap | None:
        """Find the map of a resource: the first of its type whose conditions hold."""
        kind = str(node.get("resourceType"))
        if kind not in self._maps and self._otherwise is not None:
            made = self._otherwise(kind)
            if made is not None:
                self.compile(made)
        for one in self._maps.get(kind, ()):
            if all(reading.holds(claim, node) for claim in one.definition.when):
                return one
        return None

    def compile(self, definition: Definition) -> CompiledMap:
        """Compile one map.

        Raises:
            MapError: an unknown type, transform or code map.
        """
        try:
            own = {one.target for one in definition.lines}
            shared = lines(self._declared["Resource"]) if self._shadows else ()
            before = tuple(one for one in shared if one.target not in own or one.target.endswith("xtension"))
            compiled = CompiledMap(definition, self._rules((*definition.lines, *before)))
        except (KeyError, MapError) as error:
            message = f"{definition.name}: {error}"
            raise MapError(message) from None
        self._maps.setdefault(definition.source, []).append(compiled)
        return compiled

    def _rules(self, found: tuple[Line, ...]) -> Rules:
        return Rules((_gate(one), self._rule(one)) for one in found)

    def _rule(self, line: Line) -> Rule:
        make = self._constant(line) if not line.sources else self._sourced(line)
        if not line.when:
            return make
        claims = line.when

        def guarded(reading: Reading, node: Json, out: Json) -> None:
            for claim in claims:
                if not reading.holds(claim, node):
                    return
            make(reading, node, out)

        return guarded

    def _constant(self, line: Line) -> Rule:
        target, many = line.target, line.many

        def link(reading: Reading, node: Json, out: Json) -> None:  # noqa: ARG001 - one signature a rule
            reference = reading.links.get(line.link)
            if reference is not None and target not in out:
                out[target] = [{"reference": reference}] if many else {"reference": reference}

        def fixed(reading: Reading, node: Json, out: Json) -> None:  # noqa: ARG001 - one signature a rule
            if target not in out:
                out[target] = _copied(line.value)

        return link if line.link else fixed

    def _sourced(self, line: Line) -> Rule:
        if line.is_choice:
            return self._choice(line)
        convert = self._converter(line)
        name = _child(line)
        rule = self._direct(line, convert, name) if name else self._searched(line, convert)
        if line.default is None:
            return rule
        target, default = line.target, line.default

        def defaulted(reading: Reading, node: Json, out: Json) -> None:
            rule(reading, node, out)
            if target not in out and f"_{target}" not in out:
                out[target] = _copied(default)

        return defaulted

    def _direct(self, line: Line, convert: Convert, name: str) -> Rule:
        """One child by name: what nearly every line of a FHIR map is."""
        target, many = line.target, line.many
        primitive = bool(line.types) and all(one in PRIMITIVES for one in line.types) and line.concept == ""
        shadow = f"_{name}" if self._shadows and (primitive or line.transform == "renamed") else ""
        extras = self._shadow(f"_{target}", shadow, many) if shadow else None
        bare = self._shadow(f"_{target}", name, many)

        codings = self._shadows and many and target == "coding"

        def direct(reading: Reading, node: Json, out: Json) -> None:
            value = node.get(name)
            if extras is not None and isinstance(value, dict) and "reference" not in value:
                bare(reading, node, out)  # FHIR XML: a primitive that has extensions and no value
            elif value is not None:
                if many:
                    made = (
                        [one for index in range(len(value)) if (one := convert(reading, value, index)) is not None]
                        if isinstance(value, list)
                        else [one for one in (convert(reading, node, name),) if one is not None]
                    )
                    if made:
                        out.setdefault(target, []).extend(made)
                        if codings:
                            out[target] = distinct([*out[target], *originals(value, made)])
                elif target not in out:
                    found = _first_of(reading, convert, node, name, value)
                    if found is not None:
                        out[target] = found
            if extras is not None and shadow in node:
                extras(reading, node, out)

        return direct

    def _shadow(self, target: str, source: str, many: bool) -> Rule:
        def shadow(reading: Reading, node: Json, out: Json) -> None:
            value, element = node[source], self._named("Element")
            if isinstance(value, list):
                made: list[Any] = [
                    element(reading, value, index) if value[index] else None for index in range(len(value))
                ]
                for index in range(len(value)):
                    reading.take(value, index) if value[index] is None else None
            else:
                made = [element(reading, node, source)]
            if any(one is not None for one in made):
                out[target] = made if many else made[0]

        return shadow

    def _searched(self, line: Line, convert: Convert) -> Rule:
        """Any path, any number of them; the first that gives something wins unless the target is many."""
        target, many = line.target, line.many
        sources = tuple((place, _first_step(place)) for place in line.sources)

        def searched(reading: Reading, node: Json, out: Json) -> None:
            if not many and target in out:
                return
            for place, first in sources:
                if first and first not in node:
                    continue
                for container, key in reading.slots(node, place):
                    value = convert(reading, container, key)
                    if value is None:
                        continue
                    if target == "*":
                        out.update(value)
                        return
                    if not many:
                        out[target] = value
                        return
                    out.setdefault(target, []).extend(value if isinstance(value, list) else [value])

        return searched

    def _choice(self, line: Line) -> Rule:
        """value[x]: the type stands in the name of the source element, and again in the target's."""
        base, target = line.sources[0].steps[-1].name.removesuffix("[x]"), line.target.removesuffix("[x]")
        parents = line.sources[0].steps[:-1]
        options = tuple(
            (f"{base}{_capital(name)}", f"{target}{_capital(name)}", self._lazy(name), name) for name in line.types
        )
        place = type(line.sources[0])(parents, line.sources[0].rooted)
        extras = (
            {name: self._shadow(f"_{to}", f"_{name}", many=False) for name, to, _, _ in options}
            if self._shadows
            else {}
        )

        def choice(reading: Reading, node: Json, out: Json) -> None:
            nodes = [node] if not parents else [c[k] for c, k in reading.slots(node, place) if isinstance(c[k], dict)]
            for one in nodes:
                for name, to, convert, _ in options:
                    if name in one and (value := convert(reading, one, name)) is not None:
                        out[to] = value
                    if f"_{name}" in one and name in extras:
                        extras[name](reading, one, out)

        return choice

    def _converter(self, line: Line) -> Convert:
        if line.elements:
            here = bool(line.sources) and not line.sources[0].steps  # a part of the same node implies nothing twice
            implied = (
                ()
                if here or not self._shadows
                else ("Element", "Backbone")
                if "Backbone" in line.types
                else ("Element",)
            )
            return self._complex(line.elements, implied)
        if line.transform:
            if line.transform not in FUNCTIONS:
                message = f"{line.target}: unknown transform {line.transform!r}"
                raise MapError(message)
            return FUNCTIONS[line.transform](line.arguments)
        name = line.types[0] if line.types else "string"
        if line.concept:
            whole = self._lazy("CodeableConcept") if "CodeableConcept" in self._declared else PRIMITIVES["string"]
            return coded(concept_map(line.concept), name, whole)
        return self._lazy(name)

    def _lazy(self, name: str) -> Convert:
        if name in PRIMITIVES:
            return PRIMITIVES[name]
        if name not in self._declared:
            message = f"unknown type {name!r}"
            raise MapError(message)

        def later(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
            return self._named(name)(reading, container, key)

        return later

    def _named(self, name: str) -> Convert:
        found = self._converters.get(name)
        if found is None:
            implied = ("Element",) if self._shadows and name not in {"Element", "Contained"} else ()
            made = self._contained if name == "Contained" else self._complex(lines(self._declared[name]), implied)
            found = self._converters[name] = made
        return found

    def _contained(self, reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
        node = container[key]
        chosen = self.choose(reading, node) if isinstance(node, dict) else None
        if chosen is None:
            return None
        reason = chosen.refusal(reading, node)
        if reason:
            reading.note((container, key), "dropped", reason)
            return None
        return chosen.run(reading, node)

    def _complex(self, elements: tuple[Line, ...], implied: tuple[str, ...]) -> Convert:
        own = {one.target for one in elements}
        for kind in implied:
            elements = (*elements, *(one for one in lines(self._declared[kind]) if one.target not in own))
        rules = self._rules(elements)
        extension = bool(implied) and any(one.target == "url" and one.sources for one in elements)

        def convert(reading: Reading, container: Any, key: Any) -> Any:  # noqa: ANN401 - a node of any shape
            node = container[key]
            if not isinstance(node, dict):
                if node not in ("", None):
                    reading.note((container, key), "invalid", "an object was expected here")
                return None
            if extension and (id(node), "url") in reading.taken:
                return None  # a line of the map read this extension already
            out: Json = {}
            for rule in rules.of(node):
                rule(reading, node, out)
            return None if extension and out.keys() <= {"url"} else out or None

        return convert


def _gate(line: Line) -> Gate:
    """Name the children, and their extensions, without all of which a line does nothing."""
    if not line.sources or line.default is not None:
        return None
    if line.is_choice and not line.sources[0].rooted and len(line.sources[0].steps) == 1:
        base = line.sources[0].steps[0].name.removesuffix("[x]")
        names = {f"{base}{_capital(name)}" for name in line.types}
    else:
        names = {_child(line)} - {""} if not line.is_choice else set()
    return frozenset(names | {f"_{name}" for name in names}) if names else None


def _child(line: Line) -> str:
    """Name the one child a line reads, if that is all its path says."""
    place = line.sources[0]
    plain = len(line.sources) == 1 and len(place.steps) == 1 and not place.rooted and not place.steps[0].filter_key
    return place.steps[0].name if plain and line.target != "*" else ""


def _first_step(place: Path) -> str:
    """Name the child without which nothing is at the end of a path; empty when it does not start at the node itself."""
    return place.steps[0].name if place.steps and not place.rooted and place.steps[0].name != "^" else ""


def _first_of(reading: Reading, convert: Convert, node: Any, name: str, value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, list):
        return convert(reading, node, name)
    for index in range(len(value)):
        found = convert(reading, value, index)
        if found is not None:
            return found
    return None


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _copied(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {name: _copied(child) for name, child in value.items()}
    return [_copied(child) for child in value] if isinstance(value, list) else value
