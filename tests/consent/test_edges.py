"""Edges of the decision that a change would move unnoticed: the moment an end begins, an empty word, the wrong one of two reasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from consent.agreement import covering, related
from consent.decision import decide
from consent.disclosure import sentence
from consent.forms import ASKED, form_of
from consent.model import Relation
from consent.provisions import check_consent, statements_from_consent
from consent.scopes import satisfies
from tests.consent.worlds import NOW, PATIENT, QUESTION, facts, statement

MINUTE = timedelta(minutes=1)
TREAT = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}
URA = "http://fhir.nl/fhir/NamingSystem/ura"


@pytest.mark.parametrize(
    ("start", "end", "stands"),
    [
        (None, None, True),
        (NOW, None, True),
        (NOW + MINUTE, None, False),
        (None, NOW, False),
        (None, NOW + MINUTE, True),
        (NOW - MINUTE, NOW + MINUTE, True),
    ],
)
def test_a_relation_counts_from_its_first_moment_until_before_its_end(start: Any, end: Any, stands: bool) -> None:
    asked = facts()
    (one, *_) = asked.agreements
    assert QUESTION.custodian is not None
    told = Relation("care-team", QUESTION.requester.organization, PATIENT, QUESTION.custodian.organization, start, end)
    bound = replace(one, relations=frozenset({"care-team"}))
    assert related(bound, QUESTION, replace(asked, relations=(told,))) is stands
    for other in (
        replace(told, kind="contact"),
        replace(told, requester="1"),
        replace(told, patient="1"),
        replace(told, custodian="1"),
    ):
        assert not related(bound, QUESTION, replace(asked, relations=(other,)))


def test_two_agreements_come_in_the_order_of_their_ids() -> None:
    asked = facts()
    (one, *_) = asked.agreements
    both = replace(asked, agreements=(replace(one, id="b"), replace(one, id="a")))
    assert [found.id for found in covering(QUESTION, both)] == ["a", "b"]


def test_the_fixed_sentence_is_in_the_language_asked() -> None:
    assert sentence("01.015", "nl") != sentence("01.015", "en")
    assert sentence("01.015", "nl") == sentence("01.015")
    assert "kunnen" in sentence("01.015", "nl")


def test_no_query_in_a_scope_is_satisfied_by_anything_and_no_scope_by_nothing() -> None:
    assert satisfies({}, None) is True
    assert satisfies({}, ()) is False


def consent(**other: Any) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990019"}},
        "organization": [{"identifier": {"system": URA, "value": "90000001"}}],
        "policy": [{"uri": "https://wetten.overheid.nl/"}],
        **other,
    }  # fmt: skip


def opted(code: str) -> dict[str, Any]:
    return {"policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]}}


@pytest.mark.parametrize(
    ("more", "effects"),
    [
        (opted("OPTIN"), {"permit"}),
        (opted("OPTOUT"), {"deny"}),
        (opted("OPTIN") | {"provision": {"purpose": [TREAT]}}, {"permit"}),
        (opted("OPTOUT") | {"provision": {"purpose": [TREAT]}}, {"deny"}),
        ({"provision": {"type": "permit"}}, {"permit"}),
        ({"provision": {"type": "deny"}}, {"deny"}),
    ],
)
def test_a_base_rule_says_what_a_provision_leaves_open(more: dict[str, Any], effects: set[str]) -> None:
    told = statements_from_consent(consent(**more), patient=PATIENT, consent_id="c", version=1)
    assert {one.effect for one in told} == effects


@pytest.mark.parametrize(
    "more", [{"provision": {"type": "maybe"}}, {"provision": {"type": "permit", "actor": [{"reference": 1}]}}]
)
def test_a_provision_that_cannot_be_read_permits_nothing(more: dict[str, Any]) -> None:
    told = statements_from_consent(consent(**more), patient=PATIENT, consent_id="c", version=1)
    assert not [one for one in told if one.effect == "permit"]
    assert list(check_consent(consent(**more)))


@pytest.mark.parametrize(
    "identifier",
    [
        {"system": URA, "value": ""},
        {"system": URA, "value": 90000005},
        {"system": "http://elsewhere", "value": "90000005"},
        {},
    ],
)
def test_an_actor_nobody_can_tell_is_not_everybody(identifier: dict[str, Any]) -> None:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    actor = [{"role": role, "reference": {"identifier": identifier}}]
    told = statements_from_consent(
        consent(provision={"type": "permit", "actor": actor}), patient=PATIENT, consent_id="c", version=1
    )
    assert not [one for one in told if one.effect == "permit"]


def test_who_is_asked_now_and_when_is_said() -> None:
    asked = consent(provision={"type": "permit"}, performer=[{"type": "Patient"}])
    assert form_of(asked).source == "consent"


@pytest.mark.parametrize(
    ("start", "end", "refers"),
    [
        (NOW, None, True),
        (NOW + MINUTE, None, False),
        (None, NOW, False),
        (None, NOW + MINUTE, True),
        (None, None, True),
    ],
)
def test_a_referral_counts_from_its_first_moment_until_before_its_end(start: Any, end: Any, refers: bool) -> None:
    assert QUESTION.custodian is not None
    requesters = frozenset({QUESTION.requester.organization})
    said = statement(
        "permit",
        custodian=QUESTION.custodian.organization,
        requesters=requesters,
        source="implied",
        start=start,
        end=end,
    )
    asked = facts(said)
    bound = replace(asked.agreements[0], relations=frozenset({"referral"}))
    assert related(bound, QUESTION, asked) is refers


TALK: dict[str, dict[str, Any]] = {
    "case": {"valueReference": {"reference": "Task/case-1"}},
    "script": {"valueString": "toestemming 3"},
    "answeredBy": {"valueCode": "patient"},
    "identity": {"valueString": "naam, geboortedatum"},
}


@pytest.mark.parametrize("missing", ["", *TALK])
def test_a_talk_names_its_case_its_script_who_answered_and_how_they_were_known(missing: str) -> None:
    parts = [{"url": name, **value} for name, value in TALK.items() if name != missing]
    performer = [
        {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990019"}, "type": "Patient"}
    ]
    written = consent(
        dateTime="2026-03-02T11:00:00Z",
        performer=performer,
        extension=[{"url": ASKED, "extension": parts}],
        provision={"type": "permit", "actor": [RECEIVER]},
    )
    found = [why for where, why in check_consent(written) if ASKED in where]
    assert bool(found) is bool(missing), found


RECEIVER = {
    "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
    "reference": {"identifier": {"system": URA, "value": "90000005"}},
}


@pytest.mark.parametrize(("organization", "outcome"), [("", "deny"), ("11111111", "deny"), (None, "permit")])
def test_who_is_no_party_to_any_agreement_writes_nothing(organization: str | None, outcome: str) -> None:
    asked = facts()
    who = QUESTION.requester if organization is None else replace(QUESTION.requester, organization=organization)
    parties = replace(
        asked.agreements[0], custodians=frozenset({"90000001"}), requesters=frozenset({QUESTION.requester.organization})
    )
    write = replace(
        QUESTION, requester=who, action="c", custodian=None, scopes=frozenset({"system/*.cruds", "user/*.cruds"})
    )
    assert decide(write, replace(asked, agreements=(parties,))).outcome == outcome
