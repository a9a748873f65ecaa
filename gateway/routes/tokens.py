"""The record of every token that is issued, refused, inspected or taken back; without it none is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.audit.journal import summed
from gateway.audit.record import Record, encode
from gateway.model import instant
from gateway.oauth.endpoint import TokenAnswer
from gateway.ports import Ports

RecordToken = Callable[[TokenAnswer, str, str], Awaitable[None]]


def recorder(ports: Ports) -> RecordToken:
    """What the token endpoint calls before it answers; raises Unavailable when the log cannot be written."""

    async def record(outcome: TokenAnswer, peer: str, request_id: str) -> None:
        if outcome.caller is None:
            counted = ports.refusals.count(peer, ports.now())
            await summed(counted.sums, request_id, ports)
            if not counted.within:
                return
        await ports.audit.append(encode(_record(outcome, peer, request_id, ports)))

    return record


def _record(outcome: TokenAnswer, peer: str, request_id: str, ports: Ports) -> Record:
    caller = outcome.caller
    requester = caller.requester if caller else None
    return Record(
        kind="token",
        at=instant(ports.now()),
        request=request_id,
        interaction=outcome.interaction,
        action="E",
        address=peer,
        status=outcome.status,
        error=str(outcome.body.get("error", "")),
        reasons=(outcome.error,) if outcome.error else (),
        policy=ports.policy.revision,
        client=requester.client if requester else outcome.client,
        organization=requester.organization if requester else "",
        facility=requester.facility_type if requester else "",
        person=(requester.person or "") if requester else "",
        person_name=caller.person_name if caller else "",
        role=(requester.role or "") if requester else "",
        responsible=caller.responsible if caller else "",
        assurance=(requester.assurance or "") if requester else "",
        token=caller.token_id if caller else "",
        purpose=caller.purpose if caller else "",
        patient=caller.launch if caller else "",
        case=caller.case if caller else "",
    )
