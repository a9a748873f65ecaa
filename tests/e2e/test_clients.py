"""Libraries that others wrote log in, search, read every page and what comes along, and a summary: three of Python, two of Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.clients import CLIENTS, INSTALLED, copied
from tests.e2e.integrator import integrator
from tests.e2e.running import Demo

fhirclient = pytest.importorskip("fhirclient.client", reason="fhirclient is not installed")
fhirpy = pytest.importorskip("fhirpy", reason="fhirpy is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.network]

ALLERGIES = {"amoxicilline", "pinda", "penicilline", "latex"}


@pytest.fixture(scope="module", params=["demo-physician", "demo-system"])
def smart(demo: Demo, request: pytest.FixtureRequest) -> Iterator[Any]:
    """fhirclient, logged in by its own Backend Services flow: it finds the token endpoint in the CapabilityStatement."""
    client = integrator(demo.said, request.param, demo.http)
    made = fhirclient.FHIRClient(
        settings={
            "app_id": client.id,
            "api_base": demo.base,
            "jwt_token": client.assertion(),
            "scope": "system/*.rs",
        }
    )
    made.wants_patient = False
    assert made.prepare() is False  # not logged in yet
    made.authorize()
    assert made.ready
    yield made
    made.server.session.close()


def test_fhirclient_reads_the_capability_statement(demo: Demo, smart: Any) -> None:
    statement = smart.server.capabilityStatement
    assert (statement.fhirVersion, statement.status, statement.kind) == ("4.0.1", "active", "instance")
    resources = {one.type: one for one in statement.rest[0].resource}
    for type_ in ("Patient", "AllergyIntolerance", "Condition", "MedicationStatement", "Observation", "Encounter"):
        offered = {one.code for one in resources[type_].interaction}
        assert {"read", "search-type"} <= offered
        assert "patient" in {one.name for one in resources[type_].searchParam} or type_ == "Patient"
    assert {one.name for one in resources["Patient"].operation} >= {"summary", "match"}
    assert "application/fhir+json" in statement.format


def test_fhirclient_reads_the_patient_and_searches(demo: Demo, smart: Any) -> None:
    from fhirclient.models.allergyintolerance import AllergyIntolerance
    from fhirclient.models.condition import Condition
    from fhirclient.models.consent import Consent
    from fhirclient.models.encounter import Encounter
    from fhirclient.models.medicationstatement import MedicationStatement
    from fhirclient.models.observation import Observation
    from fhirclient.models.patient import Patient

    id_ = demo.patient_id(demo.said["patients"][0])
    patient = Patient.read(id_, smart.server)
    assert smart.human_name(patient.name[0]) == "Willemijn van Voorbeeld"
    allergies = list(AllergyIntolerance.where({"patient": id_}).perform_resources_iter(smart.server))
    found = {one.code.coding[0].display for one in allergies if isinstance(one, AllergyIntolerance)}
    assert found == ALLERGIES
    for model, number in ((Condition, 5), (MedicationStatement, 4), (Encounter, 5), (Consent, 3)):
        resources = model.where({"patient": id_, "_count": "100"}).perform_resources_iter(smart.server)
        assert len([one for one in resources if isinstance(one, model)]) == number, model.__name__
    first = next(one for one in allergies if isinstance(one, AllergyIntolerance))
    assert AllergyIntolerance.read(first.id, smart.server).id == first.id
    pages = Observation.where({"patient": id_, "_count": "10"}).perform_resources_iter(smart.server)
    assert len({one.id for one in pages if isinstance(one, Observation)}) == 26


def test_fhirclient_reads_the_sections_of_the_summary(demo: Demo, smart: Any) -> None:
    from fhirclient.models.bundle import Bundle
    from fhirclient.models.composition import Composition

    id_ = demo.patient_id(demo.said["patients"][0])
    bundle = Bundle.read_from(f"Patient/{id_}/$summary", smart.server)
    composition = bundle.entry[0].resource
    assert isinstance(composition, Composition)
    by_url = {entry.fullUrl: entry.resource for entry in bundle.entry}
    sections = {section.code.coding[0].code: section for section in composition.section}
    named = set()
    for entry in sections["48765-2"].entry:
        (resource,) = [one for url, one in by_url.items() if url.endswith(entry.reference)]
        named.add(resource.code.coding[0].display)
    assert named == ALLERGIES
    assert len(sections["10160-0"].entry) == 5
    assert sections["11450-4"].text.div.startswith("<div")


@pytest.fixture(scope="module", params=["demo-physician", "demo-system"])
def library(demo: Demo, request: pytest.FixtureRequest) -> Any:
    """fhirpy with a token of the SMART flow, as it expects one."""
    token = integrator(demo.said, request.param, demo.http).token(demo.http)
    return fhirpy.SyncFHIRClient(demo.base, authorization=f"Bearer {token}")


def test_fhirpy_reads_the_capability_statement(library: Any) -> None:
    statement = library.execute("metadata", method="get")
    assert (statement["resourceType"], statement["fhirVersion"]) == ("CapabilityStatement", "4.0.1")
    assert any(one["type"] == "AllergyIntolerance" for one in statement["rest"][0]["resource"])


def test_fhirpy_reads_the_patient_and_searches(demo: Demo, library: Any) -> None:
    id_ = demo.patient_id(demo.said["patients"][0])
    patient = library.reference("Patient", id_).to_resource()
    assert patient["birthDate"] == "1954-03-12"
    allergies = library.resources("AllergyIntolerance").search(patient=id_).fetch()
    assert {one.get_by_path(["code", "coding", 0, "display"]) for one in allergies} == ALLERGIES
    everything = library.resources("Observation").search(patient=id_).limit(10).fetch_all()
    assert len({one.id for one in everything}) == len(everything) == 26
    active = library.resources("Condition").search(patient=id_, clinical_status="active").fetch()
    assert len(active) == 3
    assert library.get("AllergyIntolerance", allergies[0].id)["id"] == allergies[0].id
    first = library.resources("MedicationRequest").search(patient=id_).first()
    assert first["resourceType"] == "MedicationRequest"


def test_fhirpy_counts_when_it_asks_for_leniency(demo: Demo, library: Any) -> None:
    """Its `count()` sends a parameter that FHIR does not know: refused, unless the client asks to be indulged."""
    from fhirpy.base.exceptions import OperationOutcome

    id_ = demo.patient_id(demo.said["patients"][0])
    with pytest.raises(OperationOutcome, match="_totalMethod"):
        library.resources("Flag").search(patient=id_).count()
    lenient = fhirpy.SyncFHIRClient(
        demo.base, authorization=library.authorization, extra_headers={"Prefer": "handling=lenient"}
    )
    assert lenient.resources("Flag").search(patient=id_).count() == 1


def test_fhirpy_reads_the_sections_of_the_summary(demo: Demo, library: Any) -> None:
    id_ = demo.patient_id(demo.said["patients"][0])
    bundle = library.execute(f"Patient/{id_}/$summary", method="get")
    composition = bundle["entry"][0]["resource"]
    titles = {section["code"]["coding"][0]["code"] for section in composition["section"]}
    assert {"48765-2", "10160-0", "11450-4", "42348-3", "completeness"} <= titles
    asked = [{"name": "identifier", "valueIdentifier": demo.said["patients"][0]["identifier"]}]
    posted = library.execute("Patient/$summary", data={"resourceType": "Parameters", "parameter": asked})
    assert posted["type"] == "document"


@pytest.fixture(scope="module")
def pirate(demo: Demo) -> Iterator[Any]:
    """fhir-pyrate with a session that carries a token of the SMART flow, as it expects one."""
    pyrate = pytest.importorskip("fhir_pyrate", reason="fhir-pyrate is not installed")
    requests = pytest.importorskip("requests", reason="requests is not installed")
    with requests.Session() as session:
        token = integrator(demo.said, "demo-physician", demo.http).token(demo.http)
        session.headers["Authorization"] = f"Bearer {token}"
        yield pyrate.Pirate(base_url=demo.base, auth=session, num_processes=1)


def test_fhir_pyrate_reads_every_page_and_what_comes_along(demo: Demo, pirate: Any) -> None:
    id_ = demo.patient_id(demo.said["patients"][0])
    asked = {"patient": id_, "_count": 10, "_sort": "-date"}
    pages = list(pirate.steal_bundles(resource_type="Observation", request_params=asked, num_pages=-1))
    found = [entry.resource.id for page in pages for entry in page.entry if entry.search.mode == "match"]
    assert len(pages) == 3
    assert len(set(found)) == len(found) == 26
    brought = {"patient": id_, "_include": "AllergyIntolerance:patient"}
    (page,) = pirate.steal_bundles(resource_type="AllergyIntolerance", request_params=brought, num_pages=-1)
    assert any(entry.search.mode == "include" and entry.resource.resourceType == "Patient" for entry in page.entry)


def test_fhirpy_is_told_what_is_wrong(library: Any) -> None:
    from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

    with pytest.raises(OperationOutcome) as caught:
        library.resources("Observation").fetch()
    assert caught.value.resource["issue"][0]["details"]["coding"][0]["code"] == "patient-required"
    with pytest.raises(ResourceNotFound):
        library.reference("Patient", "p1-nobody").to_resource()


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_of_node(demo: Demo, name: str) -> None:
    """Each logs in by Backend Services, and reads by its own means."""
    node = shutil.which("node")
    if node is None or not (INSTALLED / "node_modules").is_dir():
        pytest.skip("python -m tests.e2e.clients installs them, where npm is")
    client, person = demo.client("demo-system"), demo.said["patients"][0]
    asked = {
        "GATEWAY_BASE": demo.base,
        "GATEWAY_CLIENT_ID": client["id"],
        "GATEWAY_KEY_FILE": client["key_file"],
        "GATEWAY_BSN": person["bsn"],
        "GATEWAY_BIRTH_DATE": person["birthDate"],
    }
    copied()
    done = subprocess.run(
        [node, f"{name}.mjs"], cwd=INSTALLED, env={**os.environ, **asked}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "fhirVersion": "4.0.1",
        "birthDate": "1954-03-12",
        "pages": 3,
        "observations": 26,
        "different": 26,
        "allergies": len(ALLERGIES),
        "included": ["Patient"],
        "summary": "document",
        "refused": [400, "patient-required"],
    }
