"""HTTP for those who watch over the use: why a decision came out as it did, and which emergency accesses wait for a look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from gateway import envelope
from gateway.errors import GatewayError, Unavailable
from gateway.fhir.outcome import rendered
from gateway.intake import quality, reviews
from gateway.model import Incoming, Outgoing
from gateway.preflight import explained

router = APIRouter()
log: Final = logging.getLogger("gateway.admin")


@router.post("/admin/explain", summary="Why a decision comes out as it does, rule by rule")
async def explain(request: Request) -> Response:
    """Answer an auditor of the custodian concerned or of the requester."""
    ports = request.app.state.ports
    return await _answered(request, lambda asked: explained(asked, ports))


@router.get("/admin/reviews", summary="Emergency accesses that wait for a look")
async def waiting(request: Request) -> Response:
    """List those of the own organization, as custodian or as the one that looked."""
    ports = request.app.state.ports
    return await _answered(request, lambda asked: reviews.waiting(asked, ports))


@router.post("/admin/reviews/{number}", summary="Note what came of looking at an emergency access")
async def settle(number: str, request: Request) -> Response:
    """Settle one: by somebody else than who broke the glass."""
    ports = request.app.state.ports
    return await _answered(request, lambda asked: reviews.settle(asked, number, ports))


@router.get("/admin/quality", summary="What profiles have against the items of one's own sources")
async def quality_table(request: Request) -> Response:
    """Give the counts per source, type, rule and element; never a value of a resource."""
    ports = request.app.state.ports
    return await _answered(request, lambda asked: quality.shown(asked, ports))


async def _answered(request: Request, work: Callable[[Incoming], Coroutine[Any, Any, Outgoing]]) -> Response:
    settings = request.app.state.ports.settings.gateway
    asked = envelope.announced(request.scope, "", frozenset(settings.trusted_proxies), request.app.state.ports.now())
    try:
        asked = await envelope.received(asked, request.scope, request.receive, settings.maximum_body_bytes)
        answer = await work(asked)
    except GatewayError as error:
        answer = rendered(error, asked.language, asked.request_id)
    except Exception:  # a defect: the text goes nowhere, the correlation id leads to the log
        log.exception("request failed", extra={"request": asked.request_id})
        answer = rendered(Unavailable("internal"), asked.language, asked.request_id)
    own = {name.decode(): value.decode() for name, value in envelope.SECURITY_HEADERS} | dict(answer.headers)
    own |= {"x-request-id": asked.request_id, "x-correlation-id": asked.correlation_id}
    return Response(answer.body, answer.status, own, media_type=answer.content_type)
