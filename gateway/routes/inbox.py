"""HTTP of the inboxes: a custodian posts a document, or cancels a contact by its number."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.intake.documents import cancel_contact, receive_document
from gateway.routes.answering import answered

router = APIRouter()


@router.post("/inbox/{source}", summary="Post a document into the inbox of the own organization")
async def post(source: str, request: Request) -> Response:
    """Take a document in; scope `system/DocumentReference.c`."""
    ports = request.app.state.ports
    return await answered(request, lambda asked: receive_document(asked, source, ports))


@router.delete("/inbox/{source}/{number}", summary="Cancel a trip or visit by its number")
async def cancel(source: str, number: str, request: Request) -> Response:
    """Show nothing of a contact any more; scope `system/DocumentReference.d`."""
    ports = request.app.state.ports
    return await answered(request, lambda asked: cancel_contact(asked, source, number, ports))
