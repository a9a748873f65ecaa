"""What one organization may see of a record: its own part whole, of others what they let be known (rules A2, A4, F1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from consent.basis import PATIENT_SIDE
from consent.disclosure import visibility
from consent.model import Decision, Reason, Visibility
from gateway.audit.record import Asked, Record
from gateway.policy import Policy
from gateway.ports import Keys

Side = Literal["requester", "custodian", "all"]
Fate = Literal["asked", "answered", "partly", "withheld", "failed"]

# Written before a source is asked: what came of it is not known yet.
BEFORE: Final = frozenset({"intent", "emergency"})
UNKNOWN_OUTCOME: Final = "unknown"  # error of a record that closes an intent nobody ended

WITHHELD: Final = "consent-refused"  # what reasons on the side of the patient collapse to
# What a summary says to the requester as well; other incidents are for the custodian.
_TOLD: Final = frozenset({"masked", "malformed-item", "unknown-modifier", "no-patient"})


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads the log, as the organization it is bound to."""

    organization: str  # URA
    operates: bool  # it operates the gateway, so what no organization asked is its own
    policy: Policy
    keys: Keys
    whole: bool = False  # sees records as they are: the citizen report, and who holds a mandate
    among: frozenset[str] = frozenset()  # with `whole`: only records in which one of these took part; empty = all

    @property
    def parties(self) -> tuple[str, ...]:
        """The organizations whose records may hold something to see; empty = all."""
        if self.whole:
            return tuple(sorted(self.among))
        own = (self.organization,) if self.organization else ()
        return (*own, "") if self.operates else (self.organization,)


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as far as it may be seen, and as whose."""

    record: Record
    side: Side


def viewer(organization: str, operator: str, policy: Policy, keys: Keys) -> Viewer:
    """An auditor of an organization; `operator` is the organization that runs the gateway."""
    return Viewer(organization, bool(operator) and organization == operator, policy, keys)


def seen(record: Record, by: Viewer) -> Seen | None:
    """The record as this viewer may see it, None when it is no business of theirs.

    INVARIANT: what a silent custodian did or refused changes nothing in what anybody else sees.
    """
    if by.whole:
        took_part = {record.organization, *(one.custodian for one in record.custodians)}
        return Seen(record, "all") if not by.among or by.among & took_part else None
    if (by.operates and not record.organization) or (by.organization and record.organization == by.organization):
        parts = tuple(_for_requester(record.custodians, by))
        return Seen(msgspec.structs.replace(record, custodians=parts), "requester")
    own = tuple(one for one in record.custodians if by.organization and one.custodian == by.organization)
    if not own:
        return None
    # The id of the request is another for every custodian: two of them cannot join what they see (attack 180).
    request = by.keys.item_id(by.organization, f"request {record.request}")
    return Seen(
        msgspec.structs.replace(record, custodians=own, request=request, correlation="", error="", reasons=()),
        "custodian",
    )


def fate(asked: Asked, record: Record) -> Fate:
    """What became of one source of a record, in one word; that it was asked, where no more is known."""
    if record.kind in BEFORE or (record.error == UNKNOWN_OUTCOME and not asked.states):
        return "asked"
    states = {state.partition(":")[0] for state in asked.states.values()} or {"answered"}
    if len(states) > 1:
        return "partly" if "answered" in states else "failed"
    return {"answered": "answered", "refused": "withheld", "failed": "failed"}[states.pop()]  # type: ignore[return-value]


def _for_requester(custodians: Iterable[Asked], by: Viewer) -> Iterable[Asked]:
    """Own sources whole; those of others by type, without what is silent, and one remark for all that is anonymous."""
    more = False
    for one in custodians:
        if one.custodian == by.organization:
            yield one
            continue
        facility = by.policy.facility_type(one.custodian)
        shown = {category: _visible(state, facility, by) for category, state in one.states.items()}
        more = more or "anonymous" in shown.values()
        states = {category: _told(one.states[category]) for category, how in shown.items() if how == "named"}
        if states or not one.states:
            open_ = not states or any(not state.startswith("refused") for state in states.values())
            yield Asked(
                custodian="", source="", facility=facility or "?", states=states, rule=one.rule,
                consent=one.consent if open_ else "",  # an objection is told to nobody but the custodian (rule A4)
                shown=one.shown, incidents=tuple(word for word in one.incidents if word.partition(" ")[0] in _TOLD),
                losses=one.losses, told=one.told,
            )  # fmt: skip
    if more:
        yield Asked(custodian="", source="", states={"": f"refused:{WITHHELD}"})


def _visible(state: str, facility: str, by: Viewer) -> Visibility:
    """How visible one category is, by the one disclosure function."""
    word, _, why = state.partition(":")
    if word == "refused":
        reasons = tuple(
            Reason(code, "", "patient" if code in PATIENT_SIDE else "caller") for code in why.split(",") if code
        )
        return visibility(Decision("deny", reasons), facility, by.policy.disclosure)
    if why == "not-checkable":
        return visibility(Decision("unavailable"), facility, by.policy.disclosure)
    return "named"


def _told(state: str) -> str:
    """The state as the requester may know it: reasons on the side of the patient are one word (rule A4)."""
    word, _, why = state.partition(":")
    codes = dict.fromkeys(WITHHELD if code in PATIENT_SIDE else code for code in why.split(","))
    return f"{word}:{','.join(codes)}" if word == "refused" else state
