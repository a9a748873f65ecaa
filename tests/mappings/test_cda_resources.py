"""What of HL7 v3 and CDA becomes a resource of its own: products, roles, relatives, report lines, panels."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from gateway.summary.medication import in_use
from gateway.summary.texts import words_of
from mappings.downgrade import downgrade
from mappings.formats import fhir_xml
from mappings.model import NotMappable, Origin
from mappings.translation import guess, translate
from profiles import xml
from profiles.exact import decode, encode
from tests.mappings.test_v3 import LOINC, ORIGIN, PATIENT, SCT, batch, cda, message, observation, of, read

PAIRS = Path(__file__).parents[2].parent / "shared" / "data" / "pairs"
MP9, KEZO = "2.16.840.1.113883.2.4.3.11.60.20.77.10", "2.16.840.1.113883.2.4.3.11.60.66.10"
ICPC, ORGANIZATIONS = "2.16.840.1.113883.2.4.4.31.1", "2.16.528.1.1007.3.3"
AUTHOR = (
    '<author><time value="20260105"/><assignedAuthor><id root="2.16.528.1.1007.3.1" extension="1111"/>'
    '<code code="01.015" codeSystem="2.16.840.1.113883.2.4.15.111"/><assignedPerson><name><family>Arts</family></name>'
    f'</assignedPerson><representedOrganization><id root="{ORGANIZATIONS}" extension="2222"/><name>Praktijk</name>'
    "</representedOrganization></assignedAuthor></author>"
)
PRODUCT = (
    '<consumable><manufacturedProduct><manufacturedMaterial><code code="6947" codeSystem="2.16.840.1.113883.2.4.4.10" '
    'displayName="TABLET 10MG"><translation code="19429" codeSystem="2.16.840.1.113883.2.4.4.1"/></code>'
    "</manufacturedMaterial></manufacturedProduct></consumable>"
)
DOSE = (
    '<doseQuantity><center value="1" unit="1"><translation value="1" code="245" displayName="stuk" '
    'codeSystem="2.16.840.1.113883.2.4.4.1.900.2"/></center></doseQuantity>'
)


def medicine(code: str, identity: str, inside: str) -> str:
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="EVN"><id root="1.2" extension="{identity}"/>'
        f'<code code="{code}" codeSystem="{SCT}"/><text>1 maal per dag 1 stuk</text>{PRODUCT}{AUTHOR}{inside}</substanceAdministration>'
    )


def within(inner: str, kind: str = "COMP") -> str:
    return f'<entryRelationship typeCode="{kind}">{inner}</entryRelationship>'


def extensions(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["url"].rpartition("/")[2]: one for one in resource.get("extension", [])}


def test_a_product_is_one_resource_and_every_block_of_a_treatment_points_to_it() -> None:
    treatment = within(f'<procedure><templateId root="{MP9}.9084"/><id root="1.9" extension="T"/></procedure>')
    agreed = within('<substanceAdministration><id root="1.2" extension="a"/><code code="33633005"/></substanceAdministration>', "REFR")  # fmt: skip
    result = read(batch(message(medicine("33633005", "a", treatment), medicine("422979000", "u", agreed + treatment))), "hl7v3")  # fmt: skip
    (product,) = of(result, "Medication")
    (request,), (use,) = of(result, "MedicationRequest"), of(result, "MedicationStatement")
    assert request["medicationReference"]["reference"] == use["medicationReference"]["reference"] == f"Medication/{product['id']}"  # fmt: skip
    assert [one.get("userSelected") for one in product["code"]["coding"]] == [True, None]
    assert use["derivedFrom"][0]["reference"] == f"MedicationRequest/{request['id']}"
    for block in (request, use):
        assert extensions(block)["ext-PharmaceuticalTreatment.Identifier"]["valueIdentifier"]["value"] == "T"
    (role,) = of(result, "PractitionerRole")
    assert request["requester"]["reference"] == f"PractitionerRole/{role['id']}"
    assert role["organization"]["identifier"]["value"] == "2222"


def test_the_dutch_frequency_and_a_width_alone_are_a_timing() -> None:
    every = (
        '<effectiveTime xsi:type="IVL_TS"><width value="14" unit="d"/></effectiveTime><effectiveTime xsi:type="nl:PIVL_TS" '
        'xmlns:nl="urn:hl7-nl:v3"><nl:frequency><nl:numerator value="3"/><nl:denominator value="1" unit="d"/></nl:frequency></effectiveTime>'
    )
    inner = within(f"<substanceAdministration>{every}{DOSE}</substanceAdministration>")
    (request,) = of(read(batch(message(medicine("16076005", "a", inner))), "hl7v3"), "MedicationRequest")
    (dosage,) = request["dosageInstruction"]
    repeat = dosage["timing"]["repeat"]
    assert (repeat["frequency"], str(repeat["period"]), repeat["periodUnit"]) == (3, "1", "d")
    assert str(repeat["boundsDuration"]["value"]) == "14"
    quantity = dosage["doseAndRate"][0]["doseQuantity"]
    assert (quantity["unit"], quantity["code"]) == ("stuk", "1")
    assert quantity["extension"][0]["valueQuantity"]["code"] == "245"


def test_the_lines_of_a_contact_report_are_sections_and_observations_with_their_icpc_code() -> None:
    diagnosis = within(
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{KEZO}.213"/><code code="282291009" codeSystem="{SCT}"/>'
        f'<value xsi:type="CD" code="S74.01" codeSystem="{ICPC}" displayName="Tinea pedis"/></observation>',
        "REFR",
    )
    lines = "".join(
        within(
            f'<act><templateId root="{KEZO}.208"/><code code="{code}" codeSystem="{LOINC}"/><text>{text}</text>{more}</act>'
        )
        for code, text, more in (("61150-9", "Jeuk", ""), ("51848-0", "Mycose", diagnosis))
    )
    concern = within('<act><id root="1.2" extension="c"/><code code="CONC"/></act>', "REFR")
    report = f'<act><templateId root="{KEZO}.207"/><id root="1.2" extension="r"/><effectiveTime value="20260105"/>{AUTHOR}{lines}{concern}</act>'
    (made,) = of(read(batch(message(report)), "hl7v3"), "Composition")
    first, second = made["contained"]
    assert [one["valueString"] for one in (first, second)] == ["Jeuk", "Mycose"]
    assert second["component"][0]["valueCodeableConcept"]["coding"][0]["code"] == "S74.01"
    assert [section["code"]["coding"][0]["code"] for section in made["section"]] == ["S", "E"]
    assert made["section"][0]["entry"][0]["reference"] == f"#{first['id']}"
    assert made["event"][0]["detail"][0]["identifier"]["value"] == "c"
    assert "http://snomed.info/sct" not in str(second["component"]), "ICPC is kept, never guessed"


def test_a_reaction_is_no_allergy_and_criticality_keeps_its_code() -> None:
    def inner(code: str, value: str, more: str = "") -> str:
        return f'<observation classCode="OBS" moodCode="EVN"><code code="{code}" codeSystem="1.3"/><value xsi:type="CD" code="{value}" codeSystem="{SCT}"/>{more}</observation>'

    substance = '<participant typeCode="CSM"><participantRole><playingEntity><code code="1" codeSystem="1.2"/></playingEntity></participantRole></participant>'
    reaction = within(inner("ASSERTION", "267036007", substance + within(inner("SEV", "255604002"), "SUBJ")), "MFST")
    entry = inner("ASSERTION", "419511003", substance + reaction + within(inner("CRIT", "62482003"), "SUBJ"))
    (allergy,) = of(read(cda(entry, code="48765-2")), "AllergyIntolerance")
    assert (allergy["criticality"], allergy["reaction"][0]["severity"]) == ("low", "mild")
    kept = allergy["_criticality"]["extension"][0]["valueCodeableConcept"]["coding"][0]
    assert kept["code"] == "62482003"


def test_what_a_relative_has_is_a_family_history_and_never_a_problem() -> None:
    found = observation(f'<value xsi:type="CD" code="22298006" codeSystem="{SCT}"/>', f'<code code="64572001" codeSystem="{SCT}"/>')  # fmt: skip
    entry = (
        '<organizer classCode="CLUSTER" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.45"/><statusCode code="completed"/>'
        f'<subject><relatedSubject><code code="9947008" codeSystem="{SCT}"/></relatedSubject></subject><component>{found}</component></organizer>'
    )
    result = read(cda(entry, code="10157-6"))
    (history,) = of(result, "FamilyMemberHistory")
    assert history["condition"][0]["code"]["coding"][0]["code"] == "22298006"
    assert not of(result, "Condition")


def test_a_panel_names_its_results_and_each_says_the_copy_and_the_edifact_number() -> None:
    def mark(template: str, value: str) -> str:
        return within(f'<observation><templateId root="{template}"/><code nullFlavor="OTH"/>{value}</observation>')

    measured = '<observation classCode="OBS" moodCode="EVN"><id root="1.2" extension="o"/><code code="14683-7" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/><value xsi:type="PQ" value="138" unit="mmol/L"/></observation>'  # fmt: skip
    panel = f'<organizer classCode="BATTERY" moodCode="EVN"><code code="24321-2" codeSystem="{LOINC}"/><statusCode code="completed"/><component>{measured}</component></organizer>'
    marks = mark(f"{MP9}.9200", '<value xsi:type="BL" value="true"/>') + mark("2.16.840.1.113883.2.4.3.11.60.121.10.53", '<value xsi:type="ST">888222</value>')  # fmt: skip
    act = f"<act>{within(panel)}{marks}</act>"
    body = batch(message(act)).replace(
        b"<organizer>", f'<organizer><code code="26436-6" codeSystem="{LOINC}"/>'.encode()
    )
    group, result = of(read(body, "hl7v3"), "Observation")
    assert group["hasMember"][0]["reference"] == f"Observation/{result['id']}"
    kept = extensions(result)
    assert kept["ext-CopyIndicator"]["valueBoolean"] is True
    assert kept["ext-EdifactReferenceNumber"]["valueString"] == "888222"


def test_an_agreement_on_a_condition_is_not_as_needed_and_a_reason_to_take_it_is() -> None:
    when = "<precondition><criterion>{}</criterion></precondition>"
    text = '<text mediaType="text/plain">3 dagen voor de operatie starten</text>'
    period = '<effectiveTime xsi:type="IVL_TS"><low value="20260102"/></effectiveTime>'
    result = read(batch(message(medicine("33633005", "a", period + when.format(text)))), "hl7v3")
    (request,) = of(result, "MedicationRequest")
    (condition,) = extensions(request)["ext-TimeInterval.Period"]["valuePeriod"]["extension"]
    assert condition["valueString"] == "3 dagen voor de operatie starten"
    assert "asNeeded" not in str(request["dosageInstruction"])
    coded = '<code code="1137" codeSystem="2.16.840.1.113883.2.4.4.5" displayName="zo nodig"/>'
    inner = within(f"<substanceAdministration>{DOSE}{when.format(coded)}</substanceAdministration>")
    (request,) = of(read(batch(message(medicine("33633005", "a", inner))), "hl7v3"), "MedicationRequest")
    assert request["dosageInstruction"][0]["asNeededCodeableConcept"]["coding"][0]["code"] == "1137"


def test_why_a_medicine_is_prescribed_is_a_problem_inside_the_agreement_and_no_second_reason() -> None:
    def reason(template: str, code: str, system: str) -> str:
        value = f'<value xsi:type="CE" code="{code}" codeSystem="{system}" displayName="{code} in woorden"/>'
        return within(
            f'<observation><templateId root="{MP9}.{template}"/><code code="1"/>{value}</observation>', "RSON"
        )

    inside = reason("9438", "58848006", SCT) + reason("9160", "R95", ICPC) + reason("9160", "K74", ICPC)
    result = read(batch(message(medicine("16076005", "a", inside))), "hl7v3")
    (request,) = of(result, "MedicationRequest")
    assert [one["coding"][0]["code"] for one in request["reasonCode"]] == ["58848006"]
    assert [one["code"]["coding"][0]["code"] for one in request["contained"]] == ["R95", "K74"]
    told = [(one["reference"].removeprefix("#"), one["display"]) for one in request["reasonReference"]]
    assert told == [("reason1", "R95 in woorden"), ("reason2", "K74 in woorden")]
    assert [one["id"] for one in request["contained"]] == ["reason1", "reason2"]
    assert not of(result, "Condition")
    assert in_use(request, words_of("nl")) == "reden: 58848006 in woorden, R95 in woorden, K74 in woorden"


@pytest.mark.parametrize(("times", "repeats"), [("6", 5), ("1", 0), ("0", None), ("1.5", None)])
def test_a_dispense_of_six_times_is_repeated_five_times(times: str, repeats: int | None) -> None:
    supply = (
        f'<supply classCode="SPLY" moodCode="RQO"><templateId root="{MP9}.9449"/><id root="1.2" extension="s"/>'
        f'<code code="52711000146108" codeSystem="{SCT}"/><repeatNumber value="{times}"/><quantity value="30" unit="1"/>'
        '<expectedUseTime><low value="20260101"/><high value="20270101"/></expectedUseTime>'
        f"{PRODUCT.replace('consumable', 'product')}{AUTHOR}</supply>"
    )
    (request,) = of(read(batch(message(supply)), "hl7v3"), "MedicationRequest")
    assert request["dispenseRequest"].get("numberOfRepeatsAllowed") == repeats
    assert request["dispenseRequest"]["validityPeriod"] == {"start": "2026-01-01", "end": "2027-01-01"}


def test_places_devices_payers_and_outside_documents_are_resources_others_refer_to() -> None:
    ccda = "2.16.840.1.113883.10.20.22.4"
    place = (
        '<participant typeCode="LOC"><participantRole classCode="SDLOC"><code code="1060-3" codeSystem="2.16.840.1.113883.6.259"/>'
        "<addr><city>Zorgstad</city></addr><playingEntity><name>Polikliniek</name></playingEntity></participantRole></participant>"
    )
    contact = f'<encounter classCode="ENC" moodCode="EVN"><templateId root="{ccda}.49"/><id root="1.2" extension="{{}}"/>{place}</encounter>'
    device = (
        f'<supply classCode="SPLY" moodCode="EVN"><templateId root="{ccda}.50"/><id root="1.2" extension="use"/><statusCode code="completed"/>'
        f'<participant typeCode="PRD"><participantRole><templateId root="{ccda}.37"/><id root="1.2" extension="pacer"/><playingDevice>'
        f'<code code="14106009" codeSystem="{SCT}"/></playingDevice></participantRole></participant></supply>'
    )
    policy = (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{ccda}.61"/><id root="1.2" extension="policy"/>'
        '<code code="SELF" codeSystem="2.16.840.1.113883.5.110"/><performer><assignedEntity><id root="1.3" extension="payer"/>'
        '<code code="PAYOR" codeSystem="2.16.840.1.113883.5.110"/><representedOrganization><name>Verzekeraar</name></representedOrganization>'
        "</assignedEntity></performer></act>"
    )
    wish = (
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{ccda}.48"/><id root="1.2" extension="wish"/>'
        f'<code code="75278-2" codeSystem="{LOINC}"/><statusCode code="completed"/><value xsi:type="CD" code="304253006" codeSystem="{SCT}"/>'
        '<reference typeCode="REFR"><externalDocument><id root="1.2" extension="paper"/><text mediaType="application/pdf">'
        '<reference value="wish.pdf"/></text></externalDocument></reference></observation>'
    )
    result = read(cda(contact.format("a"), contact.format("b"), device, policy, wish))
    (location,) = of(result, "Location")
    assert (location["name"], location["address"]["city"]) == ("Polikliniek", "Zorgstad")
    pointed = {one["location"][0]["location"]["reference"] for one in of(result, "Encounter")}
    assert pointed == {f"Location/{location['id']}"}, "one place, however often it is told"
    (used,), (pacer,) = of(result, "DeviceUseStatement"), of(result, "Device")
    assert (used["status"], used["device"]["reference"]) == ("active", f"Device/{pacer['id']}")
    (cover,), (payer,) = of(result, "Coverage"), of(result, "Organization")
    assert cover["payor"][0]["reference"] == f"Organization/{payer['id']}"
    (directive,) = of(result, "Consent")
    (paper,) = [one for one in of(result, "DocumentReference") if one["content"][0]["attachment"].get("url")]
    assert directive["sourceReference"]["reference"] == f"DocumentReference/{paper['id']}"
    assert directive["provision"]["code"][0]["coding"][0]["code"] == "304253006"
    assert directive["category"][1]["coding"][0]["code"] == "75278-2"


def test_a_document_says_how_long_it_is_and_a_whole_file_holds_it() -> None:
    (told,) = of(read(GOOD), "DocumentReference")
    attachment = told["content"][0]["attachment"]
    assert attachment == {"contentType": "text/xml", "size": len(GOOD), "hash": b64encode(sha1(GOOD).digest()).decode()}
    (held,) = of(translate(GOOD, "cda", ORIGIN, whole=True), "DocumentReference")
    assert b64decode(held["content"][0]["attachment"]["data"]) == GOOD


def test_a_time_that_cannot_be_read_keeps_its_date_and_says_so() -> None:
    result = read(cda(observation('<effectiveTime value="2020011693946"/><value xsi:type="ST">x</value>')))
    assert of(result, "Observation")[0]["effectiveDateTime"] == "2020-01-16"
    assert any(loss.kind == "approximate" for loss in result.losses)


GOOD = cda(observation('<value xsi:type="PQ" value="1"/>'))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + GOOD, id="external entity"),
        pytest.param(b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>' + GOOD, id="entity bomb"),
        pytest.param(cda("<act>" * 100_000 + "</act>" * 100_000), id="deep"),
        pytest.param(GOOD + b" " * 50_000_000, id="50 MB"),
        pytest.param(b'<foo xmlns="urn:hl7-org:v3"/>', id="wrong root"),
        pytest.param(cda(patient=PATIENT + PATIENT.replace("999990019", "999990020")), id="two patients"),
        pytest.param(b'<?xml version="1.0" encoding="UTF-8"?>' + GOOD.replace(b"Vries", b"Vri\xe9s"), id="charset"),
        pytest.param(GOOD[:-40], id="cut off"),
    ],
)
def test_bad_input_has_a_clear_outcome_without_its_content(body: bytes) -> None:
    with pytest.raises(NotMappable) as caught:
        translate(body, "cda", Origin("90000001", "region", "2026-01-05T10:16:00+01:00"))
    assert "Vries" not in str(caught.value)


def test_of_a_broken_batch_the_good_message_stays() -> None:
    result = read(
        batch(message("<act/>", patient=""), message(observation('<value xsi:type="PQ" value="1"/>'))), "hl7v3"
    )
    assert of(result, "Observation")
    assert result.facts["outcome"] == "incomplete"


def _facts(node: Any, kind: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        kind = node.get("resourceType", kind)
        for name, value in node.items():
            if name not in {"id", "fullUrl", "meta", "text", "reference", "display", "request", "search", "link", "div", "resourceType"}:  # fmt: skip
                yield from _facts(value, kind)
    elif isinstance(node, list):
        for one in node:
            yield from _facts(one, kind)
    elif node is not None and kind not in {"", "Bundle"}:
        yield kind, str(node).lower()


@pytest.mark.real_inputs
@pytest.mark.slow
@pytest.mark.parametrize(
    ("collection", "least"),
    [
        ("ccda-r4-ms", 0.91),
        ("nl-mp93-medicatiegegevens-hl7v3-r4", 0.97),
        ("nl-mp93-voorschrift-hl7v3-r4", 0.98),
        ("nl-ketenzorg-hl7v3-stu3", 0.89),  # in the form the other translator writes, which is STU3
    ],
)
def test_what_others_read_in_the_same_files_arrives(collection: str, least: float) -> None:
    inputs = sorted((PAIRS / collection).glob("*.input.xml"))
    if not inputs:
        pytest.skip("the third-party files are not beside the project")
    shares = []
    for path in inputs:
        body = path.read_bytes()
        result = translate(body, guess(body), Origin("90000001", "region", "2026-01-05T10:16:00+01:00"))
        found = next(path.parent.glob(path.name.replace(".input.xml", ".expected.*")))
        made: Any = list(result.resources)
        if collection.endswith("stu3"):
            wanted = fhir_xml.read(found.read_bytes())
            made = downgrade({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in made]}).resource  # fmt: skip
        else:
            wanted = decode(found.read_bytes()) if found.suffix == ".json" else xml.to_json(found.read_bytes())
        facts = set(_facts(wanted))
        shares.append(len(facts & set(_facts(made))) / len(facts))
    assert sum(shares) / len(shares) >= least


# Of the envelope and the table of contents, not of the patient: who stated it is told by a reference, when by a date of FHIR.
STRUCTURE = frozenset({"CONC", "SEV", "ONESELF", "completed", "active", "48765-2", "10160-0", "11450-4"})


@pytest.mark.real_inputs
@pytest.mark.slow
@pytest.mark.parametrize("name", ["onlyAllergies", "onlyMeds", "onlyProblems"])
def test_every_fact_of_the_expected_pivot_document_is_findable(name: str) -> None:
    source, expected = (PAIRS / "nl-saz-cda-ehdsi" / f"{name}.{part}.xml" for part in ("input", "expected"))
    if not source.exists():
        pytest.skip("the third-party files are not beside the project")
    body = source.read_bytes()
    made = translate(body, guess(body), Origin("90000001", "region", "2026-01-05T10:16:00+01:00"))
    told = encode(list(made.resources)).decode()
    days = re.sub(r"(\d{4})-(\d\d)-(\d\d)", r"\1\2\3", told)
    lost, held = [], 0
    for element in etree.fromstring(expected.read_bytes()).iter():
        for attribute in ("code", "extension", "value", "displayName"):
            value = element.get(attribute, "") if isinstance(element.tag, str) else ""
            if not value or value in STRUCTURE or f'"{value}"'.encode() not in body:
                continue  # what the target format adds is no fact of the source
            held += 1
            plain = value.removeprefix("tel:").removeprefix("mailto:")
            if plain not in told and not (value.isdigit() and value[:8] in days):
                lost.append((str(element.tag).rpartition("}")[2], attribute))
    assert lost == []
    assert held > 20
