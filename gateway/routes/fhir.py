"""The FHIR endpoint as one raw ASGI function: route, read, run the line, answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from gateway import assembly
from gateway.audit.journal import recorded
from gateway.envelope import Receive, Scope, Send, announced, received, respond, unless_gone
from gateway.errors import GatewayError, Unavailable
from gateway.exchange import retrieve
from gateway.fhir import capability, formats, reading
from gateway.fhir.interactions import Route, route
from gateway.fhir.outcome import rendered
from gateway.intake import submit
from gateway.intake.validation import validate
from gateway.metrics import Metrics
from gateway.model import Incoming, Outgoing, Question
from gateway.oauth.discovery import smart_configuration
from gateway.ports import Ports
from gateway.preflight import can_access
from gateway.routes import audit_events
from gateway.summary.sections import document_profile
from profiles import exact

log: Final = logging.getLogger("gateway.fhir")

_ASKING: Final = {"search-type", "read", "summary", "match"}
_PUBLIC: Final = (("access-control-allow-origin", "*"), ("cache-control", "public, max-age=300"))
_LONG: Final = {"search-type", "summary", "match"}  # these ask sources: a client that hangs up stops them


@dataclass(frozen=True, slots=True)
class FhirApp:
    """`app(scope, receive, send)` for everything below the FHIR base."""

    ports: Ports
    metrics: Metrics
    prefix: str = "/fhir"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        settings = self.ports.settings.gateway
        started = monotonic()
        asked = announced(scope, self.prefix, settings.trusted_proxies, self.ports.now())
        name = "unrouted"
        try:
            asked = await received(asked, scope, receive, settings.maximum_body_bytes)
            found = route(asked.method, asked.path)
            name = found.interaction.name
            work = self._run(asked, found)
            answer = await (unless_gone(work, receive) if name in _LONG else work)
        except GatewayError as error:
            answer = rendered(error, asked.language, asked.request_id)
            if name == "unrouted":
                answer = await self._unrouted(asked, error, answer)
        except Exception:  # a defect: the text goes nowhere, the correlation id leads to the log
            log.exception("request failed", extra={"request": asked.request_id})
            answer = rendered(Unavailable("internal"), asked.language, asked.request_id)
        if answer is not None:
            if formats.asks_for_xml(asked, html=name == "summary"):
                answer = _in_xml(answer)
            await respond(send, answer, asked.request_id, asked.correlation_id, head=scope["method"] == "HEAD")
            self.metrics.request(name, answer.status, monotonic() - started)

    async def _run(self, asked: Incoming, found: Route) -> Outgoing:
        name = found.interaction.name
        if name == "capabilities":
            return capability.statement(asked, self.ports)
        if name == "smart-configuration":
            return Outgoing(200, exact.encode(smart_configuration(self.ports.settings)), "application/json", _PUBLIC)
        if found.type == audit_events.TYPE:
            return await audit_events.look(asked, found, self.ports)
        if name == "can-access":
            return await can_access(asked, found.id, self.ports)
        if name == "validate":
            return await validate(asked, found.type, self.ports)
        if name in _ASKING:
            read = partial(_question, found)
            assemble = assembly.ASSEMBLE[name]
            if formats.asks_for_xml(asked, html=name == "summary"):
                assemble = formats.assembled_in_xml(assemble)
            return await retrieve(asked, name, found.type, read, assemble, self.ports)
        return await submit(asked, found.interaction.name, found.type, found.id, self.ports)

    async def _unrouted(self, asked: Incoming, error: GatewayError, answer: Outgoing) -> Outgoing:
        """A request that matches no route leaves a record as well."""
        try:
            async with recorded(asked, self.ports, "unknown", "", "") as record:
                record.reasons = (error.code,)
                raise error
        except Unavailable as failure:
            return rendered(failure, asked.language, asked.request_id)
        except GatewayError:
            return answer


def _in_xml(answer: Outgoing) -> Outgoing:
    """A write stays written when its answer cannot be said in XML: then it is JSON (RFC 9110 12.5.1)."""
    try:
        return formats.in_xml(answer)
    except GatewayError:
        return answer


def _question(found: Route, asked: Incoming, ports: Ports) -> Question:
    question = reading.question(asked, found, ports)
    if question.profile:  # one that is not known is refused before anybody is asked
        document_profile(question.profile)
    return question
