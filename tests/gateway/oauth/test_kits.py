"""The steps of Inferno's kits for SMART: discovery (STU2) and Backend Services, each as its kit asks it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import world as fhir
from tests.gateway.oauth.world import KEYS, NOW, OTHER_PRIVATE, PRIVATE, World, client_row

Json = dict[str, Any]

pytestmark = pytest.mark.anyio

NUMBER = NOW.timestamp()
# name of the step -> what the request says otherwise; a form field "-" is left out
REFUSED: dict[str, tuple[Json, Json, set[int], set[str]]] = {
    "invalid grant_type": ({}, {"grant_type": "not_a_grant_type"}, {400}, {"unsupported_grant_type"}),
    "no grant_type": ({}, {"grant_type": "-"}, {400}, {"invalid_request"}),
    "invalid client_assertion_type": ({}, {"client_assertion_type": "not_an_assertion_type"}, {400, 401}, {"invalid_client", "invalid_request"}),
    "no client_assertion_type": ({}, {"client_assertion_type": "-"}, {400, 401}, {"invalid_client", "invalid_request"}),
    "no client_assertion": ({}, {"client_assertion": "-"}, {400, 401}, {"invalid_client", "invalid_request"}),
    "no JWT": ({}, {"client_assertion": "not_a_jwt"}, {400, 401}, {"invalid_client", "invalid_request"}),
    "unknown client": ({"iss": "not_an_iss", "sub": "not_an_iss"}, {}, {400, 401}, {"invalid_client"}),
    "another iss": ({"iss": "not_an_iss"}, {}, {400, 401}, {"invalid_client"}),
    "another sub": ({"sub": "not_a_sub"}, {}, {400, 401}, {"invalid_client"}),
    "another aud": ({"aud": "https://not.the.aud/oauth/token"}, {}, {400, 401}, {"invalid_client"}),
    "no exp": ({"exp": None}, {}, {400, 401}, {"invalid_client"}),
    "expired": ({"exp": NUMBER - 61}, {}, {400, 401}, {"invalid_client"}),
    "lives longer than five minutes": ({"exp": NUMBER + 3_600}, {}, {400, 401}, {"invalid_client"}),
    "no jti": ({"jti": None}, {}, {400, 401}, {"invalid_client"}),
    "unknown kid": ({"key": {**PRIVATE, "kid": "not_a_kid"}}, {}, {400, 401}, {"invalid_client"}),
    "another key": ({"key": OTHER_PRIVATE}, {}, {400, 401}, {"invalid_client"}),
    "scope beyond the registration": ({}, {"scope": "patient/*.rs"}, {400}, {"invalid_scope"}),
    "scope that is none": ({}, {"scope": "all the things"}, {400}, {"invalid_scope"}),
}  # fmt: skip


async def test_discovery_is_json_for_everybody_and_promises_nothing_that_is_not_there() -> None:
    region = await asyncio.to_thread(fhir.World)
    answer = await region.send("GET", ".well-known/smart-configuration", None)
    assert answer.status == 200
    assert answer.header("content-type").partition(";")[0] == "application/json"
    found = answer.json
    assert isinstance(found["token_endpoint"], str)
    for name in ("capabilities", "grant_types_supported", "code_challenge_methods_supported", "scopes_supported",
                 "token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported"):  # fmt: skip
        assert isinstance(found[name], list), name
        assert found[name], name
        assert all(isinstance(one, str) for one in found[name]), name
    assert "S256" in found["code_challenge_methods_supported"]
    assert "plain" not in found["code_challenge_methods_supported"]
    # Nobody is launched here, and nobody logs in at these endpoints by a browser.
    assert not [one for one in found["capabilities"] if one.startswith(("launch", "sso", "context", "authorize"))]
    assert not {"authorization_endpoint", "registration_endpoint"} & found.keys()
    assert "authorization_code" not in found["grant_types_supported"]
    # What Backend Services need.
    assert {"client-confidential-asymmetric", "permission-v2"} <= set(found["capabilities"])
    assert "client_credentials" in found["grant_types_supported"]
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    assert {"RS384", "ES384"} <= set(found["token_endpoint_auth_signing_alg_values_supported"])
    # The CapabilityStatement names the same endpoint.
    (security,) = [rest["security"] for rest in (await region.send("GET", "metadata", None)).json["rest"]]
    (uris,) = [one["extension"] for one in security["extension"] if one["url"].endswith("/oauth-uris")]
    assert {one["url"]: one.get("valueUri") for one in uris}["token"] == found["token_endpoint"]
    assert "SMART-on-FHIR" in [coding["code"] for service in security["service"] for coding in service["coding"]]


async def test_the_keys_that_are_published_are_public(world: World) -> None:
    keys = (await world.get("/oauth/jwks")).json()["keys"]
    assert keys
    assert all({"kty", "kid", "alg"} <= key.keys() and not {"d", "p", "q", "k"} & key.keys() for key in keys)


async def test_a_request_that_is_wrong_in_one_thing_gets_no_token(world: World) -> None:
    for step, (claims, form, statuses, errors) in REFUSED.items():
        answer = await world.ask(world.assertion(**claims), **form)
        assert answer.status_code in statuses, (step, answer.text)
        body = answer.json()
        assert body["error"] in errors, step
        assert body["error_description"], step
        assert "access_token" not in body, step
        assert answer.headers["cache-control"] == "no-store", step
    control = await world.ask()
    assert control.status_code == 200, "the same world gives one to who does right"


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
async def test_a_request_that_is_right_gets_a_token(tmp_path: Path, algorithm: str) -> None:
    private, public = KEYS[algorithm]
    world = World(tmp_path, client_row(jwks={"keys": [public]}), token_lifetime="5m")
    for scope in ("system/*.rs", "system/Patient.rs system/Condition.s", "system/*.read", "-"):
        answer = await world.ask(world.assertion(key=private), scope=scope)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].partition(";")[0] == "application/json"
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
        body = answer.json()
        assert isinstance(body["access_token"], str)
        assert body["token_type"].lower() == "bearer"
        assert isinstance(body["expires_in"], int)
        assert 0 < body["expires_in"] <= 300, "as long as the region says; SMART: should not exceed five minutes"
        asked = {"system/*.rs"} if scope == "-" else set(scope.split())
        assert asked <= set(body["scope"].split()), (scope, body["scope"])
        world.clock.pass_(seconds=1)


async def test_a_token_request_is_a_post_of_a_form(world: World) -> None:
    assert (await world.get("/oauth/token")).status_code == 405
    assert (await world.post(json={"grant_type": "client_credentials"})).status_code in (400, 415)
