"""Write gateway/fhir/profiles.toml from the shipped profile set: `python -m tests.gateway.api.supported`."""

from __future__ import annotations

from collections import defaultdict
from importlib.resources import files
from pathlib import Path
from typing import Final

from gateway.fhir.types import SEARCHED, VALIDATED
from profiles.library import shipped

FILE: Final = Path(str(files("gateway.fhir").joinpath("profiles.toml")))
_NATIONAL: Final = "http://nictiz.nl/fhir/StructureDefinition/nl-core-"
_SUMMARY: Final = "http://hl7.org/fhir/uv/ips/StructureDefinition/"


def text() -> str:
    """What the file must say."""
    library, found = shipped(), defaultdict(list)
    for canonical in library.profiles:
        type_ = library.type_of(canonical)
        if canonical.startswith((_NATIONAL, _SUMMARY)) and type_ in {*SEARCHED, *VALIDATED}:
            found[type_].append(canonical)
    lines = [
        "# The national and IPS profiles of each type in the shipped profile set: what $validate can hold a resource to.",
        "# Written by `python -m tests.gateway.api.supported`; do not edit.",
        "",
    ]
    for type_ in sorted(found):
        lines += [f"{type_} = [", *(f'  "{canonical}",' for canonical in sorted(found[type_])), "]"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
