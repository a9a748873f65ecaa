"""HTTP of logging in and out, the language, the role, and the files every page needs."""

from __future__ import annotations

import secrets
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import Response

from gateway.audit.pages import noted
from gateway.errors import Invalid, Refused, Unavailable
from gateway.oauth.login import Errand, Identity, leave
from gateway.routes.pages.desks import desk_of
from gateway.routes.pages.frame import Pages, begun, cookie, local, onward, welcome
from gateway.routes.pages.provider import PENDING, Provider
from gateway.routes.pages.sessions import Session
from gateway.routes.pages.visit import ROOT, Reply, Visit, go

pages: Final = Pages(ROOT)
rest: Final = Pages(ROOT)  # mounted last
LOGIN_COOKIE: Final = "login"
_STATIC: Final = {"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


@pages.get("")
@pages.get("/")
async def first(visit: Visit) -> Reply:
    """The page of one's own work; who is not logged in reads how to."""
    session = visit.session
    if session is None:
        return welcome(visit)
    desk, _ = desk_of(session.identity, session.role, visit.ports)
    if desk is not None:
        return go(desk.home)
    roles = [role for role in session.identity.roles if desk_of(session.identity, role, visit.ports)[0]]
    if not roles:
        raise Refused("role-refused", role=session.role or "?", why="the pages have nothing for this role")
    return visit.page(
        "role.html.j2", visit.words["role_title"], roles=[(role, visit.role_name(role)) for role in roles]
    )


@pages.get("/role")
async def roles(visit: Visit) -> Reply:
    """Choose another role of one's own."""
    if visit.session is None:
        return go(ROOT)
    identity = visit.session.identity
    open_ = [role for role in identity.roles if desk_of(identity, role, visit.ports)[0]]
    return visit.page(
        "role.html.j2", visit.words["role_title"], roles=[(role, visit.role_name(role)) for role in open_]
    )


@pages.post("/role")
async def role(visit: Visit) -> Reply:
    """Work in a role of one's own."""
    session, wanted = visit.logged, visit.fields.get("role", "")
    if wanted not in session.identity.roles:
        raise Refused("role-refused", role="?", why="it is not a role of the person who logged in")
    session.role = wanted
    return go(ROOT)


@pages.get("/login")
async def login(visit: Visit) -> Reply:
    """Leave for the provider."""
    browser, secure = secrets.token_urlsafe(24), visit.state.secure
    url = await _provider(visit).leave(browser, local(visit.fields.get("to", ROOT)), again="again" in visit.fields)
    return go(url, cookie(LOGIN_COOKIE, browser, secure=secure, seconds=int(PENDING.total_seconds())))


@pages.get("/callback")
async def callback(visit: Visit) -> Reply:
    """Come back from the provider."""
    gone = cookie(LOGIN_COOKIE, "", secure=visit.state.secure, seconds=0)
    try:
        state, code = visit.fields.get("state", ""), visit.fields.get("code", "")
        identity, to = await _provider(visit).back(state, code, visit.cookies.get(LOGIN_COOKIE, ""))
        session = await _opened(visit, identity)
    except Refused as error:  # what a token endpoint refuses is on the record already
        await noted(visit.incoming, visit.ports, "login", page="login", status=error.row.status, error=error.code,
                    reasons=(error.code,))  # fmt: skip
        raise
    cookies = (begun(session, visit.state.cookie, secure=visit.state.secure), gone)
    # To the browser the provider is still who asks for the next page: ours must come in between.
    if visit.incoming.header(b"sec-fetch-site") == "cross-site":
        return onward(visit, to, *cookies, alone=True)
    return go(to, *cookies)


async def _opened(visit: Visit, identity: Identity) -> Session:
    """A session, once the login is on the record: no record, no session."""
    before = visit.session
    known = [role for role in identity.roles if desk_of(identity, role, visit.ports)[0]]
    role = known[0] if len(known) == 1 else ""
    session = visit.sessions.open(identity, role, visit.now, before)
    visit.session = session
    try:
        await _first_token(visit, session.role or next(iter(known), next(iter(identity.roles), "")))
    except BaseException:
        visit.sessions.close(session)
        visit.session = None
        raise
    return session


async def _first_token(visit: Visit, role: str) -> None:
    """The token every page of the desk is read with; asking it puts the login on the record, also when it is refused.

    Raises:
        Barred: the person may not come in: no client for the organization, a role or level nobody registered.
        Unavailable: `audit-unavailable`.
    """
    _, purpose = desk_of(visit.logged.identity, role, visit.ports)
    await visit.enter(Errand(purpose=purpose, role=role))


@pages.post("/logout")
async def logout(visit: Visit) -> Reply:
    """End the session here; its tokens are refused everywhere."""
    session = visit.logged
    callers = [caller for _, caller in session.tokens.values()]
    visit.sessions.close(session)  # first: whatever fails after this, nobody goes on in it
    for caller in callers:
        await leave(caller, visit.ports)
    await noted(visit.incoming, visit.ports, "logout", caller=callers[-1] if callers else None, page="logout")
    visit.session = None
    gone = cookie(visit.state.cookie, "", secure=visit.state.secure, seconds=0)
    shown = visit.page("ended.html.j2", visit.words["ended_title"], left=True)
    return Reply(shown.body, cookies=(gone,), headers={"clear-site-data": '"cache", "storage"'})


@pages.get("/ended")
async def ended(visit: Visit) -> Reply:
    """Say that the session ended; nothing of a patient stays on the screen."""
    if visit.session is not None:
        return go(ROOT)
    return visit.page("ended.html.j2", visit.words["ended_title"], left=False)


@pages.post("/stay")
async def stay(visit: Visit) -> Reply:
    """Go on with the session; the page asks it when the person says so."""
    return Reply(status=204) if visit.session else Reply(status=401)


@pages.get("/language/{language}")
async def choose(visit: Visit, language: str) -> Reply:
    """Read the pages in another language."""
    if language not in ("nl", "en"):
        raise Invalid("not-found", what="this language")
    back = local(visit.fields.get("back", ROOT))
    return go(back, cookie("language", language, secure=visit.state.secure, seconds=31_536_000))


@pages.router.get("/static/{name}")
async def static(name: str) -> Response:
    """The style sheet and the script; they hold nothing of anybody."""
    if name not in _STATIC:
        return Response(status_code=404)
    headers = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff",
               "cross-origin-resource-policy": "same-origin"}  # fmt: skip
    return Response(_file(name), headers=headers, media_type=_STATIC[name])


@rest.get("/{path:path}")
async def unknown(_: Visit, path: str) -> Reply:
    """Say that there is no such page."""
    del path
    raise Invalid("not-found", what="this page")


@cache
def _file(name: str) -> bytes:
    return files("gateway.routes.pages").joinpath("static", name).read_bytes()


def _provider(visit: Visit) -> Provider:
    provider: Provider | None = visit.state.provider
    if provider is None:
        raise Unavailable("login-unavailable")
    return provider
