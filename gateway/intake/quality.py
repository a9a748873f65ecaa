"""What is wrong with the items of each source: looked at after the answer left, counted, never hidden."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.authorization import authorize
from gateway.errors import Unavailable
from gateway.intake.judging import judge_resource, profile_set
from gateway.intake.sources import SourceWatch
from gateway.model import Answer, Incoming, Item, Json, Outgoing, Question, instant
from gateway.office import Findings, SourceBook, SourceQuality
from gateway.ports import Clock, Ports
from profiles import exact

if TYPE_CHECKING:
    from profiles.judgement import Verdict

SUPERVISION: Final = Question("quality", "r", ("AuditEvent",), frozenset({"Logging"}))
MOST_WAITING: Final = 2_000
MOST_ROWS: Final = 5_000
MOST_REMEMBERED: Final = 50_000
SAMPLED: Final = 50  # one document of so many
UNSOUND: Final = "profile"  # the mark of an item that breaks its profile
OWN: Final = "gateway"  # the name under which the table tells what is wrong with documents of the gateway's own making
_LARGEST_BYTES: Final = 524_288
_OK: Final = 200
_CALM_SECONDS: Final = 5.0
_REST: Final = 19  # times as long as a look took: at most a twentieth of one core goes to looking
_COUNTED: Final = ("error", "fatal", "warning")


class QualityBook:
    """Items wait in a bounded queue and a process looks at each version once (port `Quality`).

    What was found is kept in `kept` when there is one: `sources` is then what is not kept yet.
    """

    def __init__(self, clock: Clock, kept: SourceBook | None = None, watch: SourceWatch | None = None) -> None:
        self._clock = clock
        self._kept = kept
        self._watch = watch
        self._waiting: deque[Item] = deque()
        self._seen: OrderedDict[tuple[str, str], bool | None] = OrderedDict()
        self._wake = asyncio.Event()
        self._offered = 0.0
        self._documents = 0
        self.sources: dict[str, SourceQuality] = {}

    def offer(self, answers: Sequence[Answer], document: Outgoing | None = None) -> None:
        """Take the items of answers, and a sample of the documents made of them; beyond the bound they are counted only."""
        if self._watch is not None:
            self._watch.arrived(answers)
        for answer in answers:
            for item in answer.items:
                key = (item.id, item.version)
                if key in self._seen:
                    continue
                if len(self._waiting) >= MOST_WAITING or len(item.raw) > _LARGEST_BYTES:
                    self._of(item).not_looked_at += 1
                    continue
                self._remember(key, None)
                self._waiting.append(item)
        if document is not None and len(self._waiting) < MOST_WAITING:
            self._sample(document)
        self._offered = monotonic()
        if self._waiting:
            self._wake.set()

    def mark(self, answers: Sequence[Answer]) -> None:
        """Mark the items whose version was found to break its profile; one that was not looked at yet carries no mark."""
        seen = self._seen
        for answer in answers:
            for item in answer.items:
                if seen.get((item.id, item.version)) is False and UNSOUND not in item.marks:
                    item.marks = (*item.marks, UNSOUND)

    def _sample(self, document: Outgoing) -> None:
        """One document of some: the gateway is held to what it asks of its sources."""
        self._documents += 1
        is_one = document.status == _OK and document.content_type.startswith("application/fhir+json")
        if self._documents % SAMPLED == 1 and is_one and len(document.body) <= _LARGEST_BYTES:
            self._waiting.append(Item(document.body, "", "Bundle", "", "", OWN, "", ""))

    def _remember(self, key: tuple[str, str], sound: bool | None) -> None:
        self._seen[key] = sound
        while len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)

    async def work(self) -> None:
        """Look at what waits, one item at a time in a thread, for as long as the process lives."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                if monotonic() - self._offered < _CALM_SECONDS:  # the validator would hold up those who ask now
                    await asyncio.sleep(1)
                else:
                    await self._look()

    async def drain(self) -> None:
        """Look at everything that waits now."""
        while self._waiting:
            await self._look()

    async def _look(self) -> None:
        item = self._waiting.popleft()
        began = monotonic()
        verdict = await asyncio.to_thread(self._judged, item)
        self._count(item, verdict)
        await asyncio.sleep((monotonic() - began) * _REST)  # requests go first

    def _judged(self, item: Item) -> Verdict:
        return judge_resource(exact.decode(item.raw), now=self._clock.now())

    def _of(self, item: Item) -> SourceQuality:
        return self.sources.setdefault(item.source, SourceQuality(item.custodian, since=self._clock.now()))

    def _count(self, item: Item, verdict: Verdict) -> None:
        source, now = self._of(item), self._clock.now()
        source.checked += 1
        source.invalid += not verdict.is_valid
        source.not_judged += bool(verdict.questions)
        self._remember((item.id, item.version), verdict.is_valid)
        for issue in verdict.issues:
            if issue.severity not in _COUNTED:
                continue
            key = (item.type, issue.rule, _generic(issue.expression), issue.definition)
            if key not in source.rows and len(source.rows) >= MOST_ROWS:
                source.not_looked_at += 1
                continue
            row = source.rows.setdefault(key, Findings(issue.severity))
            row.count, row.last = row.count + 1, now

    async def keep(self) -> None:
        """Add what was found since the last time to what is kept.

        Raises:
            Unavailable: it cannot be written now; it waits for the next time.
        """
        if self._kept is None or not self.sources:
            return
        found, self.sources = self.sources, {}
        try:
            await self._kept.add_quality(found)
        except Unavailable:
            for name, one in self.sources.items():
                found[name] = merged(found[name], one) if name in found else one
            self.sources = found
            raise

    async def found(self, custodian: str = "") -> dict[str, SourceQuality]:
        """What was found of every source so far, of one custodian when that is named; over every process where it is kept."""
        if self._kept is not None:
            await self.keep()
            return await self._kept.quality(custodian)
        return {name: one for name, one in self.sources.items() if not custodian or one.custodian in ("", custodian)}


