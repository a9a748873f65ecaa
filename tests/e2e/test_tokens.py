"""Tokens for registered clients: a client written from the specification, and `gateway token`, against the running demo."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
import tomli_w
from joserfc.jwk import ECKey

from tests.e2e.integrator import WHO, Integrator, integrator
from tests.e2e.running import Demo, code, command, here

pytestmark = [pytest.mark.slow, pytest.mark.network]

Json = dict[str, Any]


@pytest.fixture
def physician(demo: Demo) -> Integrator:
    return integrator(demo.said, "demo-physician", demo.http)


def claims(token: str) -> Json:
    payload = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def refused(answer: httpx2.Response, status: int, error: str) -> str:
    """What RFC 6749 section 5.2 asks of a refusal; gives its description."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["error"] == error
    assert "access_token" not in answer.json()
    return str(answer.json()["error_description"])


def test_the_discovery_document(demo: Demo) -> None:
    found = demo.http.get(f"{demo.base}/.well-known/smart-configuration").json()
    assert found["token_endpoint"].startswith(demo.root)
    assert "client_credentials" in found["grant_types_supported"]
    assert found["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert {"RS384", "ES384"} <= set(found["token_endpoint_auth_signing_alg_values_supported"])
    assert {"client-confidential-asymmetric", "permission-v2"} <= set(found["capabilities"])
    keys = demo.http.get(found["jwks_uri"]).json()["keys"]
    assert keys
    assert not any("d" in key for key in keys)
    metadata = demo.http.get(f"{demo.root}/.well-known/oauth-authorization-server").json()
    assert (metadata["issuer"], metadata["token_endpoint"]) == (found["issuer"], found["token_endpoint"])


@pytest.mark.parametrize("id_", sorted(WHO))
def test_every_client_gets_a_token_that_says_who_asks_and_why(demo: Demo, id_: str) -> None:
    answer = integrator(demo.said, id_, demo.http).ask(demo.http)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"].lower(), body["expires_in"]) == ("bearer", 8 * 3600)
    assert body["scope"]
    assert answer.headers["cache-control"] == "no-store"
    said = claims(body["access_token"])
    assert (said["client_id"], said["aud"], said["iss"]) == (id_, demo.base, demo.root)
    iua = said["extensions"]["ihe_iua"]
    assert len(iua["organization_id"]) == 8
    assert iua.get("subject_id", "") == WHO[id_].get("subject_id", "")
    assert len(iua["purpose_of_use"]) == 1


def test_the_signature_can_be_checked_with_the_published_keys(demo: Demo, physician: Integrator) -> None:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(demo.http.get(f"{demo.root}/oauth/jwks").json())
    read = jwt.decode(physician.token(demo.http), keys, algorithms=["ES256", "ES384", "RS384", "PS256"])
    assert read.header["typ"] == "at+jwt"
    assert read.claims["client_id"] == "demo-physician"


def test_the_token_opens_the_summary(demo: Demo, physician: Integrator) -> None:
    assert demo.summary(demo.person("a 15-year-old"), physician.token(demo.http)).status_code == 200


def test_a_scope_narrows(demo: Demo, physician: Integrator) -> None:
    answer = physician.ask(demo.http, scope="system/AllergyIntolerance.rs system/Patient.rs")
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    assert set(answer.json()["scope"].split()) == {"system/AllergyIntolerance.rs", "system/Patient.rs"}
    person = demo.person("a 15-year-old")
    form = {"patient.identifier": f"{person['identifier']['system']}|{person['identifier']['value']}"}
    assert demo.search("AllergyIntolerance", form, token).status_code == 200
    wider = demo.search("Condition", form, token)
    assert (wider.status_code, code(wider)) == (403, "scope-insufficient")
    refused(physician.ask(demo.http, scope="system/Task.c"), 400, "invalid_scope")


NOW = int(time.time())


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"aud": "https://elsewhere.example/oauth/token"}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": NOW - 30, "iat": NOW - 90}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": NOW + 100_000}, "exp"),
        ({"iat": NOW + 3600, "exp": NOW + 3700}, "exp"),
        ({"jti": None}, "jti"),
        ({"sub": "demo-auditor"}, "sub"),
        ({"iss": "nobody", "sub": "nobody"}, "client id"),
        ({"iss": "demo-auditor", "sub": "demo-auditor"}, "key"),
    ],
)
def test_an_assertion_that_proves_nothing_is_401_and_says_what_to_mend(
    demo: Demo, physician: Integrator, changes: Json, hint: str
) -> None:
    answer = physician.ask(demo.http, physician.assertion(**changes))
    assert hint in refused(answer, 401, "invalid_client")


def test_the_audience_is_one_text(demo: Demo, physician: Integrator) -> None:
    assertion = physician.assertion(aud=[physician.token_endpoint, "https://elsewhere.example"])
    assert "one text" in refused(physician.ask(demo.http, assertion), 401, "invalid_client")


def test_an_assertion_works_once(demo: Demo, physician: Integrator) -> None:
    assertion = physician.assertion()
    assert physician.ask(demo.http, assertion).status_code == 200
    assert "jti" in refused(physician.ask(demo.http, assertion), 401, "invalid_client")
    again = physician.assertion(jti=json.loads(base64.urlsafe_b64decode(assertion.split(".")[1] + "=="))["jti"])
    assert "jti" in refused(physician.ask(demo.http, again), 401, "invalid_client")


