"""HTTP of the log's evidence: the newest checkpoints and keys of this gateway, and its service as a witness of others.

No token: a checkpoint says nothing of a person, and whoever audits must be able to see it without asking us.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from gateway.audit import checkpoints
from gateway.audit.checkpoints import tree_in
from gateway.audit.witness import Addition, objection
from gateway.crypto.notes import LARGEST_BYTES, Note
from gateway.errors import Unavailable

router = APIRouter()

_SIZE = "text/x.tlog.size"
_ROUNDS = 4


@router.get("/audit/checkpoint", summary="The newest checkpoint of the log this process writes")
async def newest(request: Request) -> Response:
    """As C2SP tlog-checkpoint writes it."""
    evidence = request.app.state.evidence
    return await _checkpoint(request, evidence.trees.own)


@router.get("/audit/checkpoint/{log}", summary="The newest checkpoint of one log, such as 1.1")
async def of_log(log: str, request: Request) -> Response:
    """As C2SP tlog-checkpoint writes it."""
    try:
        return await _checkpoint(request, checkpoints.log_of(f"x/{log}"))
    except ValueError:
        return PlainTextResponse("no such log\n", 404)


@router.get("/audit/keys", summary="The verifier keys of this gateway's checkpoints, the newest first")
async def keys(request: Request) -> Response:
    """One a line; compare them with those you were given."""
    evidence = request.app.state.evidence
    return PlainTextResponse("".join(f"{key}\n" for key in evidence.public_keys()))


@router.get("/witness/checkpoints", summary="What this gateway signed of a log as a witness, the newest first")
async def witnessed(request: Request, origin: str) -> Response:
    """The notes, each ended by a NUL."""
    found = await request.app.state.evidence.store.history(origin)
    if not found:
        return PlainTextResponse("not witnessed here\n", 404)
    return Response(b"".join(note + b"\0" for note in found), media_type="application/octet-stream")


@router.post("/witness/add-checkpoint", summary="Have a checkpoint signed by this gateway as a witness")
async def add_checkpoint(request: Request) -> Response:
    """C2SP tlog-witness: 200 with a signature, or 400, 403, 404, 409, 422."""
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > LARGEST_BYTES:
            return PlainTextResponse("too large\n", 413)
    try:
        addition = Addition.parse(raw)
        origin, size, _ = tree_in(addition.note.text)
    except ValueError as error:
        return PlainTextResponse(f"{error}\n", 400)
    try:
        return await _added(request, addition, origin, size)
    except Unavailable:
        return PlainTextResponse("the store is not available\n", 503, {"retry-after": "5"})


async def _added(request: Request, addition: Addition, origin: str, size: int) -> Response:
    evidence, now = request.app.state.evidence, request.app.state.ports.now()
    for _ in range(_ROUNDS):
        old = await evidence.store.last(origin)
        against = objection(addition, Note.parse(old) if old else None, evidence.verifiers(origin))
        if against is not None and against.size is not None:
            return Response(f"{against.size}\n", against.status, {"content-type": _SIZE})
        if against is not None:
            return PlainTextResponse(f"{against.why}\n", against.status)
        signature = evidence.cosign(addition.note.text, now)
        signed = addition.note.signed([signature])
        if await evidence.store.keep(origin, old, size, now, signed.raw()):
            return PlainTextResponse(signature.line())
    return PlainTextResponse("another checkpoint came first\n", 503, {"retry-after": "1"})


async def _checkpoint(request: Request, log: checkpoints.Log) -> Response:
    try:
        raw = await request.app.state.evidence.trees.last_note(log)
    except Unavailable:
        return PlainTextResponse("the store is not available\n", 503, {"retry-after": "5"})
    return Response(raw, media_type="text/plain; charset=utf-8") if raw else PlainTextResponse("no such log\n", 404)
