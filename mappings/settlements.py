"""What must be decided over a whole resource after its lines ran: directives and panels."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from mappings.model import Json
from mappings.reading import Reading
from mappings.tables import table

_OTHER: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-TreatmentDirective2.SpecificationOther"
_COMMENT: Final = "http://nictiz.nl/fhir/StructureDefinition/ext-Comment"
_LOINC: Final = "http://loinc.org"
_CATEGORIES: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_DIRECTIVE_KINDS: Final = "urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.14.1"


def treatment_decision(reading: Reading, source: Json, made: Json) -> None:
    """Say permit or deny only where the source said just that; "ja, maar" is neither, and its text is kept whole.

    INVARIANT: provision.type and the modifier extension SpecificationOther never stand together.
    Spec: zib-TreatmentDirective2 invariant 2 (whose published FHIRPath is ineffective); rules E5.
    """
    provision = made.get("provision", {})
    decision, restrictions = provision.pop("type", None), provision.pop("restrictions", [])
    if decision == "NEE":
        provision["type"] = "deny"
        if restrictions:
            made.setdefault("extension", []).append({"url": _COMMENT, "valueString": "\n".join(restrictions)})
    elif decision == "JA" and not restrictions:
        provision["type"] = "permit"
    else:
        # Also a plain "JA" with restrictions, and a decision that is missing or unknown: nobody may read it as a yes.
        if decision not in {"JA", "JA_MAAR"}:
            reading.note((source, "modifierExtension"), "unknown-code", "the treatment decision is missing or unknown")
        text = "\n".join(restrictions) or ("Ja, maar met beperkingen" if decision == "JA_MAAR" else "Besluit onbekend")
        other = {"url": _OTHER, "valueString": text}
        if other not in made.setdefault("modifierExtension", []):
            made["modifierExtension"].append(other)
    if provision:
        made["provision"] = provision


def advance_directive(reading: Reading, source: Json, made: Json) -> None:  # noqa: ARG001 - one signature a settlement
    """Move the kind of directive from category to provision.code, where zib2020 has it.

    Spec: zib-AdvanceDirective (2020), Consent.provision.code.
    """
    categories = made.get("category", [])
    kinds = [one for one in categories if any(c.get("system") == _DIRECTIVE_KINDS for c in one.get("coding", []))]
    if kinds:
        made["category"] = [one for one in categories if one not in kinds]
        made.setdefault("provision", {})["code"] = kinds


def observation_kind(reading: Any, source: Any, made: Json) -> None:  # noqa: ANN401, ARG001 - one signature
    """Say whether a result is a vital sign, a score or laboratory, by its LOINC code.

    Spec: FHIR R4 vital signs profile; nl-core-LaboratoryTestResult.
    """
    known = table("maps/hl7v2/vital-signs.yaml")
    codings = made.get("code", {}).get("coding", [])
    code = next((one["code"] for one in codings if one.get("system") == _LOINC), "")
    if code in known["codes"]:
        category, profile = "vital-signs", known["codes"][code]
    elif code in known["survey"]:
        category, profile = "survey", known["survey"][code]
    else:
        category, profile = "laboratory", "nl-core-LaboratoryTestResult"
    made["category"] = [{"coding": [{"system": _CATEGORIES, "code": category}]}]
    if profile:
        made["meta"] = {"profile": [table("maps/fhir-r4/profiles.yaml")["base"] + profile]}
    twin = known["pairs"].get(code)
    if twin and not any(one.get("code") == twin for one in codings):
        codings.append({"system": _LOINC, "code": twin})


def occurrence_unknown(reading: Any, source: Any, made: Json) -> None:  # noqa: ANN401, ARG001 - one signature
    """Say that the moment is not known, as FHIR asks for one or the other.

    Spec: FHIR R4 Immunization.occurrence[x].
    """
    if "occurrenceDateTime" not in made:
        made["occurrenceString"] = "onbekend"


def appointment_times(reading: Any, source: Any, made: Json) -> None:  # noqa: ANN401 - one signature a settlement
    """Give an appointment both its times or neither, as FHIR asks; a time alone is kept as the period that was asked.

    Spec: FHIR R4 Appointment app-2, app-3, app-4.
    """
    start, end = made.get("start"), made.get("end")
    if start and not end and "minutesDuration" in made:
        moment = datetime.fromisoformat(start) + timedelta(minutes=made["minutesDuration"])
        end = made["end"] = moment.isoformat()
    if not (start and end) or datetime.fromisoformat(end) < datetime.fromisoformat(start):
        known = {name: made.pop(name) for name in ("start", "end") if name in made}
        if len(known) == 1:
            made["requestedPeriod"] = [known]
        elif known:
            reading.note(source, 0, "dropped", "an end before the start")
        if made["status"] not in {"proposed", "cancelled", "waitlist"}:
            gone = made["status"] in {"noshow", "entered-in-error"}
            reading.note(
                source, 0, "approximate", "without times FHIR knows the appointment only as proposed or cancelled"
            )
            made["status"] = "cancelled" if gone else "proposed"


Settlement = Callable[[Any, Any, Json], None]  # (reading, source node or segment, target resource)
SETTLEMENTS: Final[dict[str, Settlement]] = {
    "treatment-decision": treatment_decision,
    "advance-directive": advance_directive,
    "observation-kind": observation_kind,
    "appointment-times": appointment_times,
    "occurrence-unknown": occurrence_unknown,
}
