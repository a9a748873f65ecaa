"""HL7 v2 messages become R4 resources; hostile bytes become a named refusal and nothing else."""

from __future__ import annotations

import contextlib
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.formats.hl7v2 import acknowledge, control_id, read
from mappings.model import NotMappable, Origin, Translation
from mappings.translation import guess, translate
from profiles.exact import decode, encode
from profiles.validation import validate
from tests.slack import slack

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:16:00+01:00")
EXAMPLES = Path(__file__).parent / "data" / "hl7v2"
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "pairs" / "hl7v2-r4-ms"

MSH = r"MSH|^~\&|EAMBU|RAV|GW|ROAZ|20260105101500||{kind}|M0001|P|2.5||||||{charset}"
PID = "PID|1||999990019^^^NLMINBIZA^NNNLD~P123^^^RAV^PI||de Vries&de&Vries^Jan^P^^^^L||19560312|M|||Dorpsstraat 1&Dorpsstraat&1^^Utrecht^^3511AA^NL^H||0612345678^PRN^CP|||M"
ADT = (
    "EVN|A04|20260105101500",
    PID,
    "PD1||||01012345^Bakker^A^^^dr.^^^VEKTIS",
    "NK1|1|de Vries^Anna|SPO^echtgenote|||0687654321",
    "PV1|1|E|SEH^^^UMC||||||||||||||||V987|||||||||||||||||||||||||20260105100000",
    "AL1|1|DA|373270004^penicilline^SCT|SV|huiduitslag",
    "DG1|1||R07.4^pijn op de borst^ICD10NL||20260105|W",
)


def message(
    *segments: str, kind: str = "ADT^A04^ADT_A01", charset: str = "UNICODE UTF-8", encoding: str = "utf-8"
) -> bytes:
    return "".join(f"{one}\r" for one in (MSH.format(kind=kind, charset=charset), *segments)).encode(encoding)


def adt(*segments: str, **more: str) -> Translation:
    return v2(message(*(segments or ADT), **more))


def oru(*segments: str, obr: str = "OBR|1|P1|F1|24331-1^Lab^LN|||20260105090000") -> Translation:
    return v2(message(PID, obr, *segments, kind="ORU^R01^ORU_R01"))


def v2(body: bytes) -> Translation:
    result = translate(body, "hl7v2", ORIGIN)
    for resource in result.resources:
        assert [str(issue) for issue in validate(resource) if issue.is_error] == []
    assert len(set(result.keys)) == len(result.keys)
    return result


def of(result: Translation, kind: str) -> list[dict[str, Any]]:
    return [one for one in result.resources if one["resourceType"] == kind]


def losses(result: Translation) -> list[tuple[str, str]]:
    return [(loss.path, loss.kind) for loss in result.losses]


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.input.hl7")), ids=lambda p: p.name)
def test_examples(example: Path) -> None:
    result = v2(example.read_bytes())
    expected = decode(example.with_name(example.name.replace(".input.hl7", ".expected.json")).read_bytes())
    assert list(result.resources) == expected["resources"]
    assert [list(loss) for loss in losses(result)] == expected["losses"]


