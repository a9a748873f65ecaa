"""Who and why: from the assertion, else the single registered value, never beyond the registration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import policy
from gateway.authentication import authenticate
from gateway.errors import GatewayError, StartError
from gateway.model import Caller
from gateway.oauth.claims import caller
from gateway.settings import ClientTable
from tests.gateway.oauth.world import HOSPITAL, NOW, PHYSICIAN, POST, PUBLIC, World, client_row, region, request_with

Json = dict[str, Any]
SETTINGS = region(client_row())
POLICY = policy.build(SETTINGS)


def client(**facts: Any) -> ClientTable:
    row = client_row(**facts)
    return region(row).clients[0]


def made(said: Json | None, **facts: Any) -> Caller:
    claims: Json = {} if said is None else {"extensions": {"hl7-b2b": said}}
    return caller(claims, client(**facts), POLICY, frozenset({"system/*.rs"}))


def test_a_physician_named_in_full() -> None:
    found = made({**PHYSICIAN, "organization_id": POST, "case": "Task/abc-1", "responsible": "uzi|2", "version": "1"})
    requester = found.requester
    assert (requester.client, requester.organization, requester.facility_type) == ("post", POST, "N6")
    assert (requester.role, requester.person, requester.assurance) == ("01.015", PHYSICIAN["subject_id"], "high")
    assert (found.purpose, found.case, found.responsible) == ("behandeling", "abc-1", "uzi|2")
    assert (found.organization_name, found.person_name, requester.system) == (
        "Huisartsenpost Oost",
        "A. de Vries",
        False,
    )


def test_what_is_not_said_is_the_single_registered_value() -> None:
    spellings: tuple[Json | None, ...] = (
        None,
        {},
        {"subject_id": "", "subject_role": "", "purpose_of_use": [], "organization_id": None},
    )
    for said in spellings:
        found = made(said)
        assert (found.requester.organization, found.requester.role, found.purpose) == (POST, "01.015", "behandeling")
        assert found.requester.person is None
        assert found.requester.assurance is None


@pytest.mark.parametrize(
    "spelling",
    [
        POST,
        "1",
        f"http://fhir.nl/fhir/NamingSystem/ura|{POST}",
        f"urn:oid:2.16.528.1.1007.3.3.{POST}",
        f"urn:oid:2.16.528.1.1007.3.3|{POST}",
    ],
)
def test_spellings_of_an_organization(spelling: str) -> None:
    assert made({"organization_id": spelling}).requester.organization == POST


@pytest.mark.parametrize(
    "spelling",
    [
        "TREAT",
        "behandeling",
        "http://terminology.hl7.org/CodeSystem/v3-ActReason|TREAT",
        "urn:oid:2.16.840.1.113883.5.8#TREAT",
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"},
    ],
)
def test_spellings_of_a_purpose(spelling: object) -> None:
    assert made({"purpose_of_use": [spelling]}).purpose == "behandeling"
    assert made({"purpose_of_use": spelling}).purpose == "behandeling"
    assert made({"purpose_of_use": [spelling, "TREAT"]}).purpose == "behandeling"


@pytest.mark.parametrize(
    "spelling",
    [
        "01.015",
        "http://fhir.nl/fhir/NamingSystem/uzi-rolcode|01.015",
        ["01.015"],
        [{"system": "urn:oid:2.16.840.1.113883.2.4.15.111", "code": "01.015"}],
    ],
)
def test_spellings_of_a_role(spelling: object) -> None:
    assert made({"subject_role": spelling}).requester.role == "01.015"


@pytest.mark.parametrize(
    ("said", "facts", "text"),
    [
        ({"organization_id": HOSPITAL}, {}, "organization_id is not the URA"),
        ({"organization_id": "१२३४५६७८"}, {}, "organization_id is not the URA"),
        ({"subject_role": "30.000"}, {}, "subject_role is not registered"),
        ({"subject_role": ["01.015", "30.000"]}, {"roles": ["01.015", "30.000"]}, "one role at a time"),
        (
            {"subject_id": "u|1"},
            {"roles": ["01.015", "30.000"]},
            r"subject_role is missing and this client has 2 registered roles: put one in the client assertion",
        ),
        ({"subject_id": "u|1"}, {"roles": []}, "has 0 registered roles"),
        (
            {"purpose_of_use": ["COC"]},
            {},
            "purpose_of_use is not registered for this client; registered are: behandeling",
        ),
        ({"purpose_of_use": ["nonsense"]}, {}, "purpose_of_use is not registered"),
        ({"purpose_of_use": ["https://evil.example|TREAT"]}, {}, "purpose_of_use is not registered"),
        ({"purpose_of_use": ["HPAYMT"]}, {"purposes": ["HPAYMT", "behandeling"]}, "no agreement can open"),
        ({"purpose_of_use": ["TREAT", "HPAYMT"]}, {}, "no agreement can open"),
        ({"purpose_of_use": ["TREAT", "COC"]}, {"purposes": ["TREAT", "COC"]}, "has 2 values"),
        ({}, {"purposes": ["TREAT", "COC"]}, "purpose_of_use is missing and this client has 2 registered"),
        ({}, {"purposes": []}, "purpose_of_use is missing and this client has 0 registered"),
        ({"purpose_of_use": ["ETREAT"]}, {"purposes": ["spoed"]}, "'spoed' is for persons: put subject_id"),
        ({"subject_id": "u|1"}, {"person": "system"}, "names nobody"),
        ({"subject_id": "u|1"}, {"person": "none"}, "names nobody"),
        ({"subject_id": "http://fhir.nl/fhir/NamingSystem/bsn|999990019"}, {}, "not named by BSN"),
        ({"subject_id": ["u|1"]}, {}, "subject_id must be one printable text"),
        ({"subject_name": "a\nb"}, {}, "subject_name must be one printable text"),
        ({"subject_name": "x" * 201}, {}, "subject_name must be one printable text"),
        ({"loa": "highest"}, {}, "loa must be low, substantial or high"),
        ({"loa": 3}, {}, "loa must be one printable text"),
        ({"case": "../x"}, {}, "case must be the id of a Task"),
        ({"purpose_of_use": [1]}, {}, "codes as text or Coding"),
        ({"purpose_of_use": {"code": 1}}, {}, "not registered"),
    ],
)
def test_what_is_beyond_the_registration_is_refused_with_the_way_out(said: Json, facts: Json, text: str) -> None:
    with pytest.raises(GatewayError, match="oauth-claims") as caught:
        made(said, **facts)
    import re

    assert re.search(text, caught.value.text())
    assert caught.value.row.oauth == "invalid_request"


@pytest.mark.parametrize("extensions", [[], "x", 1, {"hl7-b2b": []}, {"hl7-b2b": "x"}])
def test_malformed_extensions(extensions: object) -> None:
    with pytest.raises(GatewayError, match="oauth-claims"):
        caller({"extensions": extensions}, client(), POLICY, frozenset())


def test_a_claimed_facility_type_counts_for_nothing() -> None:
    assert made({"facility_type": "V4", "organization_facility_type": "V4"}).requester.facility_type == "N6"


def test_a_system_needs_no_person_and_a_feed_no_purpose() -> None:
    found = made({}, person="system", roles=[])
    assert (found.requester.system, found.requester.role, found.purpose) == (True, None, "behandeling")
    assert made({}, person="none", roles=[], purposes=[]).purpose == ""


# --- access tokens ---------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def issued(world: World, caller_: Caller) -> bytes:
    return b"Bearer " + world.tokens.issue(caller_, NOW.timestamp())[0].encode()


def test_a_token_says_all_that_was_said_and_nothing_more(world: World) -> None:
    before = replace(made({**PHYSICIAN, "case": "abc", "responsible": "u|2"}), token_id="t1")
    after = world.tokens.caller(issued(world, before), NOW.timestamp())
    assert after == replace(before, expires=NOW.timestamp() + 900)
    system = replace(made({}, person="system", roles=[]), token_id="t2")
    assert world.tokens.caller(issued(world, system), NOW.timestamp()).requester == system.requester


@pytest.mark.parametrize(
    "change",
    [
        lambda header: b"",
        lambda header: header[7:],
        lambda header: b"Basic " + header[7:],
        lambda header: header + b", " + header,
        lambda header: header + b" ",
        lambda header: b"Bearer  " + header[7:],
        lambda header: b"Bearer ",
        lambda header: header[:-2],
        lambda header: header.replace(b".", b"..", 1),
        lambda header: b"Bearer " + b"x" * 9000,
        lambda header: b"Bearer \xff.\xff.\xff",
        lambda header: header[:-1] + (b"A" if header[-1:] != b"A" else b"B"),
        lambda header: b"DPoP " + header[7:],
    ],
)
def test_only_one_whole_bearer_token_is_accepted(world: World, change: Any) -> None:
    header = issued(world, made(PHYSICIAN))
    with pytest.raises(GatewayError) as caught:
        world.tokens.caller(change(header), NOW.timestamp())
    assert caught.value.row.status == 401
    assert world.tokens.caller(b"bearer " + header[7:], NOW.timestamp()).purpose == "behandeling"


def test_a_remembered_token_never_outlives_itself(world: World) -> None:
    header = issued(world, made(PHYSICIAN))
    now = NOW.timestamp()
    assert world.tokens.caller(header, now) is world.tokens.caller(header, now + 899)
    with pytest.raises(GatewayError, match="token-invalid") as caught:
        world.tokens.caller(header, now + 900)
    assert "expired" in caught.value.text()


def test_rotation_keeps_tokens_and_removal_of_a_key_ends_them(world: World, tmp_path: Path) -> None:
    now = NOW.timestamp()
    old = issued(world, made(PHYSICIAN))
    world.tokens.caller(old, now)
    world.ring.rotate("token", NOW)
    new = issued(world, made(PHYSICIAN))
    assert world.tokens.caller(old, now).purpose == world.tokens.caller(new, now).purpose == "behandeling"
    (tmp_path / "keys" / "token-1.json").unlink()
    world.ring.refresh()
    with pytest.raises(GatewayError, match="token-invalid"):
        world.tokens.caller(old, now)
    assert world.tokens.caller(new, now).purpose == "behandeling"


def test_tokens_of_another_gateway_are_refused(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    with pytest.raises(GatewayError, match="token-invalid"):
        world.tokens.caller(issued(other, made(PHYSICIAN)), NOW.timestamp())
    claims = {
        "iss": "http://gateway.test",
        "sub": "post",
        "client_id": "post",
        "aud": "http://gateway.test/fhir",
        "iat": NOW.timestamp(),
        "exp": NOW.timestamp() + 60,
        "jti": "a",
        "scope": "",
        "extensions": {"ihe_iua": {"organization_id": POST}},
    }
    good = world.ring.sign_jwt(claims, typ="at+jwt")
    assert world.tokens.caller(b"Bearer " + good.encode(), NOW.timestamp()).requester.organization == POST
    for change in (
        {"iss": "http://gateway.test/"},
        {"aud": ["http://gateway.test/fhir"]},
        {"aud": "http://gateway.test"},
        {"exp": "soon"},
        {"exp": None},
        {"iat": NOW.timestamp() + 60},
        {"sub": "other"},
        {"jti": ""},
    ):
        bad = world.ring.sign_jwt(claims | change, typ="at+jwt")
        with pytest.raises(GatewayError, match="token-invalid"):
            world.tokens.caller(b"Bearer " + bad.encode(), NOW.timestamp())


def test_the_facility_type_follows_the_policy(world: World) -> None:
    header = issued(world, made(PHYSICIAN))
    assert world.tokens.caller(header, NOW.timestamp()).requester.facility_type == "N6"
    world.tokens.adopt(policy.Policy(revision="2"))
    assert world.tokens.caller(header, NOW.timestamp()).requester.facility_type == ""


def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.oauth.tokens.MAXIMUM_REMEMBERED", 3)
    headers = [issued(world, replace(made(PHYSICIAN), token_id=str(number))) for number in range(5)]
    for header in headers:
        world.tokens.caller(header, NOW.timestamp())
    assert list(world.tokens._proven) == headers[2:]


@pytest.mark.anyio
async def test_authentication_is_closed_without_tokens(world: World) -> None:
    header = issued(world, made(PHYSICIAN))
    asked = request_with(header)
    assert (await authenticate(asked, world.ports)).requester.client == "post"
    with pytest.raises(GatewayError, match="token-missing"):
        await authenticate(request_with(b""), world.ports)
    with pytest.raises(GatewayError, match="internal"):
        await authenticate(asked, replace(world.ports, tokens=None))


# --- registrations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"jwks": None}, "exactly one of jwks, jwks_file, jwks_uri"),
        ({"jwks_file": "x.json"}, "exactly one of jwks, jwks_file, jwks_uri"),
        ({"jwks": None, "jwks_file": "x.json"}, "jwks_file x.json: cannot be read"),
        ({"jwks": None, "jwks_uri": "http://post.example/jwks"}, "must be an https URL"),
        ({"jwks": {"keys": []}}, "1 to 32 keys"),
        ({"jwks": {"keys": [PUBLIC, PUBLIC]}}, "same 'kid'"),
        ({"jwks": {"keys": [{**PUBLIC, "d": "AAAA"}]}}, "only public keys may be registered"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}, "only public keys may be registered"),
        ({"jwks": {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}}, "2048 to 8192 bits"),
        ({"jwks": {"keys": [{**PUBLIC, "x": "AAAA"}]}}, "not a usable JWK"),
        ({"jwks": {"keys": [{**PUBLIC, "use": "enc"}]}}, "no key to verify signatures"),
    ],
)
def test_unusable_registrations_stop_the_start(tmp_path: Path, facts: Json, text: str) -> None:
    with pytest.raises(Exception, match=text) as caught:
        World(tmp_path, client_row(**facts))
    assert getattr(caught.value, "exit_code", 0) == 1
    assert "post" in str(caught.value)
    assert PUBLIC["x"] not in str(caught.value)


def test_keys_in_a_file_are_read_at_start(tmp_path: Path) -> None:
    import json

    (tmp_path / "one.json").write_text(json.dumps(PUBLIC))
    (tmp_path / "set.json").write_text(json.dumps({"keys": [PUBLIC]}))
    World(tmp_path, client_row(jwks=None, jwks_file="one.json"), client_row("b", jwks=None, jwks_file="set.json"))


# --- dialects --------------------------------------------------------------------------------------

SAID: dict[str, Json] = {
    "ihe-iua": {"extensions": {"ihe_iua": {**PHYSICIAN, "subject_organization_id": POST}}},
    "knooppunt": {
        "user_id": PHYSICIAN["subject_id"], "user_initials": "A.", "user_surname_prefix": "de", "user_surname": "Vries",
        "user_role": "01.015", "organization_ura": POST, "purpose_of_use": ["TREAT"], "loa": "high",
    },
    "360": {
        "employee_identifier": PHYSICIAN["subject_id"], "employee_name": "A. de Vries", "employee_role": "01.015",
        "organization_ura": POST, "purpose_of_use": ["TREAT"], "loa": "high",
    },
}  # fmt: skip


@pytest.mark.parametrize("dialect", SAID)
def test_each_dialect_names_the_same_caller(dialect: str) -> None:
    settings_ = region(client_row(claims=dialect))
    built = policy.build(settings_)
    spoken = caller(SAID[dialect], built.clients["post"], built, frozenset({"user/*.rs"}))
    plain = policy.build(region(client_row()))
    usual: Json = {"extensions": {"hl7-b2b": PHYSICIAN}}
    assert spoken == caller(usual, plain.clients["post"], plain, frozenset({"user/*.rs"}))


def test_a_name_of_another_dialect_says_nothing() -> None:
    built = policy.build(region(client_row(claims="knooppunt")))
    said = {**SAID["knooppunt"], "subject_role": "01.041", "organization_id": HOSPITAL}
    assert caller(said, built.clients["post"], built, frozenset()).requester.role == "01.015"
    with pytest.raises(GatewayError) as refused:
        caller({**SAID["knooppunt"], "user_role": "01.041"}, built.clients["post"], built, frozenset())
    assert "user_role is not registered" in refused.value.text()


def test_an_unknown_dialect_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="claims: 'saml'"):
        World(tmp_path, client_row(claims="saml"))
