"""Every request to try is sent as it stands, by who may: each works, and a resource that was made is read and changed by its id."""

from __future__ import annotations

import re
from typing import Final

import pytest

from gateway.model import Caller
from gateway.routes.guide.examples import examples
from tests.gateway.audit.driving import AUDITOR
from tests.gateway.audit.memory import LogWorld
from tests.gateway.charts import BIRTH, BSN
from tests.gateway.test_contracts import ANOTHER, SOMEBODY
from tests.gateway.world import BASE, COORDINATOR, GP, PHYSICIAN, POST, World, custodian

pytestmark = pytest.mark.slow

TOLD: Final = {"List", "Consent", "CareTeam", "Encounter", "EpisodeOfCare"}
REQUEST: Final = re.compile(
    r"### (?P<summary>.*)\n(?P<method>[A-Z]+) \{\{base\}\}(?P<path>\S*)\n(?P<headers>(?:.+\n)*)(?:\n(?P<body>(?!###)\S.*))?"
)


def caller_of(method: str, path: str) -> Caller:
    type_ = re.split(r"[/?]", path.strip("/"))[0]
    if "$" in path or "?" in path or "_search" in path:
        return PHYSICIAN if type_ != "AuditEvent" or "$" in path else AUDITOR
    everybody = {"Task": COORDINATOR, "AuditEvent": AUDITOR, "Contract": ANOTHER if method == "PUT" else SOMEBODY}
    return everybody.get(type_, custodian(GP) if type_ in TOLD else PHYSICIAN)


def late(found: re.Match[str]) -> tuple[int, int]:
    """What needs an id comes after what makes or finds one, and what changes it after that."""
    return found["path"].count("{id}"), ("POST", "GET", "PUT", "DELETE").index(found["method"])


def filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], text)


def test_every_request_to_try_works() -> None:
    world: World = LogWorld()
    made: dict[str, str] = {}
    for found in sorted(REQUEST.finditer(examples(BASE)), key=late):
        type_ = re.split(r"[/?]", found["path"].strip("/"))[0]
        values = {
            "bsn": BSN,
            "birthDate": BIRTH,
            "patient": world.patient,
            "id": made.get(type_, "x"),
            "ura": GP,
            "other": POST,
        }
        path, body = (filled(found[part] or "", values) for part in ("path", "body"))
        headers = dict(line.split(": ", 1) for line in found["headers"].splitlines())
        caller = caller_of(found["method"], path) if "Authorization" in headers else None
        headers.pop("Authorization", None)
        reply = world.request(found["method"], path.removeprefix("/"), caller, body=body.encode(), headers=headers)
        unknown = reply.status == 404 and values["id"] == "x" and "{{id}}" in found["path"]
        assert reply.status in (200, 201, 204) or unknown, (found[0], reply.status, reply.body)
        if reply.status == 201:
            made[type_] = reply.json["id"]
        elif type_ and b'"searchset"' in reply.body and "$" not in path and reply.items:
            made.setdefault(type_, reply.items[0]["id"])
    assert set(made) >= TOLD | {"Task", "Contract", "AuditEvent", "AllergyIntolerance"}
