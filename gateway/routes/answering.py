"""One request to the gateway itself, from its bytes to its answer; whatever fails is said without its content."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response

from gateway import envelope
from gateway.errors import GatewayError, Unavailable
from gateway.fhir.outcome import rendered
from gateway.model import Incoming, Outgoing

log: Final = logging.getLogger("gateway.answering")


async def answered(request: Request, work: Callable[[Incoming], Coroutine[Any, Any, Outgoing]]) -> Response:
    """Take a request in, let it be worked on, and answer with what came of it or with why nothing did."""
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
