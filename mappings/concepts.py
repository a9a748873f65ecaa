"""Code maps: from the codes of a source to the codes FHIR R4 and nl-core ask for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mappings.tables import names, table

Coding = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ConceptMap:
    """One code map; a key is a bare code, or `system|code` where the system matters."""

    name: str
    codes: dict[str, Coding]
    strict: bool  # a code that is not in the map is a loss
    otherwise: Coding | None  # stands in for what is not in the map, the original beside it
    source_system: str  # the system of the original code where the source does not say

    def find(self, code: str, system: str = "") -> Coding | None:
        """Give the target coding of a source code, or none."""
        found = self.codes.get(f"{system}|{code}") if system else None
        return found if found is not None else self.codes.get(code)


@cache
def concept_map(name: str) -> ConceptMap:
    """Load one code map by the name of its file.

    Raises:
        KeyError: there is no such code map.
    """
    if name not in names("concept_maps"):
        raise KeyError(name)
    content = table(f"concept_maps/{name}.yaml")
    target = content.get("to", "")

    def coding(value: Any) -> Coding:  # noqa: ANN401 - a YAML value
        if isinstance(value, dict):
            return {"system": target, **value} if target and "system" not in value else dict(value)
        return {"system": target, "code": str(value)} if target else {"code": str(value)}

    otherwise = content.get("otherwise")
    return ConceptMap(
        name=name,
        codes={**_turned(content), **{str(code): coding(value) for code, value in content["codes"].items()}},
        strict=content.get("strict", True),
        otherwise=None if otherwise is None else coding(otherwise),
        source_system=content.get("from", ""),
    )


@cache
def renames(name: str) -> dict[str, str]:
    """Load a table of one-to-one renames (systems, extension urls, profiles) by the name of its file.

    `moved` names those that only begin otherwise. `inverse: other` reads another table backwards, of which `only` keeps
    what begins so; the first of several wins.
    """
    content = table(f"concept_maps/{name}.yaml")
    found: dict[str, str] = dict(content["codes"])
    for group in content.get("moved", ()):
        found.update({f"{group['from']}{one}": f"{group['to']}{one}" for one in group["names"]})
    if "inverse" in content:
        for old, new in renames(content["inverse"]).items():
            if new and old.startswith(content.get("only", "")):
                found.setdefault(new, old)
    return found


def _turned(content: dict[str, Any]) -> dict[str, Coding]:
    """Read another code map backwards: its `system|code` keys become what its targets lead to."""
    found: dict[str, Coding] = {}
    if "inverse" in content:
        other = table(f"concept_maps/{content['inverse']}.yaml")
        for key, value in other["codes"].items():
            system, _, code = str(key).rpartition("|")
            target = value if isinstance(value, dict) else {"code": str(value)}
            name = f"{target.get('system', other.get('to', ''))}|{target['code']}"
            found.setdefault(name, {"system": system, "code": code} if system else {"code": code})
    return found
