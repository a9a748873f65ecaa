"""Teeth for the gates around consent: each fault made by hand is caught by the test named beside it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from consent import basis, emergency, forms, precedence, representation
from gateway import authorization, envelope, exchange, preflight
from gateway.adapters import mitz
from gateway.adapters.notices import Messenger
from gateway.intake import consents, contracts, relations
from gateway.oauth import binding, proof
from gateway.oauth.tokens import AccessTokens
from tests.consent import test_scenarios as scenarios
from tests.fakes import NOON, MemoryReviews
from tests.gateway import (
    test_contracts,
    test_emergency,
    test_notices,
    test_preflight,
    test_relations,
    test_spoken_consents,
)
from tests.gateway.adapters import test_mitz
from tests.gateway.oauth import test_binding
from tests.gateway.world import PHYSICIAN
from tests.proofs.test_mutants import Mutant
from tests.proofs.variants import of_today

pytestmark = [pytest.mark.proof, pytest.mark.timeout(600)]


def scenario(story: str) -> Any:
    """The scenario of a story as a test."""
    row = next(one for one in scenarios.LOADED if one["story"] == story)
    return lambda: scenarios.test_scenario(row)


def _never_informed_again(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> bool:
        return False

    patch.setattr(exchange, "informed_again", nothing)


def _glass_unrecorded(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        return None

    patch.setattr(exchange, "broken", nothing)


def _glass_told_afterwards(patch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    told = exchange.broken  # type: ignore[attr-defined]

    async def later(*given: Any) -> None:
        kept.append(given)

    before = exchange.informed_again  # type: ignore[attr-defined]

    async def then(standing: Any, ports: Any) -> bool:
        for given in kept:
            await told(*given)
        kept.clear()
        return bool(await before(standing, ports))

    patch.setattr(exchange, "broken", later)
    patch.setattr(exchange, "informed_again", then)


def _never_suspended(patch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> bool:
        return False

    patch.setattr(authorization, "suspended", never)


def _own_review(patch: pytest.MonkeyPatch) -> None:
    settle = MemoryReviews.settle

    async def anybody(self: MemoryReviews, id_: str, reviewer: str, *rest: Any) -> bool:
        return await settle(self, id_, hashlib.sha256(reviewer.encode()).hexdigest(), *rest)

    patch.setattr(MemoryReviews, "settle", anybody)


def _one_pair_of_eyes(patch: pytest.MonkeyPatch) -> None:
    allowed = contracts._allowed
    patch.setattr(
        contracts, "_allowed", lambda found, wanted, person, *, same: allowed(found, wanted, person + "x", same=same)
    )


def _decided_on_something_else(patch: pytest.MonkeyPatch) -> None:
    allowed = contracts._allowed
    patch.setattr(
        contracts, "_allowed", lambda found, wanted, person, *, same: allowed(found, wanted, person, same=True)
    )


def _everybody_keeps_agreements(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contracts, "_person", lambda *_: "uzi|1")


def _offers_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contracts, "EXECUTED", "offered")


def _silent_in_preflight(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(preflight, "visibility", lambda *_: "named")


def _explained_to_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(preflight, "_within", lambda _own, whole: whole)


def _no_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authorization, "_said", lambda ura, found, patient: iter(()))


def _register_taken_to_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authorization, "_is_silent", lambda _: False)


def _register_remembered(patch: pytest.MonkeyPatch) -> None:
    kept: dict[Any, Any] = {}
    decisions = mitz.SimulatedRegister.decisions

    async def once(self: mitz.SimulatedRegister, question: Any) -> Any:
        if question not in kept:
            kept[question] = await decisions(self, question)
        return kept[question]

    patch.setattr(mitz.SimulatedRegister, "decisions", once)


def _hour_without_end(patch: pytest.MonkeyPatch) -> None:
    fault = emergency.fault
    patch.setattr(emergency, "fault", lambda grounds, now: fault(grounds and replace(grounds, since=None), now))


def _any_talk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forms, "_asked_faults", lambda *_: iter(()))


def _case_of_anybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(consents, "_is_mine", lambda *_: True)


def _age_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(representation, "faults", lambda *_, **__: iter(()))


def _permits_never_lapse(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(representation, "ends", lambda *_: None)


def _children_outvoted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(representation, "is_firm", lambda *_: False)


def _withdrawn_is_permitted(patch: pytest.MonkeyPatch) -> None:
    sort = basis._sorted

    def forgetful(row: Any, statements: Any) -> Any:
        return sort(
            row, tuple(replace(one, effect="permit") if one.effect == "withdrawn" else one for one in statements)
        )

    patch.setattr(basis, "_sorted", forgetful)


def _ties_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(precedence, "_above", lambda first, second: all(a >= b for a, b in zip(first, second, strict=True)))


def _spoken_yes_everywhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(basis, "_accepted", lambda _agreement, statements: statements)


def _launch_forgotten(patch: pytest.MonkeyPatch) -> None:
    caller = AccessTokens._caller
    patch.setattr(AccessTokens, "_caller", lambda self, claims, now: replace(caller(self, claims, now), launch=""))


def _possession_not_asked(patch: pytest.MonkeyPatch) -> None:
    async def held(*_: Any) -> None:
        return None

    patch.setattr(binding, "hold", held)


def _proofs_not_spent(patch: pytest.MonkeyPatch) -> None:
    async def spent(*_: Any) -> None:
        return None

    patch.setattr(proof, "_spend", spent)


def _any_peer_is_a_proxy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(envelope, "CERTIFICATES", frozenset())


def _relations_never_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(relations, "_window", lambda *_, **__: (NOON, NOON + timedelta(days=9_999)))


def _own_word_is_a_contact(patch: pytest.MonkeyPatch) -> None:
    told = relations.relations_in

    def believed(*given: Any) -> Any:
        return [replace(one, kind="contact") for one in told(*given)]

    patch.setattr(relations, "relations_in", believed)


def _taken_whatever_is_said(patch: pytest.MonkeyPatch) -> None:
    async def posted(*_: Any) -> str:
        return ""

    patch.setattr(Messenger, "_posted", posted)


MUTANTS = [
    Mutant("what is said meanwhile is not read", _never_informed_again, test_emergency.test_66_a_withdrawal_while_a_source_answers_counts),
    Mutant("a broken glass is not told", _glass_unrecorded,
           test_emergency.test_the_glass_is_broken_where_the_patient_said_nothing_and_everybody_hears_of_it),
    Mutant("a broken glass is told afterwards", _glass_told_afterwards,
           test_emergency.test_the_glass_is_broken_where_the_patient_said_nothing_and_everybody_hears_of_it),
    Mutant("nobody is suspended", _never_suspended,
           test_emergency.test_unreviewed_after_a_week_the_entitlement_is_suspended_until_somebody_else_looked),
    Mutant("one reviews oneself", _own_review,
           test_emergency.test_unreviewed_after_a_week_the_entitlement_is_suspended_until_somebody_else_looked),
    Mutant("one pair of eyes decides", _one_pair_of_eyes, test_contracts.test_two_people_open_and_one_closes),
    Mutant("something else is decided than offered", _decided_on_something_else,
           test_contracts.test_what_is_decided_is_what_was_offered),
    Mutant("anybody keeps agreements", _everybody_keeps_agreements,
           lambda: test_contracts.test_178_only_the_office_keeps_agreements(PHYSICIAN, "purpose-refused")),
    Mutant("an offer opens", _offers_open, test_contracts.test_two_people_open_and_one_closes),
    Mutant("a preflight names everybody", _silent_in_preflight,
           test_preflight.test_what_the_patient_refuses_is_anonymous_and_what_is_silent_is_not_there),
    Mutant("the patient's side is explained to the requester", _explained_to_everybody,
           test_preflight.test_the_requesters_auditor_sees_one_code_of_the_patients_side),
    Mutant("the register is not heard", _no_is_not_heard, test_mitz.test_a_local_yes_never_beats_a_national_no),
    Mutant("a silent register is taken to answer", _register_taken_to_answer,
           test_mitz.test_65_a_register_that_is_down_closes_what_asks_it_and_says_so),
    Mutant("the register is remembered", _register_remembered,
           test_mitz.test_a_national_yes_opens_one_custodian_and_is_asked_each_time),
    Mutant("the hour has no end", _hour_without_end, test_emergency.test_after_an_hour_it_is_over),
    Mutant("any talk will do", _any_talk, lambda: test_spoken_consents.test_b2_a_talk_that_is_not_one_opens_nothing(
        test_spoken_consents.spoken(extension=[test_spoken_consents.talk(script=None)]), "invalid-resource")),
    Mutant("the case of anybody will do", _case_of_anybody, test_spoken_consents.test_b2_only_in_a_case_of_ones_own),
    Mutant("age is ignored", _age_ignored, scenario("A child of eight does not permit alone")),
    Mutant("permits never lapse", _permits_never_lapse, scenario("What parents permitted lapses on the twelfth birthday")),
    Mutant("a child is outvoted", _children_outvoted, scenario("A child of thirteen closes alone, whatever is permitted more precisely")),
    Mutant("a withdrawal is a yes", _withdrawn_is_permitted, scenario("The patient withdrew, which is not the same as no choice")),
    Mutant("a tie opens", _ties_open, scenario("Equally specific yes and no, and the objection wins")),
    Mutant("a spoken yes counts everywhere", _spoken_yes_everywhere,
           scenario("Where the agreement does not accept a spoken yes it opens nothing")),
    Mutant("who shows nothing is let through", _possession_not_asked,
           test_binding.test_021_a_stolen_token_is_worth_nothing_without_its_key),
    Mutant("a proof counts twice", _proofs_not_spent, test_binding.test_019_a_proof_is_spent_once_and_by_its_own_key),
    Mutant("anybody says what a proxy saw", _any_peer_is_a_proxy,
           lambda: test_binding.test_020_a_bound_token_goes_with_its_certificate_through_a_listed_proxy("client-cert")),
    Mutant("a relation never ends", _relations_never_end,
           test_relations.test_what_has_ended_ends_at_once_and_a_contact_counts_a_while_after),
    Mutant("one's own word is a contact", _own_word_is_a_contact,
           test_relations.test_c6_ones_own_word_counts_only_where_the_agreement_says_so),
    Mutant("a notice nobody took is done with", _taken_whatever_is_said,
           lambda: test_notices.test_what_is_not_taken_is_tried_again_with_growing_pauses(500)),
    Mutant("the patient of the token is forgotten", _launch_forgotten, test_emergency.test_the_glass_is_broken_for_one_patient),
]  # fmt: skip


@pytest.mark.parametrize("mutant", of_today(MUTANTS), ids=lambda mutant: mutant.fault)
def test_g2_a_faulty_gate_is_caught(mutant: Mutant) -> None:
    mutant.caught_by()  # control: with the real gate the test passes
    precedence._above.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        mutant.patch(patch)
        with pytest.raises((AssertionError, KeyError, IndexError, ValueError)):
            mutant.caught_by()
    precedence._above.cache_clear()
    mutant.caught_by()
