"""The FHIR endpoint as one raw ASGI function: route, read, run the line, answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final

import msgspec

from gateway import assembly
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.envelope import Receive, Scope, Send, announced, received, respond, unless_gone
from gateway.errors import GatewayError, Unavailable
from gateway.exchange import Assemble, retrieve
from gateway.fhir import batch, capability, everything, formats, reading
from gateway.fhir.conditional import tagged, unless_unchanged
from gateway.fhir.deprecation import warned
from gateway.fhir.docref import question as docref_question
from gateway.fhir.interactions import Route, route
from gateway.fhir.outcome import rendered
from gateway.fhir.presentation import presented
from gateway.fhir.public import reached
from gateway.fhir.recent import Recent
from gateway.intake import submit
from gateway.intake.validation import validate
from gateway.metrics import Metrics
from gateway.model import Incoming, Outgoing, Question
from gateway.oauth.discovery import smart_configuration
from gateway.ports import Ports
from gateway.preflight import can_access
from gateway.routes import audit_events, documents, lastn
from gateway.routes.everything import everything as assemble_everything
from gateway.summary.sections import PROFILES, document_profile
from profiles import exact

log: Final = logging.getLogger("gateway.fhir")

_PUBLIC: Final = (("access-control-allow-origin", "*"), ("cache-control", "public, max-age=300"))
_AT_ONCE: Final = 4  # entries of one batch that are worked on
# These ask sources: a client that hangs up stops them.
_LONG: Final = {
    "search-type",
    "search-system",
    "summary",
    "match",
    "everything",
    "lastn",
    "docref",
    "document",
    "batch",
}
_READS: Final = {"read", "read-owned", "vread", "capabilities", "smart-configuration"}
_VERSIONED: Final = {"read-owned", "vread"}
_PAGES: Final = {"summary"}  # these can be a page as well
_DOCUMENTS: Final = {profile.name: profile.composition for profile in PROFILES}

Read = Callable[[Incoming, Ports], Question]


def _question(found: Route, asked: Incoming, ports: Ports) -> Question:
    return _of_profile(reading.question(asked, found, ports))


def _of_profile(question: Question) -> Question:
    if not question.profile:
        return question
    # A profile that is not known is refused before anybody is asked, and what a set does not hold is not asked.
    held = document_profile(question.profile).categories
    return msgspec.structs.replace(question, categories=question.categories & held) if held else question


# What asks sources: how the question is read, and how the answer is put together.
_ASKING: Final[dict[str, tuple[Callable[[Route, Incoming, Ports], Question], Assemble]]] = {
    **{name: (_question, assemble) for name, assemble in assembly.ASSEMBLE.items()},
    "everything": (lambda found, asked, ports: everything.question(asked, found.id, ports), assemble_everything),
    "lastn": (lambda _, asked, ports: lastn.question(asked, ports), lastn.lastn),
    "docref": (lambda _, asked, ports: docref_question(asked, ports), documents.found),
    "document": (
        lambda found, asked, ports: _of_profile(documents.summarized(asked, found.id, ports)),
        assembly.summary,
    ),
}


@dataclass(frozen=True, slots=True)
class FhirApp:
    """`app(scope, receive, send)` for everything below the FHIR base."""

    ports: Ports
    metrics: Metrics
    prefix: str = "/fhir"
    recent: Recent = field(default_factory=Recent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        settings = self.ports.settings.gateway
        started = monotonic()
        asked = announced(scope, self.prefix, settings.trusted_proxies, self.ports.now())
        ports, name, failed = self.ports, "unrouted", None
        if settings.trusted_proxies and scope.get("client"):
            ports = reached(ports, str(scope["client"][0]), settings.trusted_proxies, asked.headers)
        try:
            asked = await received(asked, scope, receive, settings.maximum_body_bytes)
            found = route(asked.method, asked.path)
            name = found.interaction.name
            work = self._run(asked, found, ports)
            answer = await (unless_gone(work, receive) if name in _LONG else work)
        except GatewayError as error:
            failed = error
            answer = rendered(error, asked.language, asked.request_id, ports.settings.gateway.base)
            if name == "unrouted":
                answer = await self._unrouted(asked, error, answer)
        except Exception:  # a defect: the text goes nowhere, the correlation id leads to the log
            log.exception("request failed", extra={"request": asked.request_id})
            failed = Unavailable("internal")
            answer = rendered(failed, asked.language, asked.request_id, ports.settings.gateway.base)
        if answer is not None:
            answer = self._finished(asked, answer, name)
            await respond(send, answer, asked.request_id, asked.correlation_id, head=scope["method"] == "HEAD")
            seconds = monotonic() - started
            self.metrics.request(name, answer.status, seconds)
            client = self._client(asked)
            if client:
                self.recent.note(client, asked, name, answer.status, seconds, failed)

    def _client(self, asked: Incoming) -> str:
        allowances = self.ports.allowances
        return allowances.client_of(asked.headers.get(b"authorization", b"")) if allowances is not None else ""

    def _finished(self, asked: Incoming, answer: Outgoing, name: str) -> Outgoing:
        """The answer in the form and with the headers it leaves with."""
        form = _form(asked, name)
        if form is not None:
            answer = _formed(form, answer)
        if name in _READS and answer.status == 200:
            answer = unless_unchanged(asked, tagged(answer, versioned=name in _VERSIONED))
        answer = warned(asked, presented(asked, answer))
        allowances = self.ports.allowances
        if allowances is None:
            return answer
        client = allowances.client_of(asked.headers.get(b"authorization", b""))
        return with_headers(answer, allowances.headers(client, self.ports.now().timestamp())) if client else answer

    async def _run(self, asked: Incoming, found: Route, ports: Ports) -> Outgoing:
        name = found.interaction.name
        if found.type == audit_events.TYPE and not found.interaction.operation:
            return await audit_events.look(asked, found, ports, audit_events.recorder(self.ports))
        if name in _ASKING:
            read, assemble = _ASKING[name]
            form = _form(asked, name)
            if form is not None:
                assemble = formats.assembled_in(form, assemble)
            return await retrieve(asked, name, found.type, partial(read, found), assemble, ports)
        if name == "capabilities":
            return capability.statement(asked, ports, self.ports.settings.gateway.base, _DOCUMENTS)
        if name == "smart-configuration":
            return Outgoing(200, exact.encode(smart_configuration(self.ports.settings)), "application/json", _PUBLIC)
        if name == "can-access":
            return await can_access(asked, found.id, ports)
        if name == "validate":
            return await validate(asked, found.type, ports)
        if name == "batch":
            return await self._batch(asked, ports)
        return await submit(asked, name, found.type, found.id, ports, found.version)

    async def _batch(self, asked: Incoming, ports: Ports) -> Outgoing:
        """Each entry by itself over the same line, with a record of its own; the record of the batch counts them."""
        async with recorded(asked, ports, "batch", "E", "") as record:
            record.caller = await authenticate(asked, ports)
            reading.accepts(asked, reading.url_parameters(asked))
            entries = batch.requests(asked, ports.settings.gateway.base)
            gate = asyncio.Semaphore(_AT_ONCE)
            answers = await asyncio.gather(*(self._entry(one, ports, gate) for one in entries))
            record.status, record.count = 200, len(entries)
            return batch.response(answers)

    async def _entry(self, asked: Incoming, ports: Ports, gate: asyncio.Semaphore) -> Outgoing:
        base, name = ports.settings.gateway.base, "unrouted"
        async with gate:
            try:
                found = batch.routed(asked)
                name = found.interaction.name
                answer = await self._run(asked, found, ports)
                return (
                    unless_unchanged(asked, tagged(answer, versioned=name in _VERSIONED))
                    if name in _READS and answer.status == 200
                    else answer
                )
            except GatewayError as error:
                answer = rendered(error, asked.language, asked.request_id, base)
                return await self._unrouted(asked, error, answer) if name == "unrouted" else answer
            except Exception:  # a defect costs its own entry; the text goes nowhere
                log.exception("entry failed", extra={"request": asked.request_id})
                return rendered(Unavailable("internal"), asked.language, asked.request_id, base)

    async def _unrouted(self, asked: Incoming, error: GatewayError, answer: Outgoing) -> Outgoing:
        """A request that matches no route leaves a record as well."""
        try:
            async with recorded(asked, self.ports, "unknown", "", "") as record:
                record.reasons = (error.code,)
                raise error
        except Unavailable as failure:
            return rendered(failure, asked.language, asked.request_id, self.ports.settings.gateway.base)
        except GatewayError:
            return answer


def _form(asked: Incoming, name: str) -> Callable[[Outgoing], Outgoing] | None:
    """What makes of an answer in JSON what the caller asks; None when that is JSON."""
    if formats.asks_for_stu3(asked):
        return formats.in_stu3
    return formats.in_xml if formats.asks_for_xml(asked, html=name in _PAGES) else None


def _formed(form: Callable[[Outgoing], Outgoing], answer: Outgoing) -> Outgoing:
    """A write stays written when its answer cannot be said in another form: then it is JSON (RFC 9110 12.5.1)."""
    try:
        return form(answer)
    except GatewayError:
        return answer


def with_headers(answer: Outgoing, headers: tuple[tuple[str, str], ...]) -> Outgoing:
    """The same answer with more headers."""
    return Outgoing(answer.status, answer.body, answer.content_type, (*answer.headers, *headers))
