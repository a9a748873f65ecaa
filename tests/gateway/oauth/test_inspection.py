"""Introspection, revocation, rotation and tokens for one patient: attacks 17, 22, 28, 32, 64 of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.authentication import authenticate
from gateway.errors import Refused, Unavailable
from gateway.model import Incoming
from gateway.oauth import discovery, inspection
from gateway.oauth.tokens import AccessTokens
from tests.gateway.oauth.world import (
    BASE,
    HOSPITAL,
    OTHER_PRIVATE,
    OTHER_PUBLIC,
    PHYSICIAN,
    Json,
    World,
    client_row,
    request_with,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

GROUNDS = {"cannot_consent": "unconscious", "threats": ["life"], "text": "found unconscious, no family"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(
        tmp_path,
        client_row(purposes=["behandeling", "spoed-noodtoegang"]),
        client_row("colleague", jwks={"keys": [OTHER_PUBLIC]}),
        client_row("hospital", jwks={"keys": [OTHER_PUBLIC]}, organization=HOSPITAL),
    )


async def given(world: World, **fields: Any) -> str:
    answer = await world.ask(**fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def header(token: str) -> bytes:
    return f"Bearer {token}".encode()


def asking(token: str) -> Incoming:
    return request_with(header(token))


async def test_introspection_tells_who_and_until_when(world: World) -> None:
    token = await given(world)
    answer = await world.about("introspect", token)
    body = answer.json()
    assert answer.status_code == 200
    assert body["active"] is True
    assert (body["client_id"], body["token_type"], body["iss"]) == ("post", "Bearer", BASE)
    assert set(body["scope"].split()) == {"system/*.rs", "user/*.cruds"}
    assert body["extensions"]["ihe_iua"]["subject_role"] == "01.015"
    assert world.recorded[-1][0].interaction == "introspection"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_colleague_of_the_organization_may_ask_and_another_learns_nothing(world: World) -> None:
    token = await given(world)
    colleague = await world.about("introspect", token, world.assertion("colleague", OTHER_PRIVATE))
    assert colleague.json()["active"] is True
    other = await world.about("introspect", token, world.assertion("hospital", OTHER_PRIVATE))
    assert (other.status_code, other.json()) == (200, {"active": False})


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x" * 9000])
async def test_what_is_no_token_is_not_active(world: World, token: str) -> None:
    assert (await world.about("introspect", token)).json() == {"active": False}


async def test_an_expired_token_is_not_active(world: World) -> None:
    token = await given(world)
    world.clock.pass_(minutes=15)
    assert (await world.about("introspect", token)).json() == {"active": False}


@pytest.mark.parametrize("what", ["introspect", "revoke"])
async def test_22_nobody_asks_without_proof(world: World, what: str) -> None:
    token = await given(world)
    nothing = await world.about(what, token, "-", client_assertion_type="-")
    assert (nothing.status_code, nothing.json()["error"]) == (401, "invalid_client")
    for assertion in (
        "x",
        world.assertion(key=OTHER_PRIVATE),
        world.assertion(aud="http://other.test/oauth/token"),
    ):
        answer = await world.about(what, token, assertion)
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
    assert (await world.about("introspect", token)).json()["active"] is True


@pytest.mark.parametrize("what", ["introspect", "revoke"])
async def test_the_assertion_is_for_this_server_and_used_once(world: World, what: str) -> None:
    token = await given(world)
    for audience in (f"{BASE}/oauth/token", f"{BASE}/oauth/{what}"):
        assertion = world.assertion(aud=audience)
        assert (await world.about(what, token, assertion)).status_code == 200
        assert (await world.about(what, token, assertion)).status_code == 401
    assert (await world.about(what, token, world.assertion(aud=f"{BASE}/oauth/elsewhere"))).status_code == 401
    assert (await world.ask(world.assertion(aud=f"{BASE}/oauth/{what}"))).status_code == 401, "that is another endpoint"


async def test_22_a_revoked_token_is_refused_at_once_here_and_within_a_second_elsewhere(world: World) -> None:
    token = await given(world)
    elsewhere = AccessTokens(world.ring, world.settings, world.policy)
    ports = replace(world.ports, tokens=elsewhere)
    for one in (world.ports, ports):
        assert (await authenticate(asking(token), one)).requester.client == "post"
    answer = await world.about("revoke", token)
    assert (answer.status_code, answer.content) == (200, b"")
    assert world.recorded[-1][0].interaction == "revocation"
    with pytest.raises(Refused, match="token-invalid"):
        await authenticate(asking(token), world.ports)
    world.clock.pass_(seconds=0.6)
    with pytest.raises(Refused, match="token-invalid"):
        await authenticate(asking(token), ports)
    assert (await world.about("introspect", token)).json() == {"active": False}


async def test_one_token_is_revoked_and_no_other(world: World) -> None:
    one, other = await given(world), await given(world)
    await authenticate(asking(other), world.ports)
    await world.about("revoke", one)
    world.clock.pass_(seconds=1)
    assert (await authenticate(asking(other), world.ports)).requester.client == "post"


async def test_a_token_of_another_client_is_not_revoked(world: World) -> None:
    token = await given(world)
    answer = await world.about("revoke", token, world.assertion("colleague", OTHER_PRIVATE))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await authenticate(asking(token), world.ports)).requester.client == "post"


async def test_revoking_what_is_not_known_is_no_error(world: World) -> None:
    assert (await world.about("revoke", "never-seen")).status_code == 200
    hinted = await world.about("revoke", "x", token_type_hint="id_token")
    assert hinted.json()["error"] == "unsupported_token_type"
    assert (await world.about("revoke", "-")).json()["error"] == "invalid_request"


async def test_a_disabled_client_has_no_tokens_left(world: World) -> None:
    token = await given(world)
    await authenticate(asking(token), world.ports)
    world.revocations.clients.add("post")
    world.clock.pass_(seconds=0.6)
    with pytest.raises(Refused, match="token-invalid"):
        await authenticate(asking(token), world.ports)


async def test_22_what_was_revoked_cannot_be_seen_so_no_token_counts(world: World) -> None:
    token = await given(world)
    await authenticate(asking(token), world.ports)
    world.revocations.broken = True
    world.clock.pass_(seconds=0.6)
    with pytest.raises(Unavailable, match="store-unavailable"):
        await authenticate(asking(token), world.ports)
    assert (await world.about("introspect", token)).status_code == 503
    assert (await world.about("revoke", token)).status_code == 503


async def test_looking_costs_one_question_in_half_a_second(world: World) -> None:
    token = await given(world)
    for _ in range(50):
        await authenticate(asking(token), world.ports)
    assert world.revocations.looks == 1
    world.clock.pass_(seconds=-5)
    await authenticate(asking(token), world.ports)
    assert world.revocations.looks == 2, "a clock that was set back proves nothing"


async def test_no_record_nothing_is_told(world: World) -> None:
    token = await given(world)
    world.log_broken = True
    for what in ("introspect", "revoke"):
        answer = await world.about(what, token)
        assert answer.status_code == 503
        assert "active" not in answer.json()


async def test_17_our_own_key_rotates_with_overlap(world: World) -> None:
    before = await given(world)
    world.ring.rotate("token")
    after = await given(world)
    for token in (before, after):
        assert (await authenticate(asking(token), world.ports)).requester.client == "post"
    published = (await world.get("/oauth/jwks")).json()["keys"]
    assert [one["kid"] for one in published] == ["token-2", "token-1"]


async def test_metadata_names_every_endpoint(world: World) -> None:
    for path in ("/.well-known/oauth-authorization-server",):
        found = (await world.get(path)).json()
        assert found["introspection_endpoint"] == f"{BASE}/oauth/introspect"
        assert found["revocation_endpoint"] == f"{BASE}/oauth/revoke"
        assert found["introspection_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        assert found["revocation_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert discovery.smart_configuration(world.settings).items() >= found.items()


# --- one patient, a mandate, the glass -----------------------------------------------------------


async def test_28_a_token_for_one_patient_says_which(world: World) -> None:
    answer = await world.ask(world.assertion(who={**PHYSICIAN, "patient": "Patient/p1-abcd"}))
    assert answer.json()["patient"] == "p1-abcd"
    caller = await authenticate(asking(answer.json()["access_token"]), world.ports)
    assert caller.launch == "p1-abcd"


@pytest.mark.parametrize(
    "patient", ["999990019", "http://fhir.nl/fhir/NamingSystem/bsn|999990019", "p1-a/../b", "x", 7]
)
async def test_28_a_patient_is_named_by_our_id_only(world: World, patient: object) -> None:
    answer = await world.ask(world.assertion(who={**PHYSICIAN, "patient": patient}))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "999990019" not in answer.text


def breaking(**changed: Any) -> Json:
    return {
        **PHYSICIAN,
        "purpose_of_use": ["BTG"],
        "patient": "p1-abcd",
        "emergency": {**GROUNDS, **changed},
    }


async def test_32_the_grounds_travel_with_the_token_for_an_hour(world: World) -> None:
    token = await given(world, assertion=world.assertion(who=breaking()))
    caller = await authenticate(asking(token), world.ports)
    assert caller.emergency is not None
    assert caller.emergency.cannot_consent == "unconscious"
    assert caller.emergency.since == world.clock.now()
    assert caller.expires <= world.clock.now().timestamp() + 3600
    shown = (await world.about("introspect", token)).json()
    assert "found unconscious" not in str(shown)


@pytest.mark.parametrize(
    "changed",
    [
        {"cannot_consent": ""},
        {"cannot_consent": "busy"},
        {"threats": []},
        {"threats": ["curiosity"]},
        {"threats": None},
        {"text": " "},
        {"text": "x" * 501},
    ],
)
async def test_32_grounds_nobody_can_judge_are_refused(world: World, changed: Json) -> None:
    answer = await world.ask(world.assertion(who=breaking(**changed)))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "emergency" in answer.json()["error_description"]


async def test_32_the_glass_is_broken_for_one_patient_and_one_purpose(world: World) -> None:
    for who in (
        {name: value for name, value in breaking().items() if name != "patient"},
        {**breaking(), "purpose_of_use": ["TREAT"]},
        {**breaking(), "emergency": "yes"},
    ):
        assert (await world.ask(world.assertion(who=who))).status_code == 400


async def test_a_demo_token_of_hours_breaks_the_glass_for_one(tmp_path: Path) -> None:
    world = World(tmp_path, client_row(purposes=["spoed-noodtoegang"]))
    world.tokens._lifetime_seconds = 8 * 3600
    answer = await world.ask(world.assertion(who=breaking()))
    assert answer.json()["expires_in"] == 3600


@pytest.mark.parametrize(
    ("said", "good"),
    [
        (
            {
                "delegation_registered_by": "uzi|1",
                "delegation_role_code": "urn:oid:2.16.840.1.113883.2.4.15.111|01.015",
            },
            True,
        ),
        ({"delegation_registered_by": "uzi|1"}, False),
        ({"delegation_role_code": "01.015"}, False),
        ({"delegation_registered_by": "uzi|1", "delegation_role_code": ["01.015", "01.003"]}, False),
        ({"delegation_registered_by": ["uzi|1"], "delegation_role_code": "01.015"}, False),
    ],
)
async def test_64_a_mandate_is_whole_or_refused(world: World, said: Json, good: bool) -> None:
    answer = await world.ask(world.assertion(who={**PHYSICIAN, **said}))
    assert answer.status_code == (200 if good else 400)
    if good:
        caller = await authenticate(asking(answer.json()["access_token"]), world.ports)
        assert (caller.requester.mandated_by, caller.requester.mandated_role) == ("uzi|1", "01.015")


async def test_64_a_mandate_needs_a_person(tmp_path: Path) -> None:
    world = World(tmp_path, client_row(person="system"))
    said = {"delegation_registered_by": "uzi|1", "delegation_role_code": "01.015"}
    assert (await world.ask(world.assertion(who=said))).status_code == 400


async def test_a_gateway_that_keeps_no_revocations_says_so(world: World) -> None:
    token = await given(world)
    ports = replace(world.ports, revocations=None)
    kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    form = f"token={token}&client_assertion={world.assertion()}&client_assertion_type={kind}"
    answer = await inspection.revoke(form.encode(), "application/x-www-form-urlencoded", ports, world.client_keys)
    assert answer.status == 500
    assert (await authenticate(asking(token), ports)).requester.client == "post"
