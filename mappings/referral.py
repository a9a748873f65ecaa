"""Write a referral of an ambulance to a GP post: from what a document became, one transaction as AZ-IG asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape, unescape
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from mappings.model import Json, NotMappable, Translation
from mappings.tables import table
from profiles.fhirpath import compile_expression
from profiles.validation import validate

_TABLE: Final = "maps/az-ig/referral.yaml"
_XHTML: Final = 'xmlns="http://www.w3.org/1999/xhtml"'
_BREAK: Final = re.compile(r"<(?:br|/p|/tr|/li|/div)\b[^>]*>")
_TAG: Final = re.compile(r"<[^>]*>")
_OWN: Final = frozenset({"id", "meta", "text", "contained"})  # of the resource as the gateway keeps it


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the guide asks and a referral has not; holds no clinical content."""

    severity: str  # "error" or "warning"
    on: str
    text: str


@dataclass(slots=True)
class _Draft:
    """A transaction as it is written: what goes into it, and how its entries are referred to."""

    translation: Translation
    table: Json
    names: dict[str, str] = field(default_factory=dict)  # native key → urn:uuid
    entries: list[Json] = field(default_factory=list)

    @property
    def trip(self) -> str:
        return self.translation.facts.get("trip", "")

    def name(self, key: str) -> str:
        """Name an entry; the same trip or document gives the same name each time it is sent."""
        of = self.trip or self.translation.facts.get("document", "") or self.translation.keys[0]
        return self.names.setdefault(key, f"urn:uuid:{uuid5(NAMESPACE_OID, f'{of}|{key}')}")

    def add(self, key: str, resource: Json, search: str = "", method: str = "POST") -> None:
        """Add an entry with its profile; a POST that has a search is made only when nothing is found by it."""
        kind = resource["resourceType"]
        own = {name: self.linked(value) for name, value in resource.items() if name not in _OWN and name != "resourceType"}  # fmt: skip
        made = {"resourceType": kind, "meta": {"profile": [self.table["base"] + self.table["profiles"][kind]]}, **own}
        request = {"method": method, "url": f"{kind}?{search}" if method == "PUT" and search else kind}
        if method == "POST" and search:
            request["ifNoneExist"] = search
        self.entries.append({"fullUrl": self.name(key), "resource": made, "request": request})

    def linked(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Let references lead to entries of the transaction; what is not in it is named by its number and name only."""
        if isinstance(value, list):
            return [kept for one in value if (kept := self.linked(one)) is not None or one is None]
        if not isinstance(value, dict):
            return value
        linked = {name: self.linked(one) for name, one in value.items()}
        made: Json = {name: one for name, one in linked.items() if one not in (None, [])}
        if isinstance(made.get("reference"), str):
            known = self.names.get(made.pop("reference"))
            if known:
                made["reference"] = known
            return made if made.keys() - {"type"} else None
        return made


def referral(translation: Translation, now: str, receiver: Json | None = None) -> Json:
    """Write what an ambulance service reports as a referral to a GP post, ready to be sent.

    Args:
        translation: what the document of the trip became.
        now: the moment it is written, a FHIR instant.
        receiver: the GP post as an Organization; absent = the one the document is addressed to.

    Raises:
        NotMappable: nobody it is addressed to.

    Spec: AZ-IG 0.1.0-alpha.1 hg-ReferralBundle-AmbulanceHAP; issue 38: one ServiceRequest a trip, updated by its number.
    """
    draft = _Draft(translation, table(_TABLE))
    found = dict(zip(translation.keys, translation.resources, strict=True))
    post_key, post = _receiver(draft, found, receiver)
    patient = _first(found, "Patient")
    encounter = _encounter(draft, found)
    service_key, service = _service(draft, found, post_key)
    role = _author(found)
    for key in (patient[0], encounter[0], service_key, post_key, *role, "ServiceRequest", "Composition"):
        draft.name(key)
    author = {"reference": next(iter(role), service_key)}
    attachments = [_attachment(draft, key, one, author) for key, one in found.items() if _is_attached(one)]  # fmt: skip
    for key, _ in attachments:
        draft.name(key)
    sections = _sections(draft, found)
    papers = ["Composition", *(key for key, _ in attachments)]
    draft.add("ServiceRequest", _request(draft, patient[0], encounter[0], author, post_key, sections, papers, now), f"identifier={draft.table['trip']}|{draft.trip}", "PUT")  # fmt: skip
    draft.add("Composition", _report(draft, found, patient[0], encounter[0], author, sections, now))
    for key, one in attachments:
        draft.add(key, one)
    draft.add(*patient)
    draft.add(*encounter, f"identifier={draft.table['trip']}|{draft.trip}" if draft.trip else "")
    for key, one in ((service_key, service), (post_key, post), *role.items()):
        draft.add(key, one, _by_number(one))
    profile = draft.table["base"] + draft.table["profiles"]["Bundle"]
    return {"resourceType": "Bundle", "meta": {"profile": [profile]}, "type": "transaction", "timestamp": now, "entry": draft.entries}  # fmt: skip


def findings(bundle: Json) -> list[Finding]:
    """Hold a referral against FHIR R4 and against what the guide asks; nothing when all of it is there."""
    found = [Finding("error", "Bundle", str(one)) for one in validate(bundle) if one.is_error]
    resources = [bundle, *(entry["resource"] for entry in bundle["entry"])]
    for rule in table(_TABLE)["rules"]:
        expression = compile_expression(rule["is"], rule["of"])
        for one in resources:
            if one["resourceType"] == rule["of"] and not expression.holds(one):
                name = rule.get("warning", "")
                found.append(Finding("warning" if name else "error", rule["of"], f"{name} {rule['text']}".strip()))
    return found


def _first(found: dict[str, Json], kind: str) -> tuple[str, Json]:
    return next(((key, one) for key, one in found.items() if one["resourceType"] == kind), ("", {"resourceType": kind}))


def _receiver(draft: _Draft, found: dict[str, Json], given: Json | None) -> tuple[str, Json]:
    addressed = draft.translation.facts.get("recipient", "")
    known = next(((key, one) for key, one in found.items() if one["resourceType"] == "Organization" and addressed in _tokens(one)), None)  # fmt: skip
    if given is None and known is None:
        raise NotMappable("a referral needs the GP post it is for: none is named", "informationRecipient")
    key, post = ("Organization/receiver", given) if given is not None else known or ("", {})
    return key, {"resourceType": "Organization", **post, "type": [{"coding": [dict(draft.table["post"])]}]}


def _tokens(resource: Json) -> set[str]:
    return {f"{one.get('system', '')}|{one.get('value', '')}" for one in _numbers(resource)}


def _numbers(resource: Json) -> list[Json]:
    found = resource.get("identifier")
    return found if isinstance(found, list) else []


def _encounter(draft: _Draft, found: dict[str, Json]) -> tuple[str, Json]:
    """The trip itself; what a report says of other visits stays out."""
    mine = f"{draft.table['trip']}|"
    key, trip = "Encounter/trip", {"resourceType": "Encounter", "status": "unknown"}
    for native, one in found.items():
        if one["resourceType"] == "Encounter" and any(token.startswith(mine) for token in _tokens(one)):
            key, trip = native, one
            break
    numbers: list[Json] = [one for one in _numbers(trip) if one.get("system") == draft.table["trip"]]
    left = {"location", "participant", "serviceProvider", "type"}
    kept = {name: value for name, value in trip.items() if name not in left}
    return key, {**kept, "identifier": numbers, "class": dict(draft.table["class"])} if numbers else kept


def _service(draft: _Draft, found: dict[str, Json], post: str) -> tuple[str, Json]:
    """The ambulance service: who keeps the document, else the organization of its author; its number starts the trip's."""
    report = _first(found, "Composition")[1]
    wanted = [report.get("custodian", {}).get("reference", "")]
    wanted += [key for key, one in found.items() if one["resourceType"] == "Organization" and key != post]
    key = next((one for one in wanted if one in found), "Organization/service")
    service = found.get(key, {"resourceType": "Organization"})
    own = draft.trip.partition("-")[0]
    numbers = [*_numbers(service)]
    if own and not any(one.get("system") == draft.table["ambulance"] for one in numbers):
        numbers.append({"system": draft.table["ambulance"], "value": own})
    return key, {**service, "identifier": numbers}


def _author(found: dict[str, Json]) -> dict[str, Json]:
    """The professional who wrote it, in his role; nobody when the document names none by a number."""
    authors = _first(found, "Composition")[1].get("author", [])
    for key in (one.get("reference", "") for one in authors):
        role = found.get(key)
        if role is not None and role["resourceType"] == "Practitioner":
            made: Json = {"resourceType": "PractitionerRole", "practitioner": {"reference": key}}
            return {f"PractitionerRole/{role['id']}": made, key: role}
        person = role.get("practitioner", {}).get("reference", "") if role else ""
        if role is not None and person in found:
            return {key: role, person: found[person]}
    return {}


def _sections(draft: _Draft, found: dict[str, Json]) -> list[Json]:
    """The sections of the guide first, from the source's own words; every other section after them, as it came."""
    given = [one for one in _flat(_first(found, "Composition")[1].get("section", ())) if "text" in one]
    made, used = [], set[int]()
    for row in draft.table["sections"]:
        mine = [one for one in given if set(row["from"]) & {coding.get("code") for coding in one.get("code", {}).get("coding", ())}]  # fmt: skip
        used.update(map(id, mine))
        words = [line for one in mine for line in _words(one["text"]["div"])] or list(_said(found, row["says"]))
        if words:
            made.append({"title": row["title"], "code": {"coding": [dict(row["code"])]}, "text": _narrative(words)})
    for one in given:
        if id(one) not in used:
            rest: Json = {name: one[name] for name in ("title", "code") if name in one}
            made.append({**rest, "text": _narrative(_words(one["text"]["div"]))})
    return made


def _flat(sections: Any) -> Iterator[Json]:  # noqa: ANN401 - any JSON value
    for one in sections:
        yield one
        yield from _flat(one.get("section", ()))


def _words(div: str) -> list[str]:
    lines = _TAG.sub("", _BREAK.sub("\n", div)).split("\n")
    return [unescape(" ".join(one.split())) for one in lines if one.strip()]


def _narrative(words: list[str]) -> Json:
    lines = "<br/>".join(escape(one, quote=False) for one in words)
    return {"status": "additional", "div": f"<div {_XHTML}><p>{lines}</p></div>"}


def _said(found: dict[str, Json], kinds: list[str]) -> Iterator[str]:
    """Put in words what resources say where no section does: never what was refuted, not done or entered in error."""
    for one in found.values():
        state = str(one.get("verificationStatus", {}).get("coding", [{}])[0].get("code", "")) or str(
            one.get("status", "")
        )
        if one["resourceType"] not in kinds or state in {"refuted", "entered-in-error", "not-done", "cancelled"}:
            continue
        concepts = one.get("reasonCode", ()) if one["resourceType"] == "Encounter" else [one.get("code") or one.get("medicationCodeableConcept") or {}]  # fmt: skip
        for concept in concepts:
            coding: Json = next(iter(concept.get("coding", ())), {})
            words = concept.get("text") or coding.get("display") or coding.get("code")
            if words:
                yield words


def _request(
    draft: _Draft, patient: str, encounter: str, author: Json, post: str, sections: list[Json], papers: list[str], now: str
) -> Json:  # fmt: skip
    rules, facts = draft.table["request"], draft.translation.facts
    reason = next((one for one in sections if one.get("code", {}).get("coding", [{}])[0] == draft.table["sections"][0]["code"]), None)  # fmt: skip
    made: Json = {
        "resourceType": "ServiceRequest",
        "status": rules["status"].get(facts.get("status", ""), rules["status"]["otherwise"]),
        "intent": rules["intent"],
        "category": [{"coding": [dict(rules["category"])]}],
        "code": {"coding": [dict(rules["code"])]},
        "subject": {"reference": patient},
        "encounter": {"reference": encounter},
        "authoredOn": _written(draft) or now,
        "requester": author,
        "performer": [{"reference": post}],
        "supportingInfo": [{"reference": one} for one in papers],
    }
    if draft.trip:
        made["identifier"] = [{"system": draft.table["trip"], "value": draft.trip}]
    if reason:
        made["reasonCode"] = [{"text": "\n".join(_words(reason["text"]["div"]))}]
    return made


def _report(
    draft: _Draft, found: dict[str, Json], patient: str, encounter: str, author: Json, sections: list[Json], now: str
) -> Json:
    rules, source = draft.table["composition"], _first(found, "Composition")[1]
    made: Json = {
        "resourceType": "Composition",
        "status": source.get("status", "final"),
        "type": {"coding": [dict(rules["type"])]},
        "subject": {"reference": patient},
        "encounter": {"reference": encounter},
        "date": _written(draft) or now,
        "author": [author],
        "title": rules["title"],
        "section": sections,
    }
    if "identifier" in source:
        made["identifier"] = source["identifier"]
    return made


def _written(draft: _Draft) -> str:
    return next((str(one["date"]) for one in draft.translation.resources if one["resourceType"] == "Composition" and "date" in one), "")  # fmt: skip


def _is_attached(resource: Json) -> bool:
    """Claim that it is a file that goes along, not the description of the report itself."""
    content = resource.get("content", ()) if resource["resourceType"] == "DocumentReference" else ()
    return any("data" in one.get("attachment", {}) for one in content)


def _attachment(draft: _Draft, key: str, source: Json, author: Json) -> tuple[str, Json]:
    """A document that goes along: named by its number and its set's, with its bytes as they came."""
    rules, facts = draft.table["attachments"], draft.translation.facts
    codings = [one for one in source.get("type", {}).get("coding", ()) if one.get("system") == rules["types"]]
    own = uuid5(NAMESPACE_OID, key)
    numbers = [
        _number(rules, "document-id", "urn:ietf:rfc:3986", f"urn:uuid:{own}"),
        _number(rules, "document-set-id", *_set(facts) or ("urn:ietf:rfc:3986", f"urn:uuid:{own}")),
    ]
    content = [
        {"attachment": {"title": "Bijlage", **one["attachment"]}} for one in source.get("content", ()) if "data" in one.get("attachment", {})
    ]  # fmt: skip
    made = {
        "resourceType": "DocumentReference", "status": source.get("status", "current"), "identifier": numbers,
        "type": {"coding": codings[:1] or [{"system": rules["types"], **rules["otherwise"]}]},
        "subject": source.get("subject"), "author": [author], "content": content,
    }  # fmt: skip
    return key, {name: value for name, value in made.items() if value}


def _set(facts: dict[str, str]) -> tuple[str, str] | None:
    root, value = facts.get("set-root", ""), facts.get("set", "")
    return (f"urn:oid:{root}", value) if root and value else None


def _number(rules: Json, kind: str, system: str, value: str) -> Json:
    return {"type": {"coding": [{"system": rules["identifiers"], "code": kind}]}, "system": system, "value": value}


def _by_number(resource: Json) -> str:
    """Search an organization or professional by number, so that it is not made twice; a role has none of its own."""
    known = next((one for one in _numbers(resource) if one.get("system") and one.get("value")), None)
    return f"identifier={known['system']}|{known['value']}" if known else ""
