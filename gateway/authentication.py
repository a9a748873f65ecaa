"""The first step of the line: who sends this request, proven by an access token and by nothing else."""

from __future__ import annotations

from gateway.errors import Unavailable
from gateway.model import Caller, Incoming
from gateway.ports import Ports


async def authenticate(incoming: Incoming, ports: Ports) -> Caller:
    """The caller behind the one Authorization header of a request.

    A token that is bound to a certificate or key proves nobody without it.

    Raises:
        Refused: `token-missing`, `token-invalid`, `proof-invalid` or `proof-nonce`; `too-many-requests` beyond the quota.
        Unavailable: this process has nothing to verify tokens with, or cannot see what was revoked.
    """
    tokens, now = ports.tokens, ports.clock.now().timestamp()
    if tokens is None:
        raise Unavailable("internal")
    if ports.revocations is not None and tokens.stale(now):
        await tokens.refresh(ports.revocations, now)
    authorization = incoming.headers.get(b"authorization", b"")
    caller = tokens.caller(authorization, now)
    if caller.bound:
        from gateway.oauth import binding  # noqa: PLC0415 - few tokens are bound, and it loads what reads certificates

        await binding.hold(caller, incoming, ports)
    if ports.allowances is not None:
        ports.allowances.take(authorization, caller.requester.client, now)
    return caller
