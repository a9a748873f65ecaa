"""A whole gateway on a file database behind the pages of auditors and administrators, with a log worth looking at."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx2

from gateway.app import Gateway, assemble
from gateway.audit.checkpoints import Checkpoint
from gateway.audit.record import Asked, Record, Shown, decode, encode
from gateway.crypto.notes import Note
from gateway.crypto.ring import KeyRing
from gateway.demo.hosting import Hosted
from gateway.demo.identity_provider import IdentityProvider, Someone
from gateway.logged import AuditQuery
from gateway.model import instant
from gateway.office import Findings, SourceQuality
from gateway.pushed import Delivery, Letter, Message
from gateway.settings import parse
from gateway.storage import upgrade
from gateway.watched import Review
from profiles import exact
from profiles.identifiers import BSN_SYSTEM
from tests.fakes import NOON, FixedClock
from tests.gateway.charts import BSN
from tests.gateway.world import AMBULANCE, CENTER, GP, HOSPITAL, POST, SETTINGS, STRANGER
from tests.slack import slack

PAYLOADS: Final = (
    "<script>document.title='x'</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "javascript:alert(1)",
    "</td></table><h1>x", "<svg/onload=alert(1)>", "\u202egnp.exe", "' onmouseover='alert(1)",
)  # fmt: skip
NAME: Final = "".join(PAYLOADS)
SECRET: Final = "Vreemde Zaak"  # on a record nobody here may see
PEOPLE: Final = (
    Someone("auditor", "uzi|900000021", "Au Ditor", POST, ("auditor",)),
    Someone("hospital-auditor", "uzi|900000022", "Zi Ditor", HOSPITAL, ("auditor",)),
    Someone("administrator", "uzi|900000023", "Be Heer", HOSPITAL, ("administrator",)),
    Someone("second-administrator", "uzi|900000024", "Twee Heer", HOSPITAL, ("administrator",)),
    Someone("coordinator", "uzi|900000003", "Co Ordinator", CENTER, ("zorgcoordinator",)),
)
HOMES: Final = {"auditor": "/pages/audit", "hospital-auditor": "/pages/audit", "coordinator": "/pages/cases"}


@dataclass
class Bureau:
    """The gateway while it serves."""

    gateway: Gateway
    base: str
    provider: str
    loop: asyncio.AbstractEventLoop = field(repr=False)
    patient: str = ""

    def do(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Something inside the serving loop."""

        async def inside() -> Any:
            return await work()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(400)

    @property
    def clock(self) -> FixedClock:
        clock = self.gateway.ports.clock
        assert isinstance(clock, FixedClock)
        return clock

    def step(self, by: timedelta) -> None:
        """Step the clock, and wait until a checkpoint says so: a log whose clock went back is whole only after it."""
        self.clock.advance(by)

        async def signed() -> None:
            trees, at = self.gateway.evidence.trees, None
            while at != self.clock.now():
                await asyncio.sleep(0.02)
                note = await trees.last_note(trees.own)
                at = Checkpoint.parse(Note.parse(note).text).at if note else None

        self.do(lambda: asyncio.wait_for(signed(), 30 * slack()))

    def records(self, **asked: Any) -> list[Record]:
        """What is on the record, in order."""

        async def read() -> list[Record]:
            query = AuditQuery(start=NOON - timedelta(days=400), end=NOON + timedelta(days=400), **asked)
            found, _ = await self.gateway.stores.queries.find(query, 10_000)
            # In the order in which they were written: a test may move the clock.
            records = [decode(one.body) for one in sorted(found, key=lambda one: one.id)]
            return [one for one in records if one.kind != "clock"]  # a test that moves it

        return self.do(read)  # type: ignore[no-any-return]

    def write(self, *records: Record) -> None:
        """Put records in the log, and their sums beside it."""

        async def append() -> None:
            for one in records:
                await self.gateway.ports.audit.append(encode(one))
            while await self.gateway.stores.queries.fill():
                pass

        self.do(append)


def looked(number: int = 1, **deviation: Any) -> Record:
    """A physician of the post read a summary: the hospital gave two things, the GP nothing."""
    given: dict[str, Any] = {
        "kind": "outcome", "at": instant(NOON), "request": f"{number:032x}", "interaction": "summary", "action": "R",
        "type": "Patient", "client": "post-app", "organization": POST, "facility": "N6", "person": "uzi|900000001",
        "person_name": NAME, "role": "01.015", "assurance": "high", "purpose": "behandeling", "patient": "p1-unknown",
        "policy": "c6c9594059c55f2c", "address": "127.0.0.1", "status": 200,
        "custodians": (
            Asked(HOSPITAL, "hospital", {"Condition": "answered", "Alert": "refused:consent-objection"}, "pull", "c1/1",
                  (Shown("Condition", "i1-abc", "v1"), Shown("Condition", "i1-abd", "v2"))),
            Asked(GP, "gp", {"Condition": "failed:timeout"}, "pull"),
        ),
    }  # fmt: skip
    return Record(**(given | deviation))


