"""The search of ITI-81 as a question to the log: a date range, who, whom, what; what the log cannot narrow is judged on the event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.audit import vocabulary as words
from gateway.audit.record import Record
from gateway.errors import Invalid
from gateway.fhir.reading import accepts, pairs, patient_by, url_parameters
from gateway.fhir.search import Search, understand
from gateway.logged import AuditQuery
from gateway.model import Incoming, Json, Patient
from gateway.ports import Ports
from profiles import dates
from profiles.identifiers import BSN_SYSTEM, URA_SYSTEM

Test = Callable[[Json], bool]

# An event is recorded a little before it is durable, so the log is asked a little further.
_LAG: Final = timedelta(minutes=10)
_PATIENT: Final = frozenset({"patient", "patient.identifier", "patient:Patient", "patient:Patient.identifier"})
_REFERENCES: Final[Mapping[str, tuple[str, str]]] = {
    "agent": ("agent", "who"),
    "entity": ("entity", "what"),
    "source": ("source", "observer"),
}
_OWN: Final = _PATIENT | _REFERENCES.keys() | {"organization"}
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class LogSearch:
    """A search of the log, understood: what the log is asked, and what each event must satisfy."""

    query: AuditQuery
    search: Search
    tests: tuple[Test, ...]
    given: tuple[tuple[str, str], ...]
    patient: Patient | None = None
    organization: str = ""

    @property
    def names(self) -> str:
        """The names of the parameters, for the record; values masked."""
        return "&".join(f"{name}=***" for name, _ in self.given)[:200]

    @property
    def used(self) -> tuple[tuple[str, str], ...]:
        """The parameters of a truthful self link: a patient by the pseudonymous id, never by an identifier."""
        own = tuple(
            pair for pair in self.given if pair[0] in _OWN - _PATIENT and not _is_identifier_of_patient(pair[1])
        )
        named = (("patient", self.patient.id),) if self.patient else ()
        return (*named, *own, *self.search.used)

    def admits(self, record: Record) -> bool:
        """Claim that the record as it may be seen is of the organization that is asked for."""
        if not self.organization:
            return True
        return self.organization in {record.organization, *(one.custodian for one in record.custodians)}

    def matches(self, event: Json) -> bool:
        """Claim that an event satisfies every parameter."""
        return all(test(event) for test in self.tests) and self.search.admits(event)


def log_search(incoming: Incoming, ports: Ports) -> LogSearch:
    """Read a search of the log.

    Raises:
        Invalid: `date-required`, `unknown-parameter`, `invalid-parameter`, `bsn-in-url`, `patient-conflict`.

    Spec: IHE ITI-81 'Retrieve ATNA Audit Event', on FHIR R4.
    """
    given = [*url_parameters(incoming), *_form(incoming)]
    accepts(incoming, given)
    start, end = _range([value for name, value in given if name == "date"], ports)
    patient = _patient(given, ports)
    lenient = "handling=lenient" in incoming.header(b"prefer").replace(" ", "")
    rest = [(name, value) for name, value in given if name not in _OWN and not _names_patient(name, value)]
    search = understand("AuditEvent", rest, lenient=lenient)
    if any(name != "date" or not descending for name, descending in search.sort):
        raise Invalid("invalid-parameter", name="_sort", why="the log is given newest first: _sort=-date")
    tests = [
        _reference(name, value, ports)
        for name, value in given
        if name in _REFERENCES and not _names_patient(name, value)
    ]
    tests += [_of_patient(patient)] if patient else []
    organization = _ura(next((value for name, value in given if name == "organization"), ""))
    query = _narrowed(AuditQuery(start=start, end=end), given, patient, organization)
    return LogSearch(query, search, tuple(tests), tuple(given), patient, organization)


def _form(incoming: Incoming) -> list[tuple[str, str]]:
    if incoming.method != "POST":
        return []
    kind = incoming.header(b"content-type").split(";")[0].strip().lower()
    if kind not in {_FORM, ""}:
        raise Invalid("unsupported-media-type", type=kind[:60] if kind.isascii() else "?", possible=_FORM)
    return pairs(incoming.body.decode("utf-8", "replace"))


def _range(values: list[str], ports: Ports) -> tuple[datetime, datetime]:
    """The period: at least one lower and one upper bound, or one whole date."""
    start, end = dates.EARLIEST, dates.LATEST
    for value in values:
        prefix, text = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
        asked = dates.parse(text)
        if asked is None or prefix not in {"eq", "ge", "gt", "sa", "le", "lt", "eb"}:
            raise Invalid("invalid-parameter", name="date", why="give eq, ge, gt, le or lt and a date")
        if prefix in {"eq", "ge", "gt", "sa"}:
            start = max(start, asked.lower)
        if prefix in {"eq", "le", "lt", "eb"}:
            end = min(end, asked.upper)
    if start == dates.EARLIEST or end == dates.LATEST:
        raise Invalid("date-required")
    latest = ports.now() + timedelta(days=1)
    return start, min(end, latest) + _LAG


def _patient(given: list[tuple[str, str]], ports: Ports) -> Patient | None:
    """The one patient that is asked about, however it is named."""
    found: dict[str, Patient] = {}
    for name, value in given:
        if name in _PATIENT or _names_patient(name, value):
            patient = _one(name, value, ports)
            found[patient.id] = patient
    if len(found) > 1:
        raise Invalid("patient-conflict")
    return next(iter(found.values()), None)


def _one(name: str, value: str, ports: Ports) -> Patient:
    system, bar, number = value.partition("|")
    if bar or name.endswith("identifier"):
        if not bar:
            raise Invalid("invalid-parameter", name=name, why="give system|value")
        # An auditor names a person of the log, whose birth date the log does not hold.
        return patient_by(system, number, "1900-01-01", ports)
    id_ = value.removeprefix(f"{ports.settings.gateway.base}/fhir/").removeprefix("Patient/")
    known = ports.keys.patient_identifier(id_)
    if known is None:
        raise Invalid("not-found", what="this patient id")
    return Patient(id_, *known)


def _names_patient(name: str, value: str) -> bool:
    return name in {"entity", "entity.identifier"} and (
        value.removeprefix("/").startswith("Patient/") or _is_identifier_of_patient(value)
    )


def _is_identifier_of_patient(value: str) -> bool:
    return value.startswith(f"{BSN_SYSTEM}|")


def _of_patient(patient: Patient) -> Test:
    wanted = f"Patient/{patient.id}"
    return lambda event: any(entity.get("what", {}).get("reference") == wanted for entity in event.get("entity", ()))


def _reference(name: str, value: str, ports: Ports) -> Test:
    """Match a reference by what it points to, or by its identifier: `Type/id`, `system|value` or a bare value."""
    where, element = _REFERENCES[name]
    wanted = [part.removeprefix(f"{ports.settings.gateway.base}/fhir/") for part in value.split(",") if part]
    if not wanted:
        raise Invalid("invalid-parameter", name=name, why="give a value")

    def test(event: Json) -> bool:
        held = event.get(where, [])
        found = [node.get(element, {}) for node in (held if isinstance(held, list) else [held])]
        return any(_points_to(reference, text) for reference in found for text in wanted)

    return test


def _points_to(reference: Json, wanted: str) -> bool:
    if str(reference.get("reference", "")).partition("/_history")[0] == wanted:
        return True
    system, bar, value = wanted.rpartition("|")
    known = reference.get("identifier", {})
    return bool(known) and known.get("value") == value and (not bar or known.get("system", "") == system)


def _narrowed(
    query: AuditQuery, given: list[tuple[str, str]], patient: Patient | None, organization: str
) -> AuditQuery:
    """What the derived table can answer by itself; everything is judged on the event again."""
    single = {name: value for name, value in given if "," not in value}
    agent = single.get("agent", single.get("agent.identifier", "")).rpartition("|")[2]
    query = replace(query, organization=organization, agent="" if "/" in agent else agent)
    if patient is not None:
        query = replace(query, patients=(patient.id,))
    if "purpose" in single:
        query = replace(query, purposes=tuple(sorted(words.purposes({single["purpose"].rpartition("|")[2]}))))
    if single.get("policy", "").startswith("urn:roaz:policy:"):
        query = replace(query, policy=single["policy"].removeprefix("urn:roaz:policy:"))
    return query


def _ura(value: str) -> str:
    return value.removeprefix(f"{URA_SYSTEM}|")