def test_another_key_is_not_this_client(demo: Demo, physician: Integrator, tmp_path: Path) -> None:
    other = ECKey.generate_key("P-384").as_dict(private=True) | {
        "kid": json.loads(physician.key_file.read_text())["kid"]
    }
    file = tmp_path / "other.json"
    file.write_text(json.dumps(other))
    forged = Integrator("demo-physician", file, physician.token_endpoint)
    refused(forged.ask(demo.http), 401, "invalid_client")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"client_assertion_type": "basic"}, 401, "invalid_client"),
        ({"client_assertion": "not.a.jwt"}, 401, "invalid_client"),
        ({"client_id": "demo-auditor"}, 401, "invalid_client"),
    ],
)
def test_a_wrong_form(demo: Demo, physician: Integrator, form: dict[str, str], status: int, error: str) -> None:
    refused(physician.ask(demo.http, **form), status, error)


@pytest.mark.parametrize(
    ("without", "words"),
    [
        ("purpose_of_use", "purpose_of_use"),  # three are registered: it must be said
    ],
)
def test_what_is_missing_is_named(demo: Demo, physician: Integrator, without: str, words: str) -> None:
    who = {name: value for name, value in WHO["demo-physician"].items() if name != without}
    assert words in refused(physician.ask(demo.http, physician.assertion(who)), 400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"purpose_of_use": ["HOPERAT"]}, "no agreement"),
        ({"purpose_of_use": ["COC"]}, "not registered"),
        ({"purpose_of_use": ["TREAT", "ETREAT"]}, "one token a purpose"),
        ({"subject_role": "zorgcoordinator"}, "subject_role"),
        ({"organization_id": "90000601"}, "organization_id"),
        ({"loa": "very"}, "loa"),
        ({"subject_id": "http://fhir.nl/fhir/NamingSystem/bsn|999990019"}, "subject_id"),
    ],
)
def test_who_and_why_are_what_is_registered(demo: Demo, physician: Integrator, changes: Json, words: str) -> None:
    answer = physician.ask(demo.http, physician.assertion(WHO["demo-physician"] | changes))
    description = refused(answer, 400, "invalid_request")
    assert words in description
    assert "999990019" not in description


def test_a_single_registered_value_need_not_be_said(demo: Demo) -> None:
    coordinator = integrator(demo.said, "demo-coordinator", demo.http)
    answer = coordinator.ask(demo.http, coordinator.assertion({"subject_id": "900009021", "loa": "substantial"}))
    said = claims(answer.json()["access_token"])["extensions"]["ihe_iua"]
    assert (said["subject_role"], said["purpose_of_use"]) == ("zorgcoordinator", ["triage-coordinatie"])


def test_without_a_person_or_assurance_there_is_no_patient_data(demo: Demo, physician: Integrator) -> None:
    person = demo.person("a 15-year-old")
    low = demo.summary(person, physician.token(demo.http, WHO["demo-physician"] | {"loa": "low"}))
    assert (low.status_code, code(low)) == (403, "assurance-insufficient")
    nobody = physician.ask(demo.http, physician.assertion({"purpose_of_use": ["TREAT"]}))
    if nobody.status_code == 200:
        answer = demo.summary(person, nobody.json()["access_token"])
        assert (answer.status_code, code(answer)) == (403, "person-required")
    else:
        refused(nobody, 400, "invalid_request")


def test_a_case_in_the_token(demo: Demo) -> None:
    """A coordinator names the case in the assertion; without one, or with one that is not there, there is nothing."""
    coordinator = integrator(demo.said, "demo-coordinator", demo.http)
    person = demo.person("objection to one category")
    missing = demo.summary(person, coordinator.token(demo.http))
    assert (missing.status_code, code(missing)) == (403, "case-required")
    invented = coordinator.token(demo.http, WHO["demo-coordinator"] | {"case": "case-000000000000000000000000"})
    answer = demo.summary(person, invented)
    assert answer.status_code == 403
    assert code(answer) in {"case-refused", "case-required"}
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": "https://roaz-gateway.example/fhir/CodeSystem/case-origin", "code": "caller"}]},
        "for": {"identifier": person["identifier"]},
        "reasonCode": {"text": "Belt zelf"},
        "requester": {"display": "Patiënt"},
    }
    case = demo.post("Task", task, "coordinator").json()["id"]
    named = coordinator.token(demo.http, WHO["demo-coordinator"] | {"case": case})
    assert demo.summary(person, named).status_code == 200
    other = demo.summary(demo.person("a baby"), named)
    assert other.status_code == 403
    assert code(other) in {"case-refused", "case-required"}


def test_gateway_token_against_the_running_demo(demo: Demo, tmp_path: Path) -> None:
    client = demo.client("demo-physician")
    config = tmp_path / "region.toml"
    tree = {
        "gateway": {"base": demo.root},
        "clients": [{"id": "demo-physician", "organization": "90000202", "key_file": client["key_file"]}],
    }
    config.write_text(tomli_w.dumps(tree))
    asked = (
        "token", "--config", str(config), "--client", "demo-physician", "--purpose", "TREAT", "--role", "01.071",
        "--person", "900009011",
    )  # fmt: skip
    ended = command(*asked, temporary=tmp_path)
    assert (ended.returncode, ended.stdout.count("\n")) == (0, 1), ended.stderr
    token = ended.stdout.strip()
    assert demo.summary(demo.person("a 15-year-old"), token).status_code == 200
    refused_ = here(*asked[:-4], "--purpose", "HOPERAT")
    assert (refused_.returncode, refused_.stdout) == (1, "")
    assert "purpose_of_use" in refused_.stderr
    assert "Traceback" not in refused_.stderr
    unknown = here("token", "--config", str(config), "--client", "nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "nobody" in unknown.stderr
