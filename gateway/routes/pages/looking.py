"""A look at the log or at the keeping of the region by a person: permitted as on the line, and on the record before it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gateway.audit.journal import Recorded, recorded
from gateway.audit.pages import PageEvent, opened
from gateway.audit.participants import Recorder
from gateway.audit.view import Viewer, viewer
from gateway.authentication import authenticate
from gateway.authorization import authorize
from gateway.errors import Refused, Unavailable
from gateway.logged import AuditQueries, Tallies
from gateway.model import Caller, Question
from gateway.office import Office
from gateway.ports import Ports
from gateway.routes.pages.visit import Visit

SUPERVISION: Final = Question("page", "r", ("AuditEvent",), frozenset({"Logging"}))
KEEPING: Final = Question("page", "r", ("Contract",), frozenset({"Definitional"}))
KEPT: Final = "OperationOutcome"  # what is looked at is how things are, no resource
OFFICE: Final = "beheer"  # the purpose of who keeps the region


@dataclass(frozen=True, slots=True)
class Look:
    """One look that is permitted: who looks, as whom, and what it leaves."""

    record: Recorded
    caller: Caller
    ports: Ports

    @property
    def organization(self) -> str:
        """The URA the reader is bound to (rule F1)."""
        return self.caller.requester.organization

    @property
    def person(self) -> str:
        """Who looks. INVARIANT: never empty; see `authorize`."""
        return self.caller.requester.person or ""

    @property
    def by(self) -> Viewer:
        """The reader of the log."""
        return viewer(self.organization, self.ports.settings.gateway.ura, self.ports.policy, self.ports.keys)

    @property
    def queries(self) -> AuditQueries:
        """Questions about the log."""
        if self.ports.queries is None:
            raise Unavailable("store-unavailable")
        return self.ports.queries

    @property
    def tallies(self) -> Tallies:
        """What the log adds up to."""
        if self.ports.tallies is None:
            raise Unavailable("store-unavailable")
        return self.ports.tallies

    @property
    def office(self) -> Office:
        """What the keeping of the region rests on."""
        return office_of(self.ports)

    @property
    def recorder(self) -> Recorder:
        """The gateway as it names itself in events."""
        gateway = self.ports.settings.gateway
        return Recorder(gateway.base, gateway.name, gateway.ura, self.ports.policy)


def office_of(ports: Ports) -> Office:
    """The office of a gateway.

    Raises:
        Unavailable: it has none.
    """
    if ports.office is None:
        raise Unavailable("store-unavailable")
    return ports.office


@asynccontextmanager
async def supervising(visit: Visit, page: str, event: PageEvent = "page", done: str = "") -> AsyncIterator[Look]:
    """Look into the log; `done` names what is done when it is more than looking.

    INVARIANT: when the block is left without an error, the look is durable on the record; show nothing before.

    Raises:
        GatewayError: scope, purpose, role, assurance; what the block raises is on the record as a refusal.
    """
    incoming = await visit.to_the_line("GET", visit.incoming.path)
    record = recorded(incoming, visit.ports, done, "E", "AuditEvent") if done else opened(
        incoming, visit.ports, event, page, "AuditEvent"
    )  # fmt: skip
    async with record:
        record.query = f"page={page}"
        record.caller = caller = await authenticate(incoming, visit.ports)
        await authorize(caller, SUPERVISION, visit.ports)
        _named(caller)
        yield Look(record, caller, visit.ports)
        record.status = 200


@asynccontextmanager
async def keeping(visit: Visit, page: str, done: str = "") -> AsyncIterator[Look]:
    """Look at, or with `done` do something to, the keeping of the region; by a person of the office.

    INVARIANT: when the block is left without an error, it is durable on the record.

    Raises:
        GatewayError: scope, purpose, role, assurance; what the block raises is on the record as a refusal.
    """
    incoming = await visit.to_the_line("GET", visit.incoming.path)
    record = recorded(incoming, visit.ports, done, "U", KEPT) if done else opened(
        incoming, visit.ports, "page", page, KEPT
    )  # fmt: skip
    async with record:
        record.query = f"page={page}"
        record.caller = caller = await authenticate(incoming, visit.ports)
        await authorize(caller, KEEPING, visit.ports)
        if caller.purpose != OFFICE:
            raise Refused("purpose-refused", purpose=caller.purpose or "?", why=f"the region is kept for '{OFFICE}'")
        _named(caller)
        if done:
            await record.intent([])
        yield Look(record, caller, visit.ports)
        record.status = 200


def _named(caller: Caller) -> None:
    if not caller.requester.person:
        raise Refused("person-required")
