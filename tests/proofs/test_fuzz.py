"""Whatever is sent to the door: an answer within two seconds, never a defect, always a record; whatever sources send: nobody else's data."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from gateway.fhir.interactions import CLINICAL
from profiles import exact
from tests.gateway.charts import BSN, BSN_SYSTEM, CHARTS, OTHER_BSN, Json, person, privacy
from tests.gateway.test_answers import identified, matching
from tests.gateway.test_cases import task
from tests.gateway.test_writes import registration
from tests.gateway.world import COORDINATOR, GP, HOSPITAL, PHYSICIAN, World, bundle, custodian, raw, run
from tests.proofs.test_noninterference import MAKERS

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

PIECES = ["patient", "subject", "identifier", "_count", "_sort", "_cursor", "_id", "code", "date", "category", "status", "_has", "_include",
          ":not", ":missing", ":exact", "=", "&", ";", ",", "|", "$", "\\", "%", "%00", "%2F", "%25", "eq2026", "ge", "2026-13", "-1",
          "999999999999999999999", "é", "\u202e", "\x00", "\r\n", "..", "//", "?", "#", "*", "true", "null", "'", '"', "<", "{", "[",
          BSN, BSN_SYSTEM, "urn:oid:2.16.840.1.113883.2.4.6.3"]  # fmt: skip
PATHS = [*CLINICAL, "Task", "List", "metadata", "", "Patient/$match", "Patient/$summary", "Nothing", "Patient/{p}", "Patient/{p}/$summary",
         "Observation/_search", "Patient/_search", ".well-known/smart-configuration", "Consent/consent-1", "Task/case-1"]  # fmt: skip
HEADERS = [b"accept", b"accept-language", b"content-type", b"prefer", b"if-match", b"x-request-id", b"x-correlation-id", b"traceparent",
           b"authorization", b"content-length", b"transfer-encoding", b"cookie", b"x-forwarded-for", b"range"]  # fmt: skip
KINDS = [
    "application/fhir+json",
    "application/json",
    "application/x-www-form-urlencoded",
    "text/html",
    "application/fhir+xml",
    "*/*",
    "",
]


def noise(chance: random.Random, pieces: int = 6) -> str:
    return "".join(chance.choice(PIECES) for _ in range(chance.randint(0, pieces)))


def bodies(world: World) -> list[Json]:
    return [identified(), matching(), task(), registration(), {"resourceType": "Parameters"}, person(),
            {"resourceType": "Consent", **CHARTS["gp"][-1]}]  # fmt: skip


def mutated(chance: random.Random, value: Any) -> Any:
    """The same JSON with one part of another kind."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(list(value))
        return value | {name: mutated(chance, value[name])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], mutated(chance, value[at]), *value[at + 1 :]]
    return chance.choice(
        [
            None,
            7,
            -1.5,
            True,
            "",
            "x" * 300,
            [],
            {},
            [[]],
            {"x": 1},
            ["x"],
            [None],
            BSN,
            {"coding": "x"},
            {"reference": 3},
        ]
    )


def body(chance: random.Random, world: World) -> bytes:
    kind = chance.random()
    if kind < 0.25:
        return b""
    if kind < 0.35:
        return chance.randbytes(chance.randint(0, 200))
    if kind < 0.5:
        return noise(chance, 12).encode("utf-8", "surrogatepass")
    written = exact.encode(mutated(chance, chance.choice(bodies(world))))
    if kind < 0.6:
        at = chance.randrange(len(written) + 1)
        return written[:at] + chance.randbytes(1) + written[at + 1 :]
    return written


