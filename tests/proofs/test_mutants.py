"""Teeth: a line made faulty by hand is caught, each time by the test that is named beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec import structs

from consent.model import Decision
from gateway import assembly, authorization, exchange, identification, localization, retrieval, screening, standing
from gateway.arrival import receive
from gateway.audit import journal
from gateway.audit.record import encode
from gateway.fhir import bundle, reading
from gateway.intake import cases, consents, registrations, submission
from gateway.intake.write import identifier_of
from gateway.model import Answer, Caller, Identified, Item, Patient, Question
from gateway.oauth.tokens import AccessTokens
from gateway.ports import Ports
from gateway.standing import Standing
from mappings.formats.hl7v2 import acknowledge
from tests.attacks import test_line as by_callers
from tests.attacks import test_line_sources as by_sources
from tests.gateway import (
    test_answers,
    test_cases,
    test_push,
    test_record,
    test_refusals,
    test_silence,
    test_writes,
)
from tests.gateway.charts import BSN, BSN_SYSTEM
from tests.gateway.world import OUTSIDER, PHYSICIAN
from tests.proofs.variants import of_today

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

Patch = Callable[[pytest.MonkeyPatch], None]
PERMIT = Decision("permit", agreement="mutant")


@dataclass(frozen=True)
class Mutant:
    """One fault, and the test that must not pass with it."""

    fault: str
    patch: Patch
    caught_by: Callable[[], None]


def _skip_screening(patch: pytest.MonkeyPatch) -> None:
    def everything(items: list[Item], answer: Answer, standing: Standing) -> None:
        answer.items.extend(item for item in items if item.type in standing.question.types)

    patch.setattr(exchange, "screen", everything)
    patch.setattr(exchange, "vouch", lambda *_: None)  # the second guard would catch it too


async def _said_once(*_: Any) -> bool:
    """What is said while sources are asked is not read."""
    return False


def _skip_membership(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.arrival._is_mine", lambda *_: True)


def _skip_identity_of_source(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.arrival._identifies", lambda *_: True)


def _skip_contained(patch: pytest.MonkeyPatch) -> None:
    from gateway import arrival

    kept_out = arrival._kept_out
    patch.setattr(arrival, "_kept_out", lambda resource, *rest: kept_out({**resource, "contained": []}, *rest))


def _skip_validation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.arrival.accepts", lambda _: True)


def _keep_narrative(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.arrival._clean_narrative", lambda _: None)


def _keep_absolute_references(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.arrival._rewrite", lambda *_: None)


def _permit_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(standing, "decide", lambda *_: PERMIT)


def _permit_on_exception(patch: pytest.MonkeyPatch) -> None:
    from consent import decision

    def decide(request: Any, facts: Any) -> Decision:
        found = decision.decide(request, facts)
        return PERMIT if found.outcome == "unavailable" else found

    patch.setattr(standing, "decide", decide)


def _ignore_statements(patch: pytest.MonkeyPatch) -> None:
    inform = authorization.inform

    async def forgetful(standing: Standing, patient: Patient, ports: Ports) -> None:
        await inform(standing, patient, ports)
        said = tuple(one for one in standing.facts.statements if one.effect == "permit")
        standing.facts = replace(standing.facts, statements=said)

    patch.setattr(exchange, "inform", forgetful)
    patch.setattr(exchange, "informed_again", _said_once)


def _stale_statements(patch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {}
    inform = authorization.inform

    async def cached(standing: Standing, patient: Patient, ports: Ports) -> None:
        await inform(standing, patient, ports)
        facts = kept.setdefault(patient.id, standing.facts)
        standing.facts = replace(standing.facts, statements=facts.statements)
        standing.decisions.clear()

    patch.setattr(exchange, "inform", cached)
    patch.setattr(exchange, "informed_again", _said_once)


def _skip_authorization(patch: pytest.MonkeyPatch) -> None:
    async def anybody(caller: Caller, question: Question, ports: Ports) -> Standing:
        try:
            return await authorization.authorize(caller, question, ports)
        except Exception:  # noqa: BLE001 - that is the fault
            return await authorization.authorize(PHYSICIAN, question, ports)

    patch.setattr(exchange, "authorize", anybody)


def _skip_expiry(patch: pytest.MonkeyPatch) -> None:
    caller = AccessTokens.caller
    patch.setattr(AccessTokens, "caller", lambda self, header, now: caller(self, header, now - 900))


def _audit_after_answer(patch: pytest.MonkeyPatch) -> None:
    async def careless(record: journal.Recorded, kind: Any, error: Any, trace: Any) -> None:
        try:
            await record.ports.audit.append(encode(record.record("outcome", record.custodians())))
        except Exception:  # noqa: BLE001 - that is the fault
            return

    patch.setattr(journal.Recorded, "__aexit__", careless)


def _no_intent(patch: pytest.MonkeyPatch) -> None:
    async def nothing(record: journal.Recorded, places: Any) -> None:
        return None

    patch.setattr(journal.Recorded, "intent", nothing)


def _refusals_unrecorded(patch: pytest.MonkeyPatch) -> None:
    async def nothing(record: journal.Recorded) -> None:
        return None

    patch.setattr(journal, "refused", nothing)


def _manifest_of_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assembly, "only_given", lambda *_: None)


def _two_persons_are_one(patch: pytest.MonkeyPatch) -> None:
    async def anybody(_patient: Patient, answers: list[Answer], _ports: Ports) -> list[Answer]:
        return answers

    patch.setattr(exchange, "confirm", anybody)


def _no_lock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(identification, "_refuse", lambda _locked: None)


def _refusals_named(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bundle, "visibility", lambda *_: "named")


def _silent_counts(patch: pytest.MonkeyPatch) -> None:
    def all_told(answers: list[Answer], _overrides: Any) -> list[Any]:
        return [told for answer in answers for told in answer.told.values()]

    patch.setattr(bundle, "_countable", all_told)


def _silence_reads_as_none(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bundle, "refuse_silence", lambda *_: None)


def _cursor_of_anybody(patch: pytest.MonkeyPatch) -> None:
    from gateway.fhir.searching import cursors

    cursor, opened = cursors.cursor, cursors.opened
    patch.setattr(cursors, "cursor", lambda last, sort, _client, scope, keys: cursor(last, sort, "all", scope, keys))
    patch.setattr(cursors, "opened", lambda text, _client, scope, keys: opened(text, "all", scope, keys))


def _number_in_url(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "_BSN_WORD", "nothing")
    patch.setattr(reading, "passes_elfproef", lambda _: False)


def _first_selector_wins(patch: pytest.MonkeyPatch) -> None:
    selected = reading._selected
    patch.setattr(reading, "_selected", lambda given, type_, ports: selected(given[:1], type_, ports))


def _lenient_always(patch: pytest.MonkeyPatch) -> None:
    from gateway.fhir import search, searchset

    understand = search.understand
    for module in (reading, searchset):
        patch.setattr(
            module, "understand", lambda type_, given, *, lenient=False: understand(type_, given, lenient=True)
        )


def _ask_everybody(patch: pytest.MonkeyPatch) -> None:
    async def broadcast(identified: Identified, question: Question, ports: Ports) -> Any:
        found = [localization._places(ura, "", question.categories, ports) for ura in sorted(ports.policy.sources_of)]
        return tuple(place for places in found for place in places)

    patch.setattr(exchange, "localize", broadcast)


def _ask_all_categories(patch: pytest.MonkeyPatch) -> None:
    fetch = retrieval.fetch

    async def greedy(place: Any, categories: Any, standing: Standing, ports: Ports, deadline: float) -> Any:
        return await fetch(place, standing.question.categories, standing, ports, deadline)

    patch.setattr(exchange, "fetch", greedy)


def _ids_for_ever(patch: pytest.MonkeyPatch) -> None:
    from tests.fakes import NOON, MemoryIssued

    issued = MemoryIssued.issued
    patch.setattr(MemoryIssued, "issued", lambda self, item, _now: issued(self, item, NOON))


def _any_case_will_do(patch: pytest.MonkeyPatch) -> None:
    async def some(caller: Caller, patient: str, ports: Ports) -> Any:
        found = [case for case, _ in ports.cases.kept.values()]  # type: ignore[attr-defined]
        return replace(found[0], patient=patient, closed=None) if found else None

    patch.setattr(authorization, "_open_case", some)


def _cases_of_others(patch: pytest.MonkeyPatch) -> None:
    async def any_case(write: Any) -> Any:
        found = await write.ports.cases.get(write.id)
        return found or await cases._own(write)

    patch.setattr(cases, "_own", any_case)


def _anybody_permits(patch: pytest.MonkeyPatch) -> None:
    statements = consents._statements

    def own(consent: Any, patient: str, id_: str, version: int) -> Any:
        return tuple(one for one in statements(consent, patient, id_, version) if one.effect != "permit")

    patch.setattr(consents, "_statements", own)


def _anybody_registers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        registrations,
        "identifier_of",
        lambda value, system: PHYSICIAN.requester.organization if identifier_of(value, system) else "",
    )


def _writes_without_scope(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(submission, "covers", lambda *_: True)


def _custodian_of_the_message(patch: pytest.MonkeyPatch) -> None:
    from gateway.intake import letters

    def believing(translations: Any, place: Any, *rest: Any) -> None:
        receive(
            translations, structs.replace(place, custodian=replace(place.custodian, organization="90000002")), *rest
        )

    patch.setattr(letters, "receive", believing)


def _acknowledge_first(patch: pytest.MonkeyPatch) -> None:
    from gateway.intake import messages

    patch.setattr(messages, "acknowledge", lambda body, _code, text, **more: acknowledge(body, "AA", text, **more))


def _wrong_patient_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.arrival._local_patients", lambda *_: (frozenset({"Patient/h1", "Patient/h2"}), False))


def _birth_date_of_nobody(patch: pytest.MonkeyPatch) -> None:
    async def anybody(question: Question, ports: Ports) -> Identified:
        if question.patient is not None:
            return Identified(replace(question.patient, birth_date=""))
        return await identification.identify(question, ports)

    patch.setattr(exchange, "identify", anybody)


def _labels_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.arrival.labels_of", lambda _: frozenset())


def _obligations_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(screening, "_obliged", lambda item, *_: [item])


MUTANTS = [
    Mutant("items are not screened", _skip_screening, by_sources.test_079_what_was_not_asked_is_not_shown),
    Mutant("whose item it is does not count", _skip_membership, by_callers.test_036_membership_comes_from_the_subject_only),
    Mutant("whom the source knows does not count", _skip_identity_of_source,
           by_sources.test_077_a_source_that_knows_another_person_is_not_believed),
    Mutant("contained persons are not looked at", _skip_contained, by_callers.test_048_a_contained_stranger_keeps_the_item_out),
    Mutant("malformed items pass", _skip_validation, lambda: by_sources.test_080_a_malformed_resource_costs_itself_only(0)),
    Mutant("narrative passes", _keep_narrative, lambda: by_sources.test_123_124_scripts_in_text_of_a_source_never_arrive(
        '<img src="http://evil.example/t.gif"/>', "additional")),
    Mutant("references lead outside", _keep_absolute_references,
           by_callers.test_050_118_no_address_of_a_source_and_no_number_in_what_is_shown),
    Mutant("every decision is yes", _permit_everything, test_answers.test_consent_refused_everywhere_is_an_answer_with_states),
    Mutant("what cannot be checked is a yes", _permit_on_exception,
           test_record.test_a_consent_store_that_is_down_shows_nothing),
    Mutant("objections are not read", _ignore_statements, test_answers.test_an_objection_to_one_category_leaves_the_rest),
    Mutant("statements are remembered", _stale_statements, test_answers.test_withdrawn_consent_holds_from_the_next_request),
    Mutant("a refused caller goes on", _skip_authorization, lambda: test_refusals.test_a_caller_who_may_not_ask(
        OUTSIDER, "agreement-missing")),
    Mutant("tokens live longer", _skip_expiry, test_refusals.test_with_a_token_that_expired),
    Mutant("the answer does not wait for the record", _audit_after_answer, lambda: test_record.test_131_no_record_no_byte(2)),
    Mutant("no intent", _no_intent, test_record.test_the_intent_is_durable_before_a_source_is_asked),
    Mutant("refusals leave no record", _refusals_unrecorded, test_refusals.test_without_a_token),
    Mutant("the manifest names what was found", _manifest_of_everything, test_record.test_f5_the_manifest_of_a_page_is_that_page),
    Mutant("two birth dates are one person", _two_persons_are_one,
           test_answers.test_one_number_with_two_birth_dates_is_shown_to_nobody),
    Mutant("birth dates may be guessed", _no_lock,
           test_answers.test_163_the_fifth_wrong_birth_date_locks_the_number_for_everybody),
    Mutant("a wrong birth date is ignored", _birth_date_of_nobody,
           test_answers.test_a_wrong_birth_date_answers_exactly_as_an_unknown_person),
    Mutant("refusals name who refuses", _refusals_named, test_silence.test_a2_a_refusal_of_the_patient_elsewhere_is_anonymous),
    Mutant("silent refusals count", _silent_counts, lambda: test_silence.test_a2_a_silent_custodian_that_refuses_changes_nothing(
        "search", test_silence.down)),
    Mutant("silence reads as none", _silence_reads_as_none,
           test_answers.test_every_source_down_is_504_for_a_search_and_states_for_a_summary),
    Mutant("a cursor serves anybody", _cursor_of_anybody, test_answers.test_41_a_cursor_serves_its_own_client_and_search_only),
    Mutant("numbers may stand in a URL", _number_in_url, lambda: test_refusals.test_a_question_that_cannot_be_asked(
        f"Patient?identifier={BSN_SYSTEM}|{BSN}", "bsn-in-url", 400)),
    Mutant("the first patient named wins", _first_selector_wins, lambda: test_refusals.test_a_question_that_cannot_be_asked(
        "AllergyIntolerance?patient={p}&patient={q}", "patient-conflict", 400)),
    Mutant("unknown parameters are ignored", _lenient_always, lambda: test_refusals.test_a_question_that_cannot_be_asked(
        "AllergyIntolerance?patient={p}&frobnicate=1", "unknown-parameter", 400)),
    Mutant("everybody is asked", _ask_everybody, test_answers.test_an_unknown_patient_is_an_empty_list_and_nobody_is_asked),
    Mutant("everything is asked", _ask_all_categories, test_answers.test_an_objection_to_one_category_leaves_the_rest),
    Mutant("ids live for ever", _ids_for_ever, test_answers.test_an_id_that_was_handed_out_is_forgotten_after_a_day),
    Mutant("any case will do", _any_case_will_do, test_cases.test_a_coordinator_opens_a_case_looks_and_closes_it),
    Mutant("cases of others are open", _cases_of_others, test_cases.test_a_case_of_somebody_else_is_not_there),
    Mutant("anybody permits", _anybody_permits, test_writes.test_c6_only_the_custodian_opens_its_data),
    Mutant("anybody registers", _anybody_registers,
           lambda: test_writes.test_c3_nobody_registers_or_withdraws_for_another(PHYSICIAN)),
    Mutant("writes need no scope", _writes_without_scope, lambda: test_writes.test_72_a_reading_scope_does_not_write({"system/*.rs"})),
    Mutant("the message names its custodian", _custodian_of_the_message,
           test_push.test_165_the_custodian_is_the_connection_whatever_the_message_says),
    Mutant("acknowledged before it is durable", _acknowledge_first, test_push.test_131_with_the_log_down_the_sender_must_send_again),
    Mutant("strangers are the patient", _wrong_patient_believed, by_sources.test_078_one_foreign_entry_among_fifty_is_dropped_and_on_the_record),
    Mutant("labels are not read", _labels_ignored, lambda: by_callers.test_052_a_label_closes_and_an_unknown_one_too(
        "http://nobody.example/labels", "whatever", 0)),
    Mutant("obligations are not carried out", _obligations_ignored, test_answers.test_scopes_that_narrow_a_type_are_carried_out),
]  # fmt: skip


@pytest.mark.parametrize("mutant", of_today(MUTANTS), ids=lambda mutant: mutant.fault)
def test_g2_a_faulty_line_is_caught(mutant: Mutant) -> None:
    mutant.caught_by()  # control: with the real line the test passes
    with pytest.MonkeyPatch.context() as patch:
        mutant.patch(patch)
        with pytest.raises((AssertionError, KeyError, IndexError)):
            mutant.caught_by()
    mutant.caught_by()
