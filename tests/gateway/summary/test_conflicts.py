"""Contradictions stay side by side; directives are never decided by date (rules E5, E6)."""

from __future__ import annotations

from gateway.model import Answer, Item, Json
from gateway.summary.assembly import SectionView, assemble
from gateway.summary.render import Line
from tests.gateway.summary.region import (
    LOINC,
    SUBJECT,
    allergy,
    answer,
    coded,
    directive,
    item,
    material,
    no_allergies,
)


def view(key: str, *answers: Answer, language: str = "nl") -> SectionView:
    return next(one for one in assemble(material(*answers), language).sections if one.key == key)


def noted(line: Line) -> set[str]:
    return {note.key for note in line.notes}


def test_active_here_and_refuted_there() -> None:
    both = view("allergies", answer("gp", allergy("a")), answer("hospital", allergy("b", verification="refuted")))
    assert [line.id for line in both.lines] == ["a", "b"]
    assert all("conflict-allergy" in noted(line) for line in both.lines)
    assert "Huisarts De Linde: actief; Ziekenhuis Oost: actief, WEERLEGD" in both.remarks[0]


def test_agreement_is_no_conflict_and_both_stay() -> None:
    both = view("allergies", answer("gp", allergy("a")), answer("hospital", allergy("b")))
    assert [noted(line) for line in both.lines] == [{"duplicate"}, {"duplicate"}]
    assert both.remarks == ()


def test_none_against_data() -> None:
    both = view("allergies", answer("gp", allergy("a")), answer("hospital", no_allergies("n")))
    assert {line.id for line in both.lines} == {"a", "n"}
    assert any("Tegenspraak: Ziekenhuis Oost" in remark for remark in both.remarks)
    assert "GEEN BEKEND" in both.lines[1].text


def test_directives_that_disagree_are_not_unambiguous_whichever_is_newer() -> None:
    older, newer = directive("d1", "deny", at="2025-10-01"), directive("d2", "permit", at="2026-02-01")
    both = view("directives", answer("gp", older), answer("hospital", newer))
    assert {line.id for line in both.lines} == {"d1", "d2"}
    assert "NIET EENDUIDIG – verifieer: Reanimatie" in both.remarks[0]
    assert all("conflict-directive" in noted(line) for line in both.lines)


def test_the_patients_own_declaration_stands_apart_and_can_contradict() -> None:
    scope = "http://terminology.hl7.org/CodeSystem/consentscope"
    will = item("Consent", "w", {"status": "active", "scope": coded("adr", system=scope), "patient": SUBJECT,
                                 "category": [coded("acd")], "provision": {"code": [coded("NR")]}}, date="2024-01-01")  # fmt: skip
    both = view("directives", answer("gp", will), answer("hospital", directive("d", "permit")))
    assert {line.label for line in both.lines} == {"Behandelaanwijzing", "Wilsverklaring van de patiënt"}
    assert "NIET EENDUIDIG" in both.remarks[0]


def test_yes_but_is_told_in_full() -> None:
    text = "Alleen niet-invasief, en alleen na overleg met mevrouw zelf"
    one = view("directives", answer("hospital", directive("d", "", "40617009", other=text)))
    assert one.lines[0].states[0] == f"ANDERS: {text}"


def test_a_decision_beside_an_explanation_contradicts_itself() -> None:
    one = view("directives", answer("hospital", directive("d", "permit", other="Nee, toch niet")))
    assert "conflict-directive-self" in noted(one.lines[0])
    assert one.lines[0].states[0] == "ANDERS: Nee, toch niet / WEL uitvoeren"


def test_absence_is_never_a_wish_to_be_resuscitated() -> None:
    one = view("directives", answer("hospital"))
    assert one.lines == ()
    for language in ("nl", "en"):
        from gateway.summary.assembly import state_text
        from gateway.summary.texts import words_of

        text = state_text(one, words_of(language))
        assert "niet reanimeren: vraag het na" in text or "whether to resuscitate: ask" in text


def test_old_undated_and_admission_bound_directives_are_flagged() -> None:
    admission: Json = {"status": "finished", "class": {"code": "IMP"}, "subject": SUBJECT,
                       "period": {"start": "2025-11-20", "end": "2025-12-10"}}  # fmt: skip
    lines = {line.id: line for line in view("directives", answer(
        "hospital", directive("old", at="2024-01-01", treatment="281789004"), directive("none", at="", treatment="116762002"),
        directive("stay", at="2025-12-01"), item("Encounter", "e", admission),
    )).lines}  # fmt: skip
    assert "directive-old" in noted(lines["old"])
    assert "directive-undated" in noted(lines["none"])
    assert "directive-ended" in noted(lines["stay"])
    assert "directive-old" not in noted(lines["stay"])


def test_resuscitation_comes_first() -> None:
    lines = view("directives", answer("gp", directive("ic", treatment="305351004"), directive("cpr"))).lines
    assert [line.id for line in lines] == ["cpr", "ic"]


def medicine(type_: str, id_: str, treatment: str = "", **facts: object) -> Item:
    url = "http://nictiz.nl/fhir/StructureDefinition/ext-PharmaceuticalTreatment.Identifier"
    known = (
        {"extension": [{"url": url, "valueIdentifier": {"system": "urn:oid:1", "value": treatment}}]}
        if treatment
        else {}
    )
    return item(
        type_, id_, {"status": "active", "medicationCodeableConcept": coded("m", "Metoprolol"), **known, **facts}
    )


def test_medication_is_grouped_by_treatment_only() -> None:
    stop = {"modifierExtension": [{"url": "http://nictiz.nl/fhir/StructureDefinition/ext-StopType",
                                   "valueCodeableConcept": coded("410546004", "definitief")}]}  # fmt: skip
    one = view("medication", answer("gp", medicine("MedicationRequest", "stop", "T1", **stop), medicine("MedicationStatement", "use")),
               answer("hospital", medicine("MedicationDispense", "run", "T1")))  # fmt: skip
    lines = {line.id: line for line in one.lines}
    assert len(lines) == 3
    assert "behandeling 1" in lines["stop"].details
    assert "behandeling 1" in lines["run"].details
    assert "behandeling 1" not in lines["use"].details
    assert "GESTOPT (definitief)" in lines["stop"].states
    assert "conflict-stop" in noted(lines["run"])
    assert all("dosering onbekend" in line.details for line in one.lines)


def test_two_blood_groups_are_a_conflict() -> None:
    def group(id_: str, value: str) -> Item:
        return item("Observation", id_, {"status": "final", "code": coded("882-1", "Bloedgroep", LOINC),
                                         "subject": SUBJECT, "valueCodeableConcept": {"text": value}})  # fmt: skip

    one = view("results", answer("gp", group("a", "A pos")), answer("hospital", group("b", "O neg")))
    assert one.remarks[0] == (
        "Bronnen noemen verschillende waarden voor Bloedgroep: Huisarts De Linde: A pos; Ziekenhuis Oost: O neg"
    )


def test_allergies_by_criticality() -> None:
    lines = view("allergies", answer("gp", allergy("low", "1", "A", criticality="low"), allergy("no", "2", "B", verification="refuted"),
                                     allergy("high", "3", "C"))).lines  # fmt: skip
    assert [line.id for line in lines] == ["high", "low", "no"]
