"""Read by id over the wire: pulled and held items, the Patient, and ids that lead nowhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.running import Demo, code, of_type, token

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]


def found(demo: Demo, type_: str, words: str) -> list[Json]:
    bundle = demo.search(type_, {"patient.identifier": token(demo.person(words)), "_count": "500"}).json()
    return of_type(bundle, type_)


@pytest.mark.parametrize("source", ["gp-a", "hospital", "ambulance"])
def test_an_item_found_is_an_item_read(demo: Demo, source: str) -> None:
    """The GP and the hospital are asked again; what the ambulance pushed is held by the gateway itself."""
    item = next(one for one in found(demo, "Observation", "everything present")
                if one["meta"]["source"].startswith(f"urn:roaz:{source}#"))  # fmt: skip
    answer = demo.get(f"Observation/{item['id']}")
    assert answer.status_code == 200
    read = answer.json()
    for resource in (item, read):  # an item asked again is fetched again
        for extension in resource["meta"].pop("extension"):
            assert extension["url"].endswith("/fetched-at")
    assert read == item


@pytest.mark.parametrize(
    "type_", ["AllergyIntolerance", "MedicationRequest", "Flag", "Consent", "RelatedPerson", "Encounter"]
)
def test_other_types(demo: Demo, type_: str) -> None:
    for item in found(demo, type_, "everything present")[:2]:
        answer = demo.get(f"{type_}/{item['id']}")
        assert (answer.status_code, answer.json()["id"]) == (200, item["id"])


def test_decimals_are_read_digit_for_digit(demo: Demo) -> None:
    items = {one["code"]["coding"][0]["display"]: one["id"] for one in found(demo, "Observation", "unit traps")}
    for name, digits in {
        "Digoxine": "1.50",
        "Troponine T (hoog-sensitief)": "0.010",
        "Lichaamstemperatuur": "37.0",
    }.items():
        assert f'"value":{digits}' in re.sub(r"\s", "", demo.get(f"Observation/{items[name]}").text)


def test_the_patient_by_id(demo: Demo) -> None:
    person = demo.person("deceased at one")
    id_ = demo.patient_id(person)
    answer = demo.get(f"Patient/{id_}")
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["birthDate"]) == (id_, person["birthDate"])


def test_another_client_reads_under_its_own_permission(demo: Demo) -> None:
    (item,) = found(demo, "Flag", "everything present")
    assert demo.get(f"Flag/{item['id']}", "ambulance").status_code == 200
    refused = demo.get(f"Flag/{item['id']}", "coordinator")
    assert refused.status_code in {403, 404}  # what may not be seen may answer like what is not there
    assert "MRSA" not in refused.text
    assert demo.get(f"Flag/{item['id']}", "auditor").status_code == 403


@pytest.mark.parametrize(
    "path", ["Observation/i1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Observation/nothing", "Patient/p1-nobody"]
)
def test_an_unknown_id_is_404(demo: Demo, path: str) -> None:
    answer = demo.get(path)
    assert answer.status_code == 404
    assert code(answer) in {"not-found", "item-expired"}


def test_an_id_under_another_type_is_404(demo: Demo) -> None:
    (item,) = found(demo, "Flag", "everything present")
    assert demo.get(f"Condition/{item['id']}").status_code == 404


def test_a_bsn_is_no_id(demo: Demo) -> None:
    answer = demo.get(f"Patient/{demo.said['patients'][0]['bsn']}")
    assert (answer.status_code, code(answer)) == (400, "bsn-in-url")
