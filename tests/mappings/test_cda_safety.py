"""What a document denies, withdraws or does not know never becomes a finding; what a doctor directs keeps its whole text."""

from __future__ import annotations

import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from mappings.model import NotMappable
from mappings.translation import guess, translate
from profiles.validation import validate
from tests.mappings.test_v3 import EXAMPLES, LOINC, ORIGIN, PATIENT, SCT, cda, observation, of, read

PROBLEM = '<templateId root="2.16.840.1.113883.10.20.22.4.4"/>'
INFARCT = f'<value xsi:type="CD" code="22298006" codeSystem="{SCT}"/>'
DIRECTIVES = "42348-3"
OTHER = "http://nictiz.nl/fhir/StructureDefinition/ext-TreatmentDirective2.SpecificationOther"


def problem(inner: str = INFARCT, attributes: str = "", status: str = "completed") -> str:
    return f'<observation moodCode="EVN" {attributes}>{PROBLEM}<statusCode code="{status}"/>{inner}</observation>'


def concern(inner: str, attributes: str = "", status: str = "active", link: str = "SUBJ") -> str:
    return (
        f'<act classCode="ACT" moodCode="EVN" {attributes}><templateId root="2.16.840.1.113883.10.20.22.4.3"/>'
        f'<code code="CONC" codeSystem="2.16.840.1.113883.5.6"/><statusCode code="{status}"/>'
        f'<entryRelationship typeCode="{link}">{inner}</entryRelationship></act>'
    )


def verification(resource: dict[str, Any]) -> str:
    return str(resource.get("verificationStatus", {"coding": [{"code": ""}]})["coding"][0]["code"])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (problem(), ""),
        (problem(attributes='negationInd="true"'), "refuted"),
        (concern(problem(), 'negationInd="true"'), "refuted"),
        (problem(status="nullified"), "entered-in-error"),
        (problem(status="cancelled"), "entered-in-error"),
        (concern(problem(), status="nullified"), "entered-in-error"),
        (concern(problem(), status="cancelled"), "entered-in-error"),
        (concern(problem(), 'negationInd="true"', link="REFR"), ""),  # what it only refers to is not what it denies
    ],
)
def test_what_an_act_denies_or_withdraws_holds_for_what_it_states(entry: str, expected: str) -> None:
    (made,) = of(read(cda(entry)), "Condition")
    assert verification(made) == expected
    assert expected == "" or "clinicalStatus" not in made


def test_a_group_that_is_denied_or_withdrawn_holds_no_results() -> None:
    value = observation('<value xsi:type="PQ" value="1"/>')
    for attributes, status in (('negationInd="true"', "completed"), ("", "nullified")):
        group = f'<organizer classCode="CLUSTER" moodCode="EVN" {attributes}><statusCode code="{status}"/><component>{value}</component></organizer>'
        (made,) = of(read(cda(group)), "Observation")
        assert made["status"] == "entered-in-error" or "valueQuantity" not in made


def test_a_denied_problem_that_names_none_says_there_are_none() -> None:
    for value in (
        '<value xsi:type="CD" nullFlavor="NI"/>',
        f'<value xsi:type="CD" code="55607006" codeSystem="{SCT}"/>',
    ):
        (made,) = of(read(cda(problem(value, 'negationInd="true"'))), "Condition")
        assert made["code"]["coding"][0]["code"] == "160245001"
        assert verification(made) == ""


@pytest.mark.parametrize("flavor", ["NI", "UNK", "NA", "NASK"])
def test_an_entry_that_is_not_there_is_no_finding(flavor: str) -> None:
    allergy = f'<observation moodCode="EVN" nullFlavor="{flavor}"><templateId root="2.16.840.1.113883.10.20.22.4.7"/></observation>'
    result = read(cda(allergy, problem(attributes=f'nullFlavor="{flavor}"'), code="48765-2"))
    assert not of(result, "AllergyIntolerance")
    assert not of(result, "Condition")
    assert [loss.kind for loss in result.losses].count("note") == 2


def test_a_denied_alert_contact_or_wish_is_none() -> None:
    denied = 'negationInd="true"'
    alert = f'<observation moodCode="EVN" {denied}><code code="74018-3" codeSystem="{LOINC}"/>{INFARCT}</observation>'
    contact = f'<encounter moodCode="EVN" {denied}><templateId root="2.16.840.1.113883.10.20.22.4.49"/></encounter>'
    wish = f'<observation moodCode="EVN" {denied}><templateId root="2.16.840.1.113883.10.20.22.4.48"/><code code="304251008" codeSystem="{SCT}"/><value xsi:type="CD" code="304253006" displayName="Niet reanimeren" codeSystem="{SCT}"/></observation>'
    result = read(cda(alert, contact, wish))
    assert not of(result, "Flag")
    assert [one["status"] for one in of(result, "Encounter")] == ["cancelled"]
    (consent,) = of(result, "Consent")
    assert (consent["status"], consent["extension"][0]["valueString"]) == (
        "inactive",
        "ontkend in de bron: Niet reanimeren",
    )


