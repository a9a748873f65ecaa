"""The decision once more, written flat from the rules and the tables alone: nothing of `consent` decides here."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from importlib import resources
from typing import Any, Final

from consent.model import AccessRequest, Agreement, Facts, Statement

TABLES: Final[dict[str, Any]] = {
    name: tomllib.loads((resources.files("consent") / f"{name}.toml").read_text("utf-8"))
    for name in ("basis", "roles", "purposes", "categories")
}
BASES: Final = TABLES["basis"]["basis"]
CATEGORIES: Final = TABLES["categories"]["category"]
LEVELS: Final = ("low", "substantial", "high")
BARRED: Final = {code for row in TABLES["purposes"]["barred"] for code in row["codes"]}
SCOPES: Final = {  # text -> contexts, types, letters
    "system/*.rs": ("system", "*", "rs"),
    "system/*.cruds": ("system", "*", "cruds"),
    "system/Condition.s": ("system", "Condition", "s"),
    "system/*.read": ("system", "*", "rs"),
    "system/Condition.write": ("system", "Condition", "cud"),
    "user/*.rs": ("user", "*", "rs"),
    "patient/*.rs": ("patient", "*", "rs"),
    "system/*.sr": None,
    "system/*": None,
    "nonsense": None,
}


def outcome(q: AccessRequest, f: Facts) -> str:
    """`permit`, `permit per item`, `unavailable` or `deny`."""
    if not caller_may(q, f):
        return "deny"
    covering = [one for one in f.agreements if covers(one, q, f)]
    if q.custodian is None:
        return "permit" if covering or impersonal(q.category) else "deny"
    words = [shared(one, q, f) for one in covering]
    for word in ("permit", "permit per item", "unavailable"):
        if word in words:
            return word
    return "deny"


# --- the caller ------------------------------------------------------------------------------------


def caller_may(q: AccessRequest, f: Facts) -> bool:
    return all((scope(q), purpose(q, f), person(q), level(q, f), view(q), case(q, f), patient(q)))


def scope(q: AccessRequest) -> bool:
    for text in q.scopes:
        row = SCOPES.get(text)
        if row is None:
            continue
        context, kind, letters = row
        usable = {"system": True, "user": bool(q.requester.person), "patient": bool(q.launch)}[context]
        if usable and kind in ("*", q.type) and q.action in letters:
            return True
    return False


def purpose(q: AccessRequest, f: Facts) -> bool:
    row = TABLES["purposes"]["situation"].get(q.purpose)
    if row is None or q.purpose in BARRED:
        return False
    if "categories" in row and q.category not in row["categories"]:
        return False
    return not row.get("emergency") or grounds(q, f)


def grounds(q: AccessRequest, f: Facts) -> bool:
    said, table = q.emergency, TABLES["basis"]["emergency"]
    if said is None or f.suspended:
        return False
    known = said.cannot_consent in table["cannot_consent"] and set(said.threats) <= set(table["threats"])
    lasts = said.since is None or timedelta(0) <= f.now - said.since < timedelta(minutes=table["minutes"])
    return bool(known and said.threats and said.text.strip() and lasts)


def person(q: AccessRequest) -> bool:
    if q.requester.person:
        return True
    if TABLES["purposes"]["situation"].get(q.purpose, {}).get("person"):
        return False
    return q.requester.system or impersonal(q.category)


def level(q: AccessRequest, f: Facts) -> bool:
    if not q.requester.person or not f.minimum_assurance:
        return True
    said = q.requester.assurance
    return said in LEVELS and LEVELS.index(str(said)) >= LEVELS.index(f.minimum_assurance)


def view(q: AccessRequest) -> bool:
    who = q.requester
    if bool(who.mandated_by) != bool(who.mandated_role) or (who.mandated_by and who.person in (None, who.mandated_by)):
        return False
    if not who.role:
        return not who.person and sees(TABLES["roles"]["system"], q)
    names = [who.role, who.mandated_role] if who.mandated_by else [who.role]
    rows = [TABLES["roles"]["role"].get(name) for name in names]
    return all(row is not None and sees(TABLES["roles"]["kind"][row["kind"]], q) for row in rows)


def sees(kind: dict[str, Any], q: AccessRequest) -> bool:
    views = TABLES["roles"]["views"]
    if q.purpose not in kind["purposes"] or q.category not in views[kind["view"]]:
        return False
    narrowed = TABLES["roles"]["origins"].get(q.case.origin) if q.case else ""
    return not narrowed or q.category in views[narrowed]


def case(q: AccessRequest, f: Facts) -> bool:
    if q.requester.role not in f.case_required_roles or impersonal(q.category):
        return True
    one = q.case
    if one is None:
        return False
    ends = min(one.expires, one.opened + timedelta(hours=24))
    return (
        (one.closed is None or one.closed > f.now)
        and one.opened <= f.now < ends
        and (one.client, one.person, one.organization)
        == (q.requester.client, q.requester.person, q.requester.organization)
        and one.patient in (None, q.patient)
        and one.origin in TABLES["roles"]["origins"]
    )


def patient(q: AccessRequest) -> bool:
    bound_elsewhere = bool(q.launch and q.patient and q.launch != q.patient)
    return not bound_elsewhere and (q.custodian is None or bool(q.patient))


def impersonal(category: str) -> bool:
    return CATEGORIES.get(category, {}).get("patient", True) is False


# --- the agreement ---------------------------------------------------------------------------------


def covers(one: Agreement, q: AccessRequest, f: Facts) -> bool:
    who = q.requester
    public = CATEGORIES.get(q.category, {}).get("directory", False)
    sent = not BASES[one.basis]["pushed"] or not q.addressees or who.organization in q.addressees
    return (
        bool(who.organization)
        and one.start <= f.now < one.end
        and within(who.organization, one.requesters)
        and (q.custodian is None or within(q.custodian.organization, one.custodians))
        and within(q.purpose, one.purposes)
        and (within(q.category, one.categories) or public)
        and q.category not in one.excluded
        and within(who.facility_type, one.facility_types)
        and (within(who.role, one.roles) if who.role else "*" in one.roles)
        and (bool(who.person) or one.system_access)
        and sent
        and (q.custodian is None or not one.relations or ("case" in one.relations and q.case is not None))
    )


def within(name: str, names: frozenset[str]) -> bool:
    return name in names or "*" in names


# --- what the patient said -------------------------------------------------------------------------


def speaks(one: Statement, q: AccessRequest, f: Facts) -> bool | None:
    """True, False, or None: about some of the items perhaps."""
    assert q.custodian is not None
    who, holder = q.requester, q.custodian
    mine = one.custodian == holder.organization or (
        one.custodian == "*" and (not one.custodian_types or holder.facility_type in one.custodian_types)
    )
    pairs: list[tuple[frozenset[str], str | None]] = [
        (one.requesters, who.organization),
        (one.requester_types, who.facility_type),
        (one.persons, who.person),
        (one.purposes, q.purpose),
        (one.categories, q.category),
        (one.types, q.type),
        (one.cases, q.case.id if q.case else None),
    ]
    timely = (one.start is None or one.start <= f.now) and (one.end is None or f.now < one.end)
    if not mine or not timely or one.patient != q.patient or any(names and name not in names for names, name in pairs):
        return False
    open_question = False
    if one.labels and not one.labels & q.labels:
        if q.item is not None or q.labels:
            return False
        open_question = True
    if one.items:
        if q.item is None:
            open_question = True
        elif q.item not in one.items:
            return False
    return None if open_question else True


def above(one: Statement, other: Statement) -> bool:
    """At least as specific on every point, and more on one."""
    first, second = points(one), points(other)
    return all(a >= b for a, b in zip(first, second, strict=True)) and first != second


def points(one: Statement) -> list[int]:
    item = bool(one.items)
    return [
        2 if one.custodian != "*" else 1 if one.custodian_types else 0,
        3 if one.persons else 2 if one.requesters else 1 if one.requester_types else 0,
        int(bool(one.purposes or one.cases)),
        *(int(item or bool(part)) for part in (one.categories, one.types, one.labels)),
        int(item),
        int(item),
    ]


def weigh(basis: dict[str, Any], said: list[Statement], q: AccessRequest, f: Facts, *, asked: bool) -> str:
    """`objection`, `yes` or `nothing`."""
    said = [one for one in said if asked or one.source != "patient-asked" or one.effect == "deny"]
    local = [one for one in said if one.source != "mitz"]
    yes = [one for one in local if one.effect == "permit" and one.source in basis["permit_sources"]]
    no = [one for one in local if one.effect == "deny"]
    national = [one for one in said if one.source == "mitz"] if basis["national"] else []
    if any(one.firm or not any(above(permit, one) for permit in yes) for one in no):
        return "objection"
    for one in national:
        younger = f.national_yields and any(p.said and one.said and p.said > one.said for p in yes)
        if one.effect == "deny" and not younger:
            return "objection"
    counted = [] if basis["national"] and f.national_required else list(yes)
    counted += [one for one in national if one.effect == "permit"]
    withheld = q.labels & set(TABLES["categories"]["labels"]["withhold"])
    if withheld:
        counted = [one for one in counted if withheld <= one.labels]
    return "yes" if counted or not (basis["permit_needed"] or withheld) else "nothing"


def shared(one: Agreement, q: AccessRequest, f: Facts) -> str:
    assert q.custodian is not None
    basis, table = BASES[one.basis], TABLES["basis"]["emergency"]
    breaking = bool(TABLES["purposes"]["situation"][q.purpose].get("emergency"))
    if breaking and (one.emergency == "none" or q.custodian.facility_type in table["never"]):
        return "deny"
    heard = [(statement, speaks(statement, q, f)) for statement in f.statements]
    certain = [statement for statement, word in heard if word is True]
    perhaps = [statement for statement, word in heard if word is None]
    word = weigh(basis, certain, q, f, asked=one.patient_asked)
    override = breaking and one.emergency == "override_objection"
    if word == "objection" and not override:
        return "deny"
    silent = basis["national"] and (not f.national_known or q.custodian.organization in f.national_silent)
    if not f.statements_known or silent:
        return "unavailable"
    withheld = q.labels & set(TABLES["categories"]["labels"]["withhold"])
    if word == "yes" or (breaking and not withheld):
        doubt = any(statement.effect == "deny" for statement in perhaps) and not override
        return "permit per item" if doubt else "permit"
    more = [statement for statement in perhaps if statement.effect == "permit"]
    if more and weigh(basis, certain + more, q, f, asked=one.patient_asked) == "yes":
        return "permit per item"
    return "deny"
