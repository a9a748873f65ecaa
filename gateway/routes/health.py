"""Is it alive, can it answer: for load balancers, without a token and without a record."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

router = APIRouter()


@router.get("/health/live")
async def live() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "alive"})


@router.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """The gateway can answer: doors open, feeds loaded, store writable."""
    gateway = request.app.state.gateway
    checks = {
        "started": bool(gateway.started),
        "feeds": not gateway.loading,
        "database": bool(gateway.database.healthy()),
    }
    good = all(checks.values())
    return JSONResponse(
        {"status": "ready" if good else "not ready", "checks": checks}, status_code=200 if good else 503
    )