def test_a_contact_that_nobody_says_is_over_is_not_called_finished() -> None:
    def status(times: str, more: str = "") -> str:
        contact = f'<encounter moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.49"/>{more}<effectiveTime {times}</effectiveTime></encounter>'
        return str(of(read(cda(contact)), "Encounter")[0]["status"])

    assert status('><low value="20260101"/>') == "unknown"
    assert status('><low value="20260101"/><high value="20260103"/>') == "finished"
    assert status('value="20260101">') == "finished"
    assert status('><low value="20260101"/>', '<statusCode code="active"/>') == "in-progress"


def test_what_was_given_at_an_unknown_time_is_not_lost() -> None:
    drug = f'<consumable><manufacturedProduct><manufacturedMaterial><code code="m" codeSystem="{SCT}"/></manufacturedMaterial></manufacturedProduct></consumable>'
    given = f'<substanceAdministration classCode="SBADM" moodCode="EVN"><statusCode code="completed"/><effectiveTime nullFlavor="UNK"/>{drug}</substanceAdministration>'
    (made,) = of(read(cda(given, code="29549-3")), "MedicationAdministration")
    assert made["_effectiveDateTime"]["extension"][0]["valueCode"] == "unknown"


def directive(value: str, more: str = "", attributes: str = "") -> str:
    return f'<observation moodCode="EVN" {attributes}><code code="89666000" codeSystem="{SCT}" displayName="Reanimatie"/>{more}{value}</observation>'


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        (directive('<value xsi:type="CD" code="NEE" codeSystem="1.2"/>'), "deny", ""),
        (directive('<value xsi:type="CD" code="JA" codeSystem="1.2"/>'), "permit", ""),
        (directive('<value xsi:type="CD" code="JA_MAAR" codeSystem="1.2" displayName="Ja, maar"/>', "<text>Wel reanimeren, niet beademen</text>"), "", "Wel reanimeren, niet beademen; Ja, maar"),
        (directive('<value xsi:type="CD" code="JA" codeSystem="1.2"/>', "<text>niet langer dan 10 minuten</text>"), "", "niet langer dan 10 minuten"),
        (directive('<value xsi:type="CD" code="JA" codeSystem="1.2" displayName="Ja"/>', "", 'negationInd="true"'), "", "ontkend in de bron: Ja"),
        (directive('<value xsi:type="ST">overleg met dochter</value>'), "", "overleg met dochter"),
        (directive('<value xsi:type="CD" nullFlavor="UNK"/>'), "", "beslissing niet vermeld: zie bron"),
        (f'<observation moodCode="EVN"><code code="11291000146105" codeSystem="{SCT}"/><value xsi:type="CD" code="40617009" codeSystem="{SCT}"/><entryRelationship typeCode="COMP"><observation moodCode="EVN"><code code="1"/><value xsi:type="CD" code="2" codeSystem="1.2"/></observation></entryRelationship></observation>', "deny", ""),
    ],
)  # fmt: skip
def test_only_a_plain_yes_or_no_is_a_type_and_else_the_whole_text_stands(entry: str, kind: str, words: str) -> None:
    result = read(cda(entry, code=DIRECTIVES))
    assert not of(result, "Observation")
    (made,) = of(result, "Consent")
    assert made["provision"].get("type", "") == kind
    assert [one["valueString"] for one in made.get("modifierExtension", []) if one["url"] == OTHER] == (
        [words] if words else []
    )
    assert made["provision"]["code"][0]["coding"][0]["system"] == "http://snomed.info/sct"


def test_a_resuscitation_that_was_done_is_no_directive() -> None:
    result = read(cda(directive('<value xsi:type="BL" value="true"/>'), code="8716-3"))
    assert not of(result, "Consent")
    assert of(result, "Observation")


def test_several_record_targets_are_one_person_by_number_or_nobody() -> None:
    assert len(of(read(cda(patient=PATIENT + PATIENT)), "Patient")) == 1
    for other in (PATIENT.replace("999990019", "999990020"), PATIENT.replace("2.4.6.3", "2.4.9.9")):
        with pytest.raises(NotMappable):
            read(cda(patient=PATIENT + other))


