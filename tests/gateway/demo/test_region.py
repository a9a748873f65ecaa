"""The region as a whole: its configuration, its registrations, its scenarios, what is printed, how it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from consent.provisions import check_consent, statements_from_consent
from gateway import policy, settings
from gateway.crypto import jose
from gateway.demo import configuration, loading, output
from gateway.demo.hosting import Hosted
from gateway.demo.region import SCENARIOS, Region
from gateway.errors import StartError
from gateway.fhir.interactions import route
from profiles.validation import validate
from tests.gateway.demo.stand import Asked

pytestmark = [pytest.mark.anyio, pytest.mark.network]

BASE = "http://127.0.0.1:8080"


async def test_the_tree_is_a_configuration_and_a_policy(asked: Asked) -> None:
    read = settings.parse(asked.region.settings_tree())
    built = policy.build(read)
    assert {one.facility_type for one in read.organizations} >= {"Z3", "V4", "AMB", "G5", "N6"}
    assert {one.kind for one in read.sources} == {"fhir-r4", "fhir-stu3", "hl7v3", "inbox", "mllp"}
    assert {one.dialect for one in read.sources} == {
        "360@1.0", "bgz-msz@2.0", "saz@1.0", "mp9@3.0", "csv/nursing-home", "json/nursing-home", "",
    }  # fmt: skip
    assert sorted(one.id for one in built.agreements if one.patient_asked) == ["care-coordination"]
    (hospital,) = [one for one in read.sources if one.id == "hospital"]
    assert (hospital.auth.kind, hospital.auth.client_id) == ("oauth", "roaz-gateway")


async def test_the_tree_as_a_file_is_the_same_configuration(asked: Asked, tmp_path: Path) -> None:
    tree = asked.region.settings_tree()
    (tmp_path / "region.toml").write_text(configuration.written(tree))
    assert settings.load(tmp_path / "region.toml", {}) == settings.parse(tree)


async def test_keys_of_clients_are_private_files_that_fit_the_registration(asked: Asked) -> None:
    tree = {row["id"]: row for row in asked.region.settings_tree()["clients"]}
    for client in asked.region.clients:
        assert client.key_file.stat().st_mode & 0o077 == 0
        private = json.loads(client.key_file.read_text())
        (registered,) = tree[client.id]["jwks"]["keys"]
        token = jose.sign({"a": 1}, jose.private_key(private), algorithm="ES384", typ="JWT", kid=private["kid"])
        keys = jose.public_keys({"keys": [registered]})
        assert jose.verify(token, keys, algorithms=["ES384"], types=["JWT"]) == {"a": 1}
        assert "d" not in registered


async def test_every_consent_is_understood_and_binds_its_own_custodian_only(asked: Asked) -> None:
    ura = {one["id"]: one["organization"] for one in asked.region.settings_tree()["clients"]}
    consents = asked.region.consents()
    for registration in consents:
        assert not check_consent(registration.resource)
        assert validate(registration.resource) == ()
        (statement,) = statements_from_consent(registration.resource, patient="p", consent_id="c", version=1)
        assert statement.custodian == ura[registration.client]
    denied = [one.resource["provision"] for one in consents if one.resource["provision"]["type"] == "deny"]
    assert len(denied) == 3


async def test_every_asked_custodian_registers_each_person_it_knows(asked: Asked) -> None:
    entries = asked.region.index_entries()
    pushed = {"ambulance", "nursing-home", "nursing-feed"}
    assert len(entries) == sum(len(set(person.sources) - pushed) for person in asked.region.persons)
    for entry in entries:
        assert validate(entry.resource) == ()
    bases = [entry.resource["extension"][1]["valueCode"] for entry in entries]
    assert bases.count("care-team") == 2  # where the patient said no, the registration rests on the care relation


async def test_without_permits_nothing_is_permitted(tmp_path: Path) -> None:
    region = Region(BASE, "no-consent", directory=tmp_path)
    assert {one.resource["provision"]["type"] for one in region.consents()} == {"deny"}
    assert {one.resource["extension"][1]["valueCode"] for one in region.index_entries()} == {"care-team"}


async def test_source_down_means_nobody_listens_at_the_hospital() -> None:
    async with Region(BASE, "source-down") as region, httpx2.AsyncClient(timeout=60) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(region.organizations["hospital"].server.base + "/metadata")
        assert (await http.get(region.organizations["gp-a"].server.base + "/metadata")).status_code == 200
        settings.parse(region.settings_tree())


async def test_duplicate_bsn_adds_a_second_record_at_the_hospital(tmp_path: Path) -> None:
    region = Region(BASE, "duplicate-bsn", directory=tmp_path)
    assert [person.birthDate for person in region.persons if person.bsn == "999990019"] == ["1954-03-12", "1982-10-01"]


async def test_an_unknown_scenario_names_the_known_ones() -> None:
    with pytest.raises(StartError, match="source-down") as caught:
        Region(BASE, "flood")
    assert caught.value.exit_code == 2
    assert set(SCENARIOS) == {"source-down", "no-consent", "duplicate-bsn"}


async def test_nothing_is_left_when_the_region_ends() -> None:
    async with Region(BASE) as region:
        files = [client.key_file for client in region.clients]
        bases = [organization.server.base for organization in region.organizations.values()]
        assert all(file.exists() for file in files)
    assert not any(file.exists() for file in files)
    async with httpx2.AsyncClient(timeout=60) as http:
        for base in bases:
            with pytest.raises(httpx2.ConnectError):
                await http.get(base + "/metadata")


def shown(asked: Asked) -> output.Shown:
    roles = ("physician", "coordinator", "ambulance", "auditor", "system")
    return output.Shown(asked.region, {role: f"token-{role}" for role in roles}, f"{BASE}/oauth/token", output.PAGES)


async def test_the_object_has_what_was_promised(asked: Asked) -> None:
    line = output.as_object(shown(asked))
    assert "\n" not in line
    said = json.loads(line)
    assert set(said) == {"base", "pages", "tokens", "patients", "clients"}
    assert said["base"] == f"{asked.region.gateway_base}/fhir"
    assert set(said["tokens"]) == {"physician", "coordinator", "ambulance", "auditor", "system"}
    assert said["patients"][0]["bsn"] == "999990019"
    assert all({"bsn", "birthDate", "shows"} <= set(patient) for patient in said["patients"])
    assert all({"id", "key_file", "token_endpoint"} == set(client) for client in said["clients"])


async def test_the_page_shows_every_person_token_and_lines_that_lead_somewhere(asked: Asked) -> None:
    text = output.as_text(shown(asked))
    for person in asked.region.persons:
        assert person.shows in text
    assert "PHYSICIAN=token-physician" in text
    for source, path in asked.region.inboxes.items():
        assert f"{source:<28}{path}" in text
    assert "gateway inbox feeds --config region.toml" in text
    base = asked.region.gateway_base
    for _, line in output.curl_lines(shown(asked)):
        address = line.replace("\\$", "$").split(f"{base}/fhir/")[1].split('"')[0].split("?")[0].split(" ")[0]
        assert "999990" not in address
        route("POST" if "-d " in line or "--data" in line else "GET", address)


class Taking:
    """A gateway that gives tokens and takes what is posted; the first answers are trouble."""

    def __init__(self, troubles: int = 0, refuse: bool = False) -> None:
        self.hosted = Hosted()
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.documents: list[tuple[str, str, bytes]] = []
        self.troubles, self.refuse = troubles, refuse

    async def start(self) -> None:
        await self.hosted.start(
            Starlette(
                routes=[
                    Route("/fhir/.well-known/smart-configuration", self.discovery),
                    Route("/oauth/token", self.token, methods=["POST"]),
                    Route("/fhir/{type}", self.take, methods=["POST"]),
                    Route("/inbox/{source}", self.document, methods=["POST"]),
                ]
            )
        )

    async def discovery(self, request: Request) -> JSONResponse:
        return JSONResponse({"token_endpoint": f"{self.hosted.base}/oauth/token"})

    async def token(self, request: Request) -> JSONResponse:
        assertion = dict(httpx2.QueryParams((await request.body()).decode()))["client_assertion"]
        claims = jose.parse(assertion).claims
        return JSONResponse({"access_token": claims["sub"], "token_type": "Bearer", "expires_in": 300})

    async def document(self, request: Request) -> JSONResponse:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.documents.append((token, request.path_params["source"], await request.body()))
        return JSONResponse({}, 201)

    async def take(self, request: Request) -> JSONResponse:
        if self.troubles:
            self.troubles -= 1
            return JSONResponse({}, 503)
        if self.refuse:
            return JSONResponse({}, 403)
        self.taken.append((request.headers["authorization"].removeprefix("Bearer "), await request.json()))
        return JSONResponse({}, 201)


@pytest.mark.slow
async def test_loading_posts_everything_with_the_token_of_its_custodian_consents_first() -> None:
    gateway = Taking(troubles=3)
    await gateway.start()
    async with Region(gateway.hosted.base) as region:
        count = await loading.load(region)
        tokens = await loading.role_tokens(region)
    await gateway.hosted.stop()
    kinds = [resource["resourceType"] for _, resource in gateway.taken]
    assert kinds == sorted(kinds)
    documents = [("ambulance-transfer", "ambulance", one.raw) for one in region.documents()]
    assert gateway.documents == documents != []
    assert len(kinds) + len(documents) == count
    expected = {
        (one.client, json.dumps(one.resource, sort_keys=True)) for one in (*region.consents(), *region.index_entries())
    }
    assert {(token, json.dumps(resource, sort_keys=True)) for token, resource in gateway.taken} == expected
    assert tokens == {role: f"demo-{role}" for role in ("physician", "coordinator", "ambulance", "auditor", "system")}


@pytest.mark.slow
async def test_a_gateway_that_refuses_is_an_error_that_names_the_client() -> None:
    gateway = Taking(refuse=True)
    await gateway.start()
    async with Region(gateway.hosted.base) as region:
        with pytest.raises(StartError, match="registration: POST Consent: status 403"):
            await loading.load(region)
    await gateway.hosted.stop()
