"""Login, logout, a page, a print, a fragment, an entry of a batch: each leaves its record, and can be read as an event."""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b

import msgspec
import pytest

from consent.model import Custodian
from gateway.audit.batch import batch, entry
from gateway.audit.citizen import Telling, report
from gateway.audit.journal import recorded
from gateway.audit.pages import noted, opened
from gateway.audit.participants import Recorder
from gateway.audit.record import Asked, Record, Shown, encode, unknown
from gateway.audit.rendering import events
from gateway.audit.replay import replay
from gateway.audit.view import Seen
from gateway.errors import Refused, Unavailable
from gateway.model import Answer, Incoming, Patient, Told
from gateway.storage import Database, open_stores, upgrade
from profiles.validation import validate
from tests.fakes import NOON, FixedClock
from tests.gateway.audit import balp
from tests.gateway.audit.memory import LogWorld
from tests.gateway.world import GP, HOSPITAL, PHYSICIAN, World, run

INCOMING = Incoming("GET", "pages", "", {}, b"", "10.0.0.9", "r1", "c1", NOON)


def answer(world: World, *custodians: str) -> list[Answer]:
    """What a page shows again."""
    kept: list[Answer] = []
    for ura in custodians:
        one = Answer(Custodian(ura, world.policy.facility_type(ura)), ura, "source")
        one.told["Condition"] = Told("answered")
        kept.append(one)
    return kept


def patient(world: World) -> Patient:
    known = world.ports.keys.patient_identifier(world.patient)
    assert known is not None
    return Patient(world.patient, *known)


def told(world: World) -> list[tuple[str, str, int]]:
    return [(one.kind, one.interaction, one.status) for one in world.records]


def test_142_what_happens_on_a_page_is_on_the_record() -> None:
    world = LogWorld()

    async def visit() -> None:
        await noted(INCOMING, world.ports, "login", caller=PHYSICIAN)
        await noted(INCOMING, world.ports, "login", status=401, error="login-refused")
        async with opened(INCOMING, world.ports, "page", "accesses", "AuditEvent") as record:
            record.caller, record.status = PHYSICIAN, 200
        with suppress(Refused):
            async with opened(INCOMING, world.ports, "page", "summary", "Patient") as record:
                record.caller = PHYSICIAN
                raise Refused("purpose-refused", purpose="x", why="y")
        await noted(INCOMING, world.ports, "print", caller=PHYSICIAN, page="summary", type_="Patient",
                    patient=patient(world), case="case-1", answers=answer(world, GP))  # fmt: skip
        await noted(INCOMING, world.ports, "logout", caller=PHYSICIAN, reasons=("idle",))

    run(visit())
    assert told(world) == [
        ("outcome", "login", 200), ("refusal", "login", 401), ("outcome", "page", 200), ("refusal", "page", 403),
        ("outcome", "print", 200), ("outcome", "logout", 200)]  # fmt: skip
    printed = world.records[4]
    assert (printed.patient, printed.case, printed.query) == (world.patient, "case-1", "page=summary")
    assert [one.custodian for one in printed.custodians] == [GP]
    recorder = Recorder("http://gateway.test", "gateway", "90000006", world.policy)
    codes = []
    for record in world.records:
        for event in events("1.1.1", Seen(record, "all"), recorder):
            assert [*balp.breaches(event), *(one for one in validate(event) if one.is_error)] == []
            codes.append((event["type"]["code"], event["subtype"][-1]["code"]))
    assert codes == [("110114", "login"), ("110114", "login"), ("110101", "page"), ("110110", "page"),
                     ("110106", "print"), ("110114", "logout")]  # fmt: skip
    seen = report([one for one in world.records if one.patient], [], Telling(world.policy))
    assert [one.did for one in seen.events] == ["print"]


def test_131_without_a_record_no_page() -> None:
    world = LogWorld()
    world.audit.broken = True
    with pytest.raises(Unavailable):
        run(noted(INCOMING, world.ports, "page", caller=PHYSICIAN, page="summary"))


def test_logins_that_fail_cannot_fill_the_log() -> None:
    world = LogWorld()
    for _ in range(100):
        run(noted(INCOMING, world.ports, "login", status=401, error="login-refused"))
    assert len(world.records) == world.ports.refusals.bound