@pytest.mark.parametrize("template", ["9414", "9372"])
@pytest.mark.parametrize(("code", "element"), [("33633005", "MedicationRequest"), ("422037009", "MedicationDispense"), ("422979000", "MedicationStatement")])  # fmt: skip
def test_a_stop_is_a_modifier_of_every_building_block(template: str, code: str, element: str) -> None:
    drug = '<consumable><manufacturedProduct><manufacturedMaterial><code code="7323" codeSystem="2.16.840.1.113883.2.4.4.10"/></manufacturedMaterial></manufacturedProduct></consumable>'
    stop = f'<entryRelationship typeCode="COMP"><observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.2.4.3.11.60.20.77.10.{template}"/><code code="1" codeSystem="2.16.840.1.113883.2.4.3.11.60.20.77.5.2"/><value xsi:type="CE" code="113381000146106" codeSystem="{SCT}" displayName="tijdelijk"/></observation></entryRelationship>'
    block = f'<substanceAdministration classCode="SBADM" moodCode="{"EVN" if element == "MedicationStatement" else "RQO"}"><code code="{code}" codeSystem="{SCT}"/>{drug}{stop}</substanceAdministration>'
    (made,) = of(read(cda(block, code="10160-0")), element)
    (mark,) = made["modifierExtension"]
    assert mark["valueCodeableConcept"]["coding"][0]["code"] == "113381000146106"
    assert element != "MedicationRequest" or made["status"] == "stopped"


def test_how_often_may_be_a_range_and_half_a_range_is_none() -> None:
    def timing(numerator: str) -> dict[str, Any]:
        frequency = f'<frequency xmlns="urn:hl7-nl:v3"><numerator>{numerator}</numerator><denominator value="1" unit="d"/></frequency>'
        drug = f'<consumable><manufacturedProduct><manufacturedMaterial><code code="1" codeSystem="{SCT}"/></manufacturedMaterial></manufacturedProduct></consumable>'
        entry = f'<substanceAdministration classCode="SBADM" moodCode="EVN"><effectiveTime xsi:type="PIVL_TS">{frequency}</effectiveTime>{drug}</substanceAdministration>'
        (made,) = of(read(cda(entry, code="10160-0")), "MedicationStatement")
        return dict(made["dosage"][0].get("timing", {}).get("repeat", {}))

    found = timing('<uncertainRange><low value="3"/><high value="4"/></uncertainRange>')
    assert (found["frequency"], found["frequencyMax"]) == (3, 4)
    assert timing('<uncertainRange><low value="3"/><high nullFlavor="UNK"/></uncertainRange>') == {}
    assert timing('<uncertainRange><low value="4"/><high value="3"/></uncertainRange>') == {}


_RUBBISH = (
    "",
    "x",
    "-1",
    "20261399",
    "1e5",
    "NaN",
    "9" * 40,
    "true",
    "nullified",
    "1.5",
    "+0",
    ".",
    "2.16.840.1.113883.2.4.6.3",
)
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"
_KINDS = ("PQ", "CD", "ST", "IVL_TS", "IVL_PQ", "RTO", "BL", "INT", "TS", "ED", "PIVL_TS", "EIVL_TS", "other")


def damaged(root: Any, luck: random.Random) -> bytes:
    """Break some elements of a document: values, attributes, kinds, whole parts, how many there are and in what order."""
    elements = [one for one in root.iter() if isinstance(one.tag, str)]
    for _ in range(luck.randint(1, 12)):
        one, how = luck.choice(elements), luck.randrange(9)
        names = [str(name) for name in one.attrib]
        around = one.getparent()
        if how in {0, 7, 8} and around is not None:
            if how == 7:
                around.insert(luck.randrange(len(around) + 1), deepcopy(one))
            else:
                around.remove(one)
            if how == 8:
                around.insert(luck.randrange(len(around) + 1), one)
        elif how == 1:
            one.text = luck.choice(_RUBBISH)
        elif how == 2:
            one.set(_XSI, luck.choice(_KINDS))
        elif how == 3:
            for name in names:
                del one.attrib[name]
            one.set("nullFlavor", luck.choice(("UNK", "MSK", "OTH", "PINF")))
        elif names:
            one.set(luck.choice(names), luck.choice(_RUBBISH))
    return etree.tostring(root)


def _hold(files: list[Path], times: int, seed: str) -> None:
    luck = random.Random(seed)
    trees = [etree.fromstring(one.read_bytes()) for one in files]
    for _ in range(times):
        body = damaged(etree.fromstring(etree.tostring(luck.choice(trees))), luck)
        try:
            made = translate(body, guess(body), ORIGIN)
        except NotMappable:  # a refusal with its reason; anything else is a defect
            continue
        assert [str(issue) for one in made.resources for issue in validate(one) if issue.is_error] == []
        assert len(set(made.keys)) == len(made.keys)


def test_a_damaged_document_is_valid_r4_or_a_named_refusal() -> None:
    _hold(sorted(EXAMPLES.glob("*/*.input.xml")), 25, "damaged")


@pytest.mark.proof
def test_hundreds_of_damaged_documents_are_valid_r4_or_a_named_refusal() -> None:
    _hold(sorted(EXAMPLES.glob("*/*.input.xml")), 600, "many")
