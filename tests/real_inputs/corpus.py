"""The third-party files beside the project: found, read, and made what a server or sender of the region would hold."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from fhir.resources.STU3 import get_fhir_model_class
from lxml import etree

from profiles import exact, xml

Json = dict[str, Any]
T = TypeVar("T")

DATA: Final = Path(__file__).resolve().parents[2] / "../shared/data"
BIRTH: Final = "1980-02-28"  # of persons whose files say none
TODAY: Final = date(2026, 1, 5)  # what the qualification's template dates count from
SEED: Final = 20_260_105
_DATE: Final = re.compile(r"\$\{DATE, T, D, ([+-]\d+)\}")
_EMPTY_BOOLEAN: Final = re.compile(r"<valueBoolean>.*?</valueBoolean>", re.DOTALL)
_UNKNOWN: Final[Json] = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
}


@dataclass(frozen=True, slots=True)
class File:
    """One third-party file as it is sent."""

    name: str
    body: bytes


def present(*collections: str) -> bool:
    """Claim that every collection is there."""
    return all((DATA / one).is_dir() for one in collections)


def sample(found: Sequence[T], most: int) -> list[T]:
    """At most so many, the same ones each time; all of them with PROVE_ALL=1."""
    if os.environ.get("PROVE_ALL") == "1" or len(found) <= most:
        return list(found)
    chosen = random.Random(SEED).sample(range(len(found)), most)
    return [found[number] for number in sorted(chosen)]


def inputs(collection: str) -> list[File]:
    """The input files of a collection of pairs."""
    return [File(path.name, path.read_bytes()) for path in sorted((DATA / "pairs" / collection).glob("*.input.*"))]


def nl_core() -> list[Json]:
    """The nl-core examples, one resource a file."""
    return [xml.to_json(path.read_bytes()) for path in sorted((DATA / "nl-core-examples").glob("*.xml"))]


def ips() -> list[Json]:
    """The IPS examples; documents are taken apart, as a server that received them would keep them."""
    return [
        resource
        for path in sorted((DATA / "ips-examples").glob("*.json"))
        for resource in unbundled(exact.decode(path.read_bytes()))
    ]


def synthea() -> list[Json]:
    """The Synthea Bundles, as a server holds them after the transactions."""
    return [
        resource
        for path in sorted((DATA / "synthea-r4").glob("*.json"))
        for resource in unbundled(exact.decode(path.read_bytes()))
    ]


def bgz() -> list[Json]:
    """The resources of the STU3 qualification as JSON, template dates filled in."""
    found = {}
    for path in sorted((DATA / "nl-bgz-msz2-stu3" / "resources").glob("*.xml")):
        resource = stu3_json(path.read_bytes())
        found[resource["resourceType"], resource["id"]] = resource
    return list(found.values())


def bgz_queries() -> list[tuple[str, str]]:
    """Each query of the qualification once: resource type, and what follows it in the URL."""
    rows = exact.decode(b'{"rows":' + (DATA / "nl-bgz-msz2-stu3" / "queries.json").read_bytes() + b"}")["rows"]
    return sorted({(row["resource"], row["params"]) for row in rows})


def stu3_json(body: bytes) -> Json:
    """One STU3 resource in XML as its JSON, by a library that knows the definitions of STU3."""
    text = _DATE.sub(lambda found: str(TODAY + timedelta(days=int(found[1]))), body.decode("utf-8-sig"))
    # The library does not read a boolean that has an extension and no value; it gets it back below.
    text = _EMPTY_BOOLEAN.sub("", text)
    kind = etree.fromstring(text.encode()).tag.partition("}")[2]
    made = get_fhir_model_class(kind).model_validate_xml(text.encode())
    resource = exact.decode(made.model_dump_json().encode())
    for extension in _extensions(resource):
        if set(extension) == {"url"}:
            extension["_valueBoolean"] = _UNKNOWN
    return resource


def unbundled(resource: Json) -> list[Json]:
    """What a server holds after it took a Bundle in: the resources, their references to each other resolved."""
    if resource["resourceType"] != "Bundle":
        return [resource]
    places = {
        entry["fullUrl"]: f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in resource["entry"]
        if "fullUrl" in entry
    }
    held = [entry["resource"] for entry in resource["entry"]]
    for node in (node for one in held for node in objects(one)):
        if node.get("reference") in places:
            node["reference"] = places[node["reference"]]
    return held


def objects(node: Any) -> Iterable[Json]:
    """Every object of a resource, itself first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from objects(child)


def _extensions(resource: Json) -> Iterable[Json]:
    return (extension for node in objects(resource) for extension in node.get("extension", ()))


def owner(resource: Json) -> str:
    """The id of the Patient a resource is about; empty when it names none."""
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    for name in ("subject", "patient", "beneficiary"):
        reference = (resource.get(name) or {}).get("reference", "") if isinstance(resource.get(name), dict) else ""
        if "Patient/" in reference:
            return str(reference.rpartition("/")[2])
    return ""


def with_identifiers(resources: list[Json], system: str) -> list[Json]:
    """The resources with a Patient for everybody they are about, each with a number of the custodian.

    What the files say about a person stays; a person they do not describe gets a birth date and nothing else.
    """
    persons = {one["id"]: one for one in resources if one["resourceType"] == "Patient"}
    for missing in sorted({owner(one) for one in resources} - persons.keys() - {""}):
        persons[missing] = {"resourceType": "Patient", "id": missing}
    for number, person in enumerate(persons.values(), 1):
        own = {"system": system, "value": f"N{number:05d}"}
        person["identifier"] = [*person.get("identifier", ()), own]
        person.setdefault("birthDate", BIRTH)
    return [*persons.values(), *(one for one in resources if one["resourceType"] != "Patient")]


def pairs(rest: str) -> list[tuple[str, str]]:
    """The parameters of a query of the qualification, as they stand behind its resource type."""
    return parse_qsl(rest.partition("?")[2], keep_blank_values=True)
