"""The published examples beside the project, each with what FHIR itself has against it, and the profiles they claim."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from profiles.exact import Json, decode
from profiles.packages import read_package
from profiles.sets import Definitions
from profiles.snapshot import Snapshots
from profiles.xml import to_json

BESIDE: Final = Path(__file__).parents[2].parent / "shared"
PACKAGES: Final = BESIDE / "packages"
EXAMPLES: Final = BESIDE / "data"
ABSENT: Final = "the published packages and examples are not beside the project"

# What is wrong with examples that were published all the same: (rule, why).
KNOWN: Final = {
    "bundle-questionnaire.json": {"required"},  # items without linkId
    "devicemetric-example.json": {"reference-target"},  # parent points to a DeviceDefinition
    "deviceusestatement-example.json": {"reference-target"},  # the reason is a Procedure
    "medicationrequest0301.json": {"reference-target"},  # dispenseRequest.performer is a Practitioner
    "codesystem-example.json": {"csd-1"},  # the code chol-mass is there twice
}


@cache
def examples() -> dict[str, Json]:
    """Give every example by its path."""
    found: dict[str, Json] = {}
    for path in sorted((EXAMPLES / "nl-core-examples").glob("*.xml")):
        found[str(path.relative_to(EXAMPLES))] = to_json(path.read_bytes())
    for folder in ("ips-examples", "r4-examples"):
        for path in sorted((EXAMPLES / folder).rglob("*.json")):
            found[str(path.relative_to(EXAMPLES))] = decode(path.read_bytes())
    return found


@cache
def published() -> Definitions:
    """Read all packages."""
    made = Definitions()
    r4 = {"name": "hl7.fhir.r4.core", "version": "4.0.1"}
    made.add(read_package(PACKAGES / "r4-core", PACKAGES / "r4-terminology", **r4))
    made.add(read_package(PACKAGES / "zib2020"))
    made.add(read_package(PACKAGES / "nl-core"))
    made.add(read_package(PACKAGES / "ips", PACKAGES / "ips-extensions", name="hl7.fhir.uv.ips", version="2.0.1"))
    return made


@cache
def snapshots() -> Snapshots:
    """Make snapshots from what is published."""
    return Snapshots(published().structure)
