"""Make the lines of a contact report findings of their own, held in the report they have no number outside of."""

from __future__ import annotations

from typing import Any, Final

from mappings.model import Json
from mappings.reading import Reading
from mappings.tables import table
from mappings.v3_functions import concept
from mappings.v3_times import attribute, child, children

_LINES: Final = "http://fhir.nl/fhir/NamingSystem/journaalregeltypen"
_ICPC: Final = "http://nictiz.nl/fhir/StructureDefinition/code-icpc-1-nl"
_DIAGNOSIS: Final[Json] = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "DISDX", "display": "discharge diagnosis"}]
}  # fmt: skip
_SHARED: Final = ("subject", "encounter")


def soap(reading: Reading, source: Json, made: Json) -> None:
    """Give every line as a section with its code, and as an Observation with its words and its ICPC code.

    Spec: nl-core-SOAPReport and nl-core-SOAPReport.Observation; ketenzorg 3.0 contact report (66.10.207-211).
    """
    kinds = table("maps/hl7v3/categories.yaml")["lines"]
    acts = [one for link in children(source, "entryRelationship") if link.get("typeCode") == "COMP" for one in children(link, "act")]  # fmt: skip
    episodes = [one for event in made.get("event", []) for one in event.get("detail", [])]
    contained: list[Json] = []
    if len(acts) != len(made.get("section", [])):
        return  # a line without a code or words: which is which cannot be told
    for number, (act, section) in enumerate(zip(acts, made.get("section", []), strict=True), start=1):
        kind = kinds.get(child(act, "code").get("code", ""))
        if kind and "code" in section:
            coding = {"system": _LINES, "code": kind["code"], "display": kind["display"]}
            section["code"]["coding"] = [coding, *section["code"].get("coding", [])]
        diagnosis = _diagnosis(reading, act)
        if diagnosis:
            section["extension"] = [{"url": _ICPC, "valueCodeableConcept": diagnosis}]
            made["title"] = diagnosis.get("coding", [{}])[0].get("display") or made["title"]
        text = attribute(reading, child(act, "text"), "_text")
        if kind and text:
            contained.append(_line(made, section, text, diagnosis, f"line-{number}"))
            section["entry"] = [
                {"reference": f"#line-{number}", "type": "Observation"},
                *(dict(one) for one in episodes),
            ]
    if contained:
        made["contained"] = contained


def _line(made: Json, section: Json, text: str, diagnosis: Json | None, identity: str) -> Json:
    line: Json = {"resourceType": "Observation", "id": identity, "status": "final", "code": _copy(section["code"])}
    line.update({name: _copy(made[name]) for name in _SHARED if name in made})
    if "date" in made:
        line["effectiveDateTime"] = made["date"]
    if any("reference" in one for one in made.get("author", [])):
        line["performer"] = _copy(made["author"])
    line["valueString"] = text
    if diagnosis:
        line["component"] = [{"code": _copy(_DIAGNOSIS), "valueCodeableConcept": _copy(diagnosis)}]
    return line


def _diagnosis(reading: Reading, act: Json) -> Json | None:
    """Read the code the evaluation ended in; a copy stands in the Condition the sender made of it."""
    found = [one for link in children(act, "entryRelationship") for one in children(link, "observation")]
    return concept(reading, child(found[0], "value")) if found and found[0].get("negationInd") != "true" else None


def _copy(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {name: _copy(one) for name, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value
