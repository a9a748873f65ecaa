"""What must be decided over a whole resource of HL7 v3 after its lines ran: negations, statuses, doses, sections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappings.model import Json
from mappings.reading import Reading
from mappings.settlements import observation_kind
from mappings.tables import table
from mappings.v3_reports import soap
from mappings.v3_times import child, children

_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_NO_ALLERGY: Final = {
    "416098002": ("409137002", "No known drug allergy"),
    "419511003": ("409137002", "No known drug allergy"),
    "414285001": ("429625007", "No known food allergy"),
    "418471000": ("429625007", "No known food allergy"),
    "426232007": ("428607008", "No known environmental allergy"),
}
_NONE_KNOWN: Final = ("716186003", "No known allergy")
_DOSES: Final = {"MedicationRequest": "dosageInstruction", "MedicationDispense": "dosageInstruction", "MedicationStatement": "dosage"}  # fmt: skip
# Templates of MP9 number the parts of a schedule, so that several doses are one after the other.
_SCHEDULED: Final = "2.16.840.1.113883.2.4.3.11.60.20.77.10.9359"


def condition(reading: Reading, source: Json, made: Json) -> None:  # noqa: ARG001 - one signature a settlement
    """Let the clinical status agree with the end of the problem, and leave it out where FHIR forbids it.

    Spec: FHIR R4 Condition, con-4, con-5.
    """
    _without_text(made, "clinicalStatus")
    verification = _code(made.get("verificationStatus"))
    if verification == "entered-in-error":
        made.pop("clinicalStatus", None)
    elif "abatementDateTime" in made and _code(made.get("clinicalStatus")) not in {"inactive", "resolved", "remission"}:
        made["clinicalStatus"] = {"coding": [{"system": _CLINICAL, "code": "resolved"}]}


def allergy(reading: Reading, source: Json, made: Json) -> None:
    """Say what a negation denies: one substance is refuted, none named at all is 'none known'.

    Spec: C-CDA on FHIR 'No known allergies'; FHIR R4 AllergyIntolerance, ait-1, ait-2; rules E8.
    """
    _without_text(made, "clinicalStatus")
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
    if source.get("negationInd") == "true":
        reading.take(source, "negationInd")
        if "code" in made:
            made["verificationStatus"] = {"coding": [{"system": system, "code": "refuted"}]}
        else:
            kind = child(source, "value").get("code", "")
            code, words = _NO_ALLERGY.get(kind, _NONE_KNOWN)
            made["code"] = {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": words}]}
    elif "code" not in made and (text := _words(reading, source)):
        made["code"] = {"text": text}
    elif "code" not in made:
        made["code"] = {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "unknown"}]
        }
    verification = _code(made.get("verificationStatus"))
    if verification == "entered-in-error":
        made.pop("clinicalStatus", None)
    elif "clinicalStatus" not in made:
        made["clinicalStatus"] = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]}  # fmt: skip
    made["reaction"] = [one for one in made.get("reaction", []) if one.get("manifestation")]
    if not made["reaction"]:
        del made["reaction"]


def _words(reading: Reading, source: Json) -> str:
    node = child(source, "text")
    text = node.get("_text", "")
    if text:
        reading.take(node, "_text")
    return str(text)


def observation(reading: Reading, source: Json, made: Json) -> None:
    """Keep the kind a code says, and never show a denied finding as a finding.

    Spec: rules E8; FHIR R4 Observation, obs-6.
    """
    if source.get("negationInd") == "true":
        reading.take(source, "negationInd")
        for name in [name for name in made if name.startswith("value")]:
            del made[name]
        made["dataAbsentReason"] = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-performed"}], "text": "ontkend of niet gedaan"}  # fmt: skip
        reading.note((source, "value"), "approximate", "a denied finding is kept without its value")
    if any(name.startswith("value") for name in made):
        made.pop("dataAbsentReason", None)
    within = source.get("within", "")
    known = table("maps/hl7v3/categories.yaml")["sections"].get(within, "")
    if known in {"", "laboratory", "vital-signs"} or _is_vital(made):
        kept = {name: made.get(name) for name in ("category", "meta")}
        observation_kind(reading, source, made)
        if made["category"][0]["coding"][0]["code"] == "laboratory" and known != "laboratory":
            del made["category"]
            made.pop("meta", None)
            made.update({name: value for name, value in kept.items() if value is not None})
    if known and "category" not in made:
        made["category"] = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": known}]}]  # fmt: skip


def _is_vital(made: Json) -> bool:
    known = table("maps/hl7v2/vital-signs.yaml")
    codes = {one.get("code") for one in made.get("code", {}).get("coding", [])}
    return bool(codes & (known["codes"].keys() | known["survey"].keys()))


def agreement(reading: Reading, source: Json, made: Json) -> None:
    """Keep the building block of MP9, its treatment and its dose: several doses without a schedule are given as text.

    Spec: rules E6; Nictiz ncp-conversie: several doseQuantity are unreliable.
    """
    name = _DOSES[made["resourceType"]]
    category = made.get("category")
    concepts = category if isinstance(category, list) else [category] if category else []
    for concept in concepts:
        for coding in concept.get("coding", []):
            if coding.get("code") == "16076005":
                coding.update({"code": "33633005", "display": "voorschrijven van geneesmiddel"})
            elif coding.get("code") == "6" and made["resourceType"] == "MedicationStatement":
                coding.update({"system": "http://snomed.info/sct", "code": "422979000", "display": "bevinding betreffende gedrag met betrekking tot medicatieregime"})  # fmt: skip
    made["extension"] = [one for one in made.get("extension", []) if len(one) > 1]
    made["modifierExtension"] = [one for one in made.get("modifierExtension", []) if len(one) > 1]
    if "dispenseRequest" not in made or name in made:
        _doses(reading, source, made, name)
    if made["resourceType"] == "MedicationRequest" and made["status"] == "unknown" and concepts:
        made["status"] = _state(reading, made)
    for empty in [key for key in ("extension", "modifierExtension", name) if not made.get(key)]:
        made.pop(empty, None)


def _state(reading: Reading, made: Json) -> str:
    """Say what an agreement without a status is: stopped where it says so, over when its period is, else in force.

    Spec: Nictiz ncp-conversie, status of a medication agreement by its end date.
    """
    if any(one["url"].endswith("ext-StopType") for one in made["modifierExtension"]):
        return "stopped"
    end = next((one["valuePeriod"].get("end", "") for one in made["extension"] if "valuePeriod" in one), "")
    return "completed" if end and end[:10] < reading.origin.received[: len(end[:10])] else "active"


def _doses(reading: Reading, source: Json, made: Json, name: str) -> None:
    doses = made.get(name, [])
    inner = [one for link in children(source, "entryRelationship") for one in children(link, "substanceAdministration")]
    scheduled = any(t.get("root") == _SCHEDULED for one in inner for t in children(one, "templateId"))
    amounts = [str(one["doseAndRate"]) for one in doses if one.get("doseAndRate")]
    repeated = any(len(children(one, "doseQuantity")) > 1 for one in (source, *inner))
    text = child(source, "text").get("_text", "")
    if not scheduled and (repeated or len(set(amounts)) > 1):
        reading.note((source, "text"), "approximate", "several doses are given as text, not as one number")
        made[name] = [{"text": text or "zie bron: meerdere doseringen"}]
    elif not text and made["resourceType"] != "MedicationDispense" and not any(_says(one) for one in doses):
        made[name] = [{"text": "dosering onbekend", **(doses[0] if doses else {})}]
    elif text and doses and "text" not in doses[0] and len(doses) == 1:
        doses[0]["text"] = text
    elif text and not doses:
        made[name] = [{"text": text}]


def _says(dose: Json) -> bool:
    """Claim that a dosage says how much or how often, not only until when or along which way."""
    repeat = dose.get("timing", {}).get("repeat", {})
    return bool(dose.keys() & {"text", "doseAndRate", "asNeededBoolean"} or repeat.keys() - {"boundsPeriod"})


def sections(reading: Reading, source: Json, made: Json) -> None:  # noqa: ARG001 - one signature a settlement
    """Leave out sections that say nothing, and name an author where the source does not.

    Spec: FHIR R4 Composition, cmp-1; author 1..*, date 1..1.
    """
    made["section"] = [one for one in map(_spoken, made.get("section", [])) if one]
    if not made["section"]:
        del made["section"]
    made.setdefault("date", reading.origin.received)
    made.setdefault("author", [{"display": "auteur niet vermeld"}])


def _spoken(section: Json) -> Json | None:
    below = [one for one in map(_spoken, section.get("section", [])) if one]
    section = {name: value for name, value in section.items() if name != "section"}
    if below:
        section["section"] = below
    return section if below or "text" in section else None


def medication(reading: Reading, source: Json, made: Json) -> None:
    """Leave out an ingredient that names no substance.

    Spec: FHIR R4 Medication.ingredient.item[x] 1..1.
    """
    found = [one for one in made.pop("ingredient", []) if "itemCodeableConcept" in one]
    if found:
        made["ingredient"] = found
    elif "ingredient" in source:
        reading.note((source, "ingredient"), "invalid", "an ingredient without a substance is left out")


def _without_text(made: Json, name: str) -> None:
    if name in made and "coding" not in made[name]:
        del made[name]


def _code(concept: Any) -> str:  # noqa: ANN401 - any JSON value
    codings = concept.get("coding", []) if isinstance(concept, dict) else []
    return str(codings[0].get("code", "")) if codings else ""


Settlement = Callable[[Reading, Json, Json], None]
V3_SETTLEMENTS: Final[dict[str, Settlement]] = {
    "v3-condition": condition,
    "v3-allergy": allergy,
    "v3-observation": observation,
    "v3-agreement": agreement,
    "v3-sections": sections,
    "v3-soap": soap,
    "v3-medication": medication,
}
