"""The outside world in memory: every port, true to its contract, with a switch to break it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from consent.model import Case, Relation, Statement
from gateway.errors import Invalid, Unavailable
from gateway.model import Failure, IndexEntry, Item, Payload, SourceQuestion
from gateway.ports import Issued, KeptContract, Withdrawn
from gateway.pushed import Message
from gateway.settings import ClientTable
from gateway.storage.content_date import older
from gateway.throttle import LOCKED_FOR, MISSES
from gateway.watched import Notice, Review
from mappings.model import Origin, Translation

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class BrokenTranslators:
    """Translation that always ends the same way: no time left, or a defect."""

    error: Exception

    async def translate(self, body: bytes, format_: str, origin: Origin, map_: str, seconds: float) -> Translation:
        raise self.error


@dataclass
class FixedClock:
    """Time that moves only when told."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def advance(self, step: timedelta) -> None:
        self.at += step


@dataclass
class _Breakable:
    broken: bool = field(default=False, kw_only=True)

    def _check(self) -> None:
        if self.broken:
            raise Unavailable("store-unavailable")


@dataclass
class MemoryAudit(_Breakable):
    """The log as a list, and the ids issued with it."""

    records: list[bytes] = field(default_factory=list)
    issued: dict[str, Issued] = field(default_factory=dict)

    async def append(self, record: bytes, issued: Sequence[Issued] = ()) -> int:
        if self.broken:
            raise Unavailable("audit-unavailable")
        self.records.append(record)
        self.issued.update({one.id: one for one in issued})
        return len(self.records)


@dataclass
class MemoryIssued(_Breakable):
    """The ids a `MemoryAudit` was given."""

    audit: MemoryAudit = field(default_factory=MemoryAudit)

    async def issued(self, item_id: str, now: datetime) -> Issued | None:
        self._check()
        one = self.audit.issued.get(item_id)
        return one if one and one.at > now - timedelta(hours=24) else None


@dataclass
class MemoryReplay(_Breakable):
    """Spent identifiers; never forgotten, which a test does not live to see."""

    spent: set[tuple[str, str]] = field(default_factory=set)

    async def first_use(self, issuer: str, jti: str, expires: datetime) -> bool:
        self._check()
        first = (issuer, jti) not in self.spent
        self.spent.add((issuer, jti))
        return first


@dataclass
class MemoryClients(_Breakable):
    """Registered clients by id; a disabled one is None."""

    clients: dict[str, ClientTable | None] = field(default_factory=dict)

    async def client(self, client_id: str) -> ClientTable | None:
        self._check()
        return self.clients.get(client_id)

    async def add(self, client: ClientTable) -> None:
        self._check()
        if client.id in self.clients:
            raise Invalid("conflict", why=f"client '{client.id}' is registered already")
        self.clients[client.id] = client

    async def disable(self, client_id: str) -> bool:
        self._check()
        known = self.clients.get(client_id) is not None
        if known:
            self.clients[client_id] = None
        return known

    async def ids(self) -> frozenset[str]:
        self._check()
        return frozenset(self.clients)


@dataclass
class MemoryRevocations(_Breakable):
    """Revoked tokens until they expire, and disabled clients."""

    tokens: dict[str, datetime] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)
    looks: int = 0

    async def revoke(self, jti: str, client: str, expires: datetime, now: datetime) -> None:
        self._check()
        self.tokens = {one: until for one, until in self.tokens.items() if until > now} | {jti: expires}

    async def withdrawn(self, now: datetime) -> Withdrawn:
        self._check()
        self.looks += 1
        return Withdrawn(frozenset(one for one, until in self.tokens.items() if until > now), frozenset(self.clients))


@dataclass
class MemoryMisses(_Breakable):
    """Misses per number, and until when they count."""

    counted: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    async def locked(self, patient: str, now: datetime) -> timedelta | None:
        self._check()
        misses, until = self.counted.get(patient, (0, now))
        return until - now if misses >= MISSES and until > now else None

    async def judged(self, patient: str, now: datetime, *, missed: bool) -> timedelta | None:
        left = await self.locked(patient, now)
        if missed and left is None:
            misses, until = self.counted.get(patient, (0, now))
            self.counted[patient] = (misses + 1 if until > now else 1, now + LOCKED_FOR)
        return left