def request(chance: random.Random, world: World) -> tuple[Json, bytes]:
    path = chance.choice(PATHS).format(p=world.patient) + (noise(chance) if chance.random() < 0.3 else "")
    query = f"patient={world.patient}" if chance.random() < 0.5 else ""
    query += "&" * chance.randint(0, 1) + noise(chance) if chance.random() < 0.6 else ""
    caller = chance.choice([PHYSICIAN, COORDINATOR, custodian(GP)])
    content = body(chance, world)
    headers = [
        (b"host", b"x"),
        (b"content-length", str(len(content)).encode()),
        (b"content-type", chance.choice(KINDS).encode()),
    ]
    if chance.random() < 0.9:
        headers.append((b"authorization", f"Bearer {world.token(caller)}".encode()))
    headers += [(chance.choice(HEADERS), (noise(chance) or chance.choice(KINDS)).encode("utf-8", "replace"))
                for _ in range(chance.randint(0, 2))]  # fmt: skip
    method = chance.choice(
        ["GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "GE T", ""]
    )
    if chance.random() < 0.2:  # a write that is sound but for one part at most
        path, sound = chance.choice([("Task", task()), ("List", registration()), ("Patient/$match", matching()),
                                     ("Patient/$summary", identified()), ("Consent", privacy(GP))])  # fmt: skip
        content, method = exact.encode(mutated(chance, sound) if chance.random() < 0.7 else sound), "POST"
        headers[1:3] = [(b"content-length", str(len(content)).encode()), (b"content-type", b"application/fhir+json")]
    scope = {
        "method": method,
        "path": "/fhir/" + path,
        "query_string": query.encode("utf-8", "replace"),
        "headers": headers,
    }
    return scope, content


async def sweep(chance: random.Random, world: World, count: int, statuses: dict[int, int]) -> None:
    """Send so many requests to one world, and judge each answer with what it left on the record."""
    for _ in range(count):
        scope, content = request(chance, world)
        before, began = len(world.records), time.monotonic()
        reply = await asyncio.wait_for(raw(world.app, scope, body=content), 10)
        assert time.monotonic() - began < 2, scope
        assert reply is not None
        assert reply.status < 500 or reply.code == "sources-unavailable", (reply.body, scope, content)
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
        ends = [one for one in world.records[before:] if one.kind in {"outcome", "refusal"}]
        public = scope["path"].startswith(("/fhir/metadata", "/fhir/.well-known"))
        unknown = not ends and world.ports.refusals.exceeded("10.0.0.1", world.clock.now())
        assert len(ends) == 1 or public or unknown, (reply.status, scope)
        assert BSN.encode() not in b"".join(world.audit.records[before:]), (scope, content)
        assert reply.status < 400 or BSN.encode() not in reply.body, (scope, content)


def test_g12_114_nothing_that_is_sent_breaks_the_door(scale: int) -> None:
    chance = random.Random(114)
    statuses: dict[int, int] = {}
    for _ in range(15 * scale):
        world = World()
        world.opens_case()
        run(sweep(chance, world, 200, statuses))
    assert {200, 201, 400, 401, 403, 404, 405, 415, 422} <= statuses.keys()
    assert statuses[200] > 40 * scale


def test_g10_no_item_of_another_person_in_thousands(scale: int) -> None:
    chance = random.Random(10)
    kept = foreign = 0
    for _ in range(10 * scale):
        rows: list[Json] = [person("h1"), person("h2", OTHER_BSN)]
        mine: set[str] = set()
        for number in range(200):
            stranger = chance.random() < 0.01
            maker = chance.choice(MAKERS)
            row = maker(f"r{number}", "h2" if stranger else "h1")
            if stranger:
                row["note" if maker.__name__ != "flag" else "language"] = (
                    [{"text": "FOREIGN"}] if maker.__name__ != "flag" else "fo"
                )
                foreign += 1
            else:
                mine.add(f"{row['resourceType']}/r{number}")
            rows.append(row)
        chance.shuffle(rows)
        world = World(charts=CHARTS | {"hospital": rows}, known_at=[HOSPITAL])
        world.charts["hospital"].body = bundle(rows)
        shown: set[str] = set()
        for type_ in sorted({name.partition("/")[0] for name in mine}):
            reply = world.search(type_, more="&_count=500")
            assert b"FOREIGN" not in reply.body
            assert OTHER_BSN.encode() not in reply.body
            shown |= {item["meta"]["source"].rpartition("#")[2] for item in reply.items}
        assert shown == mine
        assert b"FOREIGN" not in world.summary().body
        kept += len(mine)
    assert kept > 1_900 * scale
    assert foreign > 5 * scale
