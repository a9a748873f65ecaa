"""HTTP of the inboxes: a custodian posts a document, or cancels a contact by its number."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from gateway import envelope
from gateway.errors import GatewayError, Unavailable
from gateway.fhir.outcome import rendered
from gateway.intake.documents import cancel_contact, receive_document
from gateway.model import Incoming, Outgoing

router = APIRouter()
log: Final = logging.getLogger("gateway.inbox")


@router.post("/inbox/{source}", summary="Post a document into the inbox of the own organization")
async def post(source: str, request: Request) -> Response:
    """Take a document in; scope `system/DocumentReference.c`."""
    ports = request.app.state.ports
    return await _answered(request, lambda asked: receive_document(asked, source, ports))


@router.delete("/inbox/{source}/{number}", summary="Cancel a trip or visit by its number")
async def cancel(source: str, number: str, request: Request) -> Response:
    """Show nothing of a contact any more; scope `system/DocumentReference.d`."""
    ports = request.app.state.ports
    return await _answered(request, lambda asked: cancel_contact(asked, source, number, ports))


async def _answered(request: Request, work: Callable[[Incoming], Coroutine[Any, Any, Outgoing]]) -> Response:
    settings = request.app.state.ports.settings.gateway
    asked = envelope.announced(request.scope, "", frozenset(settings.trusted_proxies), request.app.state.ports.now())
    try:
        asked = await envelope.received(asked, request.scope, request.receive, settings.maximum_body_bytes)
        answer = await work(asked)
    except GatewayError as error:
        answer = rendered(error, asked.language, asked.request_id)
    except Exception:  # a defect: the text goes nowhere, the correlation id leads to the log
        log.exception("document not taken in", extra={"request": asked.request_id})
        answer = rendered(Unavailable("internal"), asked.language, asked.request_id)
    own = {name.decode(): value.decode() for name, value in envelope.SECURITY_HEADERS} | dict(answer.headers)
    own |= {"x-request-id": asked.request_id, "x-correlation-id": asked.correlation_id}
    return Response(answer.body, answer.status, own, media_type=answer.content_type)
