"""Tables of authorization others published, put to the gateway over HTTP: every deny is denied, every allow allowed.

A row is put as it stands, with two patients of this region in the place of its two. What a gateway that only reads
never does, writes and transactions, is refused whoever asks; these rows are named here one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from consent.scopes import covers
from profiles import exact
from tests.gateway.charts import CHARTS, OTHER_BSN, TERMS, coded, condition, observation, person
from tests.gateway.world import GP, HOSPITAL, PHYSICIAN, Reply, World

Json = dict[str, Any]

TABLES: Final = Path(__file__).resolve().parents[4] / "shared/data/authz"
GATEWAY, POLICY = TABLES / "google-fhir-gateway", TABLES / "nuts-pdp"
MINE: Final = "be92a43f-de46-affa-b131-bbf9eea51140"

pytestmark = [
    pytest.mark.real_inputs,
    pytest.mark.skipif(not TABLES.is_dir(), reason="the published authorization tables are not beside the project"),
]


def rows(path: Path) -> list[Json]:
    """The rows of a table; none where it is absent, and then every test is skipped."""
    return list(exact.decode(b'{"rows":' + path.read_bytes() + b"}")["rows"]) if path.is_file() else []


@cache
def region() -> World:
    """A region that knows two patients, of whom one gave no consent anywhere."""
    charts = {**CHARTS, "gp": [*CHARTS["gp"], person("o", OTHER_BSN), condition("co", "o")]}
    world = World(charts=charts)
    world.knows(GP, bsn=OTHER_BSN)
    return world


# --- scopes for one patient -----------------------------------------------------------------------

# Changing clinical data is not offered to anybody, alone or in a bundle.
NOT_OFFERED: Final = {
    "canAccessPutObservation", "canAccessPatchObservation", "canAccessPatchObservationNoReferenceAuthorized",
    "canAccessPostObservation", "canAccessPostObservationWithPerformer", "canAccessBundleDeleteNonPatient",
    "canAccessPutPatient", "canAccessDeleteObservationAuthorized", "canAccessBundlePutPatient",
    "canAccessBundlePatchResources",
}  # fmt: skip


def asked(row: Json) -> Reply:
    """One row of the table, with a token of its scopes for its patient."""
    world = region()
    ids = {row["patient"]: world.patient, "patient-non-authorized": world.patient_id(OTHER_BSN)}
    caller = replace(
        PHYSICIAN, scopes=frozenset(row["scope"].split()), launch=ids[row["patient"]], token_id=row["name"]
    )
    path = row["path"].lstrip("/")
    query = {name: value for name, value in row["query"].items() if value is not None}
    body = (GATEWAY / "bodies" / row["body"]).read_bytes() if row["body"] else b""
    for theirs, ours in ids.items():
        path, body = path.replace(theirs, ours), body.replace(theirs.encode(), ours.encode())
        query = {name: value.replace(theirs, ours) for name, value in query.items()}
    # A transaction is offered to nobody; as a batch each entry is judged by itself.
    body = body.replace(b'"transaction"', b'"batch"')
    headers = {"content-type": "application/fhir+json"} if body else {}
    target = path + (f"?{urlencode(query)}" if query else "")
    return world.request(row["method"], target, caller, body=body, headers=headers)


@pytest.mark.parametrize("row", rows(GATEWAY / "patient_access.json"), ids=lambda row: row["name"])
def test_a_row_for_one_patient(row: Json) -> None:
    reply = asked(row)
    if row["path"] == "/":
        entries_of(row, reply)
        return
    if row["expect"] == "allow" and row["name"] not in NOT_OFFERED:
        assert reply.status == 200
        assert reply.json["resourceType"] in {"Bundle", "Patient"}
        assert reply.json.get("id") == region().patient or reply.resources
        return
    assert 400 <= reply.status < 500, f"{row['expect']}: {reply.status}"
    assert reply.json["resourceType"] == "OperationOutcome"
    if row["name"] in NOT_OFFERED:
        assert reply.code in {"not-found", "method-not-allowed"}, "refused for what it is, not for who asks"


def entries_of(row: Json, reply: Reply) -> None:
    """A bundle: each entry by itself, and nothing of a patient the token is not for."""
    assert (reply.status, reply.json["type"]) == (200, "batch-response")
    statuses = [int(entry["response"]["status"][:3]) for entry in reply.json["entry"]]
    assert region().patient_id(OTHER_BSN) not in reply.body.decode()
    if row["name"] in NOT_OFFERED:
        assert set(statuses) <= {404, 405}, "refused for what it is, not for who asks"
    elif row["expect"] == "allow":
        assert set(statuses) == {200}
    else:
        assert any(400 <= status < 500 for status in statuses), statuses


def test_a_transaction_is_offered_to_nobody() -> None:
    body = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "GET", "url": "Condition"}}],
    }
    reply = region().post("", body)
    assert (reply.status, reply.code) == (501, "not-supported")


def test_every_row_that_is_not_offered_is_in_the_table() -> None:
    table = {row["name"]: row for row in rows(GATEWAY / "patient_access.json")}
    assert table.keys() >= NOT_OFFERED
    assert all(table[name]["expect"] == "allow" and _changes(table[name]) for name in NOT_OFFERED)


def _changes(row: Json) -> bool:
    return bool(row["method"] != "GET" or row["path"] == "/")


@pytest.mark.parametrize("row", rows(GATEWAY / "smart_scopes.json"), ids=lambda row: row["name"])
def test_a_row_of_scopes(row: Json) -> None:
    letter = {"create": "c", "read": "r", "update": "u", "delete": "d", "search": "s"}[row["permission"]]
    mine = row["principal"] == "patient"
    given = frozenset(one for one in row["scopes"] if one.startswith(f"{row['principal']}/"))
    assert covers(given, row["resource"], letter, person=not mine, launch_patient=mine) is row["expect_allow"]


@pytest.mark.parametrize("row", rows(GATEWAY / "smart_scopes.json"), ids=lambda row: row["name"])
def test_scopes_of_a_row_that_do_not_read_open_nothing(row: Json) -> None:
    world = region()
    given = frozenset(one for one in row["scopes"] if one.startswith("patient/"))
    reads = covers(given, row["resource"], "s", person=False, launch_patient=True)
    caller = replace(PHYSICIAN, scopes=given, launch=world.patient, token_id=f"scopes-{row['name']}")
    assert world.search(row["resource"], caller).status == (200 if reads else 403)


# --- queries one policy allows --------------------------------------------------------------------

# What the policy allows per type, said in the scopes of this gateway.
POLICY_SCOPES: Final = frozenset(
    {"system/Patient.rs", "system/Coverage.rs", "system/Condition.rs", "system/NutritionOrder.rs", "system/Flag.rs",
     "system/AllergyIntolerance.rs", "system/DeviceUseStatement.rs", "system/Immunization.rs", "system/Procedure.rs",
     "system/Encounter.rs", "system/ServiceRequest.rs", "system/DocumentReference.rs", "system/Observation.rs",
     "system/Consent.rs", "system/MedicationDispense.rs", "system/MedicationStatement.rs",
     "system/MedicationRequest.rs?category=http://snomed.info/sct|16076005", "system/Appointment.rs", "system/DeviceRequest.rs",
     "system/ImmunizationRecommendation.rs"}
)  # fmt: skip
# Types and operations of STU3 this gateway answers under another name, or not at all: nobody gets these.
RENAMED: Final = {"ProcedureRequest": "ServiceRequest"}
ORDERS: Final = [
    {"resourceType": "MedicationRequest", "id": f"mr-{code}", "status": "active", "intent": "order",
     "category": [coded(code)], "subject": {"reference": "Patient/g1"}, "medicationCodeableConcept": coded("387207008")}
    for code in ("16076005", "33633005")
]  # fmt: skip


@cache
def consenting(mitz: bool) -> World:
    """The region with or without a consent of the patient."""
    charts = {"gp": [*CHARTS["gp"], *ORDERS], "hospital": [*CHARTS["hospital"], _result()], "mental": []}
    return World(charts=charts, permits=(GP, HOSPITAL) if mitz else ())


def _result() -> Json:
    return observation(
        "o2", "h1", "718-7", "laboratory", category=[coded("laboratory", system=f"{TERMS}/observation-category")]
    )


def queries(row: Json, world: World) -> Iterator[str]:
    """A row as the query this gateway would be sent; `_include` and `$lastn` ask no more than the type itself."""
    rest, context = row["input"]["action"]["fhir_rest"], row["input"]["context"]
    type_ = RENAMED.get(row["input"]["resource"]["type"], row["input"]["resource"]["type"])
    parameters = [] if not (context.get("patient_id") or context.get("patient_bsn")) else [("patient", world.patient)]
    if type_ == "Patient":
        parameters = [("_id" if name == "patient" else name, value) for name, value in parameters]
    parameters += [
        (name, ",".join(values)) for name, all_of in rest.get("search_params", {}).items() for values in all_of
    ]
    yield f"{type_}?{urlencode(parameters)}"


POLICY_ROWS: Final = rows(POLICY / "bgz.json")


@pytest.mark.parametrize("row", [one for one in POLICY_ROWS if one["expect_allow"]], ids=lambda row: row["name"])
def test_a_row_the_policy_allows(row: Json) -> None:
    world = consenting(mitz=True)
    caller = replace(PHYSICIAN, scopes=POLICY_SCOPES, token_id="policy")
    for query in queries(row, world):
        reply = world.get(query, caller)
        assert reply.status == 200, reply.body
        assert not {"withheld", "consent-refused"} & set(reply.remarks)


@pytest.mark.parametrize("row", [one for one in POLICY_ROWS if not one["expect_allow"]], ids=lambda row: row["name"])
def test_a_row_the_policy_denies(row: Json) -> None:
    action, context = row["input"]["action"]["fhir_rest"], row["input"]["context"]
    world = consenting(mitz=context["mitz_consent"])
    caller = replace(PHYSICIAN, scopes=POLICY_SCOPES, token_id="policy")
    for query in queries(row, world):
        if action["interaction_type"] == "create":
            reply = world.post(query.partition("?")[0], {"resourceType": row["input"]["resource"]["type"]}, caller)
        elif not action["capability_checked"]:
            reply = world.get(query + "&not-in-the-capability-statement=x", caller)
        else:
            reply = world.get(query, caller)
        assert reply.status >= 400 or not reply.items, "nothing of a patient is in the answer"


def test_a_query_the_policy_allows_opens_what_it_names_and_no_more() -> None:
    world = consenting(mitz=True)
    caller = replace(PHYSICIAN, scopes=POLICY_SCOPES, token_id="policy")
    ids = [one["id"] for one in world.search("MedicationRequest", caller).items]
    assert ids == [world.keys.item_id(GP, "MedicationRequest/mr-16076005")]


@pytest.mark.parametrize("row", rows(POLICY / "mcsd_query.json"), ids=lambda row: row["name"])
def test_a_row_of_the_directory(row: Json) -> None:
    """Allowed is what the CapabilityStatement names; anything else is refused before anybody is asked."""
    world = region()
    checked = row["input"]["action"]["fhir_rest"].get("capability_checked", False)
    statement = world.get("metadata", None).json
    names = {param["name"] for one in statement["rest"][0]["resource"] if one["type"] == "Condition"
             for param in one.get("searchParam", ())}  # fmt: skip
    name = "code" if checked else "not-in-the-capability-statement"
    assert (name in names) is checked
    reply = world.get(f"Condition?patient={world.patient}&{name}=x")
    assert (reply.status == 200) is row["expect_allow"]


@pytest.mark.parametrize(
    "value", ["275711006", "http://elsewhere.example/sct|275711006", "http://snomed.info/sct|1,999990019"]
)
def test_a_number_that_is_no_code_of_a_terminology_is_still_no_number_for_a_url(value: str) -> None:
    reply = region().get(f"Observation?patient={region().patient}&{urlencode({'category': value})}")
    assert (reply.status, reply.code) == (400, "bsn-in-url")


def test_the_tables_are_whole() -> None:
    assert len(rows(GATEWAY / "patient_access.json")) >= 45
    assert len(POLICY_ROWS) >= 30
