"""The same rules as Cedar policies: each agreement is a permit, and what the caller or the patient says stands in its conditions."""

from __future__ import annotations

from typing import Any, Final

from consent.model import AccessRequest, Agreement, Facts, Statement
from tests.proofs import reference

_ACTION: Final = 'Action::"see"'


def request_of(q: AccessRequest, f: Facts) -> dict[str, Any]:
    """A question as a Cedar request: facts about the moment and the caller as attributes, nothing decided."""
    who, holder = q.requester, q.custodian
    assert holder is not None
    context: dict[str, Any] = {
        "organization": who.organization, "facility": who.facility_type, "role": who.role or "", "person": who.person or "",
        "purpose": q.purpose, "category": q.category, "type": q.type, "custodian": holder.organization,
        "holder": holder.facility_type, "patient": q.patient or "", "labels": sorted(q.labels), "labeled": bool(q.labels),
        "item": q.item or "", "case": q.case.id if q.case else "", "addressees": sorted(q.addressees),
        "addressed": bool(q.addressees), "now": int(f.now.timestamp()), "gates": reference.caller_may(q, f),
        "known": f.statements_known, "nationalKnown": f.national_known and holder.organization not in f.national_silent,
        "emergency": bool(reference.TABLES["purposes"]["situation"].get(q.purpose, {}).get("emergency")),
        "never": holder.facility_type in reference.TABLES["basis"]["emergency"]["never"],
        "public": bool(reference.CATEGORIES.get(q.category, {}).get("directory", False)),
    }  # fmt: skip
    return {"principal": 'User::"u"', "action": _ACTION, "resource": 'Record::"r"', "context": context}


def policies(f: Facts) -> str:
    """The agreements in force, and the statements, as one policy set."""
    return "\n".join(_permit(one, f) for one in f.agreements) or "permit(principal, action, resource) when { false };"


def _permit(one: Agreement, f: Facts) -> str:
    basis = reference.BASES[one.basis]
    said = [s for s in f.statements if one.patient_asked or s.source != "patient-asked" or s.effect == "deny"]
    yes = [s for s in said if s.effect == "permit" and s.source != "mitz" and s.source in basis["permit_sources"]]
    no = [s for s in said if s.effect == "deny" and s.source != "mitz"]
    national = [s for s in said if s.source == "mitz"] if basis["national"] else []
    blocked = _any([_objects(s, yes) for s in no] + [_national_no(s, yes, f) for s in national if s.effect == "deny"])
    counted = [] if basis["national"] and f.national_required else yes
    granted = _any([_grants(s) for s in (*counted, *(s for s in national if s.effect == "permit"))])
    withheld = 'context.labels.contains("very-restricted")'
    if not basis["permit_needed"]:
        granted = f"({granted} || !{withheld})"
    emergency = "false" if one.emergency == "none" else f"(context.emergency && !context.never && !{withheld})"
    allowed = "!context.emergency" if one.emergency == "none" else "(!context.emergency || !context.never)"
    free = f"!{blocked}" if one.emergency != "override_objection" else f"(context.emergency || !{blocked})"
    # An overridden objection still outweighs a permit: what opens then is the emergency, not the permit.
    opened = f"(({granted} && !{blocked}) || {emergency})"
    checks = (
        "context.gates", _covers(one, basis), allowed, free, "context.known",
        "context.nationalKnown" if basis["national"] else "true", opened,
    )  # fmt: skip
    return "permit(principal, action, resource) when { " + " && ".join(checks) + " };"


def _covers(one: Agreement, basis: dict[str, Any]) -> str:
    checks = [
        f"context.now >= {int(one.start.timestamp())} && context.now < {int(one.end.timestamp())}",
        'context.organization != ""',
        _in("organization", one.requesters),
        _in("custodian", one.custodians),
        _in("purpose", one.purposes),
        f"({_in('category', one.categories)} || context.public)",
        f"!{_set(one.excluded)}.contains(context.category)",
        _in("facility", one.facility_types),
        _in("role", one.roles | ({""} if "*" in one.roles else set())),
        "true" if one.system_access else 'context.person != ""',
        "(!context.addressed || context.addressees.contains(context.organization))" if basis["pushed"] else "true",
    ]
    if one.relations:
        checks.append('context.case != ""' if "case" in one.relations else "false")
    return " && ".join(checks)


def _objects(one: Statement, yes: list[Statement]) -> str:
    lifted = _any([_speaks(permit) for permit in yes if reference.above(permit, one)]) if not one.firm else "false"
    return f"({_speaks(one)} && !{lifted})"


def _national_no(one: Statement, yes: list[Statement], f: Facts) -> str:
    younger = [s for s in yes if f.national_yields and s.said and one.said and s.said > one.said]
    return f"({_speaks(one)} && !{_any([_speaks(s) for s in younger])})"


def _grants(one: Statement) -> str:
    named = "true" if "very-restricted" in one.labels else '!context.labels.contains("very-restricted")'
    return f"({_speaks(one)} && {named})"


def _speaks(one: Statement) -> str:
    """Speaks for certain: what is open about labels or items does not count here."""
    checks = [f'context.patient == "{one.patient}"']
    if one.custodian != "*":
        checks.append(f'context.custodian == "{one.custodian}"')
    elif one.custodian_types:
        checks.append(_in("holder", one.custodian_types))
    for name, names in (
        ("organization", one.requesters), ("facility", one.requester_types), ("person", one.persons), ("purpose", one.purposes),
        ("category", one.categories), ("type", one.types), ("case", one.cases), ("item", one.items),
    ):  # fmt: skip
        if names:
            checks.append(_in(name, names))
    if one.labels:
        checks.append(f"context.labels.containsAny({_set(one.labels)})")
    if one.start is not None:
        checks.append(f"context.now >= {int(one.start.timestamp())}")
    if one.end is not None:
        checks.append(f"context.now < {int(one.end.timestamp())}")
    return "(" + " && ".join(checks) + ")"


def _in(name: str, names: frozenset[str] | set[str]) -> str:
    return "true" if "*" in names else f"{_set(names)}.contains(context.{name})"


def _set(names: frozenset[str] | set[str]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in sorted(names)) + "]"


def _any(conditions: list[str]) -> str:
    return "(" + " || ".join(conditions) + ")" if conditions else "false"