@dataclass
class MemoryContracts(_Breakable):
    """Agreements in every version."""

    kept: dict[str, list[KeptContract]] = field(default_factory=dict)

    async def put(self, contract: KeptContract, expected: int | None) -> int:
        self._check()
        versions = self.kept.setdefault(contract.id, [])
        if (len(versions) or None) != expected:
            raise Invalid("conflict", why=f"the kept version is {len(versions) or 'none'}")
        versions.append(replace(contract, version=len(versions) + 1))
        return len(versions)

    async def get(self, contract_id: str) -> KeptContract | None:
        self._check()
        versions = self.kept.get(contract_id)
        return versions[-1] if versions else None

    async def all(self) -> tuple[KeptContract, ...]:
        self._check()
        return tuple(versions[-1] for _, versions in sorted(self.kept.items()) if versions)


@dataclass
class MemoryNotices(_Breakable):
    """The outbox: each notice and when it is due."""

    kept: dict[str, tuple[Notice, datetime]] = field(default_factory=dict)

    async def due(self, now: datetime, limit: int) -> tuple[Notice, ...]:
        self._check()
        rows = sorted(self.kept.values(), key=lambda row: (row[1], row[0].id))
        return tuple(one for one, due in rows if one.delivered is None and due <= now)[:limit]

    async def sent(self, notice: Notice, now: datetime) -> None:
        one, due = self.kept[notice.id]
        self.kept[one.id] = (replace(one, delivered=now, attempts=one.attempts + 1, failure=""), due)

    async def failed(self, notice: Notice, failure: str, again: datetime) -> None:
        one, _ = self.kept[notice.id]
        self.kept[one.id] = (replace(one, attempts=one.attempts + 1, failure=failure), again)

    async def about(self, requests: Sequence[str]) -> tuple[Notice, ...]:
        found = [replace(one, body=b"") for one, _ in self.kept.values() if one.request in requests]
        return tuple(sorted(found, key=lambda one: (one.organization, one.id)))


@dataclass
class MemoryReviews(_Breakable):
    """Emergency accesses by id."""

    kept: dict[str, Review] = field(default_factory=dict)
    outbox: MemoryNotices = field(default_factory=MemoryNotices)

    async def open(self, reviews: tuple[Review, ...], notices: tuple[Notice, ...] = ()) -> None:
        self._check()
        self.kept = {one.id: one for one in reviews} | self.kept
        self.outbox.kept = {one.id: (one, one.created) for one in notices} | self.outbox.kept

    async def overdue(self, person: str, organization: str, before: datetime) -> bool:
        self._check()
        return any(
            one.settled is None and one.opened <= before and one.id.startswith("r")
            for one in self.kept.values()
            if (one.person, one.organization) == (person, organization)
        )

    async def waiting(self, organization: str) -> tuple[Review, ...]:
        self._check()
        mine = [one for one in self.kept.values() if organization in (one.custodian, one.organization)]
        return tuple(sorted((one for one in mine if one.settled is None), key=lambda one: (one.opened, one.id)))

    async def settle(self, id_: str, reviewer: str, organization: str, finding: str, now: datetime) -> bool:
        one = next((one for one in await self.waiting(organization) if one.id == id_), None)
        if one is None or one.person == reviewer:
            return False
        self.kept[id_] = replace(one, settled=now, reviewer=reviewer, finding=finding)
        return True


@dataclass
class MemoryIndex(_Breakable):
    """Registrations by id; a withdrawn one is kept aside."""

    clock: FixedClock = field(default_factory=FixedClock)
    kept: dict[str, IndexEntry] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)

    async def register(self, entry: IndexEntry) -> None:
        self._check()
        known = self.kept.get(entry.id)
        if known and known.custodian != entry.custodian:
            raise Invalid("conflict", why="a registration with this id belongs to another custodian")
        self.kept[entry.id] = entry
        self.withdrawn.discard(entry.id)

    async def withdraw(self, entry_id: str, custodian: str) -> bool:
        self._check()
        known = self.kept.get(entry_id)
        if not known or known.custodian != custodian or not self._in_force(known, self.clock.now()):
            return False
        self.withdrawn.add(entry_id)
        return True

    async def entries(self, patient: str, now: datetime) -> tuple[IndexEntry, ...]:
        self._check()
        found = [entry for entry in self.kept.values() if entry.patient == patient and self._in_force(entry, now)]
        return tuple(sorted(found, key=lambda entry: (entry.registered, entry.id)))

    def _in_force(self, entry: IndexEntry, now: datetime) -> bool:
        return entry.id not in self.withdrawn and (entry.ends is None or entry.ends > now)


