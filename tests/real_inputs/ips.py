"""What the International Patient Summary asks of a document and base R4 does not: read from its published profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from profiles import exact
from profiles.judgement import judge
from profiles.library import shipped
from tests.real_inputs.corpus import DATA, Json, objects

_BUNDLE: Final = "http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips"
_ENTRY: Final = re.compile(r"Bundle\.entry\[[1-9]")
_ONE_SMOKER: Final = (
    "smokingTobaccoUse: 1"  # IPS has room for one such observation; whoever has several is shown them all
)
_PROFILES: Final = DATA / "ips-examples" / "profiles"
_REQUIRED: Final = {"11450-4", "48765-2", "10160-0"}  # problems, allergies, medication


@dataclass(frozen=True, slots=True)
class Slice:
    """One section of the Composition profile."""

    name: str
    required: bool
    targets: frozenset[str]  # types an entry may be; empty = any


def faults(document: Json) -> list[str]:
    """Everything wrong with a summary: against base R4, the Bundle and Composition of IPS, and its own references.

    What stands in the entries is the sources' own; whether it keeps the profiles it claims is their affair.
    """
    wrong = [
        f"{issue.expression}: {issue.text_en}"
        for issue in judge(document, shipped(), (_BUNDLE,)).issues
        if issue.is_error and not _ENTRY.match(issue.expression) and issue.expected != _ONE_SMOKER
    ]
    entries = document.get("entry", [])
    if not entries or entries[0].get("resource", {}).get("resourceType") != "Composition":
        return [*wrong, "the first entry is no Composition"]
    composition = entries[0]["resource"]
    resources = {one["fullUrl"]: one["resource"] for one in entries if "fullUrl" in one and "resource" in one}
    wrong += [f"Bundle.{name} is missing" for name in required("Bundle-uv-ips") if name not in document]
    wrong += [f"Composition.{name} is missing" for name in required("Composition-uv-ips") if name not in composition]
    wrong += list(_bundle(document, entries))
    wrong += list(_composition(composition, resources))
    wrong += [f"{one['resourceType']}/{one.get('id')}: no entry is {there}"
              for one in resources.values() for there in _dangling(one, resources)]  # fmt: skip
    return wrong


def _bundle(document: Json, entries: list[Json]) -> Iterator[str]:
    if document.get("type") != "document":
        yield "Bundle.type is not document"
    for number, entry in enumerate(entries):
        if "fullUrl" not in entry or "resource" not in entry:
            yield f"Bundle.entry[{number}] has no fullUrl or no resource"
        if entry.keys() & {"search", "request", "response"}:
            yield f"Bundle.entry[{number}] has what a document may not have"
    if len({entry.get("fullUrl") for entry in entries}) != len(entries):
        yield "a fullUrl stands twice"


def _composition(composition: Json, resources: dict[str, Json]) -> Iterator[str]:
    coding = {"system": "http://loinc.org", "code": "60591-5"}
    if not any(coding.items() <= one.items() for one in composition.get("type", {}).get("coding", ())):
        yield "Composition.type is not the patient summary"
    subject = _target(composition.get("subject", {}), resources)
    if subject is None or subject["resourceType"] != "Patient":
        yield "Composition.subject leads to no Patient of the Bundle"
    elif not subject.get("name") or not ("birthDate" in subject or "_birthDate" in subject):
        yield "the Patient has no name or no birth date, and no reason for it"
    if not composition.get("author"):
        yield "nobody wrote the Composition"
    codes = [_code(section) for section in composition.get("section", ())]
    yield from (f"section {code} is missing" for code in sorted(_REQUIRED - set(codes)))
    for section, code in zip(composition.get("section", ()), codes, strict=True):
        yield from (f"section {code}: {fault}" for fault in _section(section, slices().get(code), resources))


def _section(section: Json, known: Slice | None, resources: dict[str, Json]) -> Iterator[str]:
    for name in ("title", "code", "text"):
        if name not in section:
            yield f"no {name}"
    if known is not None and known.required and not section.get("entry") and "emptyReason" not in section:
        yield "neither an entry nor a reason why there is none"
    if section.get("entry") and "emptyReason" in section:
        yield "an entry, and a reason why there is none"
    for entry in section.get("entry", ()):
        target = _target(entry, resources)
        if target is None:
            yield "an entry leads nowhere"
        elif known is not None and known.targets and target["resourceType"] not in known.targets:
            yield f"a {target['resourceType']} stands here"


def _code(section: Json) -> str:
    return str((section.get("code", {}).get("coding") or [{}])[0].get("code", ""))


def _target(reference: Json, resources: dict[str, Json]) -> Json | None:
    """What a reference leads to inside the Bundle. Spec: FHIR R4 2.36.4.1 'Resolving references in Bundles'."""
    named = str(reference.get("reference", ""))
    if named in resources:
        return resources[named]
    return next((one for url, one in resources.items() if named and url.endswith(f"/{named}")), None)


def _dangling(resource: Json, resources: dict[str, Json]) -> Iterator[str]:
    """References that promise a resource of this Bundle which is not there; contained ones stay inside."""
    inside = {f"#{one.get('id')}" for one in resource.get("contained", ())} | {"#"}
    for node in objects(resource):
        named = node.get("reference")
        if isinstance(named, str) and named not in inside and _target(node, resources) is None:
            yield named


@cache
def _elements(profile: str) -> tuple[Json, ...]:
    path = _PROFILES / f"StructureDefinition-{profile}.json"
    return tuple(exact.decode(path.read_bytes())["snapshot"]["element"])


@cache
def required(profile: str) -> frozenset[str]:
    """The elements directly below the root that the profile wants at least once."""
    return frozenset(
        element["path"].partition(".")[2]
        for element in _elements(profile)
        if element["path"].count(".") == 1 and ":" not in element["id"] and element["min"] > 0
    )


@cache
def slices() -> dict[str, Slice]:
    """The sections of the Composition profile by their code."""
    codes: dict[str, str] = {}
    needed: dict[str, bool] = {}
    targets: dict[str, frozenset[str]] = {}
    for element in _elements("Composition-uv-ips"):
        name, _, rest = element["id"].removeprefix("Composition.section:").partition(".")
        if rest == "" and element["path"] == "Composition.section":
            needed[name] = element["min"] > 0
        elif rest == "code" and "patternCodeableConcept" in element:
            codes[element["patternCodeableConcept"]["coding"][0]["code"]] = name
        elif rest == "entry":
            found = (target for kind in element.get("type", ()) for target in kind.get("targetProfile", ()))
            targets[name] = frozenset(one.rpartition("/")[2].removesuffix("-uv-ips") for one in found)
    return {
        code: Slice(name, needed.get(name, False), targets.get(name, frozenset()) - {"Resource"})
        if "Resource" not in targets.get(name, ())
        else Slice(name, needed.get(name, False), frozenset())
        for code, name in codes.items()
    }
