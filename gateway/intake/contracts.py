"""Agreements over the FHIR API: one person proposes, another decides, anybody of the office ends (rule C8)."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from consent.decision import decide
from consent.model import AccessRequest, Agreement, Facts
from gateway.authorization import refusal
from gateway.errors import Invalid, Refused, Unavailable
from gateway.fhir.contract import agreement_in, substance
from gateway.fhir.reading import resource_body
from gateway.intake.write import Write, expected_version, kept
from gateway.model import Json, Outgoing, instant
from gateway.ports import Contracts, KeptContract, Ports
from profiles import exact

OFFERED: Final = "offered"
EXECUTED: Final = "executed"
ENDED: Final = frozenset({"terminated", "cancelled", "revoked", "rejected"})
_OFFICE: Final = "beheer"


async def create(write: Write) -> Outgoing:
    """Propose an agreement; it opens nothing until a second person decides.

    Raises:
        Invalid: `invalid-resource`, naming the element and the rule.
        Refused: not of the office.
    """
    person = _person(write, "c")
    contract = resource_body(write.incoming, "Contract")
    if contract.get("status") != OFFERED:
        raise Invalid(
            "invalid-resource",
            expression="Contract.status",
            why=f"a new agreement is {OFFERED}; another person decides",
        )
    id_ = f"contract-{secrets.token_hex(12)}"
    agreement = agreement_in(contract | {"id": id_}, write.ports.policy)
    await _unique(agreement, id_, write.ports)
    return await _keep(write, contract, id_, None, person)


async def update(write: Write) -> Outgoing:
    """Change, decide or end an agreement; needs If-Match with the version that was read.

    Raises:
        Invalid: `not-found`, `conflict`, `invalid-resource`.
        Refused: not of the office, or the one who proposed it would decide alone.
    """
    person = _person(write, "u")
    found = await _stored(write)
    expected = expected_version(write.incoming)
    contract = resource_body(write.incoming, "Contract") | {"id": write.id}
    before = exact.decode(found.raw)
    wanted = str(contract.get("status") or "")
    _allowed(found, wanted, person, same=substance(before) == substance(contract))
    if wanted not in ENDED:
        agreement = agreement_in(contract, write.ports.policy)
        await _unique(agreement, write.id, write.ports)
    else:
        contract = before | {"status": wanted}
    return await _keep(write, contract, write.id, expected, person)


async def read(write: Write) -> Outgoing:
    """Read an agreement: by the office."""
    _person(write, "r")
    found = await _stored(write)
    return Outgoing(200, found.raw, headers=(("etag", f'W/"{found.version}"'),))


async def refresh(ports: Ports) -> bool:
    """Take up what was decided or ended, here or by another process; true when the policy changed."""
    if ports.contracts is None:
        return False
    decided: list[Agreement] = []
    digest = hashlib.sha256()
    for one in await ports.contracts.all():
        if one.status != EXECUTED:
            continue
        digest.update(f"{one.id}/{one.version}\n".encode())
        decided.append(agreement_in(exact.decode(one.raw), ports.policy))
    return ports.policy.adopt(tuple(decided), digest.hexdigest()[:16] if decided else "")


def _allowed(found: KeptContract, wanted: str, person: str, *, same: bool) -> None:
    if found.status in ENDED:
        raise Invalid("conflict", why="this agreement has ended; offer a new one")
    if wanted in ENDED:
        return
    if found.status == EXECUTED:
        raise Invalid("conflict", why="an agreement in force is not changed: end it, and offer another")
    if wanted == EXECUTED:
        if not same:
            raise Invalid("conflict", why="decide on exactly what was offered; a change is offered first")
        if found.person == person:
            raise Refused("write-refused", why="who proposed an agreement does not decide on it: a second person does")
    elif wanted != OFFERED:
        why = f"status is {OFFERED}, {EXECUTED} or one of {', '.join(sorted(ENDED))}"
        raise Invalid("invalid-resource", expression="Contract.status", why=why)


def _person(write: Write, action: str) -> str:
    """The person of the office who does this, as the decision sees it: scope, purpose, role and level of login.

    Raises:
        Refused: with the first reason.
    """
    caller, ports = write.caller, write.ports
    if caller.purpose != _OFFICE:
        raise Refused(
            "purpose-refused", purpose=caller.purpose or "?", why=f"agreements are kept for purpose '{_OFFICE}'"
        )
    if not caller.requester.person:
        raise Refused("person-required")
    request = AccessRequest(
        requester=caller.requester,
        purpose=caller.purpose,
        scopes=caller.scopes,
        action=action,
        type="Contract",
        category="Definitional",
    )
    decision = decide(request, Facts(now=ports.now(), agreements=ports.policy.agreements))
    if not decision.permitted:
        raise refusal(decision)
    return caller.requester.person


async def _unique(agreement: Agreement, id_: str, ports: Ports) -> None:
    """An id means one agreement: not one of the file, and not another of the database that has not ended."""
    taken = {one.id for one in ports.policy.filed}
    for one in await _store(ports).all():
        if one.id != id_ and one.status not in ENDED:
            taken.add(agreement_in(exact.decode(one.raw), ports.policy).id)
    if agreement.id in taken:
        raise Invalid("conflict", why=f"agreement '{agreement.id}' exists already")


async def _keep(write: Write, contract: Json, id_: str, expected: int | None, person: str) -> Outgoing:
    ports, version = write.ports, (expected or 0) + 1
    meta = {**(contract.get("meta") or {}), "versionId": str(version), "lastUpdated": instant(ports.now())}
    contract = contract | {"id": id_, "meta": meta}
    write.record.object = f"Contract/{id_}/_history/{version}"
    await write.record.intent([])
    await _store(ports).put(
        KeptContract(id_, version, str(contract["status"]), person, exact.encode(contract)), expected
    )
    if await refresh(ports):
        write.record.reasons = ("new policy revision",)
    return kept(contract, 201 if expected is None else 200, ports.settings.gateway.base, version)


async def _stored(write: Write) -> KeptContract:
    found = await _store(write.ports).get(write.id)
    if found is None:
        raise Invalid("not-found", what="this agreement")
    return found


def _store(ports: Ports) -> Contracts:
    if ports.contracts is None:
        raise Unavailable("store-unavailable")
    return ports.contracts
