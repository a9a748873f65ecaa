"""What one record adds to the overviews of each organization, as far as that organization may see it (rule F1). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.audit.record import BEGUN, Asked, Record
from gateway.audit.view import fate
from gateway.logged import Measure

Count = tuple[str, Measure, str]  # organization, measure, value
EMERGENCY: Final = "spoed-noodtoegang"
# What is counted apart: it is no question for data of a patient.
_APART: Final = {"token": "login", "push": "push", "emergency": "emergency"}
_LOGINS: Final = frozenset({"login", "logout", "reauthenticate", "introspection", "revocation"})


def counted(record: Record) -> Iterator[Count]:
    """Organization, measure and value of everything a record counts as.

    INVARIANT: for who asked it rests on what the answer itself told, so a silent custodian changes no sum but its own
    (rule A2); a custodian's sums rest on its own part alone.
    """
    if record.kind in BEGUN or record.kind == "fragment":
        return
    requester = record.organization
    yield requester, "event", event_of(record)
    if record.kind == "refusal" and record.error:
        yield requester, "refused", record.error
    agent = record.person or record.client
    if agent and record.kind in ("outcome", "refusal"):
        yield requester, "agent", agent
    for party in sorted({one.custodian for one in record.custodians}):
        own = [one for one in record.custodians if one.custodian == party]
        if party != requester:
            yield party, "event", _held(own, record)
            if agent and record.kind in ("outcome", "refusal"):
                yield party, "agent", agent
        if record.kind in ("outcome", "refusal"):
            for one in own:
                yield party, "source", f"{one.source}|{fate(one, record)}"
                if party != requester:
                    yield from ((party, "refused", code) for code in _codes(one))


def marks(record: Record, counts: Sequence[Count] = ()) -> list[str]:
    """What leads to a record in the overviews of an organization: `denied/URA` and `emergency/URA`.

    `counts`: what the record counts as, where that is known already.
    """
    counts = counts or tuple(counted(record))
    found = {
        f"denied/{party}"
        for party, measure, value in counts
        if measure == "refused" or (measure == "event" and value in ("refused", "barred", "failed"))
    }
    if record.purpose == EMERGENCY or record.kind == "emergency":
        found |= {f"emergency/{party}" for party, measure, _ in counts if measure == "event"}
    return sorted(found)


def event_of(record: Record) -> str:
    """What a record is, for who asked: given, refused, failed, emergency, log, or what it is apart from questions.

    `barred` is a refusal that is about no patient: a token, the log, a page.
    """
    if record.kind in _APART or record.interaction in _LOGINS:
        return _APART.get(record.kind, "login")
    if record.kind not in ("outcome", "refusal"):
        return "kept"
    if record.status >= 500 or record.error in ("unknown", "cancelled"):
        return "failed"
    if record.kind == "refusal" or record.status >= 400:
        return "refused" if record.patient else "barred"
    if record.type == "AuditEvent":
        return "log"
    if record.purpose == EMERGENCY:
        return "emergency"
    return "given" if record.patient else "kept"


def _held(own: list[Asked], record: Record) -> str:
    """What a record is for a custodian: what became of its own part."""
    if record.kind in _APART:
        return _APART[record.kind]
    fates = {fate(one, record) for one in own}
    if record.purpose == EMERGENCY and fates & {"answered", "partly"}:
        return "emergency"
    if fates & {"answered", "partly"}:
        return "given"
    return "refused" if "withheld" in fates else "failed"


def _codes(one: Asked) -> list[str]:
    """Why something of this source was refused, once each; all reasons are the custodian's to know (rule A4)."""
    found = [state.partition(":")[2] for state in one.states.values() if state.startswith("refused:")]
    return list(dict.fromkeys(code for text in found for code in text.split(",") if code))
