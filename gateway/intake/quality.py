"""What is wrong with the items of each source: looked at after the answer left, counted, never hidden."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.authorization import authorize
from gateway.intake.judging import judge_resource, profile_set
from gateway.model import Answer, Incoming, Item, Json, Outgoing, Question, instant
from gateway.ports import Clock, Ports
from profiles import exact

if TYPE_CHECKING:
    from profiles.judgement import Verdict

SUPERVISION: Final = Question("quality", "r", ("AuditEvent",), frozenset({"Logging"}))
MOST_WAITING: Final = 2_000
MOST_ROWS: Final = 5_000
MOST_REMEMBERED: Final = 50_000
_LARGEST_BYTES: Final = 262_144
_CALM_SECONDS: Final = 5.0
_REST: Final = 19  # times as long as a look took: at most a twentieth of one core goes to looking
_COUNTED: Final = ("error", "fatal", "warning")


@dataclass(slots=True)
class Row:
    """One finding of one source: how often, and when last."""

    severity: str
    count: int = 0
    last: str = ""


@dataclass(slots=True)
class Source:
    """What was looked at of one source."""

    custodian: str
    checked: int = 0
    invalid: int = 0
    not_judged: int = 0
    rows: dict[tuple[str, str, str, str], Row] = field(default_factory=dict)  # type, rule, expression, definition


class QualityBook:
    """The quality table of this process; items wait in a bounded queue and each version is looked at once (port `Quality`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Item] = deque()
        self._seen: OrderedDict[tuple[str, str], bool | None] = OrderedDict()
        self._wake = asyncio.Event()
        self._offered = 0.0
        self.sources: dict[str, Source] = {}
        self.dropped = 0

    def offer(self, answers: Sequence[Answer]) -> None:
        """Take the items of answers; those beyond the bound are counted and not looked at."""
        for answer in answers:
            for item in answer.items:
                key = (item.id, item.version)
                if key in self._seen:
                    continue
                if len(self._waiting) >= MOST_WAITING or len(item.raw) > _LARGEST_BYTES:
                    self.dropped += 1
                    continue
                self._remember(key, None)
                self._waiting.append(item)
        self._offered = monotonic()
        if self._waiting:
            self._wake.set()

    def is_sound(self, item: Item) -> bool | None:
        """Say whether an item has no errors; None when it was not looked at."""
        return self._seen.get((item.id, item.version))

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

    def _count(self, item: Item, verdict: Verdict) -> None:
        source = self.sources.setdefault(item.source, Source(item.custodian))
        source.checked += 1
        source.invalid += not verdict.is_valid
        source.not_judged += bool(verdict.questions)
        self._remember((item.id, item.version), verdict.is_valid)
        now = instant(self._clock.now())
        for issue in verdict.issues:
            if issue.severity not in _COUNTED:
                continue
            key = (item.type, issue.rule, _generic(issue.expression), issue.definition)
            if key not in source.rows and len(source.rows) >= MOST_ROWS:
                self.dropped += 1
                continue
            row = source.rows.setdefault(key, Row(issue.severity))
            row.count, row.last = row.count + 1, now

    def table(self, custodian: str = "") -> Json:
        """Give the table, most frequent first; of one custodian when that is named. It holds no value of any resource."""
        return {
            "profileSet": profile_set(),
            "notLookedAt": self.dropped,
            "sources": [
                {
                    "source": name,
                    "custodian": one.custodian,
                    "checked": one.checked,
                    "invalid": one.invalid,
                    "notJudged": one.not_judged,
                    "findings": [
                        dict(zip(("type", "rule", "expression", "definition"), key, strict=True))
                        | {"severity": row.severity, "count": row.count, "last": row.last}
                        for key, row in sorted(one.rows.items(), key=lambda pair: (-pair[1].count, pair[0]))
                    ],
                }
                for name, one in sorted(self.sources.items())
                if not custodian or one.custodian == custodian
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
        record.caller = caller = await authenticate(incoming.headers.get(b"authorization", b""), ports)
        await authorize(caller, SUPERVISION, ports)
        book = ports.quality
        table = book.table(caller.requester.organization) if isinstance(book, QualityBook) else {"sources": []}
        record.status = 200
        return Outgoing(200, exact.encode(table), "application/json")
