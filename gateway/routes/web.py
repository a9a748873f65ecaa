"""Everything that is not FHIR, as one FastAPI application."""

from __future__ import annotations

from fastapi import FastAPI

from gateway.fhir.recent import Recent
from gateway.oauth.registered import ClientKeys
from gateway.ports import Ports
from gateway.routes import admin, inbox, oauth, pages, tokens, witness
from gateway.routes.guide.router import open_elsewhere
from gateway.routes.guide.router import router as guide


def application(ports: Ports, client_keys: ClientKeys) -> FastAPI:
    """Put the routes together. The pages FastAPI makes of itself load scripts from elsewhere: off."""
    web = FastAPI(title="ROAZ FHIR gateway", docs_url=None, redoc_url=None, openapi_url=None)
    web.state.ports = ports
    web.state.client_keys = client_keys
    web.state.recent = Recent()  # the composition root puts that of the FHIR endpoint here
    web.state.record_token = tokens.recorder(ports)
    web.include_router(oauth.router)
    web.include_router(inbox.router)
    web.include_router(admin.router)
    web.include_router(witness.router)
    web.include_router(guide)
    open_elsewhere(web)
    pages.open_pages(web, ports, client_keys.directory)
    return web
