"""What a citizen is told (rule F3): who saw or was refused what, who made data available, and what was said about sharing.

Spec: Wabvpz article 15e; NEN 7513 (2018) overview for the person concerned; EHDS article 9 and Annex II 3.2.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from consent.roles import role_of
from gateway.audit.record import BEGUN, Asked, Record
from gateway.audit.view import fate
from gateway.model import Json
from gateway.policy import Policy

_ASKS: Final = frozenset(
    {"search-type", "search-system", "read", "summary", "match", "everything", "lastn", "docref", "document"}
)
_TASKS: Final = {"create": "case-opened", "update": "case-closed", "read-owned": "case-read", "vread": "case-read"}
_CONSENTS: Final = {
    "create": "consent-recorded",
    "update": "consent-changed",
    "read-owned": "consent-read",
    "vread": "consent-read",
}
# Interactions that say by themselves what happened, when they succeed.
_ALIKE: Final = {
    "can-access": "preflight",
    "explain": "explained",
    "emergency-access": "emergency",
    "review": "reviewed",
}
_PAGES: Final = frozenset({"page", "print", "export"})
EMERGENCY: Final = "spoed-noodtoegang"


@dataclass(frozen=True, slots=True)
class Who:
    """Who did something: organization and role; the name only where the region says so."""

    organization: str
    ura: str
    facility: str
    role: str
    person: str = ""
    responsible: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, in codes; the words stand in report.toml."""

    when: str  # FHIR instant
    who: Who
    did: str
    purpose: str
    categories: tuple[str, ...] = ()  # what was shown
    gave: tuple[str, ...] = ()  # organizations of which something was shown
    withheld: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    consents: tuple[str, ...] = ()  # consent profile: statement and version, or basis
    protocol: tuple[str, ...] = ()  # authorization protocol: policy revision and agreements
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class Available:
    """One time data was made available: who, how, since when, until when."""

    since: str
    who: Who
    how: str
    basis: str = ""
    until: str = ""


@dataclass(slots=True)
class Report:
    """Everything there is to tell, oldest first."""

    events: list[Event] = field(default_factory=list)
    available: list[Available] = field(default_factory=list)

    def as_json(self) -> Json:
        """The report as an object, without what is empty."""
        events = [_without_empty(asdict(one)) for one in self.events]
        return {"events": events, "available": [_without_empty(asdict(one)) for one in self.available]}


@dataclass(frozen=True, slots=True)
class Telling:
    """How much may be told: names of employees, and where somebody lives or is cared for."""

    policy: Policy
    names: bool = False  # names of employees
    places: bool = True  # names of organizations; off in safe-home mode


def report(records: Iterable[Record], ended: Iterable[Record], telling: Telling) -> Report:
    """Tell what the records of one patient say; `ended` are those that end a registration of theirs.

    INVARIANT: every record of the patient that is not followed by its outcome becomes exactly one line.
    """
    made = Report()
    until = {record.object.partition("/_history")[0]: record.at for record in ended if record.kind == "outcome"}
    for record in sorted(records, key=lambda one: one.at):
        if record.kind in BEGUN:
            continue
        line = _available(record, until, telling) or _event(record, telling)
        (made.available if isinstance(line, Available) else made.events).append(line)  # type: ignore[arg-type]
    return made


def registrations(records: Iterable[Record]) -> tuple[str, ...]:
    """The registrations that were made, as `List/id`: what ends them does not name the patient."""
    return tuple(
        record.object.partition("/_history")[0]
        for record in records
        if record.type == "List" and record.interaction == "create" and record.object
    )


@cache
def words() -> dict[str, Any]:
    """The texts of the report."""
    return tomllib.loads(files("gateway.audit").joinpath("report.toml").read_text("utf-8"))


