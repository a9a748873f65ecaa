"""The log as FHIR: ITI-81 search and read of AuditEvents, bound to the caller's organization; every look is on the record."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

from gateway.audit.journal import Recorded, recorded
from gateway.audit.participants import Recorder
from gateway.audit.reading import BATCH, line, lines
from gateway.audit.record import BEGUN
from gateway.audit.rendering import events
from gateway.audit.view import Viewer, viewer
from gateway.authentication import authenticate
from gateway.authorization import authorize
from gateway.errors import Invalid, Unavailable
from gateway.fhir.interactions import Route
from gateway.fhir.outcome import issue, outcome
from gateway.fhir.reading import accepts, url_parameters
from gateway.fhir.search import DEFAULT_COUNT, Search
from gateway.fhir.searching import subsets
from gateway.logged import AuditQueries, RecordId
from gateway.model import Caller, Incoming, Json, Outgoing, Question
from gateway.ports import Ports
from gateway.routes.audit_search import LogSearch, log_search
from profiles import exact

TYPE: Final = "AuditEvent"
_CATEGORIES: Final = frozenset({"Logging"})
_ALWAYS: Final = ("type", "recorded", "agent", "source")  # mandatory
_SUMMARY: Final = ("subtype", "action", "outcome", "outcomeDesc", "purposeOfEvent")
_ALL: Final = 1_000  # more events than a record becomes
_SECONDS: Final = 2.0  # looked for one page; a page may be short and still have a next one


async def look(incoming: Incoming, found: Route, ports: Ports, own: Recorder) -> Outgoing:
    """Answer a question about the log; the answer is given after the look itself is durable.

    Links have the base the caller used; events name the gateway as `own` does, by whatever base they are asked.

    Raises:
        GatewayError: token, scope, purpose, role; parameters; `not-found` also for what is not the caller's to see.

    Spec: IHE ITI-81 'Retrieve ATNA Audit Event'; rule F1.
    """
    name = found.interaction.name
    async with recorded(incoming, ports, name, "R" if name == "read" else "E", TYPE) as record:
        record.caller = caller = await authenticate(incoming, ports)
        work = _read if name == "read" else _searched
        outgoing = await work(incoming, found, caller, record, ports, own)
        record.status = outgoing.status
        return outgoing


def recorder(ports: Ports) -> Recorder:
    """The gateway as it names itself in events."""
    gateway = ports.settings.gateway
    return Recorder(gateway.base, gateway.name, gateway.ura, ports.policy)


async def _read(
    incoming: Incoming, found: Route, caller: Caller, record: Recorded, ports: Ports, own: Recorder
) -> Outgoing:
    accepts(incoming, url_parameters(incoming))
    await _permitted(caller, "read", "r", ports)
    name, _, number = found.id.partition("-")
    try:
        id_ = RecordId.parse(name)
    except ValueError:
        raise Invalid("not-found", what="this event") from None
    record.query = f"_id={found.id}"[:80]
    held = await line(_queries(ports), id_, _viewer(caller, ports))
    rendered = events(held.id, held.seen, own) if held is not None else []
    event = next((one for one in rendered if one["id"] == found.id), None)
    if event is None or (number and not number.isdigit()):
        raise Invalid("not-found", what="this event")
    return Outgoing(200, exact.encode(event))


async def _searched(
    incoming: Incoming, found: Route, caller: Caller, record: Recorded, ports: Ports, own: Recorder
) -> Outgoing:
    del found
    asked = log_search(incoming, ports)
    record.query, record.patient = asked.names, asked.patient
    await _permitted(caller, "search-type", "s", ports)
    scope = repr(asked.used)
    start = _opened(asked.search.cursor, caller, scope, ports) if asked.search.cursor else _Position()
    page = await _page(asked, start, _viewer(caller, ports), own, ports)
    following = _sealed(page.end, caller, scope, ports) if page.more else ""
    return Outgoing(200, _bundle(asked, page, following, incoming, ports))


@dataclass(frozen=True, slots=True)
class _Position:
    """Behind which event a page ended: the batch, the record and how many of its events."""

    after: str = ""
    id: str = ""
    given: int = 0


@dataclass(slots=True)
class _Page:
    events: list[Json] = field(default_factory=list)
    count: int = 0  # events that matched, for a page of none
    end: _Position = field(default_factory=_Position)
    more: bool = False


async def _page(asked: LogSearch, start: _Position, by: Viewer, own: Recorder, ports: Ports) -> _Page:
    """Look on from where the last page ended, until the page is full and one more is seen."""
    page, size = _Page(end=start), asked.search.count
    limit = 0 if asked.search.summary == "count" else DEFAULT_COUNT if size is None else size
    loop = asyncio.get_running_loop()
    skipping, until = start.id, loop.time() + _SECONDS
    batch = min(BATCH, limit + 20) if limit else BATCH  # a record is an event or more, unless it is left out
    async for one in lines(_queries(ports), asked.query, by, start.after, batch):
        if isinstance(one, str):
            page.end = _Position(one) if not skipping else page.end
            if limit and loop.time() > until and not skipping:
                page.more = True
                return page
            continue
        if skipping and one.id != skipping:
            continue
        given = start.given if skipping else 0
        skipping = ""
        if one.seen.record.kind in BEGUN or not asked.admits(one.seen.record):
            page.end = _Position(one.after, one.id, _ALL)
            continue
        for number, event in enumerate(events(one.id, one.seen, own)[given:], given + 1):
            if not asked.matches(event):
                continue
            if limit and len(page.events) == limit:
                page.more = True
                return page
            page.count += 1
            if limit:
                page.events.append(event)
                page.end = _Position(one.after, one.id, number)
        page.end = _Position(one.after, one.id, _ALL)
    return page


def _bundle(asked: LogSearch, page: _Page, following: str, incoming: Incoming, ports: Ports) -> bytes:
    url = f"{ports.settings.gateway.base}/fhir/{TYPE}"
    links = [{"relation": "self", "url": _link(url, asked.used)}]
    if following:
        links.append({"relation": "next", "url": _link(url, (*asked.used, ("_cursor", following)))})
    entries: list[Json] = [
        {"fullUrl": f"{url}/{event['id']}", "resource": _part(event, asked.search), "search": {"mode": "match"}}
        for event in page.events
    ]
    if asked.search.ignored:
        names = ", ".join(asked.search.ignored)
        text = f"genegeerd zoals gevraagd: {names}" if incoming.language == "nl" else f"ignored as asked: {names}"
        remark = outcome(issue("warning", "not-supported", "unknown-parameter", text))
        entries.append({"resource": remark, "search": {"mode": "outcome"}})
    made: Json = {"resourceType": "Bundle", "type": "searchset"}
    if (
        not following and not asked.search.cursor
    ):  # what is on one page is counted; the rest is not, it may be the whole log
        made["total"] = page.count
    made["link"] = links
    return exact.encode(made | {"entry": entries} if entries else made)


def _part(event: Json, search: Search) -> Json:
    """The event, or the part of it that was asked for."""
    if not search.summary and not search.elements:
        return event
    if search.summary == "data":  # there is no text to leave out
        wanted = tuple(event)
    else:
        wanted = (*_ALWAYS, *(_SUMMARY if search.summary == "true" else ()), *search.elements)
    part: Json = exact.decode(subsets.subset(event, "", wanted))
    return part


def _link(url: str, parameters: Sequence[tuple[str, str]]) -> str:
    return f"{url}?{urlencode(list(parameters), quote_via=quote, safe='|/:,$')}"


def _sealed(position: _Position, caller: Caller, scope: str, ports: Ports) -> str:
    plain = f"{position.after}\n{position.id}\n{position.given}".encode()
    sealed = ports.keys.seal(caller.requester.client, plain, b"log-cursor|" + scope.encode())
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _opened(cursor: str, caller: Caller, scope: str, ports: Ports) -> _Position:
    try:
        sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        plain = ports.keys.unseal(caller.requester.client, sealed, b"log-cursor|" + scope.encode())
        after, id_, given = plain.decode().split("\n")
        return _Position(after, id_, int(given))
    except (ValueError, binascii.Error):
        raise Invalid(
            "invalid-parameter", name="_cursor", why="use the next link as it was given, as the client it was given to"
        ) from None


async def _permitted(caller: Caller, interaction: str, action: str, ports: Ports) -> None:
    """Only who has a task in supervision, logged in well enough, reads the log.

    Raises:
        Refused: scope, purpose, person, assurance or role.
    """
    await authorize(caller, Question(interaction, action, (TYPE,), _CATEGORIES), ports)


def _viewer(caller: Caller, ports: Ports) -> Viewer:
    return viewer(caller.requester.organization, ports.settings.gateway.ura, ports.policy, ports.keys)


def _queries(ports: Ports) -> AuditQueries:
    if ports.queries is None:
        raise Unavailable("store-unavailable")
    return ports.queries
