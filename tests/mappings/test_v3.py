"""CDA documents and HL7 v3 messages become R4 resources: what was said, no more, and nothing lost in silence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mappings.model import NotMappable, Origin, Translation
from mappings.translation import guess, translate
from profiles.exact import decode
from profiles.validation import validate

ORIGIN = Origin("90000001", "region", "2026-01-05T10:16:00+01:00")
EXAMPLES = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "pairs"
SCT, LOINC = "2.16.840.1.113883.6.96", "2.16.840.1.113883.6.1"
PATIENT = (
    '<recordTarget><patientRole><id root="2.16.840.1.113883.2.4.6.3" extension="999990019"/>'
    '<patient><name><family>Vries</family></name><birthTime value="19560312"/></patient></patientRole></recordTarget>'
)


def cda(*entries: str, code: str = "11450-4", header: str = "", patient: str = PATIENT, text: str = "") -> bytes:
    body = "".join(f"<entry>{entry}</entry>" for entry in entries)
    return (
        '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:sdtc="urn:hl7-org:sdtc"><id root="1.2.3" extension="d1"/><effectiveTime value="20260105"/>'
        f"{patient}{header}<component><structuredBody><component><section>"
        f'<code code="{code}" codeSystem="{LOINC}"/><title>T</title><text>{text}</text>{body}'
        "</section></component></structuredBody></component></ClinicalDocument>"
    ).encode()


def message(*acts: str, patient: str = PATIENT, name: str = "REPC_IN990111NL") -> str:
    inner = "".join(f"<component>{act}</component>" for act in acts)
    return f"<{name}><ControlActProcess><subject><organizer>{patient}{inner}</organizer></subject></ControlActProcess></{name}>"


def batch(*messages: str) -> bytes:
    return (
        '<MCCI_IN200101 xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"{''.join(messages)}</MCCI_IN200101>"
    ).encode()


def read(body: bytes, format_: str = "cda") -> Translation:
    result = translate(body, format_, ORIGIN)
    for resource in result.resources:
        assert [str(issue) for issue in validate(resource) if issue.is_error] == []
    assert len(set(result.keys)) == len(result.keys)
    return result


def of(result: Translation, kind: str) -> list[dict[str, Any]]:
    return [one for one in result.resources if one["resourceType"] == kind]


def observation(value: str, code: str = f'<code code="8310-5" codeSystem="{LOINC}"/>', more: str = "", attributes: str = "") -> str:  # fmt: skip
    return f'<observation classCode="OBS" moodCode="EVN" {attributes}>{code}<statusCode code="completed"/>{more}{value}</observation>'  # fmt: skip


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*/*.input.xml")), ids=lambda p: p.name)
def test_examples(example: Path) -> None:
    result = read(example.read_bytes(), example.parent.name)
    expected = decode(example.with_name(example.name.replace(".input.xml", ".expected.json")).read_bytes())
    assert list(result.resources) == expected["resources"]
    assert [[loss.path, loss.kind] for loss in result.losses] == expected["losses"]
    assert result.facts == expected["facts"]
    assert guess(example.read_bytes()) == example.parent.name


def test_an_ambulance_document_says_which_trip_it_is_and_what_it_replaces() -> None:
    facts = read((EXAMPLES / "cda" / "ambulance-transfer.input.xml").read_bytes()).facts
    assert (facts["trip"], facts["replaces"], facts["set"], facts["version"]) == (
        "09-2026-1234567-1",
        "doc-1",
        "set-1",
        "2",
    )
    assert "quarantine" not in facts


def test_a_cancelled_trip_is_a_fact_and_a_cancelled_visit() -> None:
    header = (
        '<sdtc:statusCode code="cancelled"/><componentOf><encompassingEncounter>'
        '<id root="2.16.840.1.113883.2.4.3.32.5" extension="09-2026-1-1"/></encompassingEncounter></componentOf>'
    )
    result = read(cda(header=header))
    assert result.facts["status"] == "cancelled"
    assert of(result, "Encounter")[0]["status"] == "cancelled"


def test_a_patient_nobody_knows_is_quarantined_and_keeps_one_key_for_the_trip() -> None:
    unknown = '<recordTarget><patientRole><id nullFlavor="UNK"/><patient><birthTime nullFlavor="UNK"/></patient></patientRole></recordTarget>'
    header = '<componentOf><encompassingEncounter><id root="2.16.840.1.113883.2.4.3.32.5" extension="{}"/></encompassingEncounter></componentOf>'
    first, again, other = (
        read(cda(header=header.format(trip), patient=unknown, text=text))
        for trip, text in (("09-2026-1-1", ""), ("09-2026-1-1", "update"), ("09-2026-2-1", ""))
    )
    assert first.facts["quarantine"] == "patient-unknown"
    assert first.keys[0] == again.keys[0] != other.keys[0]
    assert of(first, "Patient")[0]["_birthDate"]["extension"][0]["valueCode"] == "unknown"


def test_a_bsn_that_fails_the_eleven_test_is_left_out_and_said() -> None:
    result = read(cda(patient=PATIENT.replace("999990019", "999990018")))
    assert "identifier" not in of(result, "Patient")[0]
    assert result.facts["quarantine"] == "patient-unknown"
    assert any(loss.kind == "invalid" for loss in result.losses)
    assert "999990018" not in str(result.losses)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ('<value xsi:type="PQ" value="37.50" unit="Cel"/>', "valueQuantity", "37.50"),
        ('<value xsi:type="ST">goed</value>', "valueString", "goed"),
        ('<value xsi:type="PQ" value="veel" unit="mg"/>', "valueString", "veel mg"),
        ('<value xsi:type="ED"><reference value="#n"/></value>', "valueString", "in woorden"),
        ('<value xsi:type="BL" value="true"/>', "valueBoolean", True),
        ('<value xsi:type="INT" value="12"/>', "valueInteger", 12),
        ('<value xsi:type="INT" value="99999999999"/>', "valueString", "99999999999"),
        ('<value xsi:type="TS" value="202601"/>', "valueDateTime", "2026-01"),
        ('<value xsi:type="IVL_PQ"><low value="5" unit="mmol/L" inclusive="false"/></value>', "valueQuantity", ">"),
        ('<value xsi:type="IVL_PQ"><low value="1"/><high value="2"/></value>', "valueRange", None),
        ('<value xsi:type="RTO_PQ_PQ"><numerator value="1"/><denominator value="8"/></value>', "valueRatio", None),
        (f'<value xsi:type="CD" code="260415000" codeSystem="{SCT}"><translation code="NEG" codeSystem="1.2"/></value>', "valueCodeableConcept", 2),
        ('<value xsi:type="PQ" nullFlavor="MSK"/>', "dataAbsentReason", "masked"),
    ],
)  # fmt: skip
def test_values_keep_type_digits_translations_and_absence(value: str, name: str, expected: Any) -> None:
    words = '<content ID="n">in woorden</content>'
    (made,) = of(read(cda(observation(value), code="30954-2", text=words)), "Observation")
    got = made[name]
    if name == "valueQuantity":
        got = got.get("comparator") or str(got["value"])
    elif name == "valueCodeableConcept":
        got = len(got["coding"])
    elif name == "dataAbsentReason":
        got = got["coding"][0]["code"]
    assert expected is None or got == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ('<effectiveTime value="2026"/>', {"effectiveDateTime": "2026"}),
        ('<effectiveTime value="20260701120000"/>', {"effectiveDateTime": "2026-07-01T12:00:00+02:00"}),
        ('<effectiveTime><low value="20260101"/><high value="20260102"/></effectiveTime>', {"effectivePeriod": {"start": "2026-01-01", "end": "2026-01-02"}}),
        ('<effectiveTime nullFlavor="UNK"/>', {}),
        ('<effectiveTime value="20261399"/>', {}),
    ],
)  # fmt: skip
def test_times_keep_their_precision(times: str, expected: dict[str, Any]) -> None:
    result = read(cda(observation('<value xsi:type="ST">x</value>', more=times), code="30954-2"))
    made = of(result, "Observation")[0]
    assert {name: made[name] for name in made if name.startswith("effective")} == expected
    assert any(loss.kind == "invalid" for loss in result.losses) == ("99" in times)


ALLERGY = '<templateId root="2.16.840.1.113883.10.20.22.4.7"/>'


@pytest.mark.parametrize(
    ("attributes", "inner", "code", "verification"),
    [
        ('negationInd="true"', "", "716186003", ""),
        ('negationInd="true"', f'<value xsi:type="CD" code="416098002" codeSystem="{SCT}"/>', "409137002", ""),
        ('negationInd="true"', f'<participant typeCode="CSM"><participantRole><playingEntity><code code="1" codeSystem="{SCT}"/></playingEntity></participantRole></participant>', "1", "refuted"),
        ("", f'<participant typeCode="CSM"><participantRole><playingEntity><code code="1" codeSystem="{SCT}"/></playingEntity></participantRole></participant>', "1", ""),
        ("", "", "unknown", ""),
    ],
)  # fmt: skip
def test_a_denied_allergy_is_never_an_allergy(attributes: str, inner: str, code: str, verification: str) -> None:
    entry = f'<observation moodCode="EVN" {attributes}>{ALLERGY}{inner}</observation>'
    (made,) = of(read(cda(entry, code="48765-2")), "AllergyIntolerance")
    assert made["code"]["coding"][0]["code"] == code
    certain = made.get("verificationStatus", {"coding": [{"code": ""}]})["coding"][0]["code"]
    assert certain == verification, "what the source does not say of its certainty, nobody says"


def test_negation_of_problem_procedure_vaccine_medicine_and_finding() -> None:
    material = f'<consumable><manufacturedProduct><manufacturedMaterial><code code="m" codeSystem="{SCT}"/></manufacturedMaterial></manufacturedProduct></consumable>'
    problem = f'<observation moodCode="EVN" negationInd="true"><templateId root="2.16.840.1.113883.10.20.22.4.4"/><value xsi:type="CD" code="1" codeSystem="{SCT}"/></observation>'
    procedure = f'<procedure moodCode="EVN" negationInd="true"><templateId root="2.16.840.1.113883.10.20.22.4.14"/><code code="1" codeSystem="{SCT}"/></procedure>'
    vaccine = f'<substanceAdministration moodCode="EVN" negationInd="true"><templateId root="2.16.840.1.113883.10.20.22.4.52"/>{material}</substanceAdministration>'
    medicine = f'<substanceAdministration moodCode="EVN" negationInd="true">{material}</substanceAdministration>'
    finding = observation('<value xsi:type="ST">koorts</value>', attributes='negationInd="true"')
    result = read(cda(problem, procedure, vaccine, medicine, finding))
    assert of(result, "Condition")[0]["verificationStatus"]["coding"][0]["code"] == "refuted"
    assert of(result, "Procedure")[0]["status"] == "not-done"
    assert of(result, "Immunization")[0]["status"] == "not-done"
    assert of(result, "MedicationStatement")[0]["status"] == "not-taken"
    (made,) = of(result, "Observation")
    assert "valueString" not in made
    assert "dataAbsentReason" in made


def test_what_is_planned_or_of_a_relative_is_no_finding_of_the_patient() -> None:
    planned = observation('<value xsi:type="ST">x</value>').replace("EVN", "INT")
    wanted = f'<procedure moodCode="RQO"><templateId root="2.16.840.1.113883.10.20.22.4.14"/><code code="1" codeSystem="{SCT}"/></procedure>'
    result = read(cda(planned, wanted, text="plan"))
    assert {one["resourceType"] for one in result.resources} == {
        "Patient",
        "Composition",
        "DocumentReference",
        "ServiceRequest",
    }
    assert [(one["intent"], "valueString" in one) for one in of(result, "ServiceRequest")] == [
        ("plan", False),
        ("order", False),
    ]
    father = f"<organizer>{'<subject/>'}<component>{observation('<value xsi:type=' + chr(34) + 'ST' + chr(34) + '>x</value>')}</component></organizer>"
    assert of(read(cda(father, code="10157-6")), "Observation") == []


def test_what_no_map_reads_is_a_loss_and_its_words_are_kept() -> None:
    entry = '<act moodCode="EVN"><templateId root="1.2.3.4.5"/><code code="x" codeSystem="9.9"/></act>'
    result = read(cda(entry, code="99999-9", text="Vrije tekst &lt;b&gt;"))
    assert ("act", "unmapped") in [(loss.path, loss.kind) for loss in result.losses]
    (section,) = of(result, "Composition")[0]["section"]
    assert "Vrije tekst &lt;b&gt;" in section["text"]["div"]
    assert "Vrije tekst" not in str(result.losses)


def test_a_document_is_listed_as_one_with_its_set_and_who_keeps_it() -> None:
    header = '<setId root="1.2.4" extension="s1"/><custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.5" extension="o"/><name>RAV</name></representedCustodianOrganization></assignedCustodian></custodian>'
    (made,) = of(read(cda(header=header)), "DocumentReference")
    assert [one["value"] for one in made["identifier"]] == ["s1", "d1"]
    assert (made["status"], made["custodian"]["display"]) == ("current", "RAV")
    assert made["content"][0]["attachment"]["contentType"] == "text/xml"


def test_files_inside_a_document_are_files_and_never_words() -> None:
    picture = '<value mediaType="image/png" representation="B64">iVBORw0KGgo=</value>'
    media = (
        f'<observationMedia classCode="OBS" moodCode="EVN"><id root="1.2" extension="ecg"/>{picture}</observationMedia>'
    )
    finding = observation(picture.replace("<value", '<value xsi:type="ED"'), more='<effectiveTime value="20260105"/>')
    broken = media.replace("iVBORw0KGgo=", "geen bytes").replace("ecg", "b")
    result = read(cda(media, finding, broken))
    assert not of(result, "Observation")
    assert [one["content"][0]["attachment"].get("data") for one in of(result, "DocumentReference")] == [
        None,  # the document itself
        "iVBORw0KGgo=",
        "iVBORw0KGgo=",
        None,
    ]
    assert [loss.kind for loss in result.losses if "base64" in loss.reason] == ["invalid"]


def test_a_later_mention_of_a_number_says_more_and_changes_nothing() -> None:
    def author(name: str, more: str) -> str:
        return f'<author><assignedAuthor><id root="2.16.528.1.1007.3.1" extension="000001111"/>{more}<assignedPerson><name>{name}</name></assignedPerson></assignedAuthor></author>'

    header = author("Arts", "") + author("Iemand anders", '<telecom value="tel:0201234567"/>')
    (made,) = of(read(cda(header=header)), "Practitioner")
    assert made["name"] == [{"use": "official", "text": "Arts"}]
    assert made["telecom"] == [{"system": "phone", "value": "0201234567"}]


def test_a_document_that_is_a_picture_is_kept_as_it_was() -> None:
    body = cda().replace(b"<structuredBody>", b'<nonXMLBody><text mediaType="application/pdf" representation="B64">JVBE\nRi0x</text></nonXMLBody><structuredBody>')  # fmt: skip
    (made,) = of(read(body), "DocumentReference")
    assert made["content"][0]["attachment"] == {"contentType": "application/pdf", "data": "JVBERi0x"}


def test_keys_are_the_same_at_every_arrival_and_hold_no_bsn() -> None:
    body = (EXAMPLES / "hl7v3" / "gp-summary.input.xml").read_bytes()
    first, again = read(body, "hl7v3"), read(body.replace(b"batch-1", b"batch-2"), "hl7v3")
    assert first.keys == again.keys
    assert "999990019" not in str(first.keys)


def test_a_broken_interaction_costs_only_itself() -> None:
    good = message(observation('<value xsi:type="ST">x</value>'))
    for bad in (
        "<REPC_IN990131NL><acknowledgement typeCode='AE'/><ControlActProcess/></REPC_IN990131NL>",
        message(patient="", name="POOB_IN990003NL"),
        "<QUMA_IN991203NL02><ControlActProcess><queryAck><queryResponseCode code='QE'/></queryAck></ControlActProcess></QUMA_IN991203NL02>",
    ):
        result = read(batch(bad, good, bad), "hl7v3")
        assert len(of(result, "Observation")) == 1
        assert sum(loss.kind == "dropped" for loss in result.losses) == 2
        assert result.facts["outcome"] == "incomplete"
        with pytest.raises(NotMappable):
            read(batch(bad), "hl7v3")


def test_two_patients_in_one_document_or_batch_are_refused() -> None:
    other = PATIENT.replace("999990019", "999990020")
    for body, format_ in (
        (cda(patient=PATIENT + other), "cda"),
        (batch(message(), message(patient=other)), "hl7v3"),
        (batch(message(patient=PATIENT.replace("2.4.6.3", "2.4.9.9")), message(patient=other.replace("2.4.6.3", "2.4.9.9"))), "hl7v3"),
    ):  # fmt: skip
        with pytest.raises(NotMappable) as caught:
            read(body, format_)
        assert caught.value.path == "recordTarget"


def test_an_interaction_that_does_not_name_the_patient_by_bsn_is_left_out() -> None:
    local = PATIENT.replace("2.4.6.3", "2.4.9.9")
    finding = observation('<value xsi:type="ST">x</value>')
    result = read(batch(message(finding), message(finding, patient=local, name="POOB_IN990003NL")), "hl7v3")
    assert len(of(result, "Observation")) == 1
    assert [loss.path for loss in result.losses if loss.kind == "dropped"] == ["POOB_IN990003NL"]


def test_a_message_of_before_cda_is_read_by_its_classes() -> None:
    body = (
        '<QUPC_IN990002NL xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><ControlActProcess><subject>'
        '<PrimaryCareProvision><templateId root="2.16.840.1.113883.2.4.3.11.60.70.10.2"/><subject><patient>'
        '<id root="2.16.840.1.113883.2.4.6.3" extension="999990019"/><patientPerson><name><family>Vries</family></name>'
        '<birthTime value="1956"/></patientPerson></patient></subject><component><measurement classCode="OBS" moodCode="EVN">'
        '<code code="1744" codeSystem="2.16.840.1.113883.2.4.4.30.45"/><value xsi:type="PQ" value="138" unit="mm[Hg]"/>'
        "</measurement><remark><text>vrije tekst</text></remark></component></PrimaryCareProvision></subject></ControlActProcess></QUPC_IN990002NL>"
    )
    result = read(body.encode(), "hl7v3")
    assert [one["resourceType"] for one in result.resources] == ["Patient", "Observation"]
    assert of(result, "Patient")[0]["birthDate"] == "1956"
    assert any(loss.path.endswith("remark") for loss in result.losses)
    assert guess(body.encode()) == "hl7v3"


def test_only_the_record_target_says_who_the_patient_is() -> None:
    stranger = '<participant><patientRole><id root="2.16.840.1.113883.2.4.6.3" extension="999990020"/></patientRole></participant>'
    (made,) = of(read(cda().replace(b"<recordTarget>", stranger.encode() + b"<recordTarget>", 1)), "Patient")
    assert made["identifier"][0]["value"] == "999990019"


@pytest.mark.parametrize(
    ("dose", "structured"), [(("1",), True), (("1", "2"), False), (("1", "1"), True)], ids=str
)  # fmt: skip
def test_several_doses_of_a_gp_are_text(dose: tuple[str, ...], structured: bool) -> None:
    parts = "".join(
        f'<entryRelationship typeCode="COMP"><substanceAdministration moodCode="RQO"><doseQuantity><center value="{one}" unit="1"/></doseQuantity></substanceAdministration></entryRelationship>'
        for one in dose
    )
    act = (
        f'<substanceAdministration moodCode="RQO"><code code="16076005" codeSystem="{SCT}"/><text>volgens schema</text>'
        '<consumable><manufacturedProduct><manufacturedMaterial><code code="1" codeSystem="2.16.840.1.113883.2.4.4.10"/></manufacturedMaterial></manufacturedProduct></consumable>'
        f"{parts}</substanceAdministration>"
    )
    result = read(batch(message(act)), "hl7v3")
    (made,) = of(result, "MedicationRequest")
    assert ("doseAndRate" in made["dosageInstruction"][0]) == structured
    assert structured or made["dosageInstruction"] == [{"text": "volgens schema"}]
    assert made["category"][0]["coding"][0]["code"] == "33633005"


@pytest.mark.parametrize(("end", "status"), [("", "active"), ("20300101", "active"), ("20251231", "completed")])
def test_an_agreement_without_a_status_has_that_of_its_period(end: str, status: str) -> None:
    high = f'<high value="{end}"/>' if end else ""
    act = (
        f'<substanceAdministration moodCode="RQO"><code code="33633005" codeSystem="{SCT}"/><effectiveTime xsi:type="IVL_TS"><low value="2025"/>{high}</effectiveTime>'
        '<consumable><manufacturedProduct><manufacturedMaterial><code code="1" codeSystem="2.16.840.1.113883.2.4.4.10"/></manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration>'
    )
    (made,) = of(read(batch(message(act)), "hl7v3"), "MedicationRequest")
    assert made["status"] == status
    assert made["dosageInstruction"][0]["text"] == "dosering onbekend"


def whole(body: bytes) -> bytes:
    """Put a fragment of a document where it belongs; whole documents stay as they are."""
    text = (
        body.decode("utf-8-sig")
        if body[:200].lstrip(b"\xef\xbb\xbf \r\n").startswith((b"<entry", b"<recordTarget"))
        else ""
    )
    if not text:
        return body
    patient, entry = (text, "") if text.lstrip().startswith("<recordTarget") else (PATIENT, text)
    return cda(patient=patient).replace(b"</section>", f"{entry}</section>".encode())


@pytest.mark.parametrize(
    ("collection", "format_", "least"),
    [("ccda-r4-ms", "cda", 250), ("ccda-r4-hl7ig", "cda", 12), ("nl-ketenzorg-hl7v3-stu3", "hl7v3", 150),
     ("nl-saz-cda-ehdsi", "hl7v3", 20), ("nl-lab-hl7v3-r4", "hl7v3", 40), ("nl-mp93-medicatiegegevens-hl7v3-r4", "hl7v3", 130),
     ("nl-mp93-voorschrift-hl7v3-r4", "hl7v3", 120)],
)  # fmt: skip
@pytest.mark.real_inputs
def test_real_inputs_run(collection: str, format_: str, least: int) -> None:
    if not (SHARED / collection).exists():
        pytest.skip("third-party examples are not beside the project")
    made, refused, losses = 0, Counter[str](), Counter[str]()
    files = sorted((SHARED / collection).glob("*.input.xml"))
    for file in files:
        try:
            result = read(whole(file.read_bytes()), format_)
        except NotMappable as error:
            refused[str(error)] += 1
        else:
            made += len(result.resources)
            losses.update(loss.kind for loss in result.losses)
    print(f"{collection}: {len(files)} in, {made} out, lost {dict(losses)}, refused {dict(refused)}")
    assert made >= least


def test_what_a_file_is_is_told_by_its_root_whatever_stands_before_it() -> None:
    before = (
        b'<?xml version="1.0"?><!-- '
        + b"terms of use " * 2000
        + b'--><?xml-stylesheet href="a.xsl"?>\n<!-- <Patient/> -->'
    )
    fhir = b' xmlns:fhir="http://hl7.org/fhir"'
    roots = {
        b'<ClinicalDocument xmlns="urn:hl7-org:v3"' + fhir + b"/>": "cda",
        b'<n1:ClinicalDocument xmlns:n1="urn:hl7-org:v3"/>': "cda",
        b'<organizer xmlns="urn:hl7-org:v3"' + fhir + b"/>": "hl7v3",
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><m xmlns="urn:hl7-org:v3"/></s:Envelope>': "hl7v3",
        b'<f:Patient xmlns:f="http://hl7.org/fhir"/>': "fhir-r4",
    }
    assert {root: guess(before + root) for root in roots} == roots
