"""HTTP of the guide: public, without a record, the same for everybody, in the language of the reader."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, FastAPI, Request, Response

from gateway import envelope
from gateway.errors import GatewayError, Invalid, Unavailable
from gateway.fhir.capability import types
from gateway.fhir.outcome import rendered
from gateway.fhir.public import reached
from gateway.model import Incoming, Outgoing
from gateway.ports import Ports
from gateway.routes.guide import openapi, telling
from gateway.routes.guide.examples import examples
from gateway.routes.guide.markup import POLICY
from profiles import exact

router = APIRouter(include_in_schema=False)

_LOOKS: Final = ["GET", "HEAD"]
_KEPT: Final = {"cache-control": "public, max-age=300", "vary": "Accept, Accept-Language"}


@router.api_route("/", methods=_LOOKS)
async def start(request: Request) -> Response:
    """What this is and where to begin."""
    asked, ports = _asked(request)
    base = ports.settings.gateway.base
    if "text/html" in asked.header(b"accept"):
        return _page(telling.start(ports.settings.gateway.name, base, asked.language))
    told = telling.addresses(ports.settings.gateway.name, base, asked.language)
    return Response(exact.encode(told), headers=_headers(), media_type="application/json")


@router.api_route("/docs", methods=_LOOKS)
async def docs(request: Request) -> Response:
    """The API in one page."""
    asked, ports = _asked(request)
    return _page(telling.overview(ports.settings.gateway.base, asked.language))


@router.api_route("/docs/deprecations", methods=_LOOKS)
async def deprecations(request: Request) -> Response:
    """What will go."""
    return _page(telling.deprecated(_asked(request)[0].language))


@router.api_route("/docs/examples.http", methods=_LOOKS)
async def tried(request: Request) -> Response:
    """Requests to try."""
    text = examples(_asked(request)[1].settings.gateway.base)
    return Response(text, headers=_headers(), media_type="text/plain; charset=utf-8")


@router.api_route("/docs/{type_}", methods=_LOOKS)
async def of_type(type_: str, request: Request) -> Response:
    """One resource type."""
    asked, ports = _asked(request)
    if type_ not in types():
        return _missing(asked, ports, "this page")
    return _page(telling.resource(type_, ports.settings.gateway.base, asked.language))


@router.api_route("/openapi.json", methods=_LOOKS)
async def whole(request: Request) -> Response:
    """What is of no resource type, and where the rest is."""
    return _json(openapi.document("", _asked(request)[1].settings.gateway.base))


@router.api_route("/openapi/{type_}.json", methods=_LOOKS)
async def part(type_: str, request: Request) -> Response:
    """One resource type."""
    asked, ports = _asked(request)
    if type_ not in types():
        return _missing(asked, ports, "this resource type")
    return _json(openapi.document(type_, ports.settings.gateway.base))


@router.api_route("/errors", methods=_LOOKS)
async def errors(request: Request) -> Response:
    """Every code."""
    return _page(telling.errors(_asked(request)[0].language))


@router.api_route("/errors/{code}", methods=_LOOKS)
async def error(code: str, request: Request) -> Response:
    """One code: cause and cure."""
    asked, ports = _asked(request)
    found = telling.error(code, asked.language)
    return _page(found) if found else _missing(asked, ports, "this error code")


@router.api_route("/client/requests", methods=_LOOKS)
async def recent(request: Request) -> Response:
    """The last requests of the client that asks, with the reasons on its side (rule A4)."""
    asked, ports = _asked(request)
    try:
        answer = await telling.own_requests(asked, ports, request.app.state.recent)
    except GatewayError as failure:
        answer = rendered(failure, asked.language, asked.request_id, ports.settings.gateway.base)
    except Exception:  # noqa: BLE001 - the text goes nowhere
        answer = rendered(Unavailable("internal"), asked.language, asked.request_id, ports.settings.gateway.base)
    return _plain(answer, asked)


def open_elsewhere(web: FastAPI) -> None:
    """Say what is not here as every other error is said; below /oauth as OAuth says errors."""
    web.add_exception_handler(404, _unrouted)
    web.add_exception_handler(405, _unrouted)


async def _unrouted(request: Request, error: Exception) -> Response:
    asked, ports = _asked(request)
    allow = dict(getattr(error, "headers", None) or {})
    failure = Invalid("method-not-allowed", method=asked.method[:20], allowed=allow["Allow"]) if allow else (
        Invalid("not-found", what="this path"))  # fmt: skip
    if asked.path.startswith("oauth/"):
        told = {"error": "invalid_request", "error_description": failure.text()}
        return Response(exact.encode(told), failure.row.status, _headers() | allow, media_type="application/json")
    response = _plain(rendered(failure, asked.language, asked.request_id, ports.settings.gateway.base), asked)
    response.headers.update(allow)
    return response


def _asked(request: Request) -> tuple[Incoming, Ports]:
    ports: Ports = request.app.state.ports
    trusted = ports.settings.gateway.trusted_proxies
    asked = envelope.announced(request.scope, "", trusted, ports.now())
    proxy = str(request.scope["client"][0]) if request.scope.get("client") else ""
    return asked, reached(ports, proxy, trusted, asked.headers)


def _headers(policy: str = "") -> dict[str, str]:
    own = {name.decode(): value.decode() for name, value in envelope.SECURITY_HEADERS} | _KEPT
    return own | ({"content-security-policy": policy} if policy else {})


def _page(text: str) -> Response:
    return Response(text, headers=_headers(POLICY), media_type="text/html; charset=utf-8")


def _json(document: openapi.Json) -> Response:
    headers = _headers() | {"access-control-allow-origin": "*"}
    return Response(exact.encode(document), headers=headers, media_type="application/json")


def _missing(asked: Incoming, ports: Ports, what: str) -> Response:
    return _plain(
        rendered(Invalid("not-found", what=what), asked.language, asked.request_id, ports.settings.gateway.base), asked
    )


def _plain(answer: Outgoing, asked: Incoming) -> Response:
    own = {name.decode(): value.decode() for name, value in envelope.SECURITY_HEADERS} | dict(answer.headers)
    own |= {"x-request-id": asked.request_id, "x-correlation-id": asked.correlation_id}
    return Response(answer.body, answer.status, own, media_type=answer.content_type)
