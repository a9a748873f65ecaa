"""People who log in: the same caller, the same token and the same refusals as by assertion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.errors import Refused, StartError
from gateway.oauth.login import Errand, Identity, enter, leave
from gateway.oauth.registered import ClientKeys
from tests.gateway.oauth.world import HOSPITAL, NOW, PHYSICIAN, POST, World, client_row, region

ISSUER = "https://login.example"
UZI = "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers|900000001"
PERSON = Identity(ISSUER, POST, UZI, ("01.015", "zorgcoordinator"), "high", NOW, "A. de Vries")
ERRAND = Errand("behandeling", "01.015")
GROUNDS = {"cannot_consent": "unconscious", "threats": ["life"], "text": "reanimatie"}


def portal(**facts: object) -> dict[str, object]:
    return client_row("portal") | {"jwks": None, "issuer": ISSUER} | facts


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    ward = portal(id="ward", organization=HOSPITAL, purposes=["spoed-noodtoegang"])
    return World(tmp_path_factory.mktemp("login"), client_row(), portal(), ward)


def test_who_logs_in_is_the_caller_an_assertion_would_give(world: World) -> None:
    answer = enter(PERSON, ERRAND, world.ports)
    assert (answer.status, answer.interaction, answer.client) == (200, "login", "portal")
    assert answer.caller is not None
    proven = world.tokens.caller(b"Bearer " + answer.body["access_token"].encode(), NOW.timestamp())
    assert proven == answer.caller
    requester = proven.requester
    assert (requester.person, requester.role, requester.assurance) == (UZI, "01.015", PHYSICIAN["loa"])
    assert (requester.organization, requester.facility_type, proven.person_name) == (POST, "N6", "A. de Vries")


@pytest.mark.parametrize(
    ("identity", "errand", "code"),
    [
        (replace(PERSON, issuer=f"{ISSUER}/"), ERRAND, "oauth-client"),
        (replace(PERSON, organization="90000099"), ERRAND, "oauth-client"),
        (replace(PERSON, person=""), ERRAND, "person-required"),
        (replace(PERSON, person="http://fhir.nl/fhir/NamingSystem/bsn|999990019"), ERRAND, "oauth-claims"),
        (replace(PERSON, assurance="very"), ERRAND, "oauth-claims"),
        (PERSON, replace(ERRAND, role="01.041"), "role-refused"),
        (PERSON, replace(ERRAND, role=""), "role-refused"),
        (PERSON, replace(ERRAND, role="zorgcoordinator"), "oauth-claims"),  # not registered for the client
        (PERSON, replace(ERRAND, purpose="verwijzing"), "oauth-claims"),
        (PERSON, replace(ERRAND, scope="patient/*.rs"), "oauth-scope"),
        (replace(PERSON, authenticated=NOW - timedelta(minutes=6)), replace(ERRAND, fresh=True), "login-again"),
        (replace(PERSON, authenticated=NOW + timedelta(minutes=6)), replace(ERRAND, fresh=True), "login-again"),
        (replace(PERSON, authenticated=NOW - timedelta(hours=1)), replace(ERRAND, emergency=GROUNDS), "login-again"),
    ],
)
def test_a_login_says_no_more_than_the_registration(
    world: World, identity: Identity, errand: Errand, code: str
) -> None:
    answer = enter(identity, errand, world.ports)
    assert (answer.error, answer.caller) == (code, None)
    assert "access_token" not in answer.body


@pytest.mark.anyio
async def test_who_logs_out_has_no_token_left(world: World) -> None:
    answer = enter(PERSON, ERRAND, world.ports)
    assert answer.caller is not None
    await leave(answer.caller, world.ports)
    with pytest.raises(Refused, match="token-invalid"):
        world.tokens.caller(b"Bearer " + answer.body["access_token"].encode(), NOW.timestamp())


def test_184_the_glass_is_broken_by_who_just_logged_in(world: World) -> None:
    patient = world.ring.patient_id("http://fhir.nl/fhir/NamingSystem/bsn", "999990019")
    errand = Errand("BTG", "01.015", patient=patient, emergency=GROUNDS)
    just = replace(PERSON, organization=HOSPITAL, authenticated=NOW - timedelta(minutes=4))
    answer = enter(just, errand, world.ports)
    assert answer.status == 200, answer.body
    assert answer.caller is not None
    assert answer.caller.emergency is not None


@pytest.mark.anyio
async def test_a_client_of_people_proves_itself_nowhere(world: World) -> None:
    answer = await world.ask(world.assertion("portal"))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_client_has_keys_or_people(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="exactly one of"):
        ClientKeys(tmp_path).load(region(client_row("both", issuer=ISSUER)).clients)