def test_f2_a_fragment_is_on_the_record_before_it_is_sent_and_the_outcome_tells_all() -> None:
    world = LogWorld()

    async def stream() -> None:
        async with opened(INCOMING, world.ports, "page", "summary", "Patient") as record:
            record.caller, record.patient = PHYSICIAN, patient(world)
            await record.intent([(GP, "gp"), (HOSPITAL, "hospital")])
            first, second = answer(world, GP, HOSPITAL)
            await record.fragment([first])
            await record.fragment([second])
            record.answers, record.status = [first, second], 200

    run(stream())
    assert [one.kind for one in world.records] == ["intent", "fragment", "fragment", "outcome"]
    assert [[asked.custodian for asked in one.custodians] for one in world.records[1:]] == [[GP], [HOSPITAL], [GP, HOSPITAL]]  # fmt: skip
    assert len(report(world.records, [], Telling(world.policy)).events) == 1


def test_134_what_was_sent_before_the_process_died_is_known() -> None:
    sent = Asked(GP, "gp", {"Condition": "answered"}, shown=(Shown("Condition", "i1-a", "v1", "d1"),))
    begun = Record(kind="intent", at="2026-03-02T12:00:00.000Z", request="r1", interaction="page",
                   custodians=(Asked(GP, "gp"), Asked(HOSPITAL, "hospital")))  # fmt: skip
    part = Record(kind="fragment", at="2026-03-02T12:00:01.000Z", request="r1", custodians=(sent,))
    died = unknown(begun, NOON, [part])
    assert (died.error, died.custodians) == ("unknown", (sent, Asked(HOSPITAL, "hospital")))
    shown = replay([begun, part])
    assert shown is not None
    assert shown.unknown
    assert [one.shown for one in shown.sources] == [sent.shown, ()]


@pytest.mark.anyio
async def test_134_fragments_are_found_by_their_request(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    database = Database.open(url)
    stores = open_stores(database, lambda *_: b"", lambda *_: b"", FixedClock())
    kinds = (("intent", "r1"), ("fragment", "r1"), ("fragment", "r2"), ("fragment", "r1"))
    for kind, request in kinds:
        await stores.audit.append(encode(Record(kind=kind, at="x", request=request)))  # type: ignore[arg-type]
    await stores.queries.rebuild()
    assert [one.id.sequence for one in await stores.queries.fragments("r1")] == [2, 4]
    await database.close()


def test_each_entry_of_a_batch_has_a_record_of_its_own() -> None:
    world = LogWorld()

    async def post() -> None:
        async with batch(INCOMING, world.ports) as record:
            record.caller, record.count = PHYSICIAN, 2
            for number, status in ((1, 200), (2, 404)):
                part = entry(INCOMING, number, "GET", "Condition/x", "", b"", {})
                async with recorded(part, world.ports, "read", "R", "Condition") as one:
                    one.caller, one.status = PHYSICIAN, status
            record.status = 200

    run(post())
    assert [(one.request, one.correlation, one.interaction, one.status) for one in world.records] == [
        ("r1.1", "c1", "read", 200), ("r1.2", "c1", "read", 404), ("r1", "c1", "batch", 200)]  # fmt: skip
    (event,) = events("1.1.3", Seen(world.records[-1], "all"), Recorder("http://x.test", "gateway", "", world.policy))
    assert [one["code"] for one in event["subtype"]] == ["batch", "batch"]
    assert {"type": "count", "valueString": "2"} in event["entity"][-1]["detail"]
    alone = msgspec.structs.replace(INCOMING, correlation_id="")
    assert entry(alone, 1, "GET", "", "", b"", {}).correlation_id == "r1", "its entries can be found together"


def test_f5_the_manifest_holds_the_digest_of_what_was_given() -> None:
    world = World()
    item = world.get(f"AllergyIntolerance/{world.search().items[0]['id']}")
    shown = [one for asked in world.records[-1].custodians for one in asked.shown]
    assert [one.digest for one in shown] == [blake2b(item.body, digest_size=16).hexdigest()]
