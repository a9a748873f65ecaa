"""The world around the line, with the real desk on a real file: what is pushed goes all the way down and up again."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from gateway.intake import letters
from gateway.intake.letters import Posting
from gateway.intake.messages import Taken, take
from gateway.metrics import Metrics
from gateway.model import Caller
from gateway.oauth.registered import ClientKeys
from gateway.pushed import Slip
from gateway.routes.fhir import FhirApp
from gateway.routes.web import application
from gateway.settings import SourceTable
from gateway.storage import Database, open_stores, upgrade
from profiles import exact
from tests.gateway.charts import BSN, OTHER_BSN, THIRD_BSN, Json, allergy, observation, person
from tests.gateway.world import AMBULANCE, BASE, PHYSICIAN, SETTINGS, Reply, World, run

NURSING: Final = "90000008"
SOURCES: Final = [
    *SETTINGS["sources"],
    {"id": "nursing", "custodian": NURSING, "kind": "inbox", "inbox": "drop", "expected_every": "25h"},
    {"id": "transfer", "custodian": AMBULANCE, "kind": "inbox"},
]
AGREEMENTS: Final = [
    {**one, "custodians": [AMBULANCE, NURSING]} if one["id"] == "push" else one for one in SETTINGS["agreements"]
]
ORGANIZATIONS: Final = [
    *SETTINGS["organizations"],
    {"ura": NURSING, "name": "Verpleeghuis Oost", "facility_type": "X3"},
]
ANSWERS: Final = {"sources": SOURCES, "agreements": AGREEMENTS, "organizations": ORGANIZATIONS}


class DeskWorld(World):
    """The same world, with the inbox on SQLite."""

    def __init__(self, directory: Path, *, source: Json | None = None, **other: Any) -> None:
        changed = [{**one, **(source or {})} if one["id"] == "nursing" else one for one in SOURCES]
        super().__init__(known_at=(), settings={**ANSWERS, "sources": changed, **other})
        self.directory = directory
        self.file = directory / "gateway.db"
        self.url = f"sqlite:///{self.file}"
        upgrade(self.url)
        self.database = Database.open(self.url, exclusive=False)
        stores = open_stores(self.database, self.keys.seal, self.keys.unseal, self.clock)
        self.desk = stores.inbox
        self.ports = replace(self.ports, index=stores.index, inbox=self.desk, desk=self.desk)
        self.app = FhirApp(self.ports, Metrics())
        self.web = application(self.ports, ClientKeys(directory))

    def close(self) -> None:
        run(self.database.close())

    def table(self, id_: str = "nursing") -> SourceTable:
        return self.policy.sources[id_]

    def posting(self, body: bytes, source: str = "nursing", format_: str = "fhir-r4", **other: Any) -> Posting:
        return Posting(self.table(source), body, format_, self.clock.now(), **other)

    def takes(self, body: bytes, source: str = "nursing", format_: str = "fhir-r4", **other: Any) -> list[str]:
        """What becomes of each message in what is posted."""
        return [f"{one.state} {one.outcome}" for one in self.taken(body, source, format_, **other)]

    def taken(self, body: bytes, source: str = "nursing", format_: str = "fhir-r4", **other: Any) -> list[Taken]:
        return run(take(self.posting(body, source, format_, **other), "10.1.1.1", self.ports))

    def slips(self, **wanted: Any) -> list[Slip]:
        return run(self.desk.slips(**wanted))

    def codes(self, type_: str = "AllergyIntolerance", bsn: str = BSN, caller: Caller = PHYSICIAN) -> list[str]:
        """What a caller sees of a type, by the code of each item."""
        found = self.get(f"{type_}?patient={self.patient_id(bsn)}", caller).items
        return sorted(item["code"]["coding"][0]["code"] for item in found)

    def over_http(self, method: str, path: str, body: bytes, caller: Caller | None, **headers: str) -> Reply:
        async def send() -> Reply:
            sent = {} if caller is None else {"authorization": f"Bearer {self.token(caller)}"}
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            transport = httpx2.ASGITransport(self.web)
            async with httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
                answer = await http.request(method, path, content=body, headers={**sent, **named})
            return Reply(answer.status_code, answer.headers, answer.content)

        return run(send())

    def bytes_on_disk(self) -> bytes:
        """Everything SQLite keeps, with its write-ahead log."""
        return b"".join(path.read_bytes() for path in sorted(self.directory.glob("gateway.db*")) if path.is_file())

    def query(self, sql: str) -> list[Any]:
        with sqlite3.connect(self.file) as connection:
            return connection.execute(sql).fetchall()


def resident(bsn: str = BSN, *resources: Json, id_: str = "") -> bytes:
    """One resident of the nursing home as a Bundle; the stay is the contact."""
    local = id_ or f"r-{bsn}"
    stay = {
        "resourceType": "EpisodeOfCare", "id": f"e-{bsn}", "status": "active",
        "patient": {"reference": f"Patient/{local}"},
    }  # fmt: skip
    held = [person(local, bsn), stay, *({**one, **_of(one, local), "id": f"{one['id']}-{bsn}"} for one in resources)]
    return exact.encode({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in held]})


def _of(resource: Json, local: str) -> Json:
    name = "patient" if "patient" in resource else "subject"
    return {name: {"reference": f"Patient/{local}"}}


def penicillin(**other: Any) -> Json:
    return allergy("a-pen", **other)


def latex(**other: Any) -> Json:
    return allergy("a-lat", code={"coding": [{"system": "http://snomed.info/sct", "code": "1003755004"}]}, **other)


def nightly(*residents: bytes) -> bytes:
    """A file of many patients, one a line."""
    return b"".join(one + b"\n" for one in residents)


@pytest.fixture
def by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the nursing home hold one Bundle a line."""

    def split(body: bytes, format_: str, map_: str) -> tuple[bytes, ...]:
        del format_, map_
        return tuple(body.splitlines()) or (body,)

    monkeypatch.setattr(letters, "split", split)


__all__ = [
    "BSN",
    "OTHER_BSN",
    "THIRD_BSN",
    "DeskWorld",
    "datetime",
    "latex",
    "nightly",
    "observation",
    "penicillin",
    "resident",
]
