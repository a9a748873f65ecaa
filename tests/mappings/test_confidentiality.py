"""What HL7 v2 says is protected arrives with its label, on what was made of it and on nothing else."""

from __future__ import annotations

import pytest

from consent.categories import labels_of
from mappings.model import Origin, Translation
from mappings.translation import translate
from profiles.validation import validate

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:16:00+01:00")
PATIENT = "PID|1||999990019^^^NLMINBIZA^NNNLD||Test^Jan||19560312|M\r"


def order(code: str) -> str:
    return f"ORC|RE|P1|F1{'|' * 25}{code}\r"


def result(number: int, code: str = "718-7^Hb^LN", value: str = "7.9") -> str:
    return f"OBR|{number}|P{number}|F{number}|{code}|||20260105\rOBX|1|NM|{code}||{value}|mmol/L|||||F|||20260105\r"


def read(kind: str, *segments: str) -> Translation:
    head = f"MSH|^~\\&|A|B|C|D|20260105101500||{kind}|R1|P|2.5\r"
    made = translate("".join((head, PATIENT, *segments)).encode(), "hl7v2", ORIGIN)
    assert [str(issue) for one in made.resources for issue in validate(one) if issue.is_error] == []
    return made


def labelled(made: Translation) -> list[tuple[str, set[str]]]:
    return [(one["resourceType"], set(labels_of(one))) for one in made.resources if one["resourceType"] != "Patient"]


@pytest.mark.parametrize(
    ("code", "label"),
    [("R^restricted^HL70177", "restricted"), ("V", "very-restricted"), ("PSY", "sensitive"), ("HIV", "sensitive"),
     ("AID", "sensitive"), ("ETH", "sensitive"), ("UWM", "restricted"), ("EMP", "restricted"), ("geheim", "restricted")],
)  # fmt: skip
def test_a_protected_order_protects_everything_made_of_it(code: str, label: str) -> None:
    made = read("ORU^R01", order(code), result(1), "ORC|RE|P2|F2\r", result(2, "14682-9^kreatinine^LN", "80"))
    found = labelled(made)
    assert [labels for kind, labels in found if kind == "Observation"] == [{label}, set()]
    assert [labels for kind, labels in found if kind == "DiagnosticReport"] == [{label}, set()]
    assert "ORC" not in {loss.path.partition("[")[0] for loss in made.losses if loss.kind == "unmapped"}
    assert any(loss.kind == "unknown-code" for loss in made.losses) == (code == "geheim")


def test_a_product_of_a_protected_order_is_protected_with_it() -> None:
    made = read(
        "ORM^O01", "ORC|NW|P1" + "|" * 26 + "V\r", f"RXO|J05AF05^lamivudine^ATC|150||mg|TAB^tablet^L{'|' * 13}150|mg\r"
    )
    found = {one["resourceType"]: one for one in made.resources}
    assert labels_of(found["MedicationRequest"]) == labels_of(found["Medication"]) == {"very-restricted"}
    strength = found["Medication"]["ingredient"][0]["strength"]
    assert (strength["numerator"]["code"], strength["denominator"]) == ("mg", {"value": 1})


def test_the_usual_control_hides_nothing() -> None:
    assert all(not labels for _, labels in labelled(read("ORU^R01", order("U"), result(1))))


def test_a_panel_keeps_what_protects_its_parts() -> None:
    made = read(
        "ORU^R01", order("R"), result(1, "8480-6^systolisch^LN", "120"), result(2, "8462-4^diastolisch^LN", "80")
    )
    (panel,) = [one for one in made.resources if one["resourceType"] == "Observation"]
    assert [one["code"]["coding"][0]["code"] for one in panel["component"]] == ["8480-6", "8462-4"]
    assert labels_of(panel) == {"restricted"}
    assert panel["meta"]["profile"]


@pytest.mark.parametrize("protected", [f"PV2{'|' * 22}Y\r", f"PD1{'|' * 12}Y\r"])
def test_a_protected_visit_or_person_protects_everything_but_who_it_is(protected: str) -> None:
    after = protected.startswith("PV2")
    segments = ("PV1|1|I|W^R1|||||1^Arts^A\r", protected) if after else (protected, "PV1|1|I|W^R1\r")
    made = read("ADT^A01", *segments, "AL1|1|DA|PEN^penicilline\r", "DG1|1||I48^boezemfibrilleren\r")
    assert {kind: labels for kind, labels in labelled(made) if kind in {"AllergyIntolerance", "Condition", "Encounter"}} == {
        "AllergyIntolerance": {"restricted"}, "Condition": {"restricted"}, "Encounter": {"restricted"},
    }  # fmt: skip
    assert labels_of(made.resources[0]) == frozenset()
    open_ = read("ADT^A01", *(one.replace("Y\r", "N\r") for one in segments), "AL1|1|DA|PEN^penicilline\r")
    assert all(not labels for _, labels in labelled(open_))


@pytest.mark.parametrize(
    ("code", "labels"), [("R", {"restricted"}), ("V", {"very-restricted"}), ("U", set()), ("", set())]
)
def test_a_protected_document_is_labelled_and_one_under_usual_control_is_not(code: str, labels: set[str]) -> None:
    document = f"TXA|1|CN|TX|20260105||||||||D1|||||AU|{code}\r"
    made = read("MDM^T02", "PV1|1|I\r", document, "OBX|1|TX|x^brief^L||tekst||||||F\r")
    (found,) = [one for one in made.resources if one["resourceType"] == "DocumentReference"]
    assert labels_of(found) == labels


def test_a_document_of_fhir_says_in_its_own_element_how_it_is_protected() -> None:
    concept = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}
    assert labels_of({"resourceType": "DocumentReference", "securityLabel": [concept]}) == {"very-restricted"}
    assert labels_of({"resourceType": "DocumentReference", "securityLabel": [{"text": "?"}]}) == frozenset()
