"""What one provision of a FHIR Consent restricts: read completely, or noted as not understood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from consent import dates
from consent.categories import knows_label, label_of, spoken
from consent.model import ANY
from consent.purposes import situations_of
from consent.tables import table

Json = dict[str, Any]
Finding = tuple[str, str]  # FHIRPath expression, why

_TABLE: Final = table("actors.toml")
_ROLE: Final[dict[str, str]] = {code: kind for kind, codes in _TABLE["roles"].items() for code in codes}
_KIND: Final[dict[str, str]] = {system: kind for kind, systems in _TABLE["systems"].items() for system in systems}
_SHARING: Final = frozenset(_TABLE["actions"]["sharing"])
_SETS: Final = (
    "custodians",
    "requesters",
    "requester_types",
    "persons",
    "categories",
    "types",
    "labels",
    "purposes",
    "items",
)
_ACTOR_UNCLEAR: Final = (
    "the actor is not understood: role CST, IRCP or PRCP, and a reference with identifier: URA, UZI number or "
    "organization type"
)
_READ: Final = frozenset(
    {
        "id",
        "extension",
        "type",
        "period",
        "actor",
        "action",
        "securityLabel",
        "purpose",
        "class",
        "code",
        "dataPeriod",
        "data",
        "provision",
    }
)


@dataclass(slots=True)
class Terms:
    """The restrictions of one provision; an empty set does not restrict. Filled while reading, then kept.

    INVARIANT: `findings` names everything restrictive that was not understood; a permit with findings is
    not usable, a deny with findings lacks these restrictions and so is broader.
    """

    custodians: frozenset[str] = frozenset()
    requesters: frozenset[str] = frozenset()
    requester_types: frozenset[str] = frozenset()
    persons: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()
    start: datetime | None = None
    end: datetime | None = None
    data_start: str | None = None
    data_end: str | None = None
    impossible: bool = False  # nothing can be inside: a permit of this says nothing
    findings: list[Finding] = field(default_factory=list)


def read(provision: Json, path: str) -> Terms:
    """Read what a provision restricts; never raises on what a sender may have written."""
    terms = Terms()
    for key, value in provision.items():
        if key.lstrip("_") not in _READ or not value or (key == "provision" and not isinstance(value, list)):
            terms.findings.append((f"{path}.{key}", "this element is not understood, so nothing is permitted by it"))
    if provision.get("type", "deny") not in ("permit", "deny"):
        terms.findings.append((f"{path}.type", "the type is permit or deny"))
    for reader in _READERS:
        try:
            reader(provision, path, terms)
        except (AttributeError, TypeError, KeyError, ValueError, OverflowError):
            terms.findings.append((path, f"the {reader.__name__.strip('_')} of this provision cannot be read"))
    return terms


def narrowed(parent: Terms, child: Terms) -> Terms:
    """Lay the restrictions of a nested provision within those of its parent."""
    result = Terms(findings=[*parent.findings, *child.findings], impossible=parent.impossible or child.impossible)
    for name in _SETS:
        outer, inner = getattr(parent, name), getattr(child, name)
        both = outer & inner if outer and inner else outer or inner
        if outer and inner and not both:
            # A contradiction: as a permit it says nothing, as an objection it says what it says itself.
            result.impossible = True
            both = inner
        setattr(result, name, both)
    result.start = max(filter(None, (parent.start, child.start)), default=None)
    result.end = min(filter(None, (parent.end, child.end)), default=None)
    _narrow_data_period(parent, child, result)
    return result


def _narrow_data_period(parent: Terms, child: Terms, result: Terms) -> None:
    outer, inner = (parent.data_start, parent.data_end), (child.data_start, child.data_end)
    if any(outer) and any(inner) and outer != inner:
        result.impossible = True  # two periods are not compared here: the exception keeps its own, and opens nothing
    result.data_start, result.data_end = inner if any(inner) else outer


def _codings(concepts: Any, path: str, terms: Terms) -> Iterator[tuple[str, list[tuple[str, str]]]]:  # noqa: ANN401 - JSON of a sender
    """Give each concept with its codings; a concept of words only is not understood."""
    for index, concept in enumerate(concepts or ()):
        where = f"{path}[{index}]"
        codings = [(one.get("system", ""), one.get("code", "")) for one in concept.get("coding", ())]
        if not codings:
            terms.findings.append((where, "only a code is understood, not a text"))
        yield where, codings


def _actor(provision: Json, path: str, terms: Terms) -> None:
    found: dict[str, set[str]] = {"custodian": set(), "organization": set(), "person": set(), "facility_type": set()}
    unclear = False
    for index, actor in enumerate(provision.get("actor", ())):
        where = f"{path}.actor[{index}]"
        codes = [one.get("code", "") for one in actor.get("role", {}).get("coding", ())]
        roles = {_ROLE.get(code, "") for code in codes}
        if roles == {"informative"}:
            continue
        kind, value = _identified(actor.get("reference", {}))
        strange = set(actor) - {"id", "extension", "role", "reference"}
        role = roles.pop() if len(roles) == 1 else ""
        if (
            strange
            or role not in ("custodian", "recipient")
            or not kind
            or (role == "custodian" and kind != "organization")
        ):
            terms.findings.append((where, _ACTOR_UNCLEAR))
            unclear = True
            continue
        found["custodian" if role == "custodian" else kind].add(value)
    if unclear:
        return  # one unknown actor more makes an objection broader, never narrower
    terms.custodians, terms.requesters = frozenset(found["custodian"]), frozenset(found["organization"])
    terms.persons, terms.requester_types = frozenset(found["person"]), frozenset(found["facility_type"])


def _identified(reference: Json) -> tuple[str, str]:
    identifier = reference.get("identifier", {})
    kind, value = _KIND.get(identifier.get("system", ""), ""), identifier.get("value", "")
    if kind not in ("organization", "person", "facility_type") or not isinstance(value, str) or not value:
        return "", ""
    return kind, value


def organization_of(reference: Json) -> str:
    """Give the URA a Reference names by identifier, else nothing."""
    kind, value = _identified(reference)
    return value if kind == "organization" else ""


def _action(provision: Json, path: str, terms: Terms) -> None:
    actions = provision.get("action")
    if not actions:
        return
    codes = {code for _, codings in _codings(actions, f"{path}.action", terms) for _, code in codings}
    if not codes & _SHARING:
        terms.findings.append((f"{path}.action", "a permit to share needs action access or disclose"))


def _purpose(provision: Json, path: str, terms: Terms) -> None:
    unknown = False
    names: set[str] = set()
    for index, coding in enumerate(provision.get("purpose", ())):
        system, code = coding.get("system", ""), coding.get("code", "")
        meant = situations_of(f"{system}|{code}" if system else code)
        names |= meant
        if not meant:
            unknown = True
            terms.findings.append((f"{path}.purpose[{index}]", "the purpose is not known, or no patient can open it"))
    terms.purposes = frozenset() if unknown else frozenset(names)


def _class(provision: Json, path: str, terms: Terms) -> None:
    unknown = False
    names: set[str] = set()
    for index, coding in enumerate(provision.get("class", ())):
        code = coding.get("code", "")
        if _KIND.get(coding.get("system", "")) == "type" and code:
            names.add(code)
        else:
            unknown = True
            terms.findings.append((f"{path}.class[{index}]", "only resource types are understood here"))
    terms.types = frozenset() if unknown else frozenset(names)


def _code(provision: Json, path: str, terms: Terms) -> None:
    unknown = False
    names: set[str] = set()
    for where, codings in _codings(provision.get("code"), f"{path}.code", terms):
        meant = {name for system, code in codings for name in spoken(system, code)}
        names |= meant
        if not meant:
            unknown = True
            terms.findings.append((where, "the code is no data category and no section code known here"))
    terms.categories = frozenset() if unknown or ANY in names else frozenset(names)


def _securitylabel(provision: Json, path: str, terms: Terms) -> None:
    unknown = False
    names: set[str] = set()
    for index, coding in enumerate(provision.get("securityLabel", ())):
        system, code = coding.get("system", ""), coding.get("code", "")
        label = label_of(system, code)
        if knows_label(system, code) and label != "plain":
            names.add(label)
        else:
            unknown = True
            terms.findings.append(
                (f"{path}.securityLabel[{index}]", "the security label is not known or names nothing special")
            )
    terms.labels = frozenset() if unknown else frozenset(names)


def _data(provision: Json, path: str, terms: Terms) -> None:
    unknown = False
    names: set[str] = set()
    for index, row in enumerate(provision.get("data", ())):
        reference = row.get("reference", {}).get("reference", "")
        parts = reference.partition("/_history/")[0].rsplit("/", 2)
        if (
            row.get("meaning") == "instance"
            and len(parts) >= 2
            and parts[-1]
            and not set(row) - {"id", "extension", "meaning", "reference"}
        ):
            names.add(parts[-1])
        else:
            unknown = True
            terms.findings.append(
                (f"{path}.data[{index}]", "only meaning 'instance' with a literal reference is understood")
            )
    terms.items = frozenset() if unknown else frozenset(names)


def _period(provision: Json, path: str, terms: Terms) -> None:
    terms.start, terms.end = period(provision.get("period"), f"{path}.period", terms.findings)


def _dataperiod(provision: Json, path: str, terms: Terms) -> None:
    written = provision.get("dataPeriod")
    if written is None:
        return
    before = len(terms.findings)
    bounds = period(written, f"{path}.dataPeriod", terms.findings)
    if len(terms.findings) == before and any(bounds):
        terms.data_start, terms.data_end = written.get("start"), written.get("end")


def period(written: Json | None, path: str, findings: list[Finding]) -> tuple[datetime | None, datetime | None]:
    """Read a Period as first moment and first moment after; without bounds where it cannot be read.

    Spec: FHIR R4 2.24.0.9 'Period': a partial end includes everything that matches it.
    """
    if written is None:
        return None, None
    try:
        if not written or set(written) - {"id", "extension", "start", "end"}:
            raise ValueError  # noqa: TRY301 - the one place where the reason is written
        start = dates.span(written["start"])[0] if "start" in written else None
        end = dates.span(written["end"])[1] if "end" in written else None
        if start is not None and end is not None and start >= end:
            raise ValueError  # noqa: TRY301 - as above
    except (ValueError, TypeError, OverflowError):
        findings.append((path, "the period cannot be read: give start and end as FHIR dates, times with a zone"))
        return None, None
    return start, end


_READERS: Final[tuple[Callable[[Json, str, Terms], None], ...]] = (
    _actor,
    _action,
    _purpose,
    _class,
    _code,
    _securitylabel,
    _data,
    _period,
    _dataperiod,
)
