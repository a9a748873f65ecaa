"""From a FHIR Consent to statements: what is not understood opens nothing."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from consent.decision import decide
from consent.model import ANY, Custodian, Statement
from consent.provisions import check_consent, statements_from_consent
from tests.consent.worlds import GP, HOSPITAL, PATIENT, POST, QUESTION, facts

URA = "http://fhir.nl/fhir/NamingSystem/ura"
UZI = "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers"
TYPE = "http://nictiz.nl/fhir/NamingSystem/organization-type"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CATEGORY = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-data-categories-cs"


def party(system: str, value: str) -> dict[str, Any]:
    return {"identifier": {"system": system, "value": value}}


def actor(role: str, system: str, value: str) -> dict[str, Any]:
    return {"role": {"coding": [{"system": PARTICIPATION, "code": role}]}, "reference": party(system, value)}


def code(system: str, value: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": value}]}


def consent(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "resourceType": "Consent",
        "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code("http://loinc.org", "59284-0")],
        "patient": {"reference": f"Patient/{PATIENT}"},
        "organization": [party(URA, GP)],
        "provision": {"type": "permit"},
    }
    return {key: value for key, value in (usual | changes).items() if value is not None}


def said(resource: Any, version: int = 1) -> tuple[Statement, ...]:
    return statements_from_consent(resource, patient=PATIENT, consent_id="c1", version=version)


def test_a_permit_in_full() -> None:
    provision = {
        "type": "permit",
        "period": {"start": "2026-01-01", "end": "2026-12"},
        "actor": [
            actor("CST", URA, GP),
            actor("IRCP", URA, POST),
            actor("IRCP", UZI, "900000101"),
            actor("CONSENTER", "x", "y"),
        ],
        "action": [code("http://terminology.hl7.org/CodeSystem/consentaction", "access")],
        "purpose": [{"system": REASON, "code": "TREAT"}],
        "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}],
        "code": [code(CATEGORY, "Alert"), code("http://loinc.org", "10160-0")],
        "data": [{"meaning": "instance", "reference": {"reference": "Observation/i-1"}}],
        "dataPeriod": {"start": "2020"},
        "securityLabel": [{"system": "https://roaz-gateway.example/fhir/CodeSystem/label", "code": "third-party"}],
    }
    resource = consent(provision=provision)
    assert check_consent(resource) == ()
    (one,) = said(resource, 3)
    assert one == Statement(
        id="c1",
        version=3,
        effect="permit",
        patient=PATIENT,
        custodian=GP,
        requesters=frozenset({POST}),
        persons=frozenset({"900000101"}),
        categories=frozenset({"Alert", "MedicationUse", "MedicationRequest"}),
        types=frozenset({"Observation"}),
        labels=frozenset({"third-party"}),
        items=frozenset({"i-1"}),
        data_start="2020",
        purposes=frozenset({"behandeling", "triage-coordinatie", "waarneming", "verwijzing", "spoed"}),
        start=datetime(2025, 12, 31, 23, tzinfo=UTC),
        end=datetime(2026, 12, 31, 23, tzinfo=UTC),
    )


@pytest.mark.parametrize("scope", ["treatment", "adr", "research", "PATIENT-PRIVACY", ""])
def test_only_scope_patient_privacy_speaks(scope: str) -> None:
    resource = consent(scope=code("http://terminology.hl7.org/CodeSystem/consentscope", scope))
    assert said(resource) == ()
    assert check_consent(resource)


def test_two_scopes_are_not_exactly_one() -> None:
    both = {
        "coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": c}
            for c in ("patient-privacy", "treatment")
        ]
    }
    assert said(consent(scope=both)) == ()
    assert said(consent(scope=code("http://elsewhere", "patient-privacy"))) == ()
    assert said(consent(scope=None)) == ()


@pytest.mark.parametrize("status", ["draft", "proposed", "rejected", "entered-in-error", None])
def test_only_active_speaks(status: str | None) -> None:
    assert said(consent(status=status)) == ()
    assert said(consent(status=status, provision={"type": "deny"})) == ()


def test_c6_what_was_permitted_and_taken_back_is_another_state_than_no_choice() -> None:
    (one,) = said(consent(status="inactive"))
    assert (one.effect, one.end) == ("withdrawn", None)


PUZZLES: list[dict[str, Any]] = [
    {"modifierExtension": [{"url": "http://x", "valueBoolean": True}]},
    {"actor": [actor("IRCP", "http://elsewhere", "1")]},
    {"actor": [{"role": code(PARTICIPATION, "IRCP"), "reference": {"reference": "Organization/1"}}]},
    {"actor": [actor("STRANGE", URA, POST)]},
    {"actor": [actor("IRCP", URA, POST) | {"modifierExtension": [{"url": "http://x"}]}]},
    {"actor": [actor("CST", UZI, "900000101")]},
    {"actor": []},
    {"actor": "everybody"},
    {"actor": [None]},
    {"actor": {}},
    {"purpose": ""},
    {"actor": [{"role": code(PARTICIPATION, "IRCP"), "reference": {"identifier": {"system": URA, "value": {"a": 1}}}}]},
    {"action": [code("http://terminology.hl7.org/CodeSystem/consentaction", "correct")]},
    {"action": [{"text": "look"}]},
    {"purpose": [{"system": REASON, "code": "HRESCH"}]},
    {"purpose": [{"system": "http://elsewhere", "code": "TREAT"}]},
    {"purpose": [{"system": REASON, "code": "TREAT"}, {"system": REASON, "code": "WHATEVER"}]},
    {"class": [{"system": "urn:ietf:bcp:13", "code": "application/pdf"}]},
    {"code": [code("http://elsewhere", "1")]},
    {"code": [{"text": "my medication"}]},
    {"securityLabel": [{"system": "http://elsewhere", "code": "R"}]},
    {"securityLabel": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}]},
    {"data": [{"meaning": "related", "reference": {"reference": "Observation/1"}}]},
    {"data": [{"meaning": "instance", "reference": {"display": "the letter"}}]},
    {"period": {"start": "yesterday"}},
    {"period": {}},
    {"period": {"start": "2026-01-01T10:00:00"}},
    {"period": {"start": "2027", "end": "2026"}},
    {"dataPeriod": {"end": 5}},
    {"unheardOf": True},
    {"provision": {}},
]


@pytest.mark.parametrize("puzzle", PUZZLES, ids=str)
def test_what_is_not_understood_ends_a_permit_and_widens_an_objection(puzzle: dict[str, Any]) -> None:
    permit = consent(provision={"type": "permit"} | puzzle)
    assert check_consent(permit)
    assert all(one.effect == "deny" for one in said(permit))
    objection = consent(provision={"type": "deny"} | puzzle)
    denied = decide(QUESTION, facts(*said(consent()), *said(objection)))
    assert denied.outcome == "deny"
    if "unheardOf" not in puzzle and "modifierExtension" not in puzzle:
        nested = said(consent(provision={"type": "permit", "provision": [{"type": "deny"} | puzzle]}))
        assert any(one.effect == "deny" for one in nested)


@pytest.mark.parametrize("key", ["modifierExtension", "implicitRules"])
def test_a_modifier_at_the_root_ends_every_permit(key: str) -> None:
    resource = consent(
        **{key: "x"}, provision={"type": "deny", "provision": [{"type": "permit", "actor": [actor("IRCP", URA, POST)]}]}
    )
    assert [one.effect for one in said(resource)] == ["deny"]


def test_an_exception_beats_what_it_is_an_exception_to() -> None:
    opted_out = consent(
        provision={"type": "deny", "provision": [{"type": "permit", "actor": [actor("PRCP", URA, POST)]}]}
    )
    assert decide(QUESTION, facts(*said(opted_out))).permitted
    elsewhere = replace(QUESTION, requester=replace(QUESTION.requester, organization=HOSPITAL))
    world = facts(*said(opted_out), agreements=(replace(facts().agreements[0], requesters=frozenset({ANY})),))
    assert decide(elsewhere, world).reasons[0].code == "consent-objection"
    # Even where the exception repeats the restriction of its parent.
    same = {"actor": [actor("IRCP", URA, POST)]}
    repeated = consent(provision={"type": "deny", **same, "provision": [{"type": "permit", **same}]})
    assert decide(QUESTION, facts(*said(repeated))).permitted


def test_a_nested_provision_without_type_says_the_opposite() -> None:
    resource = consent(provision={"type": "permit", "provision": [{"code": [code(CATEGORY, "AllergyIntolerance")]}]})
    assert [(one.effect, one.id) for one in said(resource)] == [("permit", "c1"), ("deny", "c1#1")]
    assert not decide(QUESTION, facts(*said(resource))).permitted
    assert decide(replace(QUESTION, type="Flag", category="Alert"), facts(*said(resource))).permitted


def test_exceptions_to_exceptions() -> None:
    inner = {"type": "permit", "actor": [actor("IRCP", UZI, "900000101")]}
    middle = {"type": "deny", "code": [code(CATEGORY, "AllergyIntolerance")], "provision": [inner]}
    resource = consent(provision={"type": "permit", "provision": [middle]})
    statements = said(resource)
    assert [one.id for one in statements] == ["c1", "c1#1", "c1#1.1"]
    assert statements[2].categories == {"AllergyIntolerance"}
    assert decide(QUESTION, facts(*statements)).statement == "c1#1.1/1"


def test_an_exception_outside_its_parent_opens_nothing() -> None:
    resource = consent(
        provision={
            "type": "deny",
            "actor": [actor("IRCP", URA, HOSPITAL)],
            "provision": [{"type": "permit", "actor": [actor("IRCP", URA, POST)]}],
        }
    )
    assert [one.effect for one in said(resource)] == ["deny"]
    assert check_consent(resource)


def test_a_deny_binds_each_kind_of_requester_it_names() -> None:
    resource = consent(provision={"type": "deny", "actor": [actor("IRCP", URA, HOSPITAL), actor("IRCP", TYPE, "N6")]})
    assert {(one.requesters, one.requester_types) for one in said(resource)} == {
        (frozenset({HOSPITAL}), frozenset()),
        (frozenset(), frozenset({"N6"})),
    }


def test_a_statement_binds_its_own_custodian() -> None:
    other = consent(provision={"type": "permit", "actor": [actor("CST", URA, HOSPITAL)]})
    assert said(other) == ()
    objection = consent(provision={"type": "deny", "actor": [actor("CST", URA, HOSPITAL)]})
    assert {one.custodian for one in said(objection)} == {GP}
    two = consent(organization=[party(URA, GP), party(URA, HOSPITAL)])
    assert {one.custodian for one in said(two)} == {GP, HOSPITAL}


def test_without_a_custodian_a_permit_says_nothing_and_an_objection_holds_everywhere() -> None:
    for organization in (None, [], [{"reference": "Organization/1"}], "x", [party(URA, GP), {"display": "?"}]):
        assert said(consent(organization=organization)) == ()
        assert {one.custodian for one in said(consent(organization=organization, provision={"type": "deny"}))} == {ANY}


def policy(value: str) -> dict[str, Any]:
    return code("http://terminology.hl7.org/CodeSystem/v3-ActCode", value)


def test_policy_rules() -> None:
    assert [one.effect for one in said(consent(policyRule=policy("OPTIN"), provision=None))] == ["permit"]
    assert [one.effect for one in said(consent(policyRule=policy("OPTOUT"), provision=None))] == ["deny"]
    assert said(consent(provision=None)) == ()
    exception = consent(policyRule=policy("OPTOUT"), provision={"type": "permit", "actor": [actor("IRCP", URA, POST)]})
    assert [(one.effect, one.id) for one in said(exception)] == [("deny", "c1#policy"), ("permit", "c1")]
    assert decide(QUESTION, facts(*said(exception))).permitted
    untyped = consent(provision={"provision": [{"type": "deny"}, {"type": "permit"}]})
    assert [one.effect for one in said(untyped)] == ["deny"]
    assert [one.effect for one in said(consent(provision={"type": "perhaps"}))] == ["deny"]
    assert [one.effect for one in said(consent(provision=["permit"]))] == ["deny"]


def test_nesting_without_end_objects() -> None:
    provision: dict[str, Any] = {"type": "permit"}
    for _ in range(60):
        provision = {"type": "permit", "provision": [provision]}
    assert not decide(QUESTION, facts(*said(consent(provision=provision)))).permitted


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["coding", "code", "system", "start", "type", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_elements = st.sampled_from(
    [
        "type",
        "period",
        "actor",
        "action",
        "securityLabel",
        "purpose",
        "class",
        "code",
        "dataPeriod",
        "data",
        "provision",
    ]
)


@pytest.mark.slow
@given(st.dictionaries(_elements, _json, max_size=3))
def test_garbage_in_a_provision_never_raises(bent: dict[str, Any]) -> None:
    resource = consent(provision={"type": "permit", **bent})
    check_consent(resource)
    if "provision" not in bent and check_consent(resource):
        assert all(one.effect == "deny" for one in said(resource))
    else:
        said(resource)


@given(st.sampled_from(["scope", "status", "patient", "organization", "provision", "policyRule"]), _json)
def test_garbage_at_the_root_never_raises(name: str, value: Any) -> None:
    resource = copy.deepcopy(consent()) | {name: value}
    check_consent(resource)
    said(resource)


EXAMPLES = Path(__file__).parents[3] / "shared" / "data" / "nl-core-examples"
FHIR = "{http://hl7.org/fhir}"


def as_json(element: Any) -> Any:
    """Read XML as JSON, as far as a scope and provisions go; for this test only."""
    if element.get("value") is not None:
        return element.get("value")
    made: dict[str, Any] = {}
    for child in element:
        if isinstance(child.tag, str) and child.tag.startswith(FHIR):
            name, value = child.tag.removeprefix(FHIR), as_json(child)
            if name in ("coding", "category", "organization", "code", "actor") and not isinstance(value, str):
                made.setdefault(name, []).append(value)
            else:
                made[name] = value
    return made


@pytest.mark.real_inputs
def test_no_directive_example_is_a_statement() -> None:
    if not EXAMPLES.is_dir():
        pytest.skip(f"no nl-core examples at {EXAMPLES.name}")
    roots = [etree.parse(str(path)).getroot() for path in sorted(EXAMPLES.glob("*.xml"))]
    directives = [root for root in roots if root.tag == f"{FHIR}Consent"]
    assert directives
    for root in directives:
        resource = {"resourceType": "Consent", **as_json(root)}
        assert resource["scope"]["coding"][0]["code"] in ("treatment", "adr")
        assert said(resource) == ()
        assert said(resource | {"status": "active", "organization": [party(URA, GP)]}) == ()


def test_the_custodian_type_is_no_requester_type() -> None:
    mental = replace(QUESTION, custodian=Custodian(GP, "G5"))
    assert decide(mental, facts(*said(consent()))).permitted
