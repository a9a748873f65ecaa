"""The frame of every page: who visits, what may be sent in, which desk it is for, and how an answer leaves."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Request, Response

from gateway import envelope
from gateway.errors import GatewayError, Invalid, Refused, Unavailable
from gateway.model import Incoming
from gateway.routes.pages.desks import desk_of
from gateway.routes.pages.sessions import Session
from gateway.routes.pages.visit import ROOT, Barred, Reply, Visit, go

log: Final = logging.getLogger("gateway.pages")

Work = Callable[[Visit], Awaitable[Reply]]
Page = TypeVar("Page", bound=Callable[..., Awaitable[Reply]])

MAXIMUM_FORM_BYTES: Final = 65_536
_LOCAL: Final = re.compile(r"/pages(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,79}){0,6}/?")
# No inline script or style, nothing from elsewhere, no frame around it, no form to elsewhere.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {name.decode(): value.decode() for name, value in envelope.SECURITY_HEADERS} | {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Pages:
    """The pages below one address, for one desk: each is a function of the visit and of the values in its path."""

    __slots__ = ("desk", "router")

    def __init__(self, prefix: str, desk: str = "") -> None:
        self.desk = desk
        self.router = APIRouter(prefix=prefix, include_in_schema=False)

    def get(self, path: str, *, fresh: bool = False) -> Callable[[Page], Page]:
        """A page that is looked at; `fresh`: see `answer`."""
        return self._at("GET", path, fresh)

    def post(self, path: str, *, fresh: bool = False) -> Callable[[Page], Page]:
        """A form that is sent in; `fresh`: see `answer`."""
        return self._at("POST", path, fresh)

    def _at(self, method: str, path: str, fresh: bool) -> Callable[[Page], Page]:
        def taken(page: Page) -> Page:
            async def endpoint(request: Request) -> Response:
                return await answer(request, partial(page, **request.path_params), self.desk, fresh=fresh)

            self.router.add_api_route(path, endpoint, methods=[method])
            return page

        return taken


async def answer(request: Request, work: Work, desk: str = "", *, fresh: bool = False) -> Response:
    """Let a person do one thing on a page, or say in plain words why not.

    `desk`: for whom the page is ("coordinator", "auditor", "administrator"); empty = for everybody, also before login.
    `fresh`: asks a login of the last minutes; who has none is sent to log in again.
    """
    visit = await _visit(request, desk)
    try:
        if desk:
            reply = await _entered(visit, work, desk, fresh=fresh)
        else:
            _same_page(visit)
            reply = await work(visit)
    except Barred as bar:
        reply = visit.refusal(bar.code, bar.status, bar.text)
    except GatewayError as error:
        reply = visit.refusal(error.code, error.row.status, error.text(visit.language))
    except Exception:  # a defect: the text goes nowhere, the correlation id leads to the log
        log.exception("page failed", extra={"request": visit.incoming.request_id})
        failure = Unavailable("internal")
        reply = visit.refusal(failure.code, failure.row.status, failure.text(visit.language))
    return written(reply, visit.incoming)


async def _entered(visit: Visit, work: Work, desk: str, *, fresh: bool) -> Reply:
    """Let somebody in who is logged in, in a role of this desk, from a page of ours."""
    session = visit.session
    get = visit.incoming.method in ("GET", "HEAD")
    if session is None:
        return welcome(visit, visit.path if get else ROOT, 200 if get else 401)
    if get and visit.incoming.header(b"sec-fetch-site") == "cross-site":
        return onward(visit, visit.path)  # a link on a foreign page makes nobody look at a patient
    _same_page(visit)
    found, visit.purpose = desk_of(session.identity, session.role, visit.ports)
    if found is None or found.key != desk:
        raise Refused("role-refused", role=session.role, why="these pages are for another role")
    visit.home = found.home
    if fresh and not session.fresh(visit.now):
        if get:
            return go(login_path(visit.path, again=True))
        raise Refused("login-again")
    return await work(visit)


def _same_page(visit: Visit) -> None:
    """Refuse a form that was not sent from a page of this session (attack 125)."""
    if visit.incoming.method in ("GET", "HEAD"):
        return
    site = visit.incoming.header(b"sec-fetch-site")
    origin = visit.incoming.header(b"origin")
    ours = site == "same-origin" if site else origin in ("", visit.ports.settings.gateway.base.rstrip("/"))
    if not ours or visit.session is None or not visit.session.owns(visit.fields.get("csrf", "")):
        raise Refused("form-expired")


async def _visit(request: Request, desk: str) -> Visit:
    state = request.app.state
    settings = state.ports.settings.gateway
    asked = envelope.announced(request.scope, "", frozenset(settings.trusted_proxies), state.ports.now())
    fields: dict[str, str] = {}
    trouble: GatewayError | None = None
    try:
        asked = await envelope.received(asked, request.scope, request.receive, MAXIMUM_FORM_BYTES)
        fields = _fields(asked)
    except GatewayError as error:
        trouble = error
    language = request.cookies.get("language") or settings.language
    session = state.sessions.find(request.cookies.get(state.cookie, ""), asked.received)
    visit = Visit(
        incoming=asked,
        ports=state.ports,
        sessions=state.sessions,
        language=language if language in ("nl", "en") else "nl",
        part=desk or "frame",
        session=session,
        fields=fields,
        cookies=request.cookies,
        record_token=state.record_token,
        state=state,
    )
    if trouble is not None:
        visit.fields = {"": trouble.code}
    return visit


def _fields(asked: Incoming) -> dict[str, str]:
    """The fields of the form, else those of the address.

    Raises:
        Invalid: `bad-request`.
    """
    posted = asked.method == "POST"
    if posted and not asked.header(b"content-type").startswith("application/x-www-form-urlencoded"):
        raise Invalid("bad-request", why="forms are sent as application/x-www-form-urlencoded")
    text = asked.body.decode("utf-8", "replace") if posted else asked.query
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100, errors="replace")
    except ValueError:
        raise Invalid("bad-request", why="too many fields") from None
    fields: dict[str, str] = {}
    for name, value in pairs:  # boxes of one name are one field, a line each
        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return fields


def welcome(visit: Visit, to: str = ROOT, status: int = 200) -> Reply:
    """How to log in, and go on to a page from there."""
    return visit.page("welcome.html.j2", visit.words["welcome_title"], status=status,
                      ready=visit.state.provider is not None, login=login_path(to))  # fmt: skip


def onward(visit: Visit, to: str, *cookies: str, alone: bool = False) -> Reply:
    """A page of ours between a foreign page and another of ours; `alone`: it goes on by itself."""
    shown = visit.page("onward.html.j2", visit.words["onward_title"], to=local(to), alone=alone)
    return Reply(shown.body, cookies=cookies)


def local(path: str) -> str:
    """A path of these pages, else the first page: nobody is sent elsewhere (attack 130)."""
    return path if _LOCAL.fullmatch(path) else ROOT


def login_path(to: str, *, again: bool = False) -> str:
    """Where to log in, and come back to a page."""
    return f"{ROOT}/login?to={quote(local(to), safe='/')}{'&again=1' if again else ''}"


def written(reply: Reply, asked: Incoming) -> Response:
    """The HTTP answer of a reply."""
    own = headers_of(asked) | dict(reply.headers)
    if reply.name:
        own["content-disposition"] = f'attachment; filename="{reply.name}"'
    if reply.to:
        return _baked(Response(status_code=303, headers=own | {"location": reply.to}), reply)
    return _baked(Response(reply.body, reply.status, own, media_type=reply.kind), reply)


def headers_of(asked: Incoming) -> dict[str, str]:
    """What every answer of the pages says to the browser."""
    return _HEADERS | {"x-request-id": asked.request_id}


def _baked(response: Response, reply: Reply) -> Response:
    for line in reply.cookies:
        response.headers.append("set-cookie", line)
    return response


def cookie(name: str, value: str, *, secure: bool, seconds: int | None = None) -> str:
    """A cookie no script reads and no foreign page sends along."""
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}{age}"


def begun(session: Session, name: str, *, secure: bool) -> str:
    """The cookie of a session; it ends with the browser."""
    return cookie(name, session.key, secure=secure)
