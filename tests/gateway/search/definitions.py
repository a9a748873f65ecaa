"""The published definitions of search parameters, re-written in the form of `gateway/fhir/parameters.toml`.

`python -m tests.gateway.search.definitions` prints that file's generated part; with `subsets` that of `subsets.toml`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from profiles.definitions import Definitions, Member, definitions

Json = dict[str, Any]
PUBLISHED: Final = Path(__file__).parents[4] / "shared" / "packages" / "r4-core"
# What is served, what those refer to, and what dialects ask for.
TYPES: Final = (
    *("AllergyIntolerance", "Appointment", "CarePlan", "CareTeam", "Condition", "Consent", "Coverage", "Device"),
    *("DeviceRequest", "DeviceUseStatement", "DiagnosticReport", "DocumentReference", "Encounter", "Endpoint"),
    *("EpisodeOfCare", "Flag", "Goal", "HealthcareService", "Immunization", "ImmunizationRecommendation", "Location"),
    *("Medication", "MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement"),
    *("NutritionOrder", "Observation", "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure"),
    *("Provenance", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen", "Substance"),
)
NOT_OFFERED: Final = frozenset({"_query"})
_FITS: Final = {
    "token": {"CodeableConcept", "Coding", "code", "Identifier", "ContactPoint", "boolean", "id", "string", "uri"},
    "date": {"date", "dateTime", "instant", "Period", "Timing"},
    "string": {"string", "HumanName", "Address", "markdown"},
    "quantity": {"Quantity", "SimpleQuantity", "Age", "Duration", "Money", "Range", "SampledData"},
    "reference": {"Reference", "canonical", "uri"},
    "uri": {"uri", "canonical", "url", "oid"},
    "number": {"integer", "decimal", "positiveInt", "unsignedInt"},
}
_ANY: Final = 40  # a reference to more types than these is to anything
_CAST: Final = re.compile(r"^\((\S+) as (\w+)\)(.*)$")
_AS: Final = re.compile(r"\.as\((\w+)\)")
_RESOLVES: Final = re.compile(r"\.where\(resolve\(\) is (\w+)\)")
_WHERE: Final = re.compile(r"\.where\((\w+)='(\w+)'\)")


def rows() -> dict[str, dict[str, str]]:
    """Each type with its parameters, as the table writes them."""
    found: dict[str, dict[str, str]] = {type_: {} for type_ in TYPES}
    for path in sorted(PUBLISHED.glob("SearchParameter-*.json")):
        published = json.loads(path.read_text("utf-8"))
        for type_ in published["base"]:
            if type_ in found and published["code"] not in NOT_OFFERED:
                found[type_][published["code"]] = row(published, type_)
    return {type_: dict(sorted(parameters.items())) for type_, parameters in found.items()}


def row(published: Json, type_: str) -> str:
    """One parameter of one type: `kind path | path > targets @systems`."""
    kind, model = published["type"], definitions()
    if kind == "special":
        return f"special {published['expression'].removeprefix(f'{type_}.')}"
    if kind == "composite":
        return _composite(published, type_, model)
    if published["code"] == "deceased":
        return "token deceasedBoolean? | deceasedDateTime?"
    paths: dict[str, None] = {}
    targets: set[str] = set()
    systems: set[str] = set()
    narrowed: set[str] = set()
    for expression in _alternatives(published["expression"], type_):
        text, only = _plain(expression)
        narrowed |= only
        for path, member in _members(text, type_, kind, model):
            paths[path] = None
            targets |= set(member.targets)
            systems |= set(model.codes.get(member.codes or "", {})) if member.type == "code" else set()
    if kind == "reference":
        targets = narrowed or (set(published.get("target", targets)) & (targets or set(published.get("target", ()))))
    named = "*" if len(targets) > _ANY else " ".join(sorted(targets))
    known = f" > {named}" if kind == "reference" and targets else ""
    implied = f" @ {' '.join(sorted(systems))}" if kind == "token" and systems else ""
    return f"{kind} {' | '.join(paths)}{known}{implied}"


def _composite(published: Json, type_: str, model: Definitions) -> str:
    bases = [part.strip() for part in published["expression"].split("|")]
    inside = bases[-1] if bases[-1] != type_ else type_
    parts: list[str] = []
    for component in published["component"]:
        name = component["definition"].rpartition("/")[2]
        kind = json.loads((PUBLISHED / f"SearchParameter-{name}.json").read_text("utf-8"))["type"]
        paths: dict[str, None] = {}
        for expression in component["expression"].split("|"):
            text, _ = _plain(f"{inside}.{expression.strip().replace('DateTime', 'dateTime')}")
            holder = inside if inside in model.types else _holder(inside, model)
            paths |= dict.fromkeys(
                path for path, _ in _members(text.removeprefix(inside + "."), holder, kind, model, rooted=False)
            )
        parts.append(f"{kind} {' | '.join(paths)}")
    places = " | ".join("." if base == type_ else base.removeprefix(type_ + ".") for base in bases)
    return f"composite {places} $ {' $ '.join(parts)}"


def _holder(path: str, model: Definitions) -> str:
    type_, *names = path.split(".")
    for name in names:
        type_ = next(m.type for e in model.types[type_].elements for m in e.members if e.name == name)
    return type_


def _alternatives(expression: str, type_: str) -> Iterator[str]:
    for part in expression.split("|"):
        text = part.strip()
        if text.lstrip("(").startswith(type_ + "."):
            yield text


def _plain(expression: str) -> tuple[str, set[str]]:
    """An expression with its casts as `name:Type`, its filters as `[a=b]`, and the types its references are narrowed to."""
    only = set(_RESOLVES.findall(expression))
    text = _RESOLVES.sub("", expression)
    if cast := _CAST.match(text):
        text = f"{cast[1]}:{cast[2]}{cast[3]}"
    return _WHERE.sub(r"[\1=\2]", _AS.sub(r":\1", text)), only


def _members(
    text: str, type_: str, kind: str, model: Definitions, *, rooted: bool = True
) -> Iterator[tuple[str, Member]]:
    names = text.split(".")[1:] if rooted else text.split(".")
    yield from _descend(names, type_, kind, model, "")


def _descend(names: list[str], type_: str, kind: str, model: Definitions, before: str) -> Iterator[tuple[str, Member]]:
    bare, _, condition = names[0].partition("[")
    name, _, wanted = bare.partition(":")
    element = next(element for element in model.types[type_].elements if element.name == name)
    for member in element.members:
        if wanted and member.type != wanted:
            continue
        path = f"{before}{member.name}{'[' + condition if condition else ''}"
        if len(names) > 1:
            if member.type in model.types:
                yield from _descend(names[1:], member.type, kind, model, path + ".")
        elif member.type in _FITS[kind]:
            yield path, member


def subsets() -> dict[str, dict[str, list[str]]]:
    """Each type with the elements of its summary, and those that are always given: mandatory ones and modifiers."""
    found: dict[str, dict[str, list[str]]] = {}
    for type_ in TYPES:
        elements = json.loads((PUBLISHED / f"StructureDefinition-{type_}.json").read_text("utf-8"))["snapshot"][
            "element"
        ]
        named = {one["path"].partition(".")[2]: one for one in elements[1:] if one["path"].count(".") < 3}
        shown = [
            path for path, one in named.items() if one.get("isSummary") and path.rpartition(".")[0] in ("", *named)
        ]
        found[type_] = {
            "summary": [path for path in shown if not path.endswith((".id", ".extension", ".modifierExtension"))],
            "always": [
                path for path, one in named.items() if "." not in path and (one["min"] or one.get("isModifier"))
            ],
        }
    return found


def main() -> None:
    """Print the generated parts: `subsets` for the other."""
    if sys.argv[1:] == ["subsets"]:
        for type_, lists in subsets().items():
            print(f"\n[{type_}]")
            for name, paths in lists.items():
                print(f"{name} = {json.dumps(paths)}")
        return
    for type_, parameters in rows().items():
        print(f"\n[{type_}]")
        for name, text in parameters.items():
            print(f'{name} = "{text}"')


if __name__ == "__main__":
    main()