@dataclass
class MemoryConsents(_Breakable):
    """Consents in every version."""

    kept: dict[str, list[tuple[bytes, str, tuple[Statement, ...]]]] = field(default_factory=dict)

    async def put(
        self, consent_id: str, expected: int | None, raw: bytes, patient: str, statements: Sequence[Statement]
    ) -> int:
        self._check()
        versions = self.kept.get(consent_id, [])
        if (len(versions) or None) != expected:
            raise Invalid("conflict", why="the kept version is another")
        if versions and versions[-1][1] != patient:
            raise Invalid("conflict", why="a consent cannot move to another patient")
        self.kept.setdefault(consent_id, []).append((raw, patient, tuple(statements)))
        return (expected or 0) + 1

    async def get(self, consent_id: str) -> tuple[int, bytes, str] | None:
        self._check()
        versions = self.kept.get(consent_id)
        return (len(versions), versions[-1][0], versions[-1][1]) if versions else None

    async def statements(self, patient: str) -> tuple[Statement, ...]:
        self._check()
        newest = (versions[-1] for _, versions in sorted(self.kept.items()))
        return tuple(one for _, who, statements in newest if who == patient for one in statements)

    async def revision(self, patient: str) -> int:
        self._check()
        return sum(who == patient for versions in self.kept.values() for _, who, _ in versions)


@dataclass
class MemoryRelations(_Breakable):
    """Treatment relations in every version."""

    kept: dict[str, list[tuple[bytes, str, tuple[Relation, ...]]]] = field(default_factory=dict)

    async def put(self, id_: str, expected: int | None, raw: bytes, patient: str, relations: Sequence[Relation]) -> int:
        self._check()
        versions = self.kept.get(id_, [])
        if (len(versions) or None) != expected:
            raise Invalid("conflict", why="the kept version is another")
        if versions and versions[-1][1] != patient:
            raise Invalid("conflict", why="what was told of one patient cannot move to another")
        self.kept.setdefault(id_, []).append((raw, patient, tuple(relations)))
        return (expected or 0) + 1

    async def get(self, id_: str) -> tuple[int, bytes, str] | None:
        self._check()
        versions = self.kept.get(id_)
        return (len(versions), versions[-1][0], versions[-1][1]) if versions else None

    async def of(self, patient: str) -> tuple[Relation, ...]:
        self._check()
        newest = (versions[-1] for _, versions in sorted(self.kept.items()))
        return tuple(one for _, who, relations in newest if who == patient for one in relations)


@dataclass
class MemoryCases(_Breakable):
    """Cases by id."""

    kept: dict[str, tuple[Case, bytes]] = field(default_factory=dict)

    async def put(self, case: Case, raw: bytes) -> None:
        self._check()
        known = self.kept.get(case.id)
        if known and (known[0].closed or (known[0].client, known[0].person) != (case.client, case.person)):
            raise Invalid("conflict", why="the case is closed or was opened by someone else")
        self.kept[case.id] = (case, raw)

    async def get(self, case_id: str) -> tuple[Case, bytes] | None:
        self._check()
        return self.kept.get(case_id)

    async def open_for(self, client: str, person: str | None, patient: str, now: datetime) -> tuple[Case, ...]:
        self._check()
        found = [
            case
            for case, _ in self.kept.values()
            if (case.client, case.person, case.patient) == (client, person, patient)
            and case.closed is None
            and case.opened <= now < case.expires
        ]
        return tuple(sorted(found, key=lambda case: (case.opened, case.id)))

    async def own(self, client: str, person: str, now: datetime) -> tuple[tuple[Case, bytes], ...]:
        self._check()
        found = [
            (case, raw)
            for case, raw in self.kept.values()
            if (case.client, case.person) == (client, person)
            and case.closed is None
            and case.opened <= now < case.expires
        ]
        return tuple(sorted(found, key=lambda pair: (pair[0].opened, pair[0].id), reverse=True)[:100])


