"""Tokens bound to a certificate or a key, and clients that prove themselves by certificate: attacks 19, 20, 21."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc.jws import JWSRegistry

from gateway.crypto import jose
from gateway.errors import StartError
from gateway.oauth.proof import NONCE_SECONDS, TYPE
from profiles import exact
from tests.fakes import NOON
from tests.gateway.oauth.world import BASE, ENDPOINT, NOW, POST, Json, client_row
from tests.gateway.oauth.world import World as Server
from tests.gateway.world import PHYSICIAN, SETTINGS, Reply, World, raw, run

pytestmark = pytest.mark.slow

PROXY = "127.0.0.1"  # the address the requests of these tests come from
KEY, OTHER_KEY = jose.new_key("ES256"), jose.new_key("ES256")
KINDS = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


# --- keys (DPoP) -------------------------------------------------------------------------------------


def segment(raw_: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw_).rstrip(b"=")


def digest(token: str) -> str:
    return segment(hashlib.sha256(token.encode()).digest()).decode()


def proof(
    method: str,
    url: str,
    now: datetime,
    token: str = "",
    key: jose.Key = KEY,
    header: Json | None = None,
    **claims: Any,
) -> str:
    """A proof of possession, valid unless a claim says otherwise; a claim of None is left out."""
    said: Json = {"htm": method, "htu": url, "iat": int(now.timestamp()), "jti": secrets.token_urlsafe(16)}
    if token:
        said["ath"] = digest(token)
    said = {name: value for name, value in (said | claims).items() if value is not None}
    public = key.as_dict(private=False)
    head = {"typ": TYPE, "alg": "ES256", "jwk": public} | (header or {})
    return _signed({name: value for name, value in head.items() if value is not None}, said, key)


def _signed(header: Json, claims: Json, key: jose.Key) -> str:
    signed = b".".join(segment(exact.encode(one)) for one in (header, claims))
    return (signed + b"." + segment(JWSRegistry.algorithms["ES256"].sign(signed, key))).decode()


def bound_token(world: World, to: str = "", **facts: Any) -> str:
    return world.token(
        replace(PHYSICIAN, bound=to or f"jkt:{KEY.thumbprint()}", token_id=secrets.token_hex(4), **facts)
    )


def with_proof(world: World, token: str, sent: str | None, scheme: str = "DPoP", method: str = "GET") -> Reply:
    headers = {"authorization": f"{scheme} {token}"} | ({"dpop": sent} if sent is not None else {})
    return world.request(method, f"Condition?patient={world.patient}", None, headers=headers)


URL = f"{BASE}/fhir/Condition"


@cache
def world() -> World:
    return World()


def test_019_a_bound_token_reads_with_a_fresh_proof() -> None:
    token = bound_token(world())
    assert with_proof(world(), token, proof("GET", URL, NOON, token)).items
    for spelled in (URL.replace("http://gateway.test", "HTTP://GATEWAY.test:80"), f"{BASE}/fhir/%43ondition"):
        assert with_proof(world(), token, proof("GET", spelled, NOON, token)).items


@pytest.mark.parametrize(
    ("deviation", "part"),
    [
        ({"htm": "POST"}, "htm"),
        ({"htm": "get"}, "htm"),
        ({"htm": None}, "htm"),
        ({"htu": f"{BASE}/fhir/Patient"}, "htu"),
        ({"htu": f"{URL}?patient=x"}, "htu"),
        ({"htu": f"{URL}#x"}, "htu"),
        ({"htu": URL.replace("http:", "https:")}, "htu"),
        ({"htu": URL.replace("gateway.test", "gateway.test.evil")}, "htu"),
        ({"htu": None}, "htu"),
        ({"ath": None}, "ath"),
        ({"ath": digest("another")}, "ath"),
        ({"iat": int(NOON.timestamp()) - 61}, "iat"),
        ({"iat": int(NOON.timestamp()) + 11}, "iat"),
        ({"iat": None}, "iat"),
        ({"iat": str(int(NOON.timestamp()))}, "iat"),
        ({"jti": None}, "jti"),
        ({"jti": "short"}, "jti"),
        ({"nonce": "guessed"}, "nonce"),
        ({"header": {"typ": "JWT"}}, "typ"),
        ({"header": {"typ": None}}, "typ"),
        ({"header": {"alg": "none"}}, "alg"),
        ({"header": {"alg": "HS256"}}, "alg"),
        ({"header": {"jwk": None}}, "key"),
        ({"header": {"jwk": KEY.as_dict(private=True)}}, "private"),
        ({"header": {"jwk": OTHER_KEY.as_dict(private=False)}}, "signature"),
        ({"header": {"jku": "https://evil.example/jwks"}}, "jku"),
        ({"header": {"crit": ["x"]}}, "crit"),
        ({"key": OTHER_KEY}, "another key"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_019_any_other_proof_proves_nothing(deviation: Json, part: str) -> None:
    token = bound_token(world())
    reply = with_proof(world(), token, proof("GET", URL, NOON, token, **deviation))
    assert reply.status == 401
    assert reply.code in {"proof-invalid", "proof-nonce"}
    assert reply.header("www-authenticate").startswith("DPoP ")
    text = reply.json["issue"][0]["details"]["text"]
    assert part in text or reply.code == "proof-nonce" or part == "another key", text


def test_019_a_proof_is_spent_once_and_by_its_own_key() -> None:
    token, jti = bound_token(world()), secrets.token_urlsafe(12)
    sent = proof("GET", URL, NOON, token, jti=jti)
    assert with_proof(world(), token, sent).status == 200
    assert with_proof(world(), token, sent).code == "proof-invalid"
    other = bound_token(world(), f"jkt:{OTHER_KEY.thumbprint()}")
    again = proof("GET", URL, NOON, other, key=OTHER_KEY, jti=jti)
    assert with_proof(world(), other, again).status == 200, "control: identifiers are of a key"


def test_021_a_stolen_token_is_worth_nothing_without_its_key() -> None:
    token, plain = bound_token(world()), world().token(PHYSICIAN)
    assert with_proof(world(), token, proof("GET", URL, NOON, token)).status == 200, "control"
    assert with_proof(world(), token, None, "Bearer").code == "token-invalid", "downgrade"
    assert with_proof(world(), token, proof("GET", URL, NOON, token), "Bearer").code == "token-invalid"
    assert with_proof(world(), token, None).status == 401
    assert with_proof(world(), plain, proof("GET", URL, NOON, plain)).code == "token-invalid", "a token of nobody's key"
    assert with_proof(world(), plain, None, "Bearer").status == 200, "control"


def test_019_a_proof_of_which_the_use_cannot_be_checked_is_none() -> None:
    closed = World()
    token = bound_token(closed)
    closed.ports.replay.broken = True  # type: ignore[attr-defined]
    assert with_proof(closed, token, proof("GET", URL, NOON, token)).status == 503


def test_019_nonces_are_asked_for_where_the_region_wants_them() -> None:
    strict = World(settings={"gateway": {**SETTINGS["gateway"], "dpop_nonce": True}})
    token = bound_token(strict)
    asked = with_proof(strict, token, proof("GET", URL, NOON, token))
    assert (asked.status, asked.code) == (401, "proof-nonce")
    assert 'error="use_dpop_nonce"' in asked.header("www-authenticate")
    nonce = asked.header("dpop-nonce")
    assert with_proof(strict, token, proof("GET", URL, NOON, token, nonce=nonce)).status == 200
    strict.clock.advance(timedelta(seconds=2 * NONCE_SECONDS))
    later = strict.clock.now()
    token = bound_token(strict)
    old = with_proof(strict, token, proof("GET", URL, later, token, nonce=nonce))
    assert old.code == "proof-nonce"
    assert old.header("dpop-nonce") != nonce


@pytest.mark.anyio
async def test_a_proof_at_the_token_endpoint_binds_the_token(tmp_path: Path) -> None:
    server = Server(tmp_path)
    answer = await server.post(data=form(server), headers={"dpop": proof("POST", ENDPOINT, NOW)})
    assert answer.json()["token_type"] == "DPoP"
    caller = server.tokens.caller(b"DPoP " + answer.json()["access_token"].encode(), NOW.timestamp())
    assert caller.bound == f"jkt:{KEY.thumbprint()}"
    told = await server.about("introspect", answer.json()["access_token"])
    assert (told.json()["cnf"], told.json()["token_type"]) == ({"jkt": KEY.thumbprint()}, "DPoP")
    wrong = await server.post(data=form(server), headers={"dpop": proof("GET", ENDPOINT, NOW)})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.anyio
async def test_who_is_registered_for_bound_tokens_gets_no_other(tmp_path: Path) -> None:
    server = Server(tmp_path, client_row(bound="dpop"), dpop_nonce=True)
    plain = await server.post(data=form(server))
    assert (plain.status_code, plain.json()["error"]) == (400, "invalid_dpop_proof")
    asked = await server.post(data=form(server), headers={"dpop": proof("POST", ENDPOINT, NOW)})
    assert (asked.status_code, asked.json()["error"]) == (400, "use_dpop_nonce")
    given = proof("POST", ENDPOINT, NOW, nonce=asked.headers["dpop-nonce"])
    assert (await server.post(data=form(server), headers={"dpop": given})).json()["token_type"] == "DPoP"


def form(server: Server) -> Json:
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"grant_type": "client_credentials", "client_assertion_type": kind, "client_assertion": server.assertion()}


# --- certificates --------------------------------------------------------------------------------------


@cache
def certificate(
    name: str = "post.example", days: tuple[int, int] = (-1000, 1000), kind: str = "client"
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(),
                                   NOW + timedelta(days[0]), NOW + timedelta(days[1]))  # fmt: skip
    if kind in KINDS:
        made = made.add_extension(x509.ExtendedKeyUsage([KINDS[kind]]), critical=False)
    return made.sign(key, hashes.SHA256())


def thumbprint(one: x509.Certificate) -> str:
    return segment(one.fingerprint(hashes.SHA256())).decode()


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.PEM)


def rfc9440(one: x509.Certificate) -> str:
    return f":{base64.b64encode(one.public_bytes(serialization.Encoding.DER)).decode()}:"


def behind(header: str = "client-cert", *proxies: str) -> World:
    more = {"trusted_proxies": list(proxies or (PROXY,)), "client_certificate_header": header}
    return World(settings={"gateway": {**SETTINGS["gateway"], **more}})


def shown(world: World, token: str, **headers: str) -> Reply:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.request(
        "GET", f"Condition?patient={world.patient}", None, headers={"authorization": f"Bearer {token}", **sent}
    )


WAYS: Final[dict[str, Callable[[x509.Certificate], str]]] = {
    "client-cert": rfc9440,
    "x-forwarded-client-cert": lambda one: (
        f'By=spiffe://x;Hash=00;Cert="evil",Hash=11;Cert="{quote(pem(one))}";Subject="CN=x"'
    ),
    "ssl-client-cert": lambda one: quote(pem(one)),
    "x-ssl-client-cert": lambda one: pem(one).decode().replace("\n", " ").strip(),
}


@pytest.mark.parametrize("header", WAYS)
def test_020_a_bound_token_goes_with_its_certificate_through_a_listed_proxy(header: str) -> None:
    world, mine, other = behind(header), certificate(), certificate("other.example")
    token = bound_token(world, f"x5t#S256:{thumbprint(mine)}")
    assert shown(world, token, **{header: WAYS[header](mine)}).items, "control"
    assert shown(world, token, **{header: WAYS[header](other)}).code == "token-invalid"
    assert shown(world, token).code == "token-invalid"
    for spoofed in WAYS.keys() - {header}:
        assert shown(world, token, **{spoofed: WAYS[spoofed](mine)}).code == "token-invalid", "another header"
    elsewhere = behind(header, "10.9.9.9")
    token = bound_token(elsewhere, f"x5t#S256:{thumbprint(mine)}")
    assert shown(elsewhere, token, **{header: WAYS[header](mine)}).code == "token-invalid", "not from a listed proxy"


@pytest.mark.parametrize(
    "wrong", [{"days": (-10, -1)}, {"days": (400, 500)}, {"kind": "server"}], ids=["expired", "not yet", "of a server"]
)
def test_020_a_certificate_that_does_not_count(wrong: Json) -> None:
    world, mine = behind(), certificate(**wrong)
    token = bound_token(world, f"x5t#S256:{thumbprint(mine)}")
    assert shown(world, token, client_cert=rfc9440(mine)).code == "token-invalid"


@pytest.mark.parametrize("value", ["", "x", ":AAAA:", "::", ":" + "A" * 20_000 + ":", '":AA:"'])
def test_020_what_is_no_certificate_is_none(value: str) -> None:
    world = behind()
    token = bound_token(world, f"x5t#S256:{thumbprint(certificate())}")
    assert shown(world, token, client_cert=value).status == 401
    assert shown(world, world.token(PHYSICIAN), client_cert=value).status == 200, "control: who needs none is not asked"


def test_020_two_headers_are_one_too_many() -> None:
    world, mine = behind(), certificate()
    token = bound_token(world, f"x5t#S256:{thumbprint(mine)}")
    one = (b"client-cert", rfc9440(mine).encode())
    for times, status in ((1, 200), (2, 400)):
        headers = [(b"host", b"gateway.test"), (b"authorization", f"Bearer {token}".encode()), *[one] * times]
        query = f"patient={world.patient}".encode()
        scope = {"path": "/fhir/Condition", "headers": headers, "query_string": query, "client": (PROXY, 1)}
        reply = run(raw(world.app, scope))
        assert reply is not None
        assert reply.status == status


def certified(tmp_path: Path, *proxies: str) -> Server:
    listed = list(proxies or (PROXY,))
    by_name = client_row(jwks=None, certificate_subject="CN=post.example,C=NL", person="system")
    by_print = client_row(
        "pinned",
        jwks=None,
        certificate_thumbprints=[thumbprint(certificate("pinned"))],
        person="system",
        bound="certificate",
    )
    return Server(tmp_path, by_name, by_print, trusted_proxies=listed, client_certificate_header="client-cert")


async def by_certificate(server: Server, one: x509.Certificate | None, client: str = "post") -> httpx2.Response:
    headers = {"client-cert": rfc9440(one)} if one is not None else {}
    return await server.post(data={"grant_type": "client_credentials", "client_id": client}, headers=headers)


@pytest.mark.anyio
async def test_a_client_proves_itself_by_its_certificate(tmp_path: Path) -> None:
    server = certified(tmp_path)
    for client, name in (("post", "post.example"), ("pinned", "pinned")):
        answer = await by_certificate(server, certificate(name), client)
        assert answer.status_code == 200, answer.text
        caller = server.tokens.caller(b"Bearer " + answer.json()["access_token"].encode(), NOW.timestamp())
        assert (caller.requester.client, caller.requester.organization) == (client, POST)
        assert caller.bound == (f"x5t#S256:{thumbprint(certificate('pinned'))}" if client == "pinned" else "")


@pytest.mark.anyio
async def test_020_no_other_certificate_is_this_client(tmp_path: Path) -> None:
    server = certified(tmp_path)
    refused = [
        await by_certificate(server, certificate("pinned")),  # of another client
        await by_certificate(server, certificate("post.example", (-10, -1))),
        await by_certificate(server, certificate("post.example", kind="server")),
        await by_certificate(server, certificate("post.example"), "nobody"),
        await by_certificate(server, certificate("stranger"), "pinned"),
        await by_certificate(server, None),
    ]
    assert [one.json()["error"] for one in refused[:5]] == ["invalid_client"] * 5
    assert refused[5].status_code == 401
    direct = certified(tmp_path / "direct", "10.9.9.9")
    assert (await by_certificate(direct, certificate())).status_code == 401, "not from a listed proxy"


@pytest.mark.anyio
async def test_discovery_tells_the_truth(tmp_path: Path) -> None:
    with_, without = certified(tmp_path), Server(tmp_path / "plain")
    for server, there in ((with_, True), (without, False)):
        said = (await server.get("/.well-known/oauth-authorization-server")).json()
        assert ("tls_client_auth" in said["token_endpoint_auth_methods_supported"]) is there
        assert said["tls_client_certificate_bound_access_tokens"] is there
        assert "ES256" in said["dpop_signing_alg_values_supported"]


def test_a_header_or_a_binding_nobody_knows_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="client_certificate_header: 'x-cert' is not known"):
        behind("x-cert")
    with pytest.raises(StartError, match="bound: 'mtls'"):
        Server(tmp_path, client_row(bound="mtls"))
