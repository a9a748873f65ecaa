"""Treatment directives and the patient's own declarations in words: never softened, never hidden (rule E5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from gateway.model import Item, Json
from gateway.summary.sections import ADMISSION_BOUND, INPATIENT, OLD_AFTER_DAYS, RESUSCITATION
from gateway.summary.sections import codings as codings_of
from gateway.summary.texts import Note, Words
from gateway.summary.values import code, concept, extension, modifier, person_name

SPECIFICATION_OTHER: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-TreatmentDirective2.SpecificationOther"
_SPECIFICATION: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-CodeSpecification"
_COMMENT: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-Comment"
_DO_NOT_RESUSCITATE: Final = "NR"


def is_declaration(resource: Json) -> bool:
    """Claim that this is the patient's own advance directive, not a doctor's directive."""
    return code(resource.get("scope")) == "adr"


def kind(resource: Json, words: Words) -> str:
    """Whose word it is: the doctor's or the patient's."""
    return words["declaration"] if is_declaration(resource) else words["directive"]


def subject(resource: Json, words: Words) -> str:
    """What it is about: the treatment, or the kind of declaration."""
    coded = (resource.get("provision") or {}).get("code")
    group = "living_will" if is_declaration(resource) else "treatments"
    plain = words.code(group, code(coded))
    return concept(coded) if plain in ("", code(coded)) else plain


def outcome(resource: Json) -> str:
    """Say "permit", "deny", "other" or "none"; a declaration not to be resuscitated denies."""
    provision = resource.get("provision") or {}
    if modifier(resource, SPECIFICATION_OTHER) is not None:
        return "other"
    if is_declaration(resource) and code(provision.get("code")) == _DO_NOT_RESUSCITATE:
        return "deny"
    told = str(provision.get("type", ""))
    return told if told in ("permit", "deny") else "none"


def contradicts_itself(resource: Json) -> bool:
    """Claim that a decision stands beside an explanation that says "other"; the official invariant misses it."""
    has_type = "type" in (resource.get("provision") or {})
    return has_type and modifier(resource, SPECIFICATION_OTHER) is not None


def decision(resource: Json, words: Words) -> str:
    """The decision in capitals; the explanation of "yes, but" in full."""
    if is_declaration(resource):
        return ""
    other = modifier(resource, SPECIFICATION_OTHER)
    if other is not None:
        told = words.say("decision_other", text=str(other.get("valueString", "")))
        stated = str((resource.get("provision") or {}).get("type", ""))
        return f"{told} / {words['decision_' + stated]}" if stated in ("permit", "deny") else told
    return words[f"decision_{outcome(resource)}"]


def details(resource: Json, words: Words, find: Callable[[str], Json | None]) -> Iterator[str]:
    """With whom it was verified, and the remarks of the source in full."""
    people = [_actor(actor.get("reference") or {}, actor.get("role"), find) for actor in
              (resource.get("provision") or {}).get("actor") or ()]  # fmt: skip
    for check in () if is_declaration(resource) else resource.get("verification") or ():
        if check.get("verifiedWith") and check.get("verified") is not False:
            who = check["verifiedWith"]
            people.append(_actor(who, (extension(who, _SPECIFICATION) or {}).get("valueCodeableConcept"), find))
    people = [who or words["unknown"] for who in dict.fromkeys(people)]
    told = ", ".join(people)
    if is_declaration(resource):
        yield words.say("represented_by", who=told) if told else ""
    else:
        yield words.say("verified_with", who=told) if told else words["verified_unknown"]
    comment = extension(resource, _COMMENT)
    if comment is not None:
        yield words.say("note", text=str(comment.get("valueString", "")))


def _actor(reference: Json, role: object, find: Callable[[str], Json | None]) -> str:
    """Somebody in a directive: the words of the source, else the name it points to, else the role."""
    name = (find(str(reference.get("reference", ""))) or {}).get("name")
    named = name if isinstance(name, str) else person_name(name or {})
    return str(reference.get("display", "")) or named or concept(role)


def rank(resource: Json) -> int:
    """Resuscitation first, then other directives, then declarations; what is no longer active last."""
    coded = (resource.get("provision") or {}).get("code")
    declared = is_declaration(resource)
    first = not RESUSCITATION.isdisjoint(codings_of(coded)) or (declared and code(coded) == _DO_NOT_RESUSCITATE)
    return (0 if first else 2) + declared + (10 if resource.get("status") != "active" else 0)


def cautions(item: Item, facility_type: str, encounters: Sequence[Item], source: str, today: date) -> Iterator[Note]:
    """What must be said beside a directive: old, undated, expired, or made for an admission."""
    resource = item.resource
    if contradicts_itself(resource):
        yield Note.of("conflict-directive-self", urgent=True)
    end = str(((resource.get("provision") or {}).get("period") or {}).get("end", ""))
    if end and end[:10] < today.isoformat():
        yield Note.of("directive-expired", urgent=True, end=end)
    decided = str(resource.get("dateTime", "")) or item.date
    if not decided:
        yield Note.of("directive-undated", urgent=True)
    elif _latest_day(decided) < (today - timedelta(days=OLD_AFTER_DAYS)).isoformat():
        yield Note.of("directive-old", urgent=True)
    if is_declaration(resource) or facility_type not in ADMISSION_BOUND:
        return
    if any(_ended_after(encounter.resource, decided, today) for encounter in encounters
           if encounter.custodian == item.custodian):  # fmt: skip
        yield Note.of("directive-ended", urgent=True, source=source)
    else:
        yield Note.of("directive-admission")


def _latest_day(text: str) -> str:
    """The last day a partial date can mean, as text that sorts: "2024" may be up to 31 December."""
    return text[:10] + "-12-31"[len(text[:10]) - 4 :] if len(text) < 10 else text[:10]


def _ended_after(encounter: Json, decided: str, today: date) -> bool:
    """Claim that this was an admission during which the directive may have been made, and that it is over."""
    if str((encounter.get("class") or {}).get("code", "")) not in INPATIENT:
        return False
    spell = encounter.get("period") or {}
    start, end = str(spell.get("start", ""))[:10], str(spell.get("end", ""))[:10]
    over = bool(end) and end <= today.isoformat()
    return over and (not start or not decided or start <= _latest_day(decided)) and (not decided or decided[:10] <= end)
