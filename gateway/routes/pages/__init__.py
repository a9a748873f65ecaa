"""Pages for people: server-rendered, behind a login, on the same line and the same record as the API."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from gateway.ports import Ports
from gateway.routes.pages import (
    administrator,
    administrator_tasks,
    asking,
    auditor,
    auditor_tasks,
    coordinator,
    desk_tools,
    glass,
    login,
)
from gateway.routes.pages.provider import Provider
from gateway.routes.pages.sessions import Sessions


def open_pages(web: FastAPI, ports: Ports, directory: Path) -> None:
    """Put the pages into the application. Without a provider nobody can log in, and they say so."""
    settings = ports.settings
    table, base = settings.login, settings.gateway.base
    web.state.secure = base.startswith("https://")
    # A cookie of this prefix is taken from this host over TLS only; browsers refuse it without.
    web.state.cookie = "__Host-session" if web.state.secure else "session"
    web.state.sessions = Sessions(table)
    web.state.provider = Provider(table, base, directory, ports.now) if table.issuer else None
    for part in (coordinator, asking, glass, desk_tools, auditor, auditor_tasks, administrator, administrator_tasks):
        web.include_router(part.pages.router)
    web.include_router(login.pages.router)
    web.include_router(login.rest.router)  # last: it takes every other address