def test_an_admission_gives_patient_visit_contact_allergy_problem_and_gp() -> None:
    result = adt()
    (patient,) = of(result, "Patient")
    assert patient["identifier"][0] == {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990019"}
    assert patient["birthDate"] == "1956-03-12"
    assert patient["name"][0]["family"] == "de Vries"
    assert patient["generalPractitioner"][0]["reference"] == f"Practitioner/{of(result, 'Practitioner')[0]['id']}"
    (encounter,) = of(result, "Encounter")
    assert (encounter["status"], encounter["class"]["code"]) == ("in-progress", "EMER")
    assert encounter["period"] == {"start": "2026-01-05T10:00:00+01:00"}
    assert of(result, "RelatedPerson")[0]["relationship"][0]["coding"][0]["code"] == "SPS"
    assert of(result, "AllergyIntolerance")[0]["verificationStatus"]["coding"][0]["code"] == "unconfirmed"
    assert of(result, "Condition")[0]["verificationStatus"]["coding"][0]["code"] == "provisional"
    assert result.facts == {
        "type": "ADT",
        "trigger": "A04",
        "control": "M0001",
        "application": "EAMBU",
        "contact": "true",
    }
    assert result.losses == ()


def test_keys_are_the_same_at_every_arrival_and_hold_no_bsn() -> None:
    again = message(*ADT).replace(b"M0001", b"M0002").replace(b"20260105101500", b"20260105111500")
    assert v2(again).keys == adt().keys
    assert not any("999990019" in key for key in adt().keys)


def test_keys_of_two_patients_never_meet() -> None:
    visit, result = (
        "PV1|1|E|||||||||||||||||||||||||||||||||||||||||" + "|20260105100000",
        "OBX|1|NM|8310-5^T^LN||37.5|Cel|||||F|||20260105",
    )
    first, second, third, fourth = (
        set(adt(pid, visit, result).keys)
        for pid in (PID, PID.replace("P123", "P124"), "PID|1||||Onbekend^Man", "PID|1||||Onbekend^Vrouw")
    )
    assert len(first | second | third | fourth) == 12


@pytest.mark.parametrize(
    ("trigger", "status", "contact"),
    [("A01", "in-progress", "true"), ("A03", "finished", "true"), ("A05", "planned", "true"), ("A11", "cancelled", None),
     ("A13", "in-progress", "true")],
)  # fmt: skip
def test_the_trigger_decides_the_status_of_the_visit(trigger: str, status: str, contact: str | None) -> None:
    result = adt(kind=f"ADT^{trigger}^ADT_A01")
    assert of(result, "Encounter")[0]["status"] == status
    assert result.facts.get("contact") == contact


def test_a_bsn_that_fails_the_eleven_test_is_left_out_and_said() -> None:
    result = adt(PID.replace("999990019", "999990018"))
    assert [one["value"] for one in of(result, "Patient")[0]["identifier"]] == ["P123"]
    assert ("PID-3[1]", "invalid") in losses(result)
    assert "999990018" not in str(result.losses)


def test_an_ordinary_newborn_is_not_quarantined() -> None:
    assert "quarantine" not in adt("PID|1||999990019^^^NLMINBIZA^NNNLD||Vries^Baby||20260103|F").facts


def test_a_baby_under_its_mothers_bsn_is_quarantined() -> None:
    base = ["PID", "1", "", "999990019^^^NLMINBIZA^NNNLD", "", "Vries^Baby", "", "20260103", "F"]
    mother = [*base, *[""] * 12, "999990019^^^NLMINBIZA^NNNLD"]
    twin = [*base, *[""] * 15, "Y", "2"]
    assert adt("|".join(mother)).facts["quarantine"] == "mother-bsn"
    result = adt("|".join(twin))
    assert result.facts["quarantine"] == "mother-bsn"
    assert of(result, "Patient")[0]["multipleBirthInteger"] == 2


@pytest.mark.parametrize("segments", [(), (PID, PID), ("PV1|1|E",)])
def test_not_exactly_one_patient_is_refused(segments: tuple[str, ...]) -> None:
    with pytest.raises(NotMappable) as caught:
        translate(message(*segments), "hl7v2", ORIGIN)
    assert caught.value.path == "PID"


def test_an_allergy_taken_back_is_an_error_not_an_allergy() -> None:
    allergy = "IAM|1|DA|373270004^penicilline^SCT|SV|huiduitslag"
    for segment in (f"{allergy}|D", f"{allergy}|A{'|' * 11}E"):
        (made,) = of(adt(PID, segment), "AllergyIntolerance")
        assert made["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
        assert "clinicalStatus" not in made


def test_a_blood_pressure_is_joined_only_when_it_is_one() -> None:
    when = "|||||F|||20260105100500"
    pair = (f"OBX|1|NM|8480-6^Sys^LN||142|mmHg{when}", f"OBX|2|NM|8462-4^Dia^LN||90|mmHg{when}")
    (panel,) = of(oru(*pair), "Observation")
    assert panel["code"]["coding"][0]["code"] == "85354-9"
    assert [part["valueQuantity"]["value"] for part in panel["component"]] == [142, 90]
    assert panel["component"][0]["valueQuantity"]["code"] == "mm[Hg]"
    assert len(of(oru(*pair, f"OBX|3|NM|8480-6^Sys^LN|2|150|mmHg{when}"), "Observation")) == 3
    assert len(of(oru(pair[0]), "Observation")) == 1
    wrong = pair[1].replace("|F|", "|W|")
    assert {one["status"] for one in of(oru(pair[0], wrong), "Observation")} == {"final", "entered-in-error"}


@pytest.mark.parametrize(
    ("kind", "value", "name", "expected"),
    [
        ("NM", "1.50", "valueQuantity", {"value": Decimal("1.50"), "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}),
        ("NM", "<0.10", "valueQuantity", {"value": Decimal("0.10"), "comparator": "<", "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}),
        ("NM", "hemolytisch", "valueString", "hemolytisch"),
        ("SN", ">^5.0", "valueQuantity", {"value": Decimal("5.0"), "comparator": ">", "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}),
        ("SN", "^1^:^128", "valueRatio", None),
        ("SN", "^1^-^2", "valueRange", None),
        ("CWE", "27268008^Salmonella^SCT", "valueCodeableConcept", {"coding": [{"system": "http://snomed.info/sct", "code": "27268008", "display": "Salmonella"}]}),
        ("ST", "5.2", "valueString", "5.2 mmol/L"),
        ("DT", "202601", "valueDateTime", "2026-01"),
        ("TS", "20260105101500+0000", "valueDateTime", "2026-01-05T10:15:00+00:00"),
        ("TM", "1015", "valueTime", "10:15:00"),
    ],
)  # fmt: skip
def test_values_keep_type_and_digits(kind: str, value: str, name: str, expected: Any) -> None:
    (made,) = of(oru(f"OBX|1|{kind}|2345-7^Glucose^LN||{value}|mmol/L|3.5-7.8|H|||F|||20260105"), "Observation")
    assert name in made
    assert expected is None or made[name] == expected
    assert made["category"][0]["coding"][0]["code"] == "laboratory"
    assert made["effectiveDateTime"] == "2026-01-05"
    assert made["referenceRange"][0]["text"] == "3.5-7.8"
    assert made["interpretation"][0]["coding"][0]["code"] == "H"
    if name == "valueQuantity":
        assert str(made[name]["value"]) == value.strip("<>^")


def test_an_unknown_unit_is_kept_as_text_and_said() -> None:
    result = oru("OBX|1|NM|2345-7^Glucose^LN||5|bananen|||||F")
    assert of(result, "Observation")[0]["valueQuantity"] == {"value": 5, "unit": "bananen"}
    assert ("OBX-6", "unknown-code") in losses(result)


@pytest.mark.parametrize(("flag", "status"), [("F", "final"), ("C", "corrected"), ("P", "preliminary"), ("D", "entered-in-error"),
                                              ("W", "entered-in-error"), ("X", "cancelled"), ("?", "unknown"), ("", "unknown")])  # fmt: skip
def test_statuses(flag: str, status: str) -> None:
    assert of(oru(f"OBX|1|NM|2345-7^Glucose^LN||5|mmol/L|||||{flag}"), "Observation")[0]["status"] == status


def test_a_correction_has_the_key_of_what_it_corrects() -> None:
    first, second = (oru(f"OBX|1|NM|2345-7^Glucose^LN||{v}|mmol/L|||||{s}") for v, s in (("5", "F"), ("6", "C")))
    assert first.keys == second.keys


def test_times_without_zone_are_dutch_summer_and_winter() -> None:
    made = [of(oru(f"OBX|1|NM|2345-7^G^LN||5|mmol/L|||||F|||{t}"), "Observation")[0]["effectiveDateTime"]
            for t in ("202607011200", "202601011200", "2026", "2026070112", "202610250230")]  # fmt: skip
    assert made == [
        "2026-07-01T12:00:00+02:00",
        "2026-01-01T12:00:00+01:00",
        "2026",
        "2026-07-01",
        "2026-10-25T02:30:00+02:00",
    ]


def test_null_is_not_empty() -> None:
    result = adt(PID.replace("|M|||", '|""|||'))
    assert "gender" not in of(result, "Patient")[0]
    assert ("PID-8", "note") in losses(result)


def test_an_escaped_segment_stays_text() -> None:
    result = oru(r"OBX|1|ST|8661-1^Klacht^LN||Jansen\X0D\PID\F\1\F\\F\888\E\x\.br\y \T\ z||||||F")
    (made,) = of(result, "Observation")
    assert made["valueString"] == "Jansen\nPID|1||888\\x\ny & z"
    assert len(of(result, "Patient")) == 1


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("8859/1", "latin-1"), ("UNICODE UTF-8", "utf-8"), ("", "utf-8"), ("8859/15", "iso8859-15")],
)
def test_charsets(charset: str, encoding: str) -> None:
    result = adt(PID.replace("Jan^", "Çelik^"), charset=charset, encoding=encoding)
    assert of(result, "Patient")[0]["name"][0]["given"][0] == "Çelik"


@pytest.mark.parametrize(
    ("charset", "encoding"), [("UNICODE UTF-8", "latin-1"), ("", "latin-1"), ("EBCDIC", "utf-8"), ("8859/1", "utf-8")]
)
def test_bytes_in_another_charset_are_refused_not_mangled(charset: str, encoding: str) -> None:
    with pytest.raises(NotMappable) as caught:
        adt(PID.replace("Jan^", "Çelik^"), charset=charset, encoding=encoding)
    assert caught.value.path == "MSH-18"


@pytest.mark.parametrize("marks", ["", "^", "^~", "^~\\^", "abcd", "^~\\&#!", "^~\\|", "^~\\é"])
def test_odd_separators_are_refused(marks: str) -> None:
    with pytest.raises(NotMappable) as caught:
        read(f"MSH|{marks}|A|B".encode())
    assert caught.value.path == "MSH-2"


def test_other_separators_are_followed() -> None:
    body = message(*ADT).replace(b"|", b"*").replace(b"^", b"!")
    assert v2(body).resources == adt().resources


def test_every_truncation_is_refused_or_read() -> None:
    body = message(*ADT, "OBX|1|NM|8310-5^T^LN||37.5|Cel|||||F")
    for end in range(len(body)):
        try:
            translate(body[:end], "hl7v2", ORIGIN)
        except NotMappable:
            assert acknowledge(body[:end], "AE", "x", now="2026", control_id="1").startswith(b"MSH|")


def test_ten_megabytes() -> None:
    with pytest.raises(NotMappable):
        read(message(PID) + b"NTE|1||" + b"x" * 10_000_000)
    with pytest.raises(NotMappable):
        read(message(PID) + b"NTE|1\r" * 20_001)
    started = time.perf_counter()
    with pytest.raises(NotMappable):
        translate(message(*[PID] * 5000, kind="ADT^A04"), "hl7v2", ORIGIN)
    assert time.perf_counter() - started < 2 * slack()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_refusal_at_most(noise: bytes) -> None:
    for body in (noise, message(PID) + noise, b"MSH|^~\\&|" + noise):
        with contextlib.suppress(NotMappable):
            translate(body, "hl7v2", ORIGIN)
        acknowledge(body, "AR", "x", now="2026", control_id="1")
        control_id(body)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.sampled_from(["NM", "SN"]))
def test_decimal_text_in_is_decimal_text_out(number: Decimal, kind: str) -> None:
    text = f"{number:f}"
    (made,) = of(oru(f"OBX|1|{kind}|2345-7^G^LN||{'^' if kind == 'SN' else ''}{text}|mmol/L|||||F"), "Observation")
    assert f'"value":{text}'.encode() in encode(made)


def test_acknowledgments_answer_the_sender() -> None:
    body = message(*ADT)
    answer = acknowledge(body, "AA", now="20260105101501+0100", control_id="GW1")
    assert answer.split(b"\r")[0].startswith(b"MSH|^~\\&|GW|ROAZ|EAMBU|RAV|20260105101501+0100||ACK^A04^ACK|GW1|P|2.5")
    assert answer.split(b"\r")[1] == b"MSA|AA|M0001"
    refusal = acknowledge(b"\xff\x00garbage", "AR", "not|HL7\rPID|", now="2026", control_id="GW2")
    assert refusal.split(b"\r")[1] == b"MSA|AR||not\\F\\HL7 PID\\F\\"
    assert len(read(refusal.replace(b"MSA", b"MSA")).segments) == 2
    assert control_id(body) == "M0001"
    assert control_id(b"") == ""


def test_guess_and_unknown_messages() -> None:
    assert guess(b"\x0b" + message(*ADT)) == "hl7v2"
    with pytest.raises(NotMappable) as caught:
        adt(kind="QBP^Q22")
    assert caught.value.path == "MSH-9"


@pytest.mark.real_inputs
def test_real_inputs_run() -> None:
    if not SHARED.exists():
        pytest.skip("third-party examples are not beside the project")
    files = sorted(SHARED.glob("*.hl7"))
    mapped = refused = lost = 0
    for file in files:
        started = time.perf_counter()
        try:
            result = v2(file.read_bytes())
        except NotMappable:
            refused += 1
        else:
            mapped, lost = mapped + len(result.resources), lost + len(result.losses)
        assert time.perf_counter() - started < 2 * slack()
    print(f"{len(files)} files: {mapped} resources, {lost} losses, {refused} refused")
    assert mapped >= 100
