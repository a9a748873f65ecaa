"""`recorded` wraps the line: a refusal leaves a record as an answer does, and without a record nothing is given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from gateway.audit.record import Asked, Kind, Record, Shown, encode
from gateway.errors import GatewayError, Unavailable
from gateway.model import Answer, Caller, Incoming, Patient, Told, instant
from gateway.ports import Issued, Ports


class Recorded:
    """The record of one request while it grows. Used as `async with recorded(incoming, …) as record`.

    INVARIANT: leaving the block either made the outcome durable or raised.
    """

    __slots__ = (
        "action",
        "answers",
        "caller",
        "case",
        "count",
        "error",
        "incoming",
        "interaction",
        "issued",
        "object",
        "patient",
        "ports",
        "query",
        "reasons",
        "status",
        "type",
    )

    def __init__(self, incoming: Incoming, ports: Ports, interaction: str, action: str, type_: str) -> None:
        self.incoming = incoming
        self.ports = ports
        self.interaction = interaction
        self.action = action
        self.type = type_
        self.query = ""
        self.object = ""  # what was written: "Type/id/_history/version"
        self.caller: Caller | None = None
        self.patient: Patient | None = None
        self.case = ""
        self.count = 0  # entries of a batch
        self.status = 0
        self.error = ""
        self.reasons: tuple[str, ...] = ()
        self.answers: Sequence[Answer] = ()
        self.issued: Sequence[Issued] = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.ports.audit.append(encode(self.record("outcome", self.custodians())), self.issued)
            return
        # A disconnect or a defect leaves a record too: the outcome of a cancelled request is "unknown".
        if isinstance(error, GatewayError):
            self.status, self.error = error.row.status, error.code
            if isinstance(error, Unavailable) and error.code == "audit-unavailable":
                return
        else:
            self.status, self.error = 500, "cancelled" if not isinstance(error, Exception) else "internal"
        await asyncio.shield(refused(self))

    async def intent(self, places: Sequence[tuple[str, str]]) -> None:
        """Make durable, before the first source is asked, that these (custodian, source) will be asked."""
        asked = tuple(Asked(custodian, source) for custodian, source in places)
        await self.ports.audit.append(encode(self.record("intent", asked)))

    async def fragment(self, answers: Sequence[Answer]) -> None:
        """Make durable, before a part of a page is sent, what is in it; the outcome at the end tells all of it again."""
        await self.ports.audit.append(encode(self.record("fragment", tuple([_asked(answer) for answer in answers]))))

    def custodians(self) -> tuple[Asked, ...]:
        """What became of each source."""
        return tuple([_asked(answer) for answer in self.answers])

    def record(self, kind: Kind, custodians: tuple[Asked, ...] = ()) -> Record:
        """The frozen record of what is known now."""
        caller, incoming = self.caller, self.incoming
        if caller is None:
            return Record(
                kind=kind,
                at=instant(self.ports.now()),
                request=incoming.request_id,
                correlation=incoming.correlation_id,
                interaction=self.interaction,
                action=self.action,
                type=self.type,
                address=incoming.peer,
                status=self.status,
                error=self.error,
                reasons=self.reasons,
                policy=self.ports.policy.revision,
            )
        requester = caller.requester
        return Record(
            kind=kind,
            at=instant(self.ports.now()),
            request=incoming.request_id,
            correlation=incoming.correlation_id,
            interaction=self.interaction,
            action=self.action,
            type=self.type,
            query=self.query,
            client=requester.client,
            organization=requester.organization,
            facility=requester.facility_type,
            person=requester.person or "",
            person_name=caller.person_name,
            role=requester.role or "",
            responsible=caller.responsible,
            assurance=requester.assurance or "",
            token=caller.token_id,
            purpose=caller.purpose,
            case=self.case or caller.case,
            patient=self.patient.id if self.patient else "",
            policy=self.ports.policy.revision,
            address=incoming.peer,
            status=self.status,
            error=self.error,
            reasons=self.reasons,
            custodians=custodians,
            count=self.count,
            object=self.object,
        )


def recorded(incoming: Incoming, ports: Ports, interaction: str, action: str, type_: str = "") -> Recorded:
    """Start the record of a request."""
    return Recorded(incoming, ports, interaction, action, type_)


async def refused(record: Recorded) -> None:
    """Write a refusal; those of unknown callers are counted beyond a bound, so that they cannot fill the log."""
    if record.caller is None:
        counted = record.ports.refusals.count(record.incoming.peer, record.ports.now())
        await summed(counted.sums, record.incoming.request_id, record.ports)
        if not counted.within:
            return
    for answer in record.answers:
        answer.items.clear()  # nothing of it was given, so nothing of it is in the manifest
    await record.ports.audit.append(encode(record.record("refusal", record.custodians())))


async def summed(sums: Iterable[tuple[str, int]], request: str, ports: Ports) -> None:
    """Write how many refusals of unknown callers were not written one by one, per address.

    Raises:
        Unavailable: `audit-unavailable`.
    """
    for address, count in sums:
        record = Record(
            kind="sum",
            at=instant(ports.now()),
            request=request,
            address=address,
            status=401,
            error="summed",
            count=count,
            policy=ports.policy.revision,
        )
        await ports.audit.append(encode(record))


def _asked(answer: Answer) -> Asked:
    decided = None
    for told in answer.told.values():
        if told.decision and told.decision.permitted:
            decided = told.decision
            break
    return Asked(
        custodian=answer.custodian.organization,
        source=answer.source,
        states={category: _state(told) for category, told in answer.told.items()},
        rule=decided.agreement if decided else "",
        consent=decided.statement if decided else "",
        shown=tuple([Shown(item.type, item.id, item.version, item.digest) for item in answer.items]),
        incidents=tuple(
            [f"{incident.code} {incident.type} {incident.detail}".strip() for incident in answer.incidents]
        ),
        losses=answer.losses,
        told=answer.told_requester,
    )


def _state(told: Told) -> str:
    if told.state == "refused" and told.decision is not None:
        return "refused:" + ",".join(reason.code for reason in told.decision.reasons)
    return f"failed:{told.failure}" if told.state == "failed" else told.state
