"""A SMART Backend Services client as an integrator writes it: from the specification, with joserfc and httpx2 only."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

Json = dict[str, Any]

BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
WHO: Final[dict[str, Json]] = {
    "demo-physician": {
        "subject_id": "900009011",
        "subject_name": "dr. Emma Spoedeisend",
        "subject_role": "01.071",
        "purpose_of_use": ["TREAT"],
        "loa": "substantial",
    },
    "demo-coordinator": {
        "subject_id": "900009021",
        "subject_name": "Bas Regelaar",
        "subject_role": "zorgcoordinator",
        "purpose_of_use": ["COC"],
        "loa": "substantial",
    },
    "demo-ambulance": {
        "subject_id": "900009031",
        "subject_name": "Rik Loeihard",
        "subject_role": "ambulance",
        "purpose_of_use": ["ETREAT"],
        "loa": "substantial",
    },
    "demo-auditor": {
        "subject_id": "900009041",
        "subject_name": "Vera Toezicht",
        "subject_role": "auditor",
        "purpose_of_use": ["toezicht"],
        "loa": "substantial",
    },
    "demo-system": {"purpose_of_use": ["TREAT"]},
}


@dataclass(frozen=True)
class Integrator:
    """One registered client with its key in a file."""

    id: str
    key_file: Path
    token_endpoint: str

    def assertion(self, who: Json | None = None, *, header: Json | None = None, **claims: Any) -> str:
        """A signed client assertion; `claims` replace the usual ones, None leaves one out."""
        stored = json.loads(self.key_file.read_text())
        now = int(time.time())
        said = {
            "iss": self.id,
            "sub": self.id,
            "aud": self.token_endpoint,
            "iat": now,
            "exp": now + 240,
            "jti": str(uuid.uuid4()),
        } | claims
        who = WHO.get(self.id) if who is None else who
        if who:
            said.setdefault("extensions", {"hl7-b2b": {"version": "1", **who}})
        head = {"alg": "ES384", "kid": stored["kid"], "typ": "JWT"} | (header or {})
        return jwt.encode(
            head,
            {name: value for name, value in said.items() if value is not None},
            ECKey.import_key(stored),
            algorithms=["ES384"],
        )

    def ask(self, http: httpx2.Client, assertion: str | None = None, **form: str) -> httpx2.Response:
        """The token request; `form` replaces the usual parameters."""
        fields = {
            "grant_type": "client_credentials",
            "client_assertion_type": BEARER,
            "client_assertion": assertion or self.assertion(),
        } | form
        return http.post(self.token_endpoint, data=fields)

    def token(self, http: httpx2.Client, who: Json | None = None) -> str:
        """An access token."""
        answer = self.ask(http, self.assertion(who))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def integrator(said: Json, id_: str, http: httpx2.Client) -> Integrator:
    """The client of a demo with this id; where tokens are given is read from the discovery document."""
    (client,) = [client for client in said["clients"] if client["id"] == id_]
    discovered = http.get(f"{said['base']}/.well-known/smart-configuration").json()["token_endpoint"]
    assert discovered == client["token_endpoint"]
    return Integrator(id_, Path(client["key_file"]), discovered)