def _available(record: Record, until: dict[str, str], telling: Telling) -> Available | None:
    if record.kind == "push":
        how = {"push": "pushed", "inbox-erase": "erased"}.get(record.interaction, "handled")
        if how == "pushed" and record.reasons[:1] != ("accepted",):
            how = "not-accepted"
        basis = record.custodians[0].consent if record.custodians else ""
        holder = record.custodians[0].custodian if record.custodians else record.organization
        return Available(record.at, _who(record, telling, holder), how, basis)
    if record.type == "List" and record.interaction == "create" and record.kind == "outcome":
        end = until.get(record.object.partition("/_history")[0], "")
        return Available(record.at, _who(record, telling), "registered", next(iter(record.reasons), ""), end)
    return None


def _event(record: Record, telling: Telling) -> Event:
    gave = [one for one in record.custodians if one.shown and record.kind == "outcome"]
    fates = {id(one): fate(one, record) for one in record.custodians}
    return Event(
        when=record.at,
        who=_who(record, telling),
        did=_did(record, gave),
        purpose=record.purpose,
        categories=tuple(sorted({name for one in gave for name, state in one.states.items() if state == "answered"})),
        gave=_names(gave, telling),
        withheld=_names([one for one in record.custodians if _withheld(one)], telling),
        failed=_names([one for one in record.custodians if fates[id(one)] == "failed"], telling),
        consents=tuple(dict.fromkeys(one.consent for one in record.custodians if one.consent)),
        protocol=tuple(dict.fromkeys((record.policy, *(one.rule for one in record.custodians if one.rule)))),
        emergency=record.purpose == EMERGENCY,
    )


def _did(record: Record, gave: Sequence[Asked]) -> str:
    """What happened, as a key of [did]."""
    if record.kind == "emergency":
        return "emergency"
    if record.kind == "command":
        return "report" if record.type == "audit report" else "other"
    if record.type == "AuditEvent":
        return "log" if record.kind == "outcome" else "refused"
    if record.interaction in _ASKS or (record.interaction == "page" and gave):
        return _asked(record, gave)
    if record.interaction in _PAGES and record.kind == "outcome":
        return record.interaction
    if record.interaction in _ALIKE and record.kind == "outcome":
        return _ALIKE[record.interaction]
    if record.kind != "outcome":
        return "written" if record.interaction in {"create", "update", "delete"} else "refused"
    table = {"Task": _TASKS, "Consent": _CONSENTS}.get(record.type, {})
    return table.get(record.interaction, "other")


def _asked(record: Record, gave: Sequence[Asked]) -> str:
    if record.error in {"unknown", "cancelled"} or not record.status:
        return "unknown"
    if record.kind == "refusal":
        return (
            "withheld" if record.error == "consent-refused" else "refused" if record.status in {401, 403} else "failed"
        )
    if not gave:
        return "withheld" if any(_withheld(one) for one in record.custodians) else "nothing"
    everything = all(state == "answered" for one in record.custodians for state in one.states.values())
    return "seen" if everything else "partly"


def _withheld(asked: Asked) -> bool:
    return any(state.startswith("refused") for state in asked.states.values())


def _who(record: Record, telling: Telling, organization: str = "") -> Who:
    ura = organization or record.organization
    facility = (record.facility if ura == record.organization else "") or telling.policy.facility_type(ura)
    role = role_of(record.role)
    return Who(
        organization=_name(ura, telling),
        ura=ura if telling.places else "",
        facility=facility,
        role=role.nl if role else record.role,
        person=record.person_name if telling.names else "",
        responsible=record.responsible if telling.names else "",
    )


def _names(custodians: Iterable[Asked], telling: Telling) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_name(one.custodian, telling) for one in custodians))


def _name(ura: str, telling: Telling) -> str:
    if not ura:
        return ""
    if telling.places:
        return telling.policy.name(ura)
    table: dict[str, str] = words()["facility"]
    return table.get(telling.policy.facility_type(ura), table["other"])


def _without_empty(value: Any) -> Any:  # noqa: ANN401 - JSON is any value
    if isinstance(value, dict):
        return {key: _without_empty(one) for key, one in value.items() if one not in ("", (), [], None, False)}
    return [_without_empty(one) for one in value] if isinstance(value, (list, tuple)) else value
