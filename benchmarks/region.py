"""A region for the measurements: configuration, keys and database as `gateway init` makes them, and what custodians post."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from gateway import settings
from gateway.app import database_url
from gateway.crypto.ring import KeyRing
from gateway.demo import mllp
from gateway.demo.ambulance import Written
from gateway.intake.registrations import BASIS, CUSTODIAN
from gateway.oauth.client import fetch_token, new_client_key
from gateway.storage import upgrade
from profiles import exact
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM

REQUESTER: Final = "90000900"
_PHYSICIAN: Final = {
    "subject_id": "900009011",
    "subject_name": "dr. Proef",
    "subject_role": "01.071",
    "purpose_of_use": ["TREAT"],
    "loa": "substantial",
}


@dataclass(slots=True)
class Region:
    """One gateway's configuration in a directory, and its clients' keys."""

    directory: Path
    port: int
    tree: dict[str, Any] = field(default_factory=dict)
    profile: Path | None = None  # where the calls of the gateway are counted; slows it down several times
    _keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.directory / "region.toml"

    @property
    def serve(self) -> list[str]:
        """What starts the gateway, after `python -m`."""
        profiled = ["cProfile", "-o", str(self.profile), "-m"] if self.profile else []
        return [*profiled, "gateway", "serve", "--config", str(self.config)]

    @classmethod
    def at(cls, directory: Path, deadline: str = "4s") -> Region:
        """A region of one hospital that asks; custodians are added."""
        directory.mkdir(parents=True, exist_ok=True)
        region = cls(directory, free_port())
        region.tree = {
            "gateway": {
                "ura": REQUESTER,
                "base": region.base,
                "listen": f"127.0.0.1:{region.port}",
                "source_networks": ["127.0.0.0/8"],
                "deadline": deadline,
                "token_lifetime": "8h",
                "log_level": "warning",
            },
            "organizations": [{"ura": REQUESTER, "name": "Proefziekenhuis", "facility_type": "V4"}],
            "sources": [],
            "agreements": [],
            "clients": [],
        }
        region.client(
            "physician", REQUESTER, ["system/*.rs"], person="claim", roles=["01.071"], purposes=["behandeling"]
        )
        return region

    def custodian(self, ura: str, basis: str, source: dict[str, Any], facility_type: str = "V4") -> None:
        """Add an organization with one source, an agreement on a basis, and a client that registers."""
        self.tree["organizations"].append({"ura": ura, "name": f"Bronhouder {ura}", "facility_type": facility_type})
        self.tree["sources"].append({"custodian": ura} | source)
        agreement = {
            "id": f"agreement-{ura}",
            "requesters": [REQUESTER],
            "custodians": [ura],
            "purposes": ["behandeling"],
            "start": date(2020, 1, 1),
            "end": date(2099, 12, 31),
            "basis": basis,
        }
        self.tree["agreements"].append(agreement)
        self.client(ura, ura, ["system/Consent.crus", "system/List.crds"], person="none")

    def client(self, id_: str, organization: str, scopes: Sequence[str], **more: str | list[str]) -> None:
        private, public = new_client_key("ES256")
        self._keys[id_] = private
        (self.directory / f"{id_}.jwks.json").write_text(json.dumps({"keys": [public]}), encoding="utf-8")
        row = {"id": id_, "organization": organization, "scopes": list(scopes), "jwks_file": f"{id_}.jwks.json"}
        self.tree["clients"].append(row | more)

    def write(self) -> None:
        """Write the configuration, the key ring and the database."""
        self.config.write_text(_toml(self.tree), encoding="utf-8")
        read = settings.load(self.config)
        KeyRing.create(self.directory / read.gateway.keys, datetime.now(UTC))
        upgrade(database_url(read, self.directory))

    def token(self, client: str) -> str:
        """An access token, asked for the way any client asks, and kept."""
        if client not in self._tokens:
            self._tokens[client] = self.new_token(client)
        return self._tokens[client]

    def new_token(self, client: str = "physician") -> str:
        """Another access token: nothing the gateway remembers of an earlier one helps it."""
        who = _PHYSICIAN if client == "physician" else None
        now = lambda: datetime.now(UTC).timestamp()  # noqa: E731
        answer = asyncio.run(fetch_token(f"{self.base}/oauth/token", client, self._keys[client], now=now, who=who))
        return str(answer["access_token"])

    def register(
        self, ura: str, numbers: Iterable[str], *, permit: bool, listed: bool, system: str = BSN_SYSTEM
    ) -> None:
        """Let a custodian record its patients' permits and register that it holds their data."""
        for number in numbers:
            if permit:
                self.post("Consent", ura, _permit(ura, {"system": system, "value": number}))
            if listed:
                self.post("List", ura, _registration(ura, {"system": system, "value": number}))

    def post(self, path: str, client: str, resource: dict[str, Any]) -> None:
        """Post a resource with a client's token.

        Raises: SystemExit when it is not taken.
        """
        headers = {"authorization": f"Bearer {self.token(client)}", "content-type": "application/fhir+json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", f"/fhir/{path}", exact.encode(resource), headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status not in {200, 201}:
            message = f"POST {path}: {answer.status} {body[:300]!r}"
            raise SystemExit(message)

    def request(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/fhir+json", token: str = ""
    ) -> str:
        """One request as it goes over the wire, with a physician's token."""
        content = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = (
            f"{method} /fhir/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/fhir+json\r\n"
            f"Authorization: Bearer {token or self.token('physician')}\r\n{content}\r\n"
        )
        return head + body.decode("latin-1")

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/fhir+json") -> bytes:
        """Send such a request and give the body of the answer.

        Raises: SystemExit on any status but 200.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as wire:
            wire.sendall(self.request(method, path, body, kind).encode("latin-1"))
            answer = http.client.HTTPResponse(wire, method=method)
            answer.begin()
            found = answer.read()
        if answer.status != 200:
            message = f"{method} {path}: {answer.status} {found[:300]!r}"
            raise SystemExit(message)
        return found


def push(address: str, messages: Iterable[tuple[str, bytes]]) -> None:
    """Push messages over MLLP and wait until each is acknowledged."""
    asyncio.run(mllp.send(address, [Written(control, raw) for control, raw in messages]))


def free_port() -> int:
    """A port of this machine nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _organization(ura: str) -> dict[str, Any]:
    return {"type": "Organization", "identifier": {"system": URA_SYSTEM, "value": ura}}


def _permit(ura: str, patient: dict[str, str]) -> dict[str, Any]:
    terminology = "http://terminology.hl7.org/CodeSystem"
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": f"{terminology}/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"identifier": patient},
        "dateTime": "2026-01-05T09:00:00+01:00",
        "performer": [{"type": "Patient", "display": "patient"}],
        "organization": [_organization(ura)],
        "policy": [{"uri": "https://wetten.overheid.nl/jci1.3:c:BWBR0023864"}],
        "provision": {"type": "permit"},
    }


def _registration(ura: str, patient: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "extension": [
            {"url": CUSTODIAN, "valueReference": _organization(ura)},
            {"url": BASIS, "valueCode": "explicit"},
        ],
        "subject": {"identifier": patient},
        "emptyReason": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "withheld"}]
        },
    }


def _toml(tree: dict[str, Any]) -> str:
    """Texts, numbers, booleans and lists of texts are the same in TOML and JSON; dates stand bare."""
    lines = []
    for name, value in tree.items():
        for table in value if isinstance(value, list) else [value]:
            lines.append(f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
            lines += [
                f"{key} = {one.isoformat() if isinstance(one, date) else json.dumps(one)}" for key, one in table.items()
            ]
    return "\n".join(lines) + "\n"
