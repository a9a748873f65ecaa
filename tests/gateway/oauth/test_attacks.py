"""Attacks on the token endpoint, numbered as in the threat list of docs/hazards; each beside what must work."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

from gateway.crypto import jose
from gateway.errors import StartError, Unavailable
from gateway.oauth import client as client_side
from gateway.oauth import discovery, endpoint
from tests.gateway.oauth.world import (
    ALGORITHMS,
    BASE,
    ENDPOINT,
    KEYS,
    OTHER_PRIVATE,
    OTHER_PUBLIC,
    PHYSICIAN,
    PRIVATE,
    PUBLIC,
    World,
    client_row,
)

pytestmark = pytest.mark.anyio
Json = dict[str, Any]


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(token: str) -> tuple[Json, Json, str]:
    header, claims, signature = token.split(".")
    return (
        json.loads(base64.urlsafe_b64decode(header + "==")),
        json.loads(base64.urlsafe_b64decode(claims + "==")),
        signature,
    )


def resigned(token: str, header: Json, claims: Json | str | None = None, key: Json = PRIVATE) -> str:
    """The token with changed header members or claims, properly signed again with a client key."""
    old, said, _ = parts(token)
    new = {name: value for name, value in (old | header).items() if value is not None}
    text = claims if isinstance(claims, str) else json.dumps(said if claims is None else claims)
    signed = b64(json.dumps(new).encode()) + "." + b64(text.encode())
    private = ECKey.import_key(key)
    from joserfc.jws import JWSRegistry

    return signed + "." + b64(JWSRegistry.algorithms["ES384"].sign(signed.encode(), private))


async def refused(world: World, response: httpx2.Response, error: str = "invalid_client", status: int = 401) -> Json:
    assert response.status_code == status, response.text
    body: Json = response.json()
    assert set(body) == {"error", "error_description"}
    assert body["error"] == error
    assert response.headers["cache-control"] == "no-store"
    assert world.recorded[-1][0].error
    assert world.recorded[-1][0].caller is None
    return body


async def granted(response: httpx2.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["access_token"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_of_the_profile_is_accepted(tmp_path: Path, algorithm: str) -> None:
    private, public = KEYS[algorithm]
    world = World(tmp_path, client_row(jwks={"keys": [public]}))
    await granted(await world.ask(world.assertion(key=private)))


async def test_both_names_of_ed25519_are_accepted(tmp_path: Path) -> None:
    private, public = KEYS["Ed25519"]
    for registered in (
        {**public},
        {**public, "alg": "EdDSA"},
        {name: public[name] for name in ("kty", "crv", "x", "kid")},
    ):
        world = World(
            tmp_path / str(len(registered)) / registered.get("alg", "none"), client_row(jwks={"keys": [registered]})
        )
        await granted(await world.ask(world.assertion(key={**private, "alg": "EdDSA"})))


async def test_1_unsigned_tokens(world: World) -> None:
    for name in ("none", "None", "nOnE", "", 0, None, ["ES384"], "HS256", "RS256", "ES512"):
        header, claims, signature = parts(world.assertion())
        head = b64(json.dumps({**header, "alg": name}).encode())
        for tail in ("", signature):
            token = f"{head}.{b64(json.dumps(claims).encode())}.{tail}"
            await refused(world, await world.ask(token))
    await granted(await world.ask())


async def test_2_a_public_key_is_no_shared_secret(world: World) -> None:
    native = ECKey.import_key(PUBLIC).public_key
    secrets = [
        native.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(PUBLIC).encode(),
        b"",
    ]
    for bits, digest in ((256, hashlib.sha256), (384, hashlib.sha384), (512, hashlib.sha512)):
        for secret in secrets:
            header, claims, _ = parts(world.assertion())
            signed = b64(json.dumps({**header, "alg": f"HS{bits}"}).encode()) + "." + b64(json.dumps(claims).encode())
            await refused(world, await world.ask(signed + "." + b64(hmac.digest(secret, signed.encode(), digest))))


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": OTHER_PUBLIC},
        {"x5c": ["MIIB"]},
        {"jku": f"{BASE}/evil"},
        {"x5u": "http://127.0.0.1:9/x"},
        {"crit": ["x"], "x": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
    ],
)
async def test_3_4_6_headers_that_bring_keys_or_rules(world: World, header: Json) -> None:
    body = await refused(world, await world.ask(resigned(world.assertion(), header)))
    assert body["error_description"].endswith("is not accepted")
    await refused(world, await world.ask(resigned(world.assertion(), header, key=OTHER_PRIVATE)))
    await granted(await world.ask(resigned(world.assertion(), {"x5t": "abc"})))


async def test_4_nothing_is_fetched_that_a_token_names(tmp_path: Path) -> None:
    asked: list[str] = []

    async def fetch(url: str) -> bytes:
        asked.append(url)
        return json.dumps({"keys": [PUBLIC]}).encode()

    world = World(tmp_path, client_row(jwks=None, jwks_uri="https://post.example/jwks"), fetch=fetch)
    await refused(world, await world.ask(resigned(world.assertion(), {"jku": "https://post.example/jwks"})))
    await refused(world, await world.ask(resigned(world.assertion(), {"jku": "https://post.example/jwks.evil"})))
    assert asked == []
    await granted(await world.ask())
    assert asked == ["https://post.example/jwks"]


@pytest.mark.parametrize(
    "kid",
    [
        "../../x",
        "' OR 1=1 --",
        OTHER_PUBLIC["kid"],
        "x" * 257,
        "",
        ["a"],
        {"a": 1},
        1,
        True,
        PUBLIC["kid"] + "\n",
        "\u0000",
    ],
    ids=[str(number) for number in range(11)],  # keys are made anew: a name of the test may not hold them
)
async def test_5_key_ids_are_looked_up_within_one_client(world: World, kid: object) -> None:
    await refused(world, await world.ask(resigned(world.assertion(), {"kid": kid})))
    await refused(world, await world.ask(resigned(world.assertion(), {"kid": kid}, key=OTHER_PRIVATE)))


async def test_5_no_key_id_is_enough_only_for_a_client_with_one_key(tmp_path: Path) -> None:
    world = World(tmp_path, client_row(), client_row("two", jwks={"keys": [PUBLIC, OTHER_PUBLIC]}))
    await granted(await world.ask(resigned(world.assertion(), {"kid": None})))
    await refused(world, await world.ask(resigned(world.assertion("two"), {"kid": None})))
    await granted(await world.ask(world.assertion("two")))


def changed(**claims: object) -> Callable[[Json], Json]:
    return lambda said: {name: value for name, value in (said | claims).items() if value is not None}


NOW = 1795348800


@pytest.mark.parametrize(
    "exp", [None, NOW, NOW - 1, NOW + 301, NOW + 3600, str(NOW + 60), -1, True, [NOW + 60], {"a": 1}]
)
async def test_7_expiry(world: World, exp: object) -> None:
    assert world.clock.time.timestamp() == NOW
    token = world.assertion()
    await refused(world, await world.ask(resigned(token, {}, changed(exp=exp)(parts(token)[1]))))


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e400", "1e999999999", "-0.5", "9" * 400, "null", '"soon"'])
async def test_7_expiry_in_numbers_that_are_none(world: World, literal: str) -> None:
    token = world.assertion()
    text = json.dumps({**parts(token)[1], "exp": "EXP"}).replace('"EXP"', literal)
    await refused(world, await world.ask(resigned(token, {}, text)))


@pytest.mark.parametrize("exp", [NOW + 1, NOW + 300, NOW + 60.5])
async def test_7_an_expiry_in_time_is_accepted(world: World, exp: float) -> None:
    token = world.assertion()
    await granted(await world.ask(resigned(token, {}, changed(exp=exp)(parts(token)[1]))))


@pytest.mark.parametrize(
    ("name", "shift", "accepted"),
    [
        ("iat", 0, True),
        ("iat", 5, True),
        ("iat", 10, True),
        ("iat", 11, False),
        ("iat", 61, False),
        ("iat", -600, False),
        ("nbf", 10, True),
        ("nbf", 11, False),
        ("nbf", 61, False),
        ("nbf", -600, True),
        ("iat", None, True),
    ],
)
async def test_8_clock_skew(world: World, name: str, shift: int | None, accepted: bool) -> None:
    token = world.assertion()
    value = None if shift is None else NOW + shift
    response = await world.ask(resigned(token, {}, changed(**{name: value})(parts(token)[1])))
    if accepted:
        await granted(response)
    else:
        await refused(world, response)


@pytest.mark.parametrize(
    "issuer",
    [
        "pos",
        "post/",
        "POST",
        "post ",
        " post",
        "post:443",
        "рost",
        "ｐost",
        "post\u200b",
        "xn--post",
        "",
        None,
        1,
        ["post"],
        {"post": 1},
        "post\u0000",
        "x" * 600,
    ],
)
async def test_9_look_alikes_of_a_client(world: World, issuer: object) -> None:
    token = world.assertion()
    for claims in ({"iss": issuer}, {"sub": issuer}, {"iss": issuer, "sub": issuer}):
        await refused(world, await world.ask(resigned(token, {}, changed(**claims)(parts(token)[1]))))


AUDIENCES = [
    BASE,
    BASE + "/",
    ENDPOINT + "/",
    ENDPOINT.upper(),
    ENDPOINT + "?x",
    f"{BASE}:80/oauth/token",
    [ENDPOINT],
    [ENDPOINT, "https://evil.example"],
    "https://evil.example/oauth/token",
    BASE + "/fhir",
    "",
    None,
    1,
    {"a": ENDPOINT},
]


@pytest.mark.parametrize("audience", AUDIENCES)
async def test_10_audience_of_the_token_endpoint(world: World, audience: object) -> None:
    token = world.assertion()
    body = await refused(world, await world.ask(resigned(token, {}, changed(aud=audience)(parts(token)[1]))))
    assert ENDPOINT in body["error_description"]


@pytest.mark.parametrize("audience", [ENDPOINT, BASE + "/", [BASE], BASE.upper(), None])
async def test_10_audience_of_the_issuer(tmp_path: Path, audience: object) -> None:
    world = World(tmp_path, client_row(audience="issuer"))
    token = world.assertion()
    await refused(world, await world.ask(resigned(token, {}, changed(aud=audience)(parts(token)[1]))))
    await granted(await world.ask(world.assertion(aud=BASE)))


@pytest.mark.parametrize(
    "typ", ["at+jwt", "application/at+jwt", "dpop+jwt", "context+jwt", "JWS", "", None, 1, ["JWT"]]
)
async def test_11_another_kind_of_token_is_no_assertion(world: World, typ: object) -> None:
    await refused(world, await world.ask(resigned(world.assertion(), {"typ": typ})))


async def test_11_an_access_token_is_no_assertion_and_the_reverse(world: World) -> None:
    access = await granted(await world.ask())
    await refused(world, await world.ask(access))
    for typ in ("jwt", "application/JWT", "client-authentication+jwt"):
        await granted(await world.ask(resigned(world.assertion(), {"typ": typ})))
    for token in (world.assertion(), world.ring.sign_jwt(parts(access)[1], typ="JWT")):
        with pytest.raises(Exception, match="token-invalid"):
            world.tokens.caller(b"Bearer " + token.encode(), NOW)


async def test_12_an_assertion_works_once(world: World) -> None:
    token = world.assertion()
    await granted(await world.ask(token))
    body = await refused(world, await world.ask(token))
    assert "jti" in body["error_description"]
    await granted(await world.ask(world.assertion()))


@pytest.mark.parametrize("jti", [None, "", 1, ["a"], "x" * 513])
async def test_12_an_assertion_needs_an_id(world: World, jti: object) -> None:
    token = world.assertion()
    await refused(world, await world.ask(resigned(token, {}, changed(jti=jti)(parts(token)[1]))))


async def test_13_of_fifty_at_once_exactly_one_wins(world: World) -> None:
    token = world.assertion()
    answers = await asyncio.gather(*(world.ask(token) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 49


@pytest.mark.parametrize("broken", [OSError("disk"), Unavailable("store-unavailable"), RuntimeError("999990019")])
async def test_14_no_replay_store_no_token(world: World, broken: Exception) -> None:
    token = world.assertion()
    world.replay.broken = broken
    response = await world.ask(token)
    await refused(world, response, "temporarily_unavailable", 503)
    assert response.headers["retry-after"] == "5"
    world.replay.broken = None
    await granted(await world.ask(token))


async def test_15_one_client_cannot_spend_the_ids_of_another(world: World) -> None:
    await granted(await world.ask(world.assertion("other", OTHER_PRIVATE, jti="shared")))
    await granted(await world.ask(world.assertion(jti="shared")))
    await refused(world, await world.ask(world.assertion(jti="shared")))


async def test_15_an_unproven_assertion_spends_nothing(world: World) -> None:
    await refused(world, await world.ask(world.assertion(key=OTHER_PRIVATE, jti="mine")))
    assert world.replay.seen == set()
    await granted(await world.ask(world.assertion(jti="mine")))


async def test_16_subject_issuer_and_client_id_are_one(world: World) -> None:
    await refused(world, await world.ask(world.assertion(sub="other")))
    await refused(world, await world.ask(world.assertion(iss="other")))
    await refused(world, await world.ask(client_id="other"))
    await granted(await world.ask(client_id="post"))


async def test_16_clients_of_the_store_count_until_they_are_disabled(world: World) -> None:
    await refused(world, await world.ask(world.assertion("late")))
    row = world.settings.clients[0]
    world.clients.rows["late"] = type(row)(
        id="late",
        organization=row.organization,
        jwks=row.jwks,
        scopes=row.scopes,
        roles=row.roles,
        purposes=row.purposes,
    )
    await granted(await world.ask(world.assertion("late")))
    del world.clients.rows["late"]
    await refused(world, await world.ask(world.assertion("late")))
    world.clients.broken = OSError("999990019")
    await refused(world, await world.ask(world.assertion("late")), "temporarily_unavailable", 503)


async def test_17_rotated_client_keys(tmp_path: Path) -> None:
    published, asked = [PUBLIC], 0

    async def fetch(_: str) -> bytes:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return json.dumps({"keys": published}).encode()

    world = World(tmp_path, client_row(jwks=None, jwks_uri="https://post.example/jwks"), fetch=fetch)
    await asyncio.gather(*(world.ask() for _ in range(5)))
    assert asked == 1, "one request at a time, then from memory"
    published[:] = [OTHER_PUBLIC]
    await refused(world, await world.ask(world.assertion(key=OTHER_PRIVATE)))
    assert asked == 1, "an unknown key id is looked up again, but not at once"
    world.clock.pass_(seconds=61)
    await granted(await world.ask(world.assertion(key=OTHER_PRIVATE)))
    assert asked == 2
    await refused(world, await world.ask())
    assert asked == 2
    published[:] = []
    world.clock.pass_(seconds=901)
    await refused(world, await world.ask(world.assertion(key=OTHER_PRIVATE)))
    assert asked == 3


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{", b'{"keys": []}', b'{"keys":[' + b" " * 70000 + b"]}", OSError("down")]
)
async def test_17_an_address_that_gives_no_keys_costs_its_own_client(tmp_path: Path, answer: bytes | Exception) -> None:
    async def fetch(_: str) -> bytes:
        if isinstance(answer, Exception):
            raise answer
        return answer

    world = World(
        tmp_path, client_row(jwks=None, jwks_uri="https://post.example/jwks"), client_row("other"), fetch=fetch
    )
    await refused(world, await world.ask())
    await granted(await world.ask(world.assertion("other")))


async def test_25_a_token_needs_a_whole_and_single_form(world: World) -> None:
    pairs = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ]
    for doubled in ("grant_type", "client_assertion_type", "client_assertion", "scope", "client_id"):
        form = [*pairs, ("client_assertion", world.assertion()), ("scope", "system/*.rs"), ("client_id", "post")]
        form.append((doubled, dict(form)[doubled]))
        text = urlencode(form)
        headers = {"content-type": "application/x-www-form-urlencoded"}
        await refused(world, await world.post(content=text, headers=headers), "invalid_request", 400)
    await refused(world, await world.ask(grant_type="password"), "unsupported_grant_type", 400)
    await refused(world, await world.ask(grant_type="-"), "invalid_request", 400)
    await refused(world, await world.ask(client_assertion_type="-"))
    await refused(world, await world.ask(client_assertion="-"), "invalid_request", 400)
    await refused(world, await world.post(json={"grant_type": "client_credentials"}), "invalid_request", 400)
    await refused(world, await world.post(), "invalid_request", 400)
    for content in (b"\xff=1", b"a=%ff", b"a", b"&".join(b"a%d=1" % n for n in range(30))):
        response = await world.post(content=content, headers={"content-type": "application/x-www-form-urlencoded"})
        await refused(world, response, "invalid_request", 400)


@pytest.mark.parametrize(
    "text", ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "é.é.é", "e30.e30.e30", "x" * 8193, "eyJ9.e30.AA"]
)
async def test_malformed_assertions(world: World, text: str) -> None:
    response = await world.ask(text)
    assert response.status_code in {400, 401}
    assert "Traceback" not in response.text


async def test_duplicate_names_and_spellings_of_base64_are_refused(world: World) -> None:
    token = world.assertion()
    claims = json.dumps(parts(token)[1])
    await refused(world, await world.ask(resigned(token, {}, claims[:-1] + ', "sub": "other"}')))
    await refused(world, await world.ask(token + "=="))
    await refused(world, await world.ask(token + "A"))


async def test_27_scopes_are_the_intersection(world: World) -> None:
    response = await world.ask(scope="system/Patient.rs system/Patient.cruds system/*.read openid unknown/x")
    assert set(response.json()["scope"].split()) == {"system/Patient.rs", "system/*.read"}
    response = await world.ask()
    assert response.json()["scope"] == "system/*.rs user/*.cruds"
    for scope in ("patient/*.rs", "system/Patient.c", "openid", "system/Patient.sr", "*", "system/*.rs?x"):
        await refused(world, await world.ask(scope=scope), "invalid_scope", 400)


async def test_27_a_token_that_could_not_be_sent_back_is_not_issued(world: World) -> None:
    many = " ".join(f"system/Patient.rs?category=a{number}" for number in range(101))
    await refused(world, await world.ask(scope=many), "invalid_request", 400)
    long = " ".join(f"system/Patient.rs?category={'a' * 400}{number}" for number in range(20))
    body = await refused(world, await world.ask(scope=long), "invalid_request", 400)
    assert "ask fewer scopes" in body["error_description"]
    await granted(await world.ask(scope=long[:400]))


async def test_29_credentials_elsewhere_do_not_count(world: World) -> None:
    response = await world.post(headers={"authorization": "Basic cG9zdDp4"}, data={"grant_type": "client_credentials"})
    await refused(world, response)


async def test_30_no_answer_or_record_holds_keys_or_persons(world: World) -> None:
    bsn = "999990019"
    secret = {"subject_id": f"http://fhir.nl/fhir/NamingSystem/bsn|{bsn}"}
    for response in [
        await world.ask(world.assertion(who={**PHYSICIAN, **secret})),
        await world.ask(world.assertion(who={**PHYSICIAN, "subject_role": bsn})),
        await world.ask(world.assertion(who={**PHYSICIAN, "purpose_of_use": [bsn]})),
        await world.ask(world.assertion(who={**PHYSICIAN, "organization_id": bsn})),
        await world.ask(world.assertion(who={**PHYSICIAN, "case": f"{bsn}|"})),
        await world.ask(world.assertion(bsn, iss=bsn)),
        await world.ask(world.assertion(aud=bsn)),
        await world.ask(scope=bsn),
        await world.ask(grant_type=bsn),
        await world.ask(client_id=bsn),
        await world.ask(resigned(world.assertion(), {"alg": bsn})),
        await world.ask(resigned(world.assertion(), {"kid": bsn})),
    ]:
        assert response.status_code >= 400
        assert bsn not in response.text
    answer = (await world.ask()).json()
    printed = (
        repr([row for row, _, _ in world.recorded])
        + repr(world.tokens)
        + repr(world.ring)
        + repr(jose.parse(world.assertion()))
    )
    assert bsn not in printed
    assert answer["access_token"] not in printed
    assert PRIVATE["d"] not in printed


async def test_no_record_no_token(world: World) -> None:
    world.log_broken = True
    response = await world.ask()
    assert response.status_code == 503
    assert "access_token" not in response.text
    assert response.json()["error"] == "temporarily_unavailable"
    world.log_broken = False
    await granted(await world.ask())
    outcome, peer, _ = world.recorded[-1]
    assert (outcome.client, outcome.error, peer) == ("post", "", "127.0.0.1")
    assert outcome.caller is not None


async def test_the_client_side_asks_and_reads_the_refusal(world: World) -> None:
    now = world.clock.time.timestamp
    answer = await client_side.fetch_token(
        ENDPOINT, "post", PRIVATE, now=now, scope="system/*.rs", who=PHYSICIAN, transport=world.transport
    )
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 900, "system/*.rs")
    with pytest.raises(
        Exception, match="refused: invalid_client: client authentication failed: no client is registered"
    ) as caught:
        await client_side.fetch_token(ENDPOINT, "nobody", PRIVATE, now=now, transport=world.transport)
    assert getattr(caught.value, "exit_code", 0) == 1


async def test_metadata_names_what_is_there(world: World) -> None:
    metadata = (await world.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["issuer"] == BASE
    assert metadata["token_endpoint"] == ENDPOINT
    response = await world.get(metadata["jwks_uri"].removeprefix(BASE))
    assert response.headers["content-type"] == "application/jwk-set+json"
    access = await granted(await world.ask())
    keys = jose.public_keys(response.json())
    claims = jose.verify(access, keys, algorithms=["ES256"], types=["at+jwt"])
    assert claims["iss"] == BASE
    assert claims["aud"] == BASE + "/fhir"


async def test_the_client_side_says_when_nobody_answers(world: World) -> None:
    def answers(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=b"<html>")

    def fails(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    for reply in (answers, fails):
        with pytest.raises(StartError, match="gave no token") as caught:
            await client_side.fetch_token(
                ENDPOINT, "post", PRIVATE, now=lambda: NOW, transport=httpx2.MockTransport(reply)
            )
        assert caught.value.exit_code == 3


async def test_a_client_of_the_store_with_unusable_keys(world: World) -> None:
    row = world.settings.clients[0]
    world.clients.rows["late"] = type(row)(id="late", organization=row.organization, jwks={"keys": []})
    body = await refused(world, await world.ask(world.assertion("late")))
    assert "no usable key is registered" in body["error_description"]


async def test_a_gateway_without_tokens_gives_none(world: World) -> None:
    form = urlencode({"grant_type": "client_credentials"}).encode()
    answer = await endpoint.token(form, endpoint.FORM, replace(world.ports, tokens=None), world.client_keys)
    assert (answer.status, answer.error, answer.body["error"]) == (500, "internal", "server_error")


async def test_smart_configuration_names_what_the_specification_asks(world: World) -> None:
    found = discovery.smart_configuration(world.settings)
    assert found["token_endpoint"] == ENDPOINT
    assert set(found["token_endpoint_auth_signing_alg_values_supported"]) >= set(ALGORITHMS)
    assert "client-confidential-asymmetric" in found["capabilities"]
    assert found["code_challenge_methods_supported"] == ["S256"]


async def test_bounds_of_the_request_itself(world: World) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    await refused(world, await world.post(content=b"a=" + b"b" * 20000, headers=form), "invalid_request", 413)
    twice = [*form.items(), ("authorization", "a"), ("authorization", "b")]
    await refused(world, await world.post(content=b"a=b", headers=twice), "invalid_request", 400)
    response = await world.post(content=b"a=b", headers={**form, "x-request-id": "from-the-client"})
    assert response.headers["x-request-id"] == world.recorded[-1][2] == "from-the-client"
    response = await world.post(content=b"a=b", headers={**form, "x-request-id": "999990019"})
    assert response.headers["x-request-id"] == world.recorded[-1][2] != "999990019"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_defect_inside_gives_no_token_and_a_record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr("gateway.oauth.claims.caller", broken)
    await refused(world, await world.ask(), "server_error", 500)