@contextmanager
def bureau(directory: Path) -> Iterator[Bureau]:
    """Serve for as long as the block lasts."""
    door, login, clock = Hosted(), Hosted(), FixedClock()
    settings = parse(exact.decode(exact.encode(_settings(door.base, login.base))))
    keys = KeyRing.create(directory / "keys", NOON, [row.system for row in settings.identifier_systems])
    upgrade(f"sqlite:///{directory / 'gateway.db'}")
    idp = IdentityProvider(login.base, f"{door.base}/pages/callback", PEOPLE, clock)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    gateway: Gateway = do(assemble(settings, directory, clock, listen=False))
    do(gateway.start())
    do(door.start(gateway))
    do(login.start(idp.application()))
    made = Bureau(gateway, door.base, login.base, loop, keys.patient_id(BSN_SYSTEM, BSN))
    try:
        _seed(made)
        yield made
    finally:
        do(door.stop())
        do(login.stop())
        do(gateway.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _settings(base: str, issuer: str) -> dict[str, Any]:
    clients = [
        {"id": f"pages-{ura}", "organization": ura, "issuer": issuer, "scopes": scopes, "roles": roles, "purposes": purposes}
        for ura, scopes, roles, purposes in (
            (POST, ["system/AuditEvent.rs"], ["auditor"], ["toezicht"]),
            (HOSPITAL, ["system/AuditEvent.rs", "system/Contract.crus"], ["auditor", "administrator"], ["toezicht", "beheer"]),
            (CENTER, ["system/*.rs", "system/Task.crus"], ["zorgcoordinator"], ["triage-coordinatie"]),
        )
    ]  # fmt: skip
    sources = [{"id": "mail", "custodian": AMBULANCE, "kind": "inbox", "inbox": "mail", "expected_every": "24h"}]
    return SETTINGS | {
        "gateway": {"base": base, "deadline": "300ms", "demo": True, "name": "Regio Oost"},
        "sources": [*({**row, "dialect": "360@1.0"} for row in SETTINGS["sources"] if row["kind"] != "mllp"), *sources],
        "clients": clients,
        "login": {"issuer": issuer, "assurance": {"http://eidas.europa.eu/LoA/substantial": "substantial"}},
    }


def _seed(made: Bureau) -> None:
    patient = made.patient
    made.write(
        looked(1, patient=patient),
        looked(2, patient=patient, kind="refusal", status=403, error="role-refused", custodians=()),
        looked(3, patient=patient, person="uzi|900000009", person_name="Spoed Arts", purpose="spoed-noodtoegang"),
        # Of others: nothing of it is for an auditor of the post or of the hospital.
        looked(4, organization=STRANGER, person="uzi|900000077", person_name=SECRET, purpose="spoed-noodtoegang",
               custodians=(Asked(GP, "gp", {"Condition": "answered"}),)),
        looked(5, organization=STRANGER, person="uzi|900000077", person_name=SECRET, kind="refusal", status=403,
               error="agreement-missing", custodians=()),
    )  # fmt: skip

    async def rest() -> None:
        ports = made.gateway.ports
        assert ports.reviews is not None
        assert ports.desk is not None
        await ports.reviews.open(tuple(review(number, person) for number, person in
                                       (("r-1", "uzi|900000009"), ("r-2", "uzi|900000022"))))  # fmt: skip
        await ports.desk.deliver([Letter(letter(number)) for number in ("m1", "m2")])
        key = ("Observation", "nl-core", "Observation.code", "http://example.org/nl-core-Observation")
        found = SourceQuality(HOSPITAL, 12, 3, 1, 0, NOON, {key: Findings("error", 3, NOON)})
        await made.gateway.stores.sources.add_quality({"hospital": found})

    made.do(rest)


def review(number: str, person: str, **deviation: Any) -> Review:
    """A broken glass at the hospital, eight days ago."""
    return Review(number, person, POST, HOSPITAL, "p1-unknown", "1" * 32, f"unconscious; life; {PAYLOADS[0]}",
                  NOON - timedelta(days=8), **deviation)  # fmt: skip


def letter(key: str) -> Message:
    """A message nobody can read."""
    return Message("mail", AMBULANCE, key, f"{key:0<64}", b"MSH|broken", NOON, "dead", f"unreadable {PAYLOADS[1]}",
                   Delivery(format="hl7v2"))  # fmt: skip


@dataclass
class Keeper:
    """A person with a browser that has no script: plain HTTP."""

    bureau: Bureau
    http: httpx2.Client
    home: str

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(f"{self.bureau.base}{path}")

    def post(self, path: str, fields: dict[str, Any] | None = None, *, csrf: str | None = None) -> httpx2.Response:
        token = self.csrf() if csrf is None else csrf
        return self.http.post(f"{self.bureau.base}{path}", data={"csrf": token, **(fields or {})})

    def csrf(self) -> str:
        """The secret of a form of this session."""
        return self.get(self.home).text.partition('name="csrf" value="')[2].partition('"')[0]


@contextmanager
def keeper(served: Bureau, who: str) -> Iterator[Keeper]:
    """Somebody with a fresh browser, logged in."""
    with httpx2.Client(timeout=60, follow_redirects=True) as http:
        asked = http.get(f"{served.base}/pages/login")
        form = dict(asked.request.url.params) | {"person": who, "level": "substantial", "second_factor": "yes"}
        http.post(f"{served.provider}/authorize", data=form)
        yield Keeper(served, http, HOMES.get(who, "/pages/admin"))
