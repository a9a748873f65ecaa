"""Whether a constraint holds: quick and thorough agree, open questions stay open, and what is empty is not met."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.exact import Json
from profiles.fhirpath import NOT_JUDGED, NOTHING, Environment, EvaluationError, Node, NotJudged, compile_expression
from profiles.fhirpath.model import model_of
from profiles.fhirpath.parser import parse
from profiles.fhirpath.quick import UNSURE
from profiles.fhirpath.shapes import claim
from tests.profiles.fhirpath.inputs import BUNDLE, OBSERVATION, PATIENT

ERRATA: Final = Path(__file__).parents[3] / "profiles" / "fhirpath" / "errata.toml"
# Shapes that have a quick form, one or more of each kind, on the type they are for.
SHAPES: Final = {
    "Patient": (
        "name.exists()", "photo.empty()", "deceased.exists()", "name.given.empty()", "name.family.exists().not()",
        "contact.all(name.exists() or telecom.exists())", "gender = 'female'", "gender != 'male'", "active = true",
        "gender in ('male' | 'female')", "name.use in ('official' | 'old' | 'nickname')", "multipleBirth = 2",
        "name.count() > 2", "(name.count() + telecom.count()) = 5", "(photo.count() + contact.count()) > 0",
        "name.where(use = 'official').exists()", "name.where(use = 'official' and given.exists()).empty()",
        "telecom.where(system = 'phone' and rank = 1).exists()", "identifier.exists(system = 'urn:x')",
        "extension('urn:x:flag').exists()", "extension.where(url = 'urn:x:code').value.exists()",
        "name.family.extension('urn:x:own').exists()", "name.family.hasValue()", "birthDate.hasValue().not()",
        "gender.startsWith('fe')", "name.period.exists() implies name.use.exists()", "active.exists() xor gender.exists()",
        "active.exists() = gender.exists()", "text.`div`.exists()", "contained.contained.empty()",
        "Patient.name.exists()", "birthDate <= birthDate", "birthDate > birthDate", "managingOrganization.reference = '#o1'",
        "contained.where(id = 'o1').exists()", "generalPractitioner.where(resolve() is Patient).empty()",
        "name.where($this.use = 'old').given.empty()", "photo.where(resolve().exists()).empty()",
        "photo.url.startsWith('x').not()", "(name.exists() and photo.exists()) or (gender = 'x') implies active",
    ),
    "Observation": (
        "value.exists() or dataAbsentReason.exists()", "component.value.exists()", "value.empty().not()",
        "code.coding.where(system = 'http://loinc.org' and code = '14749-6').exists()", "code.coding.code = 'glu'",
        "component.all(value.exists() xor dataAbsentReason.exists())", "hasMember.empty() or component.empty()",
        "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()",
        "effective <= issued", "referenceRange.all(low.exists() or high.exists() or text.exists())",
    ),
    "Period": ("start.hasValue().not() or end.hasValue().not() or (start <= end)", "start < end", "start = end"),
    "Extension": ("extension.exists() != value.exists()", "url = 'urn:x'", "value.exists() xor extension.exists()"),
    "Quantity": ("code.empty() or system.exists()", "comparator.empty()", "value = 2", "value > 1"),
    "Reference": (
        "reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id)",
        "reference.exists() or identifier.exists() or display.exists()",
    ),
}  # fmt: skip

SCALARS: Final = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([Decimal("1.50"), Decimal(2)]),
    st.sampled_from(["", "female", "official", "2001", "2001-02", "2001-02-03", "2001-02-03T10:00:00Z", "2001-13", "#o1",
                     "2001-02-03T10:00:00+01:00", "urn:x", "glu", "http://loinc.org", "Patient"]),
)  # fmt: skip
NAMES: Final = st.sampled_from(
    ("name", "_name", "given", "_given", "family", "_family", "use", "gender", "_gender", "active", "birthDate", "_birthDate",
     "extension", "url", "valueString", "_valueString", "valueQuantity", "valueBoolean", "system", "code", "coding", "value",
     "start", "end", "_end", "period", "telecom", "identifier", "reference", "contained", "id", "component", "text", "div",
     "resourceType", "deceasedBoolean", "multipleBirthInteger", "effectiveDateTime", "issued", "photo", "contact", "low")
)  # fmt: skip
ANYTHING: Final = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=5), max_leaves=20
)


def agree(expression: str, kind: str, focus: Json) -> None:
    compiled = compile_expression(expression, kind)
    model = model_of()
    quick = claim(parse(expression), kind, model)
    if quick is None or (kind in model.resources and focus.get("resourceType") != kind):
        return
    found = quick(focus)
    if found is not UNSURE:
        assert (found is True) is compiled.judged(focus)


@pytest.mark.parametrize(("kind", "focus"), [("Patient", PATIENT), ("Observation", OBSERVATION)])
def test_quick_and_thorough_agree(kind: str, focus: Json) -> None:
    for expression in SHAPES[kind]:
        agree(expression, kind, focus)


def test_common_shapes_are_quick() -> None:
    unsure = [
        expression
        for expression in SHAPES["Patient"]
        if (quick := claim(parse(expression), "Patient", model_of())) is None or quick(PATIENT) is UNSURE
    ]
    # What needs other resources, extensions of primitives, or the whole of FHIRPath is for the engine.
    assert len(unsure) <= 8


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(SHAPES)), st.dictionaries(NAMES, ANYTHING, max_size=6))
def test_quick_and_thorough_agree_on_anything(kind: str, focus: dict[str, Any]) -> None:
    if kind in model_of().resources:
        focus["resourceType"] = kind
    for expression in SHAPES[kind]:
        try:
            agree(expression, kind, focus)
        except EvaluationError:
            continue


def holds(expression: str, focus: Any, kind: str | None = None, environment: Environment = NOTHING) -> bool | None:
    return compile_expression(expression, kind).holds(focus, environment=environment)


def test_what_is_empty_is_not_met_and_what_is_no_boolean_is() -> None:
    assert holds("{}", PATIENT) is False
    assert holds("birthDate > @1972", PATIENT) is False
    assert holds("gender", PATIENT) is True
    assert holds("name", PATIENT) is True
    assert holds("active", PATIENT) is True
    assert holds("deceased", PATIENT) is False


def test_a_constraint_with_an_erratum_holds_as_its_words_say_and_evaluates_as_it_is_written() -> None:
    rules = {
        row["keys"][0]: row["published"] for row in tomllib.loads(ERRATA.read_text(encoding="utf-8"))["constraints"]
    }
    logical = {"identifier": {"value": "1"}}
    assert compile_expression(rules["ref-1"], "Reference").evaluate(logical) == []
    cases: list[tuple[str, str, Any, bool]] = [
        ("ref-1", "Reference", logical, True),
        ("ref-1", "Reference", {"reference": "#none"}, False),
        ("bdl-8", "Bundle.entry", {"resource": PATIENT}, True),
        ("bdl-8", "Bundle.entry", {"fullUrl": "http://x/Patient/1/_history/2"}, False),
        ("per-1", "Period", {"start": "2012", "end": "2012-05"}, True),
        ("per-1", "Period", {"start": "2012-05-01T10:00:00+02:00", "end": "2012-05-01"}, True),
        ("per-1", "Period", {"start": "2013", "end": "2012-05"}, False),
        ("per-1", "Period", {"start": "2012-05-02", "end": "2012-05-01"}, False),
        ("per-1", "Period", {"start": "2012-05-01T10:00:00Z", "end": "2012-05-01T09:59:59Z"}, False),
        ("adf-0", "ValueSet", {"resourceType": "ValueSet", "status": "draft"}, True),
        ("adf-0", "ValueSet", {"resourceType": "ValueSet", "name": "geen naam"}, False),
        ("vs-1", "Period", {"start": "2012"}, True),
        ("vs-1", "dateTime", "2012-05", False),
        ("vs-1", "dateTime", "2012-05-01", True),
        ("ras-2", "RiskAssessment.prediction", {"outcome": {}}, True),
        ("ras-2", "RiskAssessment.prediction", {"probabilityDecimal": 101}, False),
        ("que-12", "Questionnaire.item", {"enableWhen": [{}, {}]}, False),
        ("que-12", "Questionnaire.item", {"enableWhen": [{}, {}], "enableBehavior": "all"}, True),
    ]
    assert {key for key, *_ in cases} == set(rules)
    for key, kind, focus, expected in cases:
        assert holds(rules[key], focus, kind) is expected, (key, focus)


def test_a_constraint_on_an_open_question_is_open_only_where_the_answer_matters() -> None:
    unknown = Environment(member_of=lambda *_: NOT_JUDGED)
    for environment in (unknown, NOTHING):
        assert holds("gender.memberOf('urn:vs')", PATIENT, environment=environment) is None
        assert holds("gender.memberOf('urn:vs') or name.exists()", PATIENT, environment=environment) is True
        assert holds("gender.memberOf('urn:vs') and photo.exists()", PATIENT, environment=environment) is False
        assert holds("name.where(use.memberOf('urn:vs')).exists()", PATIENT, environment=environment) is None
        assert holds("name.where(use.memberOf('urn:vs')).count() < 9", PATIENT, environment=environment) is True
    known = Environment(member_of=lambda node, _: node.value == "female")
    assert holds("gender.memberOf('urn:vs')", PATIENT, environment=known) is True


def test_a_reference_that_leads_outside_is_an_open_question() -> None:
    expression = "generalPractitioner.resolve().exists()"
    assert holds(expression, PATIENT) is None
    assert holds(expression, PATIENT, environment=Environment(resolve=lambda *_: NOT_JUDGED)) is None
    assert holds(expression, PATIENT, environment=Environment(resolve=lambda *_: None)) is True
    with pytest.raises(NotJudged):
        compile_expression(expression).evaluate(PATIENT)
    with pytest.raises(NotJudged):
        compile_expression("gender.memberOf('urn:vs')").evaluate(PATIENT)


def test_resource_and_root_are_what_the_caller_says() -> None:
    contained = PATIENT["contained"][0]
    expression = compile_expression("%resource.id & '/' & %rootResource.id & '/' & %context.value", "Identifier")
    found = expression.evaluate({"value": "x"}, contained, PATIENT)
    assert found == [Node("o1/p1/x", "System.String")]
    reference = compile_expression("reference.resolve().ofType(Organization).id", "Reference")
    assert reference.evaluate({"reference": "#o1"}, contained, PATIENT) == [Node("o1", "id")]


def test_nodes_tell_their_type_value_and_extensions() -> None:
    found = compile_expression("name.family", "Patient").evaluate(PATIENT)
    assert [(node.type, node.value) for node in found] == [("string", "van Testen"), ("string", None)]
    assert found[0].extra == PATIENT["name"][0]["_family"]
    value = compile_expression("Observation.value", "Observation").evaluate(OBSERVATION)
    assert [(node.type, node.value) for node in value] == [("Quantity", OBSERVATION["valueQuantity"])]
    entries = compile_expression("entry.resource").evaluate(BUNDLE)
    assert [node.type for node in entries] == ["Patient", "Observation", "Observation"]
    assert [node.type for node in compile_expression("contact | telecom").evaluate(PATIENT)] == ["ContactPoint"] * 2
    assert compile_expression("1.5").evaluate(None) == [Node(Decimal("1.5"), "System.Decimal")]


def test_a_primitive_focus_carries_its_extensions() -> None:
    family = Node(None, "string", {"extension": [{"url": "urn:x", "valueString": "x"}]})
    assert holds("hasValue() or (children().count() > id.count())", family, "string") is True
    assert holds("extension('urn:x').exists()", family, "string") is True
    assert holds("hasValue()", family, "string") is False
    assert holds("$this.length() < 4", "abc", "string") is True


def test_traces_reach_who_listens() -> None:
    heard: list[tuple[str, int]] = []
    environment = Environment(trace=lambda label, nodes: heard.append((label, len(nodes))))
    assert holds("name.trace('names').exists()", PATIENT, "Patient", environment) is True
    assert heard == [("names", 3)]


def test_a_model_of_another_resource_says_nothing_about_this_one() -> None:
    assert holds("name.exists()", OBSERVATION, "Patient") is False
    assert compile_expression("Patient.name", "Patient").evaluate(OBSERVATION) == []


def test_elements_the_definitions_do_not_know_are_named() -> None:
    assert compile_expression("name.where(given.fist = 'x').exists()", "Patient").doubts == (
        "string has no element fist",
    )
    assert compile_expression("name.given | value", "Patient").doubts == ("Patient has no element value",)
    assert compile_expression("contained.anything.below", "Patient").doubts == ()
    with pytest.raises(ValueError, match="Patient has no element nam"):
        compile_expression("nam.exists()", "Patient", strict=True)
    with pytest.raises(ValueError, match="no type"):
        compile_expression("true", "NoSuchType")
