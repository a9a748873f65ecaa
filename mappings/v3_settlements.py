"""What must be decided over a whole resource of HL7 v3 after its lines ran: negations, statuses, doses, sections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappings.concepts import concept_map
from mappings.model import Json
from mappings.reading import Reading
from mappings.settlements import observation_kind
from mappings.tables import table
from mappings.v3_functions import concept as read_concept
from mappings.v3_reports import soap
from mappings.v3_times import attribute, child, children

_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_ALLERGY_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
_NO_ALLERGY: Final = {
    "416098002": ("409137002", "No known drug allergy"),
    "419511003": ("409137002", "No known drug allergy"),
    "414285001": ("429625007", "No known food allergy"),
    "418471000": ("429625007", "No known food allergy"),
    "426232007": ("428607008", "No known environmental allergy"),
}
_ANY_PROBLEM: Final = frozenset(
    {"", "55607006", "404684003", "64572001"}
)  # problem, finding, disease: none in particular
_NONE_KNOWN: Final = ("716186003", "No known allergy")
_SPECIFICATION_OTHER: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-TreatmentDirective2.SpecificationOther"
_TREATMENTS: Final = frozenset({"305351004", "89666000", "40617009", "116762002", "281789004", "32485007"})
_DOSES: Final = {"MedicationRequest": "dosageInstruction", "MedicationDispense": "dosageInstruction", "MedicationStatement": "dosage"}  # fmt: skip
# Templates of MP9 number the parts of a schedule, so that several doses are one after the other.
_SCHEDULED: Final = "2.16.840.1.113883.2.4.3.11.60.20.77.10.9359"


def condition(reading: Reading, source: Json, made: Json) -> None:  # noqa: ARG001 - one signature a settlement
    """Let the clinical status agree with the end of the problem, and leave it out where FHIR forbids it.

    A denied problem that names none says that there are none.

    Spec: FHIR R4 Condition, con-4, con-5; C-CDA on FHIR 'No known problems'.
    """
    if source.get("negationInd") == "true" and child(source, "value").get("code", "") in _ANY_PROBLEM:
        made["code"] = {"coding": [{"system": "http://snomed.info/sct", "code": "160245001", "display": "No current problems or disability"}]}  # fmt: skip
        made.pop("verificationStatus", None)
    _bound(made, "clinicalStatus", _CLINICAL)
    verification = _code(made.get("verificationStatus"))
    if verification in {"entered-in-error", "refuted"}:
        made.pop("clinicalStatus", None)
    elif "abatementDateTime" in made and _code(made.get("clinicalStatus")) not in {"inactive", "resolved", "remission"}:
        made["clinicalStatus"] = {"coding": [{"system": _CLINICAL, "code": "resolved"}]}


def allergy(reading: Reading, source: Json, made: Json) -> None:
    """Say what a negation denies: one substance is refuted, none named at all is 'none known'.

    Spec: C-CDA on FHIR 'No known allergies'; FHIR R4 AllergyIntolerance, ait-1, ait-2; rules E8.
    """
    _bound(made, "clinicalStatus", _ALLERGY_CLINICAL)
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
        made["clinicalStatus"] = {"coding": [{"system": _ALLERGY_CLINICAL, "code": "active"}]}
    made["reaction"] = [one for one in made.get("reaction", []) if one.get("manifestation")]
    if not made["reaction"]:
        del made["reaction"]


def _words(reading: Reading, source: Json) -> str:
    node = child(source, "text")
    text = node.get("_text", "")
    if text:
        reading.take(node, "_text")
    return str(text)


def directive(reading: Reading, source: Json, made: Json) -> None:
    """Give the decision of a treatment directive a type where it is a plain yes or no, else its full text where nobody misses it.

    Spec: nl-core-TreatmentDirective2, ext-TreatmentDirective2.SpecificationOther; rules E5: absence is never a yes.
    """
    provision = made.setdefault("provision", {})
    decided = [source] if "code" in provision and child(source, "value").get("code") not in _TREATMENTS else []
    decided += [one for link in children(source, "entryRelationship") for one in children(link, "observation")]
    words: list[str] = [text] if (text := _words(reading, source)) else []
    denied = source.get("negationInd") == "true"
    for node in (child(one, "value") for one in decided):
        concept = read_concept(reading, node) or {}
        known = concept_map("v3-directive-decision").find(attribute(reading, node, "code"))
        if known and not denied:
            provision.setdefault("type", known["code"])
        told = concept.get("text") or next(
            (one["display"] for one in concept.get("coding", []) if "display" in one), ""
        )
        told = told or attribute(reading, node, "_text") or attribute(reading, node, "value")
        words += [told] if told and (denied or not known) else []
    if denied:
        reading.take(source, "negationInd")
    if "type" in provision and not words:
        return
    provision.pop("type", None)
    told = "; ".join(dict.fromkeys(words)) or "beslissing niet vermeld: zie bron"
    text = f"ontkend in de bron: {told}" if denied else told
    made["modifierExtension"] = [{"url": _SPECIFICATION_OTHER, "valueString": text}]


def declaration(reading: Reading, source: Json, made: Json) -> None:
    """Say of a denied declaration that it is denied, in its own words; it is never shown as a wish.

    Spec: rules E5, E8.
    """
    if source.get("negationInd") == "true":
        reading.take(source, "negationInd")
        made["status"] = "inactive"
        for one in made.get("extension", []):
            one["valueString"] = f"ontkend in de bron: {one['valueString']}"


def administration(reading: Reading, source: Json, made: Json) -> None:  # noqa: ARG001 - one signature a settlement
    """Say that the time is unknown where it is: what was given is not lost for that.

    Spec: FHIR R4 MedicationAdministration.effective[x] 1..1; data-absent-reason.
    """
    if "effectiveDateTime" not in made:
        made["_effectiveDateTime"] = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}  # fmt: skip


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
    _reasons(made)
    for empty in [key for key in ("extension", "modifierExtension", "reasonCode", name) if not made.get(key)]:
        made.pop(empty, None)


def _reasons(made: Json) -> None:
    """Refer to the problem a medicine is prescribed for; the reason of the agreement itself stays a code.

    Spec: mp-MedicationAgreement, reasonCode 0..1 and reasonReference.
    """
    problems = [one for one in made.pop("contained", ()) if "code" in one]
    if not problems:
        return
    made["contained"] = [{**one, "id": f"reason{number}"} for number, one in enumerate(problems, 1)]
    made["reasonCode"] = [one for one in made.get("reasonCode", ()) if all(one != other["code"] for other in problems)]
    made["reasonReference"] = [
        {"reference": f"#{one['id']}", **({"display": words} if (words := _told(one["code"])) else {})}
        for one in made["contained"]
    ]


def _told(concept: Json) -> str:
    named = (one["display"] for one in concept.get("coding", []) if "display" in one)
    return str(concept.get("text") or next(named, ""))


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
    """Leave out sections that say nothing and relations to nothing, and name an author where the source does not.

    Spec: FHIR R4 Composition, cmp-1; author 1..*, date 1..1.
    """
    made["section"] = [one for one in map(_spoken, made.get("section", [])) if one]
    if not made["section"]:
        del made["section"]
    related = [one for one in made.pop("relatesTo", []) if "targetIdentifier" in one]
    if related:
        made["relatesTo"] = related
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


def _bound(made: Json, name: str, system: str) -> None:
    """Leave out a status that has no code of the system FHIR asks for: beside one the original may stand, alone it may not."""
    if all(one.get("system") != system for one in made.get(name, {}).get("coding", [])):
        made.pop(name, None)


def _code(concept: Any) -> str:  # noqa: ANN401 - any JSON value
    codings = concept.get("coding", []) if isinstance(concept, dict) else []
    return str(codings[0].get("code", "")) if codings else ""


Settlement = Callable[[Reading, Json, Json], None]
V3_SETTLEMENTS: Final[dict[str, Settlement]] = {
    "v3-condition": condition,
    "v3-allergy": allergy,
    "v3-observation": observation,
    "v3-directive": directive,
    "v3-declaration": declaration,
    "v3-administration": administration,
    "v3-agreement": agreement,
    "v3-sections": sections,
    "v3-soap": soap,
    "v3-medication": medication,
}