def merged(one: SourceQuality, other: SourceQuality) -> SourceQuality:
    """Two counts of one source as one."""
    rows = dict(one.rows)
    for key, row in other.rows.items():
        before = rows.get(key, Findings(row.severity))
        rows[key] = Findings(row.severity, before.count + row.count, row.last)
    return SourceQuality(
        other.custodian, one.checked + other.checked, one.invalid + other.invalid, one.not_judged + other.not_judged,
        one.not_looked_at + other.not_looked_at, one.since, rows,
    )  # fmt: skip


def table(found: Mapping[str, SourceQuality]) -> Json:
    """The table as JSON, most frequent first. It holds no value of any resource."""
    return {
        "profileSet": profile_set(),
        "notLookedAt": sum(one.not_looked_at for one in found.values()),
        "sources": [
            {
                "source": name,
                "custodian": one.custodian,
                "checked": one.checked,
                "invalid": one.invalid,
                "notJudged": one.not_judged,
                **({"since": instant(one.since)} if one.since else {}),
                "findings": [
                    dict(zip(("type", "rule", "expression", "definition"), key, strict=True))
                    | {"severity": row.severity, "count": row.count, "last": instant(row.last) if row.last else ""}
                    for key, row in sorted(one.rows.items(), key=lambda pair: (-pair[1].count, pair[0]))
                ],
            }
            for name, one in sorted(found.items())
        ],
    }


def _generic(expression: str) -> str:
    """The element without its number: the same fault in the third entry is the same fault."""
    parts = expression.split("[")
    return parts[0] + "".join(part.partition("]")[2] for part in parts[1:])


async def shown(incoming: Incoming, ports: Ports) -> Outgoing:
    """The quality of the sources of the caller's own organization, for those who watch over it.

    Raises:
        GatewayError: token, scope or role.
    """
    async with recorded(incoming, ports, "quality", "R", "OperationOutcome") as record:
        record.caller = caller = await authenticate(incoming, ports)
        await authorize(caller, SUPERVISION, ports)
        book = ports.quality
        found = await book.found(caller.requester.organization) if isinstance(book, QualityBook) else {}
        record.status = 200
        return Outgoing(200, exact.encode(table(found)), "application/json")
