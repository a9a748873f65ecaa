"""One look at one patient through the line; what a slow source still sends is waited for by the looks after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import msgspec

from gateway import assembly
from gateway.exchange import retrieve
from gateway.fhir import bundle, reading
from gateway.fhir.interactions import route
from gateway.model import Answer, Failure, Incoming, Outgoing, Patient, Payload, Question, SourceQuestion
from gateway.oauth.login import Errand
from gateway.ports import Ports, Source
from gateway.routes.pages.visit import Visit
from gateway.settings import Duration
from gateway.standing import Standing
from gateway.summary.assembly import Summary, assemble

KEPT_SECONDS: Final = 10.0  # what was sent for a page nobody waits for any more
Key = tuple[str, frozenset[str], frozenset[str]]


@dataclass(slots=True)
class _Call:
    """One question to one source, asked once however many looks wait for it."""

    parts: list[Payload | Failure] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        return self.task is not None and self.task.done()


@dataclass(slots=True)
class Calls:
    """The questions of one view of one page; sources that answered are not asked twice for its late parts."""

    seconds: float  # for all sources together
    made: dict[Key, _Call] = field(default_factory=dict)
    started: float = 0.0

    def source(self, id_: str, inner: Source) -> Source:
        """A source as the looks of this view ask it."""
        return _Shared(id_, inner, self)

    def pending(self) -> bool:
        """Claim that a source may still answer."""
        return any(not call.done for call in self.made.values())

    async def next(self) -> None:
        """Wait until one more source has answered, or none will."""
        waiting = [call.task for call in self.made.values() if call.task is not None and not call.done]
        if waiting:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    def end(self) -> None:
        """Stop what is under way and forget what came."""
        for call in self.made.values():
            if call.task is not None:
                call.task.cancel()
        self.made.clear()


@dataclass(frozen=True, slots=True)
class _Shared:
    id: str
    inner: Source
    calls: Calls

    async def fetch(self, question: SourceQuestion) -> AsyncIterator[Payload | Failure]:
        """Give what came and what comes before the deadline of this look."""
        key = (self.id, question.categories, question.types)
        call = self.calls.made.get(key)
        if call is None:
            call = self.calls.made[key] = _Call()
            loop = asyncio.get_running_loop()
            self.calls.started = self.calls.started or loop.time()
            asked = replace(question, deadline=self.calls.started + self.calls.seconds)
            call.task = asyncio.create_task(_follow(self.inner, asked, call))
        given = 0
        while True:
            while given < len(call.parts):
                yield call.parts[given]
                given += 1
            if call.done:
                return
            call.news.clear()
            await call.news.wait()  # the look gives up at its own deadline


async def _follow(inner: Source, question: SourceQuestion, call: _Call) -> None:
    try:
        async with asyncio.timeout_at(question.deadline):
            async for part in inner.fetch(question):
                call.parts.append(part)
                call.news.set()
    except TimeoutError:
        came = frozenset[str]().union(*(part.categories for part in call.parts if isinstance(part, Payload)))
        call.parts.append(Failure("timeout", "", question.categories - came))
    except Exception:  # noqa: BLE001 - a defect in an adapter costs its own source only
        call.parts.append(Failure("internal", "", question.categories))
    finally:
        call.news.set()
        asyncio.get_running_loop().call_soon(call.news.set)  # once more when the task counts as done


Show = Callable[[Summary, Sequence[Answer]], bytes]


async def look(
    visit: Visit,
    patient: Patient,
    errand: Errand,
    show: Show,
    *,
    interaction: str = "summary",
    calls: Calls | None = None,
    wait: timedelta | None = None,
) -> bytes:
    """Ask for the summary of a patient as the API does, and write it as a page; on the record before this returns.

    `calls` keeps what sources send for the next look; `wait` is how long this one waits for them.

    Raises:
        GatewayError: everything `$summary` refuses.
    """
    path = f"Patient/{patient.id}/$summary"
    incoming = await visit.to_the_line("GET", path, errand, accept="text/html")
    found = route("GET", path)

    def read(asked: Incoming, ports: Ports) -> Question:
        question = reading.question(asked, found, ports)
        return msgspec.structs.replace(question, patient=patient)

    def written(standing: Standing, answers: Sequence[Answer], asked: Incoming, ports: Ports) -> Outgoing:
        bundle.refuse_undecided(answers, ports.policy.disclosure)
        material = assembly.material_of(standing, answers, asked, ports, visit.language)
        page = show(assemble(material, visit.language), material.answers)
        assembly.placed(answers)
        return Outgoing(200, page, "text/html; charset=utf-8")

    ports = waiting(visit.ports, calls, wait)
    return (await retrieve(incoming, interaction, "Patient", read, written, ports)).body


def waiting(ports: Ports, calls: Calls | None, wait: timedelta | None) -> Ports:
    """The same outside world, asked through the calls of one view and no longer than a look lasts."""
    sources = ports.sources if calls is None else {id_: calls.source(id_, one) for id_, one in ports.sources.items()}
    if wait is None or wait >= ports.settings.gateway.deadline:
        return replace(ports, sources=sources)
    seconds = max(wait.total_seconds(), 0.001)
    gateway = msgspec.structs.replace(ports.settings.gateway, deadline=Duration(seconds=seconds))
    return replace(ports, sources=sources, settings=msgspec.structs.replace(ports.settings, gateway=gateway))
