"""Searchsets over the wire: by id and by POST _search, paging, strictness, states of sources, and the roles that ask."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.running import Demo, code, of_type, token

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]

# What the first person has, counted in what the organizations recorded.
COUNTED = {
    "AllergyIntolerance": 4, "Condition": 5, "Consent": 3, "Encounter": 5, "Flag": 1, "MedicationRequest": 1,
    "MedicationStatement": 4, "Medication": 5, "Observation": 26, "Patient": 1, "RelatedPerson": 1,
    "Immunization": 0, "Procedure": 0, "CarePlan": 0, "DiagnosticReport": 1, "DocumentReference": 0,
}  # fmt: skip


def matches(bundle: Json) -> list[Json]:
    return [entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == "match"]


def outcomes(bundle: Json) -> list[Json]:
    return [entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == "outcome"]


def link(bundle: Json, relation: str) -> str:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), "")


@pytest.fixture(scope="module")
def first(demo: Demo) -> Json:
    person = demo.said["patients"][0]
    return {**person, "id": demo.patient_id(person)}


@pytest.mark.parametrize("type_", sorted(COUNTED))
def test_every_type_by_id_and_by_number_is_the_same(demo: Demo, first: Json, type_: str) -> None:
    name = "_id" if type_ == "Patient" else "patient"
    by_id = demo.get(f"{type_}?{name}={first['id']}&_count=500")
    selector = "identifier" if type_ == "Patient" else "patient.identifier"
    by_number = demo.search(type_, {selector: token(first), "_count": "500"})
    for answer in (by_id, by_number):
        assert answer.status_code == 200
        bundle = answer.json()
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
        assert bundle["total"] == len(matches(bundle))
        assert {one["resourceType"] for one in matches(bundle)} <= {type_}
        assert first["bsn"] not in link(bundle, "self")
        assert outcomes(bundle)  # never an empty list that reads as "none": the fixed sentence is always there
    ids = [{one["id"] for one in matches(answer.json())} for answer in (by_id, by_number)]
    assert ids[0] == ids[1]
    if type_ != "Medication":  # products are searched with the items that use them
        assert len(ids[0]) == COUNTED[type_], type_


def test_the_entries_are_those_of_the_summary(demo: Demo, first: Json) -> None:
    summary = demo.get(f"Patient/{first['id']}/$summary").json()
    for type_ in ("AllergyIntolerance", "MedicationStatement", "Encounter"):
        found = {one["id"] for one in matches(demo.get(f"{type_}?patient={first['id']}").json())}
        listed = {
            one["id"]
            for one in of_type(summary, type_)
            if one.get("meta", {}).get("source", "").startswith("urn:roaz:")
        }
        assert found == listed, type_


@pytest.mark.parametrize("reference", ["{id}", "Patient/{id}", "{base}/Patient/{id}"])
@pytest.mark.parametrize("name", ["patient", "subject", "subject:Patient"])
def test_every_way_to_name_the_patient(demo: Demo, first: Json, reference: str, name: str) -> None:
    value = reference.format(id=first["id"], base=demo.base)
    bundle = demo.http.get(f"{demo.base}/Flag", params={name: value}, headers=demo.headers("physician")).json()
    assert bundle["total"] == 1


@pytest.mark.parametrize("count", [1, 7, 25, 26, 27])
def test_paging_gives_each_item_once(demo: Demo, first: Json, count: int) -> None:
    seen: list[str] = []
    answer = demo.search("Observation", {"patient.identifier": token(first), "_count": str(count)})
    for _ in range(40):
        bundle = answer.json()
        assert answer.status_code == 200
        assert bundle["total"] == 26
        assert len(matches(bundle)) <= count
        seen += [one["id"] for one in matches(bundle)]
        following = link(bundle, "next")
        if not following:
            break
        (cursor,) = parse_qs(urlsplit(following).query)["_cursor"]
        assert len(cursor.encode()) <= 200
        assert first["bsn"] not in following
        if count == 1 and len(seen) == 3:
            break
        answer = demo.get(following)
    assert len(seen) == len(set(seen)) == (3 if count == 1 else 26)


def test_the_next_link_belongs_to_the_client_that_got_it(demo: Demo, first: Json) -> None:
    bundle = demo.get(f"Observation?patient={first['id']}&_count=5").json()
    following = link(bundle, "next")
    assert demo.get(following, "physician").status_code == 200
    other = demo.get(following, "ambulance")
    assert (other.status_code, code(other)) == (400, "invalid-parameter")
    changed = demo.get(following.replace("Observation?", "Encounter?"))
    assert (changed.status_code, code(changed)) == (400, "invalid-parameter")


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("AllergyIntolerance?clinical-status=active", 4),
        ("AllergyIntolerance?category=food", 1),
        ("AllergyIntolerance?code=http://snomed.info/sct|372687004", 1),
        ("AllergyIntolerance?criticality=high&category=medication", 2),
        ("Condition?clinical-status=inactive,resolved", 2),
        ("Observation?code=http://loinc.org|67151-1", 1),
        ("Observation?value-quantity=53||mmol/mol", 1),
        ("MedicationStatement?status=completed", 1),
        ("Encounter?class=IMP", 1),
        ("Encounter?date=ge2019-02-01&date=le2019-02-28", 1),
        ("Observation?date=gt2100-01-01", 0),
    ],
)
def test_filters(demo: Demo, first: Json, query: str, total: int) -> None:
    answer = demo.get(f"{query}&patient={first['id']}&_count=500")
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == total


def test_sorting(demo: Demo, first: Json) -> None:
    bundle = demo.get(f"Observation?patient={first['id']}&_sort=date&_count=500").json()
    dates = [one["effectiveDateTime"][:10] for one in matches(bundle)]
    assert dates == sorted(dates)


def test_count_zero_only_counts(demo: Demo, first: Json) -> None:
    bundle = demo.get(f"Observation?patient={first['id']}&_count=0").json()
    assert (bundle["total"], matches(bundle)) == (26, [])


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("Observation?code=1", 400, "patient-required"),
        ("Observation?patient={id}&colour=red", 400, "unknown-parameter"),
        ("Observation?patient={id}&code:near=1", 400, "unknown-parameter"),
        ("Observation?patient={id}&date=yesterday", 400, "invalid-parameter"),
        ("Observation?patient={id}&_count=many", 400, "invalid-parameter"),
        ("Observation?patient={id}&patient={other}", 400, "patient-conflict"),
        ("Observation?patient=p1-nobody", 404, "not-found"),
        ("Observation?patient=999990019", 400, "bsn-in-url"),
        ("Observation?patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|999990019", 400, "bsn-in-url"),
        ("Observation/999990019", 400, "bsn-in-url"),
        ("Colour?patient={id}", 404, "not-found"),
    ],
)
def test_what_is_not_understood_is_said(demo: Demo, first: Json, query: str, status: int, said: str) -> None:
    other = demo.patient_id(demo.person("a baby"))
    answer = demo.get(query.format(id=first["id"], other=other))
    assert (answer.status_code, code(answer)) == (status, said)
    assert "999990019" not in answer.text


def test_lenient_handling_is_truthful(demo: Demo, first: Json) -> None:
    answer = demo.get(f"Flag?patient={first['id']}&colour=red", Prefer="handling=lenient")
    bundle = answer.json()
    assert answer.status_code == 200
    assert "colour" not in link(bundle, "self")
    assert any("colour" in issue["details"]["text"] for one in outcomes(bundle) for issue in one["issue"])


def test_refused_by_the_patient_is_anonymous(demo: Demo) -> None:
    person = demo.person("consent refused at one")
    bundle = demo.search("Condition", {"patient.identifier": token(person)}).json()
    assert [one["code"]["coding"][0]["display"] for one in matches(bundle)] == ["Astma"]
    texts = " ".join(issue["details"]["text"] for one in outcomes(bundle) for issue in one["issue"])
    assert "there may be more" in texts
    assert "Streekziekenhuis" not in str(bundle)


def test_mental_health_is_silent(demo: Demo) -> None:
    bundle = demo.search("Condition", {"patient.identifier": token(demo.person("withheld in silence"))}).json()
    assert len(matches(bundle)) == 1
    texts = [issue["details"]["text"] for one in outcomes(bundle) for issue in one["issue"]]
    assert not any("GGZ" in text for text in texts)
    assert "there may be more" not in texts


def test_a_slow_source_costs_its_own_part(demo: Demo) -> None:
    answer = demo.search("Condition", {"patient.identifier": token(demo.person("slow (5 s)"))})
    bundle = answer.json()
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 8
    assert [one["code"]["coding"][0]["display"] for one in matches(bundle)] == ["niersteen"]
    assert any("Traagoord" in issue["details"]["text"] for one in outcomes(bundle) for issue in one["issue"])


def test_an_unknown_person_has_no_patient_and_no_items(demo: Demo) -> None:
    person = demo.person("unknown in the region")
    for type_, name in (("Patient", "identifier"), ("Condition", "patient.identifier")):
        answer = demo.search(type_, {name: token(person)})
        assert answer.status_code == 200
        assert matches(answer.json()) == []


def test_the_patient_of_a_number(demo: Demo, first: Json) -> None:
    bundle = demo.search("Patient", {"identifier": token(first), "birthdate": first["birthDate"]}).json()
    (patient,) = matches(bundle)
    assert patient["birthDate"] == "1954-03-12"
    assert {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": first["bsn"]} in [
        {"system": one["system"], "value": one["value"]} for one in patient["identifier"]
    ]
    without_birth_date = demo.search("Patient", {"identifier": token(first)}).json()
    assert [one["id"] for one in matches(without_birth_date)] == [patient["id"]]
    wrong = demo.search("Patient", {"identifier": token(first), "birthdate": "1954-03-13"})
    assert wrong.status_code in {200, 409}
    assert "Voorbeeld" not in wrong.text


@pytest.mark.parametrize(
    ("role", "status", "said"),
    [("physician", 200, ""), ("ambulance", 200, ""), ("system", 200, ""), ("auditor", 403, "scope-insufficient"),
     ("coordinator", 403, "case-required"), ("nonsense", 401, "token-invalid")],
)  # fmt: skip
def test_roles(demo: Demo, role: str, status: int, said: str) -> None:
    answer = demo.search(
        "AllergyIntolerance", {"patient.identifier": token(demo.person("two custodians disagree"))}, role
    )
    assert answer.status_code == status
    if status != 200:
        assert code(answer) == said
    else:
        assert len(matches(answer.json())) == 2


def test_no_token_is_401_with_the_way_to_get_one(demo: Demo) -> None:
    answer = demo.http.get(f"{demo.base}/Observation?patient=p1-x")
    assert (answer.status_code, code(answer)) == (401, "token-missing")
    assert answer.headers["www-authenticate"].startswith("Bearer")
