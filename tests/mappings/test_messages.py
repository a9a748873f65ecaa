"""Every HL7 v2 message kind: what is cancelled, refused or merged never looks like what is; nothing is lost in silence."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from mappings.formats import hl7v2 as er7
from mappings.library import hl7v2
from mappings.model import NotMappable, Origin, Translation
from mappings.tables import table
from mappings.translation import translate
from profiles.exact import encode
from profiles.validation import validate
from tests.mappings.test_hl7v2 import EXAMPLES, ORIGIN, PID, SHARED, message

TOOLS = SHARED.parents[2] / "tools"
CORE = ("ADT", "ORU", "ORM", "MDM", "SIU", "VXU")
VISIT = "PV1|1|I|CARD^101"


def made(*segments: str, kind: str, whole: bool = False) -> Translation:
    result = translate(message(PID, *segments, kind=kind), "hl7v2", ORIGIN, whole=whole)
    sound(result)
    return result


def sound(result: Translation) -> None:
    """Every output is valid base R4, every key once, every reference to something in the output."""
    assert [str(issue) for one in result.resources for issue in validate(one) if issue.is_error] == []
    assert len(set(result.keys)) == len(result.keys)
    assert {target for one in result.resources for target in references(one)} <= set(result.keys)


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [one for child in node for one in references(child)]
    if not isinstance(node, dict):
        return []
    own = [node["reference"]] if isinstance(node.get("reference"), str) else []
    return own + [one for child in node.values() for one in references(child)]


def of(result: Translation, kind: str) -> list[dict[str, Any]]:
    return [one for one in result.resources if one["resourceType"] == kind]


def test_every_map_has_an_example_that_uses_it() -> None:
    targets = set()
    for example in EXAMPLES.glob("*.input.hl7"):
        body = example.read_bytes()
        result = translate(body, "hl7v2", ORIGIN, whole=True)
        sound(result)
        names = {one.name for one in er7.read(body).segments}
        targets |= {(name, one["resourceType"]) for one in result.resources for name in names}
    for name, compiled in hl7v2().items():
        definition = compiled.definition
        assert (definition.source, definition.target) in targets, f"no example for map {name}"


@pytest.mark.parametrize("kind", sorted(table("maps/hl7v2/messages.yaml")["messages"]))
def test_every_trigger_of_every_kind_is_read(kind: str) -> None:
    entry = table("maps/hl7v2/messages.yaml")["messages"][kind]
    for trigger in entry["triggers"]:
        result = made(VISIT, kind=f"{kind}^{trigger}")
        assert (result.facts["type"], result.facts["trigger"]) == (kind, trigger)
        assert of(result, "Patient")


@pytest.mark.parametrize(("order", "status"), [("NW||||", "active"), ("CA||||", "revoked"), ("OC||||", "revoked"), ("SC||||IP", "active"),
                                               ("NW||||CA", "revoked"), ("HD||||", "on-hold"), ("ZZ||||", "unknown"), ("||||", "unknown")])  # fmt: skip
def test_an_order_is_active_only_when_it_is(order: str, status: str) -> None:
    control, _, rest = order.partition("|")
    result = made(f"ORC|{control}|A1{rest}", "OBR|1|A1||718-7^Hb^LN", kind="ORM^O01")
    assert of(result, "ServiceRequest")[0]["status"] == status


@pytest.mark.parametrize(
    ("control", "status"), [("NW", "active"), ("DC", "stopped"), ("CA", "cancelled"), ("", "unknown")]
)
def test_a_prescription_that_was_ended_is_not_active(control: str, status: str) -> None:
    result = made(f"ORC|{control}|R1", "RXE||B01AC06^aspirine^WC|80||mg", kind="RDE^O11")
    assert of(result, "MedicationRequest")[0]["status"] == status


@pytest.mark.parametrize(("end", "status"), [("|||CP|A", "completed"), ("||PATOBJ|RE|A", "not-done"), ("|||NA|A", "not-done"), ("|||CP|D", "entered-in-error"),
                                             ("||PATOBJ||", "not-done")])  # fmt: skip
def test_a_refused_vaccination_is_no_vaccination(end: str, status: str) -> None:
    reason, _, rest = end.removeprefix("||").partition("|")
    segment = f"RXA|0|1|20251015||J07BB02^griep^WC|999||||||||||||{reason}||{rest.lstrip('|')}"
    assert of(made("ORC|RE", segment, kind="VXU^V04"), "Immunization")[0]["status"] == status


@pytest.mark.parametrize(
    ("trigger", "status"), [("S12", "booked"), ("S15", "cancelled"), ("S17", "entered-in-error"), ("S26", "noshow")]
)
def test_an_appointment_that_is_off_is_not_booked(trigger: str, status: str) -> None:
    result = made("SCH|1|2|||||||||^^^20260201093000^20260201095000", kind=f"SIU^{trigger}")
    assert of(result, "Appointment")[0]["status"] == status


def test_an_appointment_without_times_says_so() -> None:
    (appointment,) = of(made("SCH|1|2", kind="SIU^S12"), "Appointment")
    assert appointment["status"] == "proposed"


def test_a_merge_is_a_link_and_waits_when_it_crosses_a_namespace_or_a_bsn() -> None:
    result = made("MRG|P099^^^RAV^PI", kind="ADT^A40")
    (link,) = of(result, "Patient")[0]["link"]
    assert (link["type"], link["other"]["identifier"]["value"]) == ("replaces", "P099")
    assert "quarantine" not in result.facts
    assert made("MRG|P099^^^ELDERS^PI", kind="ADT^A40").facts["quarantine"] == "merge-namespace"
    assert made("MRG|999990020^^^NLMINBIZA^NNNLD", kind="ADT^A40").facts["quarantine"] == "merge-bsn"
    assert of(made("MRG|P099^^^RAV^PI", kind="ADT^A40", whole=True), "Linkage")[0]["item"][-1]["type"] == "historical"


def test_an_unlink_gives_two_persons_and_only_an_unlink_does() -> None:
    other = PID.replace("999990019", "999990020").replace("P123", "P124")
    assert len(of(translate(message(PID, other, kind="ADT^A37"), "hl7v2", ORIGIN), "Patient")) == 2
    with pytest.raises(NotMappable):
        translate(message(PID, other, kind="ADT^A08"), "hl7v2", ORIGIN)


def test_a_result_that_was_joined_into_a_panel_is_found_in_its_report() -> None:
    pair = (
        "OBX|1|NM|8480-6^S^LN||142|mmHg|||||F|||20260105100500",
        "OBX|2|NM|8462-4^D^LN||90|mmHg|||||F|||20260105100500",
    )
    result = made("OBR|1|A|F|34566-0^vitaal^LN", *pair, kind="ORU^R01")
    (report,) = of(result, "DiagnosticReport")
    assert report["result"] == [{"reference": f"Observation/{of(result, 'Observation')[0]['id']}"}]


def test_a_document_of_a_report_stands_in_the_report() -> None:
    result = made(
        "OBR|1|A|F|11502-2^verslag^LN",
        "OBX|1|ED|11502-2^v^LN||HIS^application^pdf^Base64^JVBERi0xLjQK||||||F",
        kind="ORU^R01",
    )
    assert of(result, "DiagnosticReport")[0]["presentedForm"] == [
        {"contentType": "application/pdf", "data": "JVBERi0xLjQK"}
    ]
    assert len(encode(list(result.resources)).split(b"JVBERi0xLjQK")) == 2


def test_bytes_that_are_not_what_they_say_are_reported() -> None:
    result = made(
        "OBR|1|A|F|11502-2^verslag^LN", "OBX|1|ED|11502-2^v^LN||HIS^application^pdf^Base64^###||||||F", kind="ORU^R01"
    )
    assert ("OBX-5.5", "invalid") in [(loss.path, loss.kind) for loss in result.losses]


def test_what_no_map_reads_is_listed_by_its_place() -> None:
    result = made(VISIT + "|" * 18 + "X^Y", "ZAB|1|eigen", "ZAB|2", "NK1|1|Vries^A|||||||||x^y~z", kind="ADT^A08")
    assert [loss.path for loss in result.losses if loss.kind == "unmapped"] == ["PV1-21", "ZAB[1]", "ZAB[2]", "NK1-11"]


def test_a_null_is_said_and_an_empty_field_is_not() -> None:
    result = made('NK1|1|Vries^A||""|', kind="ADT^A08")
    assert [(loss.path, loss.kind) for loss in result.losses] == [("NK1-4", "note")]


def test_the_persons_of_a_whole_translation_are_resources_and_elsewhere_named_in_place() -> None:
    visit = "PV1|1|I|CARD^101||||0101^Jansen^K^^^dr.^^^VEKTIS"
    lean, whole = (made(visit, kind="ADT^A01", whole=one) for one in (False, True))
    doctor = of(lean, "Encounter")[0]["participant"][0]["individual"]
    assert doctor == {
        "type": "Practitioner",
        "identifier": {"system": "http://fhir.nl/fhir/NamingSystem/agb-z", "value": "0101"},
        "display": "dr. K Jansen",
    }
    assert {one["resourceType"] for one in whole.resources} >= {
        "Practitioner",
        "Location",
        "MessageHeader",
        "Provenance",
    }
    assert "MessageHeader" not in {one["resourceType"] for one in lean.resources}
    assert made(visit, kind="ADT^A01", whole=True).keys == whole.keys


def mutated(body: bytes, chance: random.Random) -> bytes:
    junk = [b"", b'""', b"x", b"a b c", b"12", b"2020", b"-1", b"20201301", b"Y", b"D"]
    lines = []
    for line in body.replace(b"\n", b"\r").split(b"\r"):
        fields = line.split(b"|")
        if b"MSH" not in fields[0]:
            if chance.random() < 0.12:
                continue
            for at in range(1, len(fields)):
                draw = chance.random()
                if draw < 0.12:
                    fields[at] = b""
                elif draw < 0.2:
                    parts = fields[at].split(b"^")
                    parts[chance.randrange(len(parts))] = chance.choice(junk)
                    fields[at] = b"^".join(parts)
        lines.append(b"|".join(fields))
    return b"\r".join(lines)


@pytest.mark.slow
def test_damaged_messages_give_valid_resources_or_a_refusal() -> None:
    chance, bodies = random.Random(7), [one.read_bytes() for one in sorted(EXAMPLES.glob("*.input.hl7"))]
    read = 0
    for _ in range(120):
        try:
            result = translate(mutated(chance.choice(bodies), chance), "hl7v2", ORIGIN, whole=chance.random() < 0.5)
        except NotMappable:
            continue
        read += 1
        sound(result)
    assert read > 80


@pytest.mark.real_inputs
@pytest.mark.slow
def test_damaged_real_messages_give_valid_resources_or_a_refusal() -> None:
    if not SHARED.exists():
        pytest.skip("third-party examples are not beside the project")
    chance, bodies = random.Random(11), [one.read_bytes() for one in sorted(SHARED.glob("*.hl7"))]
    for _ in range(300):
        body = mutated(chance.choice(bodies), chance)
        try:
            sound(translate(body, "hl7v2", ORIGIN, whole=chance.random() < 0.5))
        except NotMappable:
            continue


def fidelity(collection: str, format_: str, tmp_path: Path) -> dict[str, tuple[float, float, float]]:
    """Recall, precision and loose recall of every pair of a collection, by the comparison beside the third-party data."""
    folder = SHARED.parent / collection
    if not folder.exists() or not TOOLS.exists():
        pytest.skip("third-party examples are not beside the project")
    sys.path.insert(0, str(TOOLS))
    try:
        import compare_fhir  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(TOOLS))
    found = {}
    for expected in sorted(folder.glob("*.expected.json")):
        name = expected.name.removesuffix(".expected.json")
        (source,) = (one for one in folder.glob(f"{name}.input.*"))
        result = translate(
            source.read_bytes(), format_, Origin("90000001", "hospital", "2026-01-05T10:16:00+01:00"), whole=True
        )
        sound_or_said(result)
        bundle = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": one} for one in result.resources],
        }
        ours = tmp_path / f"{name}.json"
        ours.write_bytes(encode(bundle))
        wanted, got = compare_fhir.facts(expected), compare_fhir.facts(ours)
        recall, precision, _, _ = compare_fhir.score(wanted, got)
        found[name] = (recall, precision, compare_fhir.score(compare_fhir.loose(wanted), compare_fhir.loose(got))[0])
    return found


def sound_or_said(result: Translation) -> None:
    assert [str(issue) for one in result.resources for issue in validate(one) if issue.is_error] == []


def mean(found: dict[str, tuple[float, float, float]], at: int) -> float:
    return sum(one[at] for one in found.values()) / len(found)


@pytest.mark.real_inputs
@pytest.mark.slow
def test_fidelity_of_hl7v2(tmp_path: Path) -> None:
    found = fidelity("hl7v2-r4-ms", "hl7v2", tmp_path)
    core = {name: one for name, one in found.items() if name.startswith(CORE)}
    print(f"all {mean(found, 2):.3f} core {mean(core, 2):.3f} precision {mean(found, 1):.3f}")
    assert mean(found, 2) >= 0.82
    assert mean(core, 2) >= 0.86
    assert mean(found, 1) >= 0.60


@pytest.mark.real_inputs
@pytest.mark.slow
def test_fidelity_of_stu3(tmp_path: Path) -> None:
    found = fidelity("stu3-r4-ms", "fhir-stu3", tmp_path)
    print(f"recall {mean(found, 0):.3f} precision {mean(found, 1):.3f} loose {mean(found, 2):.3f}")
    assert mean(found, 2) >= 0.985
    assert mean(found, 0) >= 0.92


def test_our_reading_agrees_with_python_hl7() -> None:
    oracle = pytest.importorskip("hl7")
    for example in sorted(EXAMPLES.glob("*.input.hl7")):
        body = example.read_bytes().replace(b"\n", b"\r")
        theirs = oracle.parse(body.decode())
        for segment, other in zip(er7.read(body).segments, theirs, strict=True):
            for number in range(3 if segment.name == "MSH" else 1, len(segment.raw)):
                ours = [text for node in segment.field(number) if (text := node.peek(1))]
                repetitions = [_first(one) for one in other(number)] if number < len(other) else []
                assert ours == [one for one in repetitions if one], f"{example.name} {segment.name}-{number}"


def _first(node: Any) -> str:
    while not isinstance(node, str):
        node = node[0] if len(node) else ""
    return "" if node == '""' else node
