"""The first step of the line: who sends this request, proven by an access token and by nothing else."""

from __future__ import annotations

from gateway.errors import Unavailable
from gateway.model import Caller
from gateway.ports import Ports


async def authenticate(authorization: bytes, ports: Ports) -> Caller:
    """The caller behind the raw value of the one Authorization header; empty when there was none.

    Raises:
        Refused: `token-missing` or `token-invalid`; `too-many-requests` beyond the quota of the client.
        Unavailable: this process has nothing to verify tokens with, or cannot see what was revoked.
    """
    tokens, now = ports.tokens, ports.clock.now().timestamp()
    if tokens is None:
        raise Unavailable("internal")
    if ports.revocations is not None and tokens.stale(now):
        await tokens.refresh(ports.revocations, now)
    caller = tokens.caller(authorization, now)
    if ports.allowances is not None:
        ports.allowances.take(authorization, caller.requester.client, now)
    return caller
