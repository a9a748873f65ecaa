"""Every expression HL7, Nictiz and IPS publish compiles; on the examples no invariant fails without an explanation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import pytest

from profiles.exact import Json
from profiles.fhirpath import EvaluationError, Expression, Node, compile_expression
from profiles.fhirpath.model import Model, model_of
from profiles.fhirpath.node import children, named
from tests.profiles.fhirpath.published import BESIDE, Invariant, examples, invariants, searches

pytestmark = [BESIDE, pytest.mark.real_inputs, pytest.mark.slow]

Rules = dict[tuple[str, ...], dict[str, Invariant]]


def test_every_invariant_compiles() -> None:
    every = {one.expression for one in invariants()}
    assert len(every) >= 230
    for expression in every:
        assert isinstance(compile_expression(expression), Expression)


def test_every_invariant_compiles_for_the_types_it_stands_on() -> None:
    model, doubts = model_of(), defaultdict(set)
    for one in invariants():
        for kind in kinds(one, model):
            for doubt in compile_expression(one.expression, kind).doubts:
                doubts[one.key].add(doubt)
    assert {key: sorted(found) for key, found in doubts.items()} == DOUBTS


def test_every_search_parameter_compiles_for_its_types() -> None:
    model, doubts = model_of(), set()
    assert len(searches()) >= 1300
    for name, bases, expression in searches():
        assert isinstance(compile_expression(expression), Expression)
        for base in bases:
            if model.elements(base) is not None:
                doubts |= {f"{name}: {doubt}" for doubt in compile_expression(expression, base).doubts}
    assert sorted(doubts) == SEARCH_DOUBTS


def kinds(one: Invariant, model: Model) -> Iterator[str]:
    if "." not in one.path:
        # MetadataResource is a pattern of the specification, not a type.
        if model.knows(one.path):
            yield one.path
    elif not one.kinds or one.kinds[0] in ("BackboneElement", "Element"):
        if model.elements(one.path) is not None:
            yield one.path
    else:
        yield from (kind for kind in one.kinds if model.knows(kind))


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_no_invariant_of_a_profile_or_type_fails_on_an_example_without_an_explanation() -> None:
    run = _Run(model_of())
    for name, resource in examples():
        run.resource(name, resource)
    assert run.asked > 200_000
    assert run.disagreements == []
    assert run.errors == Counter()
    assert {key: sorted(names) for key, names in run.violations.items()} == EXPLAINED


class _Run:
    """All invariants over all elements of resources."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.asked = 0
        self.violations: defaultdict[str, set[str]] = defaultdict(set)
        self.errors: Counter[str] = Counter()
        self.disagreements: list[str] = []
        self._name = ""
        self._types: Rules = defaultdict(dict)
        self._places: Rules = defaultdict(dict)
        self._profiles: Rules = defaultdict(dict)
        for one in invariants():
            if one.is_profile:
                self._profiles[one.definition, one.path][one.expression] = one
            else:
                self._enter(one)

    def _enter(self, one: Invariant) -> None:
        if "." not in one.path or one.path in self.model._source.types:
            self._types[(one.path,)][one.expression] = one
        else:
            parent, _, name = one.path.rpartition(".")
            self._places[parent, name.removesuffix("[x]")][one.expression] = one

    def resource(self, name: str, resource: Json) -> None:
        self._name = name
        if resource["resourceType"] in self.model.resources:
            self._walk(Node(resource, resource["resourceType"]), resource, resource)

    def _walk(self, node: Node, resource: Json, root: Json) -> None:
        self._check(self._types.get((node.type,), {}), node, resource, root)
        if node.type in self.model.resources:
            for profile in node.value.get("meta", {}).get("profile", ()):
                self._profile(profile, node, resource, root)
        elements = self.model.elements(node.type)
        if elements is None or type(node.value) is not dict:
            found: list[Node] = []
            children(node, self.model, found)
            for child in found:
                self._walk(child, resource, root)
            return
        for name in elements.by_name:
            found = []
            named(node, name, self.model, found)
            for child in found:
                self._check(self._places.get((node.type, name), {}), child, resource, root)
                self._enter_child(child, name, resource, root)

    def _enter_child(self, child: Node, name: str, resource: Json, root: Json) -> None:
        if name == "contained":
            self._walk(child, child.value, root)
        elif child.type in self.model.resources:
            self._walk(child, child.value, child.value)
        else:
            self._walk(child, resource, root)

    def _profile(self, profile: str, node: Node, resource: Json, root: Json) -> None:
        for (definition, path), rules in self._profiles.items():
            if definition == profile and path.partition(".")[0] == node.type and ":" not in path:
                nodes = [node]
                for step in path.split(".")[1:]:
                    below: list[Node] = []
                    for one in nodes:
                        named(one, step.removesuffix("[x]"), self.model, below)
                    nodes = below
                for one in nodes:
                    self._check(rules, one, resource, root)

    def _check(self, rules: dict[str, Invariant], node: Node, resource: Json, root: Json) -> None:
        for expression, rule in rules.items():
            self.asked += 1
            compiled = compile_expression(expression, node.type)
            focus = node.value if type(node.value) is dict else node
            try:
                holds = compiled.holds(focus, resource, root)
                thorough = compiled.judged(focus, resource, root)
            except EvaluationError as error:
                self.errors[f"{rule.key}: {error}"] += 1
                continue
            if holds is not thorough:
                self.disagreements.append(f"{self._name}: {rule.key}")
            if holds is False and rule.severity == "error":
                self.violations[rule.key].add(self._name)


# Published expressions that name what their type does not have; there they evaluate to empty.
DOUBTS: Final = {
    "cid-0": ["ChargeItemDefinition has no element name"],
    "inv-1": ["Extension has no element code", "Extension has no element substanceExposureRisk"],
    "ras-1": ["decimal has no element high", "decimal has no element low"],
}
# A parameter of a later version of FHIR among those of R4.
SEARCH_DOUBTS: Final = ["DeviceDefinition-classification: DeviceDefinition has no element classification"]
# The official example has the code chol-mass twice.
EXPLAINED: Final = {"csd-1": ["codesystem-example.json"]}
