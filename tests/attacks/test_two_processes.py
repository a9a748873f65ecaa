"""Two serving processes on one PostgreSQL, over HTTP: what ends at one has ended at the other (attacks 12, 13, 22, 66, 67, 178)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from gateway.crypto.ring import KeyRing
from gateway.oauth import client as client_side
from gateway.storage import upgrade
from profiles import exact
from tests.contract.postgres import server
from tests.gateway.charts import BSN, BSN_SYSTEM, privacy
from tests.gateway.test_contracts import contract
from tests.gateway.test_writes import registration
from tests.gateway.world import GP, POST

Json = dict[str, Any]

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(240)]

GATEWAY: Final = str(Path(sys.executable).with_name("gateway"))
PRIVATE, PUBLIC = client_side.new_client_key("ES384")
MODEST: Final = 20
TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Pair:
    """Two processes of one gateway, and clients of two organizations."""

    ports: tuple[int, int]
    base: str
    tokens: dict[str, str] = field(default_factory=dict)

    def url(self, which: int, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[which]}/{path}"

    def assertion(self, client: str, **who: Any) -> str:
        now = datetime.now(UTC).timestamp()
        return client_side.assertion(client, PRIVATE, f"{self.base}/oauth/token", now=now, who=who or None)

    def oauth(self, which: int, what: str, client: str, assertion: str = "", **fields: str) -> httpx2.Response:
        form = {"client_assertion_type": TYPE, "client_assertion": assertion or self.assertion(client), **fields}
        return httpx2.post(self.url(which, f"oauth/{what}"), data=form, timeout=60)

    def token(self, client: str, **who: Any) -> str:
        said = {"subject_id": "uzi|1", "loa": "high", **who}
        answer = self.oauth(0, "token", client, self.assertion(client, **said), grant_type="client_credentials")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def fhir(
        self, which: int, method: str, path: str, token: str, body: Json | None = None, **headers: str
    ) -> httpx2.Response:
        sent = {"authorization": f"Bearer {token}", "content-type": "application/fhir+json", **headers}
        content = exact.encode(body) if body is not None else b""
        return httpx2.request(method, self.url(which, f"fhir/{path}"), content=content, headers=sent, timeout=60)

    def may_look(self, which: int, token: str) -> str:
        """What a preflight says at one of the processes."""
        identifier = {"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": BSN}}
        body = {"resourceType": "Parameters", "parameter": [identifier, {"name": "type", "valueCode": "Condition"}]}
        answer = self.fhir(which, "POST", "Patient/$can-access", token, body)
        if answer.status_code != 200:
            return str(answer.status_code)
        return str(next(one["valueCode"] for one in answer.json()["parameter"] if one["name"] == "outcome"))


def configuration(database: str, base: str) -> str:
    organizations = [(GP, "Huisarts", "Z3"), (POST, "Post", "N6")]
    clients = [
        ("post", POST, "01.015", "behandeling"),
        ("gp", GP, "01.015", "behandeling"),
        ("office", POST, "administrator", "beheer"),
        ("modest", POST, "01.015", "behandeling"),
    ]
    lines = ["[gateway]", f'base = "{base}"', "[database]", f'url = "{database}"']
    for ura, name, kind in organizations:
        lines += ["[[organizations]]", f'ura = "{ura}"', f'name = "{name}"', f'facility_type = "{kind}"']
    lines += ["[[agreements]]", 'id = "own"', f'requesters = ["{GP}"]', f'custodians = ["{GP}"]', 'purposes = ["behandeling"]',
              "start = 2020-01-01", "end = 2090-12-31"]  # fmt: skip
    for id_, ura, role, purpose in clients:
        lines += ["[[clients]]", f'id = "{id_}"', f'organization = "{ura}"', 'jwks_file = "client.jwks"',
                  'scopes = ["system/*.cruds"]', f'roles = ["{role}"]', f'purposes = ["{purpose}"]']  # fmt: skip
    return "\n".join([*lines, f"requests_per_minute = {MODEST}"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    ports = (free_port(), free_port())
    made = Pair(ports, f"http://127.0.0.1:{ports[0]}")
    with server() as running:
        database = running.new_database()
        upgrade(database)
        (directory / "region.toml").write_text(configuration(database, made.base), encoding="utf-8")
        (directory / "client.jwks").write_text(json.dumps({"keys": [PUBLIC]}), encoding="utf-8")
        KeyRing.create(directory / "keys", datetime.now(UTC))
        processes = [_serve(directory, port) for port in ports]
        try:
            for port in ports:
                _wait_for(port, directory / f"{port}.log")
            yield made
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(30)


def _serve(directory: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "GATEWAY__GATEWAY__LISTEN": f"127.0.0.1:{port}"}
    with (directory / f"{port}.log").open("wb") as log:
        return subprocess.Popen(
            [GATEWAY, "serve", "--config", str(directory / "region.toml")], stdout=log, stderr=log, env=environment
        )


def _wait_for(port: int, log: Path) -> None:
    latest = time.monotonic() + 60
    while True:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        assert time.monotonic() < latest, log.read_text(encoding="utf-8")[-2000:]
        time.sleep(0.2)


def test_012_013_an_assertion_counts_at_one_of_the_two(pair: Pair) -> None:
    assertion = pair.assertion("post", subject_id="uzi|1", loa="high")
    answers = [pair.oauth(which, "token", "post", assertion, grant_type="client_credentials") for which in (0, 1)]
    assert [one.status_code for one in answers] == [200, 401]


def test_022_a_token_revoked_at_one_is_refused_at_the_other_within_a_second(pair: Pair) -> None:
    token = pair.token("post")
    assert pair.fhir(1, "GET", "Task/none", token).status_code == 404, "control"
    assert pair.oauth(1, "introspect", "post", token=token).json()["active"] is True
    assert pair.oauth(0, "revoke", "post", token=token).status_code == 200
    time.sleep(1.0)
    assert pair.fhir(1, "GET", "Task/none", token).status_code == 401
    assert pair.fhir(0, "GET", "Task/none", token).status_code == 401
    assert pair.oauth(1, "introspect", "post", token=token).json() == {"active": False}


def test_a_quota_used_up_at_one_is_used_up_at_the_other(pair: Pair) -> None:
    token = pair.token("modest")
    statuses = [pair.fhir(0, "GET", "Task/none", token).status_code for _ in range(MODEST + 1)]
    assert statuses == [404] * MODEST + [429]
    let_through = 0
    while (answer := pair.fhir(1, "GET", "Task/none", token)).status_code == 404:
        let_through += 1
        time.sleep(0.25)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert let_through < MODEST, "the other process told what was used there"


def test_066_067_a_withdrawal_at_one_counts_at_the_other_at_once(pair: Pair) -> None:
    gp = pair.token("gp")
    assert pair.fhir(0, "POST", "List", gp, registration(GP)).status_code == 201
    given = pair.fhir(0, "POST", "Consent", gp, privacy(GP))
    assert given.status_code == 201, given.text
    for _ in range(3):
        assert [pair.may_look(which, gp) for which in (0, 1)] == ["permit", "permit"], "control: both are warm"
    body = {**given.json(), "status": "inactive"}
    ended = pair.fhir(0, "PUT", f"Consent/{body['id']}", gp, body, **{"if-match": 'W/"1"'})
    assert ended.status_code == 200
    assert pair.may_look(1, gp) != "permit"
    assert pair.may_look(0, gp) != "permit"


def test_068_what_comes_after_a_withdrawal_is_never_seen_by_an_old_look(pair: Pair) -> None:
    """New enemy: deny, then new data, read elsewhere at once; round after round, each process writing in turn."""
    gp = pair.token("gp")
    body = pair.fhir(0, "POST", "Consent", gp, privacy(GP)).json()
    for version in range(1, 14):  # the last is withdrawn: nothing is left for another test
        writer, reader = version % 2, (version + 1) % 2
        withdrawn = version % 2 == 1
        body = {**body, "status": "inactive" if withdrawn else "active"}
        told = pair.fhir(writer, "PUT", f"Consent/{body['id']}", gp, body, **{"if-match": f'W/"{version}"'})
        assert told.status_code == 200, told.text
        assert pair.fhir(writer, "POST", "List", gp, registration(GP)).status_code == 201, "new data"
        assert (pair.may_look(reader, gp) == "permit") is not withdrawn


def test_178_what_two_people_decided_and_one_ended_counts_everywhere(pair: Pair) -> None:
    first, second, post = (
        (pair.token("office", subject_id=f"uzi|{n}") for n in (1, 2)),
        pair.token("gp"),
        pair.token("post"),
    )
    one, two = first
    assert pair.fhir(0, "POST", "List", second, registration(GP)).status_code == 201
    consent = pair.fhir(0, "POST", "Consent", second, privacy(GP)).json()
    assert pair.may_look(1, post) == "deny", "control: no agreement"
    body = contract(applies={"start": "2020-01-01", "end": "2090-12-31"}, issued="2020-01-01T00:00:00Z")
    body["term"][0]["offer"]["party"][0]["reference"][0]["identifier"]["value"] = POST
    offered = pair.fhir(0, "POST", "Contract", one, body)
    assert offered.status_code == 201, offered.text
    id_, decided = offered.json()["id"], {**offered.json(), "status": "executed"}
    assert pair.fhir(0, "PUT", f"Contract/{id_}", one, decided, **{"if-match": 'W/"1"'}).status_code == 403
    assert pair.fhir(0, "PUT", f"Contract/{id_}", two, decided, **{"if-match": 'W/"1"'}).status_code == 200
    assert pair.may_look(0, post) == "permit"
    time.sleep(1.5)
    assert pair.may_look(1, post) == "permit"
    ended = {**decided, "status": "terminated"}
    assert pair.fhir(1, "PUT", f"Contract/{id_}", one, ended, **{"if-match": 'W/"2"'}).status_code == 200
    assert pair.may_look(1, post) == "deny"
    time.sleep(1.5)
    assert pair.may_look(0, post) == "deny"
    withdrawn = {**consent, "status": "inactive"}  # nothing is left for another test
    assert (
        pair.fhir(0, "PUT", f"Consent/{consent['id']}", second, withdrawn, **{"if-match": 'W/"1"'}).status_code == 200
    )