@dataclass
class MemoryInbox(_Breakable):
    """Messages and the items shown."""

    index: MemoryIndex = field(default_factory=MemoryIndex)
    messages: list[Message] = field(default_factory=list)
    held: list[Item] = field(default_factory=list)  # every version that arrived
    shown: dict[str, Item] = field(default_factory=dict)
    heard: dict[str, datetime] = field(default_factory=dict)

    async def accept(self, message: Message, items: Sequence[Item], entries: Sequence[IndexEntry]) -> str:
        self._check()
        if message.state == "accepted":
            for entry in entries:
                known = self.index.kept.get(entry.id)
                if known and known.custodian != entry.custodian:
                    raise Invalid("conflict", why="a registration with this id belongs to another custodian")
        self.heard[message.source] = max(message.received, self.heard.get(message.source, message.received))
        same_key = [one for one in self.messages if (one.source, one.key) == (message.source, message.key)]
        if any(one.digest == message.digest for one in same_key):
            return "again"
        self.messages.append(message)
        self.held.extend(items)
        if message.state == "accepted":
            for item in items:
                self._show(item)
            for entry in entries:
                await self.index.register(entry)
        return "changed" if same_key else "new"

    async def items(self, patient: str, source: str) -> list[Item]:
        self._check()
        return [item.again() for item in self.shown.values() if (item.patient, item.source) == (patient, source)]

    async def item(self, item_id: str) -> Item | None:
        self._check()
        item = self.shown.get(item_id)
        return item.again() if item else None

    async def last_heard(self, source: str) -> datetime | None:
        self._check()
        return self.heard.get(source)

    def _show(self, item: Item) -> None:
        known = self.shown.get(item.id)
        if known is None or (
            known.custodian == item.custodian and not older(item.recorded or item.date, known.recorded or known.date)
        ):
            self.shown.pop(item.id, None)  # a replaced item counts as arriving now
            self.shown[item.id] = item


@dataclass
class ScriptedSource:
    """A source that answers with what the test wrote down, after `delay`; remembers what it was asked."""

    answers: Sequence[Payload | Failure] = ()
    delay: timedelta = timedelta()
    asked: list[SourceQuestion] = field(default_factory=list)

    async def fetch(self, question: SourceQuestion) -> AsyncIterator[Payload | Failure]:
        self.asked.append(question)
        if self.delay:
            await asyncio.sleep(self.delay.total_seconds())
        for answer in self.answers:
            yield answer


class PlainKeys:
    """Ids that can be read in a test's output; deterministic as the real ones are."""

    def patient_id(self, system: str, value: str) -> str:
        return "p0-" + f"{system}|{value}".encode().hex()

    def patient_identifier(self, patient_id: str) -> tuple[str, str] | None:
        if not patient_id.startswith("p0-"):
            return None
        system, _, value = bytes.fromhex(patient_id.removeprefix("p0-")).decode().rpartition("|")
        return system, value

    def item_id(self, custodian: str, native: str) -> str:
        return f"i0-{custodian}-" + native.encode().hex()

    def seal(self, custodian: str, plain: bytes, associated: bytes = b"") -> bytes:
        return plain_seal(custodian, plain, associated)

    def unseal(self, custodian: str, sealed: bytes, associated: bytes = b"") -> bytes:
        return plain_unseal(custodian, sealed, associated)


def plain_seal(custodian: str, raw: bytes, associated: bytes) -> bytes:
    """Seal without secrecy: opens only under the same custodian and place, as a real seal would."""
    return b"\x00".join((custodian.encode(), associated.hex().encode(), raw))


def plain_unseal(custodian: str, sealed: bytes, associated: bytes) -> bytes:
    """Open what `plain_seal` sealed.

    Raises:
        ValueError: another custodian or another place.
    """
    holder, where, raw = sealed.split(b"\x00", 2)
    if (holder.decode(), where.decode()) != (custodian, associated.hex()):
        message = "does not open here"
        raise ValueError(message)
    return raw
