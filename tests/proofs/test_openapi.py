"""schemathesis asks the API what its own OpenAPI documents allow: every status is a documented one, nothing fails, nothing hangs.

2,000 requests; `PROVE_ALL=1` makes it 20,000.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

from gateway.fhir.capability import types
from gateway.routes.guide.openapi import document
from profiles import exact
from tests.gateway.charts import Json
from tests.gateway.world import BASE, PHYSICIAN, World, raw, run
from tests.slack import slack

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600 if os.environ.get("PROVE_ALL") else 600)]

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

SAMPLED: Final = 2_000
REQUESTS: Final = 20_000 if os.environ.get("PROVE_ALL") else SAMPLED
# Every row of the table is asked of one type at least; the full proof asks it of all.
SAMPLE: Final = (
    "", "Patient", "Observation", "DocumentReference", "Composition", "AuditEvent", "Task", "Consent", "Contract", "List",
    "CareTeam", "Condition", "MedicationRequest",
)  # fmt: skip
HANGS_SECONDS: Final = 2.0
BY_DESIGN: Final = {501, 504}  # a transaction; no source answered: a client is told so


def operations() -> Iterator[tuple[Any, Json]]:
    for type_ in SAMPLE if REQUESTS == SAMPLED else ("", *types()):
        made = document(type_, BASE)
        for found in schemathesis.openapi.from_dict(made).get_all_operations():
            operation = found.ok()
            yield operation, made["paths"][operation.path][operation.method.lower()]


def sent(case: Any, world: World, rng: random.Random) -> Json:
    """The request of a case as the server hands it over; every other one about the patient of the world."""
    query = {name: value for name, value in (case.query or {}).items() if isinstance(value, str)}
    path = case.formatted_path
    if rng.random() < 0.5:
        if path.count("/") == 1 or "$lastn" in path or "$docref" in path:
            query["_id" if path == "/Patient" else "patient"] = world.patient
        path = path.replace(quote(str((case.path_parameters or {}).get("id", "\0"))), world.patient)
    headers = [(b"host", b"gateway.test"), (b"authorization", f"Bearer {world.token(PHYSICIAN)}".encode())]
    headers += [
        (name.lower().encode(), str(value).encode("latin-1", "replace")) for name, value in (case.headers or {}).items()
    ]
    body = b""
    if case.media_type:
        headers.append((b"content-type", case.media_type.encode()))
        given: Any = case.body if isinstance(case.body, dict | list | str) else {}
        form = "form" in case.media_type and isinstance(given, dict)
        body = urlencode(given, errors="replace").encode() if form else exact.encode(given)
        headers.append((b"content-length", str(len(body)).encode()))
    scope = {"method": case.method, "path": f"/fhir{path}", "query_string": urlencode(query, errors="replace").encode(),
             "headers": headers}  # fmt: skip
    return {"scope": scope, "body": body}


class Asking:
    """Asks what an operation allows, and judges what comes back."""

    def __init__(self) -> None:
        self.world, self.rng = World(), random.Random(9)
        self.counted: dict[int, int] = {}
        self.slowest = 0.0

    def ask(self, case: Any, documented: Json) -> None:
        asked = sent(case, self.world, self.rng)
        started = time.process_time()
        reply = run(raw(self.world.app, asked["scope"], body=asked["body"]))
        self.slowest = max(self.slowest, time.process_time() - started)
        assert reply is not None
        self.counted[reply.status] = self.counted.get(reply.status, 0) + 1
        assert str(reply.status) in documented["responses"], (reply.status, asked["scope"], reply.body[:500])
        assert reply.status < 500 or reply.status in BY_DESIGN, (asked["scope"], reply.body[:500])

    def operation(self, operation: Any, documented: Json, number: int) -> None:
        from hypothesis import HealthCheck, Phase, given, seed, settings

        @seed(9)
        @settings(max_examples=number, database=None, deadline=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def asked(case: Any) -> None:
            self.ask(case, documented)

        asked()


def test_the_api_does_what_its_documents_say() -> None:
    every, asking = list(operations()), Asking()
    for operation, documented in every:
        asking.operation(operation, documented, REQUESTS // len(every) + 1)
    counted = asking.counted
    print(sum(counted.values()), "requests:", dict(sorted(counted.items())))
    assert sum(counted.values()) >= REQUESTS * 0.9
    assert counted[200] > REQUESTS / 20
    assert asking.slowest < HANGS_SECONDS * slack()
