"""Nothing that is declared fails, and nothing that is not declared works: the CapabilityStatement is walked over a real world."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from gateway.errors import Invalid
from gateway.fhir.interactions import OPERATIONS, TABLE, route
from gateway.fhir.search import PARAMETERS, understand
from profiles.definitions import definitions
from profiles.judgement import judge
from profiles.library import shipped
from tests.fakes import NOON
from tests.gateway.api.supported import FILE, text
from tests.gateway.audit.driving import AUDITOR, TODAY
from tests.gateway.audit.memory import LogWorld
from tests.gateway.charts import BIRTH, BSN, Json
from tests.gateway.world import PHYSICIAN, Reply, World

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
VALUES: Final = {
    "token": "x", "string": "x", "date": "2020-01-01", "uri": "http://x.example/y", "quantity": "5", "number": "1",
    "reference": "Organization/x", "composite": "x$5", "special": "52.1|5.1|10|km",
}  # fmt: skip
CODED: Final = dict.fromkeys(("above", "below"), "http://terminology.hl7.org/CodeSystem/condition-clinical|active")
SET: Final = dict.fromkeys(("in", "not-in"), "http://hl7.org/fhir/ValueSet/condition-clinical")
MODIFIED: Final = {
    **CODED,
    **SET,
    "missing": "true",
    "identifier": "http://x.example|1",
    "of-type": "http://x.example|MR|1",
}


@pytest.fixture(scope="module")
def world() -> World:
    return LogWorld()


@pytest.fixture(scope="module")
def statement(world: World) -> Json:
    return world.get("metadata", None).json


def resources(statement: Json) -> Iterator[Json]:
    yield from statement["rest"][0]["resource"]


def codes(row: Json) -> set[str]:
    return {one["code"] for one in row.get("interaction", ())}


def asked(world: World, type_: str, pairs: str) -> Reply:
    if pairs.startswith("patient.identifier"):  # never in a URL
        named = f"patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|{BSN}"
        return world.post("AuditEvent/_search", f"{TODAY}&{named}", AUDITOR)
    if type_ == "Patient" and pairs.startswith("identifier="):
        return world.find()
    if type_ == "AuditEvent":
        return world.get(f"AuditEvent?{TODAY}&_count=1&{pairs}", AUDITOR)
    named = "_id" if type_ == "Patient" else "patient"
    return world.get(f"{type_}?{named}={world.patient}&{pairs}")


def value(type_: str, name: str, kind: str, world: World) -> str:
    known = PARAMETERS[type_].get(name)
    if (
        (type_, name) == ("Patient", "_id")
        or name in ("patient", "subject")
        or (known is not None and "Patient" in known.targets)
    ):
        return f"Patient/{world.patient}" if kind == "reference" else world.patient
    if name == "identifier":
        return "http://fhir.nl/fhir/NamingSystem/x|1"
    if known is not None and known.parts:
        return "$".join(value(type_, part.name, part.kind, world) for part in known.parts)
    return VALUES[kind]


def test_the_statement_is_valid_and_says_where_tokens_come_from(statement: Json) -> None:
    assert [issue for issue in judge(statement, shipped(), (), {}, NOON).issues if issue.is_error] == []
    security = statement["rest"][0]["security"]
    (uris,) = [one for one in security["extension"] if one["url"].endswith("/oauth-uris")]
    found = {one["url"]: one.get("valueUri") for one in uris["extension"]}
    assert found["token"] == "http://gateway.test/oauth/token"
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    assert [one["code"] for one in statement["rest"][0]["interaction"]] == ["batch", "search-system"]


def test_modes(world: World) -> None:
    assert world.get("metadata?mode=full", None).json["resourceType"] == "CapabilityStatement"
    terms = world.get("metadata?mode=terminology", None).json
    assert terms["resourceType"] == "TerminologyCapabilities"
    assert [issue for issue in judge(terms, shipped(), (), {}, NOON).issues if issue.is_error] == []
    for wrong in ("metadata?mode=some", "metadata?nothing=1"):
        assert world.get(wrong, None).status == 400


def test_profiles_that_are_named_are_those_of_the_shipped_set(statement: Json) -> None:
    assert FILE.read_text("utf-8") == text(), "run: python -m tests.gateway.api.supported"
    told = {row["type"]: row.get("supportedProfile", []) for row in resources(statement)}
    assert any(url.endswith("AllergyIntolerance-uv-ips") for url in told["AllergyIntolerance"])
    assert any(url.endswith("nl-core-AllergyIntolerance") for url in told["AllergyIntolerance"])


def test_what_the_table_has_is_what_the_statement_says(statement: Json) -> None:
    told = {row["type"]: row for row in resources(statement)}
    assert set(told) == {type_ for row in TABLE for type_ in row.types}
    for row in TABLE:
        for type_ in row.types:
            if row.operation:
                definitions_ = {one["name"]: one["definition"] for one in told[type_]["operation"]}
                assert definitions_[row.operation] == OPERATIONS[row.operation].definition
            else:
                assert row.name.replace("read-owned", "read") in codes(told[type_])


@pytest.mark.slow
def test_every_search_parameter_that_is_declared_is_understood(world: World, statement: Json) -> None:
    walked = 0
    for row in resources(statement):
        for one in row.get("searchParam", ()):
            reply = asked(world, row["type"], f"{one['name']}={value(row['type'], one['name'], one['type'], world)}")
            assert reply.status == 200, (row["type"], one, reply.body)
            walked += 1
    assert walked > 400


@pytest.mark.slow
def test_every_modifier_and_include_that_is_declared_is_understood(statement: Json) -> None:
    walked = 0
    for row in resources(statement):
        for one in row.get("searchParam", ()) if row["type"] != "AuditEvent" else ():
            for modifier in re.findall(r":([a-z-]+)", one.get("documentation", "")):
                understand(row["type"], [(f"{one['name']}:{modifier}", MODIFIED.get(modifier, "x"))])
                walked += 1
        for name in ("searchInclude", "searchRevInclude"):
            for include in row.get(name, ()):
                understand(row["type"], [("_include" if name == "searchInclude" else "_revinclude", include)])
                walked += 1
    assert walked > 1000


@pytest.mark.slow
def test_every_interaction_that_is_declared_answers(world: World, statement: Json) -> None:
    for row in resources(statement):
        type_ = row["type"]
        if "search-type" in codes(row) and type_ != "AuditEvent":
            found = asked(world, type_, "_count=1")
            assert (found.status, found.json["type"]) == (200, "searchset"), type_
            for item in found.items:
                assert world.get(f"{type_}/{item['id']}").json["id"] == item["id"]
        if "read" in codes(row):
            caller = AUDITOR if type_ == "AuditEvent" else PHYSICIAN
            assert world.get(f"{type_}/nobody", caller).status == (403 if type_ == "Contract" else 404), type_
        for operation in row.get("operation", ()):
            path = f"{type_}/${operation['name']}" if operation["name"] == "validate" else ""
            if path:
                assert world.post(path, {"resourceType": type_}).status == 200, path


@pytest.mark.parametrize(
    ("path", "method"),
    [(row.path, row.method) for row in TABLE if row.operation and row.operation != "validate"],
)
def test_every_operation_answers_in_every_form(world: World, path: str, method: str) -> None:
    url = path.replace("{id}", world.patient)
    identified: list[Json] = [{"name": "identifier", "valueString": f"http://fhir.nl/fhir/NamingSystem/bsn|{BSN}"}]
    patient = [{"name": "patient", "valueReference": {"reference": f"Patient/{world.patient}"}}]
    parts: dict[str, list[Json]] = {
        "Patient/$match": [{"name": "resource", "resource": {
            "resourceType": "Patient", "birthDate": BIRTH,
            "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN}]}}],
        "Patient/$summary": identified,
        "Patient/$can-access": identified,
        "Observation/$lastn": [*patient, {"name": "category", "valueCode": "vital-signs"}],
        "DocumentReference/$docref": patient,
    }  # fmt: skip
    if method == "POST":
        reply = world.post(url, {"resourceType": "Parameters", "parameter": parts.get(path, [])} if path in parts else
                           {"resourceType": "Parameters"})  # fmt: skip
    else:
        query = {"Observation/$lastn": f"?patient={world.patient}&category=vital-signs"}
        reply = world.get(url + query.get(path, "" if "{id}" in path else f"?patient={world.patient}"))
    assert reply.status == 200, reply.body
    assert reply.json["resourceType"] in {"Bundle", "Parameters"}


def test_nothing_undeclared_has_a_route() -> None:
    declared = {(row.method, row.path.replace("{type}", type_)) for row in TABLE for type_ in row.types or ("",)}
    types = {type_ for row in TABLE for type_ in row.types}
    every = {
        name
        for name, type_ in definitions().types.items()
        if any(one.name == "implicitRules" for one in type_.elements)
    } | types
    assert len(every) > 140
    for type_ in every:
        for path in (type_, f"{type_}/x", f"{type_}/_search", f"{type_}/x/_history", f"{type_}/$nothing",
                     f"{type_}/x/$everything", f"{type_}/_history", f"{type_}/x/Observation"):  # fmt: skip
            for method in METHODS:
                shape = path.replace("/x", "/{id}")
                if (method, shape) in declared:
                    assert route(method, path).type == type_
                    continue
                with pytest.raises(Invalid) as caught:
                    route(method, path)
                known = any(shape == other for _, other in declared)
                assert caught.value.code == ("method-not-allowed" if known else "not-found"), (method, path)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Slot?patient={p}", 404), ("GET", "Patient/{p}/Observation", 404), ("GET", "_history", 404),
        ("GET", "Observation/x/_history/1", 404), ("PATCH", "Consent/consent-1", 405), ("DELETE", "Patient/{p}", 405),
        ("PUT", "Observation/x", 405), ("POST", "Patient", 405), ("POST", "Observation", 405),
        ("DELETE", "Task/x", 405), ("PUT", "Consent?status=active", 405), ("GET", "Patient/$summary", 405),
        ("GET", "Patient/$match", 405), ("GET", "Nothing", 404), ("OPTIONS", "metadata", 405),
        ("GET", "Patient/{p}/$nothing", 404), ("GET", "Patient//$summary", 404), ("GET", "patient", 404),
        ("GET", "Patient/", 404), ("GET", "Patient/{p}/", 404),
    ],
)  # fmt: skip
def test_what_is_not_declared_is_refused_with_the_documented_error(
    world: World, method: str, path: str, status: int
) -> None:
    reply = world.request(method, path.replace("{p}", world.patient))
    assert reply.status == status
    assert reply.code == ("not-found" if status == 404 else "method-not-allowed")
    if status == 405:
        assert reply.header("allow")
