"""HTTP for those who watch over the use: why a decision came out as it did, and which emergency accesses wait for a look."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.intake import quality, reviews
from gateway.preflight import explained
from gateway.routes.answering import answered

router = APIRouter()


@router.post("/admin/explain", summary="Why a decision comes out as it does, rule by rule")
async def explain(request: Request) -> Response:
    """Answer an auditor of the custodian concerned or of the requester."""
    ports = request.app.state.ports
    return await answered(request, lambda asked: explained(asked, ports))


@router.get("/admin/reviews", summary="Emergency accesses that wait for a look")
async def waiting(request: Request) -> Response:
    """List those of the own organization, as custodian or as the one that looked."""
    ports = request.app.state.ports
    return await answered(request, lambda asked: reviews.waiting(asked, ports))


@router.post("/admin/reviews/{number}", summary="Note what came of looking at an emergency access")
async def settle(number: str, request: Request) -> Response:
    """Settle one: by somebody else than who broke the glass."""
    ports = request.app.state.ports
    return await answered(request, lambda asked: reviews.settle(asked, number, ports))


@router.get("/admin/quality", summary="What profiles have against the items of one's own sources")
async def quality_table(request: Request) -> Response:
    """Give the counts per source, type, rule and element; never a value of a resource."""
    ports = request.app.state.ports
    return await answered(request, lambda asked: quality.shown(asked, ports))
