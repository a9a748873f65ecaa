"""National data categories and security labels of items, by tables; runs for every item on the line."""

from __future__ import annotations

from typing import Any, Final

from consent.tables import table

Json = dict[str, Any]

_TABLE: Final = table("categories.toml")
SYSTEM: Final[str] = _TABLE["system"]
_ROWS: Final[dict[str, Json]] = _TABLE["category"]
CATEGORIES: Final = frozenset(_ROWS)
# Categories that are not about a patient, and those that are public facts about care.
IMPERSONAL: Final = frozenset(name for name, row in _ROWS.items() if not row.get("patient", True))
DIRECTORY: Final = frozenset(name for name, row in _ROWS.items() if row.get("directory", False))

_TYPES_OF: Final[dict[str, frozenset[str]]] = {name: frozenset(row["types"]) for name, row in _ROWS.items()}
_OF_TYPE: Final[dict[str, frozenset[str]]] = {
    kind: frozenset(name for name, types in _TYPES_OF.items() if kind in types)
    for types in _TYPES_OF.values()
    for kind in types
}
_ONLY: Final[dict[str, str]] = {
    kind: next(iter(names)) for kind, names in _OF_TYPE.items() if len(names) == 1 and kind != "Observation"
}
_OBSERVATION: Final[Json] = _TABLE["observation"]
_WITH_SPECIMEN: Final[str] = _OBSERVATION["with_specimen"]
_UNCODED: Final[str] = _OBSERVATION["default"]
_OBSERVED: Final[dict[str, str]] = {
    **{code: name for name, codes in _OBSERVATION["codes"].items() for code in codes},
    **{code: name for name, row in _ROWS.items() for code in row.get("observation", ())},
}
_CONSENT: Final[Json] = _TABLE["consent"]
_DIRECTIVE_SCOPES: Final = frozenset(_CONSENT["directive_scopes"])
_DIRECTIVE_CATEGORIES: Final = frozenset(_CONSENT["directive_categories"])
PRIVACY_SCOPE: Final[str] = _CONSENT["privacy_scope"]
SCOPE_SYSTEM: Final[str] = _CONSENT["scope_system"]

_LABELS: Final[Json] = _TABLE["labels"]
_PLAIN: Final = "plain"
_DOCUMENT: Final = "DocumentReference"  # whose own element says how it is protected
_UNKNOWN: Final[str] = _LABELS["unknown"]
_LABEL_OF: Final[dict[tuple[str, str], str]] = {
    (system, code): label
    for system, rows in _LABELS["system"].items()
    for label, codes in rows.items()
    for code in codes
}
LABELS: Final = frozenset(_LABEL_OF.values()) - {_PLAIN} | {_UNKNOWN}
MASKED: Final[frozenset[str]] = frozenset(_LABELS["mask"])
WITHHELD: Final[frozenset[str]] = frozenset(_LABELS["withhold"])
REVIEWED: Final[frozenset[str]] = frozenset(_LABELS["review"])
_CONTENT: Final = {
    kind: tuple((frozenset(row["codes"]), row["label"]) for row in _TABLE["content"] if kind in row["types"])
    for kind in {kind for row in _TABLE["content"] for kind in row["types"]}
}
_DEPARTMENT: Final[Json] = _TABLE["department"]
_PLACES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    kind: tuple(tuple(path.split(".")) for path in paths) for kind, paths in _DEPARTMENT["elements"].items()
}
_WRITERS: Final[dict[str, tuple[str, ...]]] = {kind: tuple(row) for kind, row in _DEPARTMENT["contained"].items()}
_LABEL_THERE: Final = {code: label for label, codes in _DEPARTMENT["labels"].items() for code in codes}
_OBSERVED_THERE: Final = {code: name for name, codes in _DEPARTMENT["observation"].items() for code in codes}
_NONE: Final[frozenset[str]] = frozenset()
_SPOKEN: Final = {
    (system, code): frozenset(names)
    for row in _TABLE["spoken"].values()
    for system in (row["system"], row.get("alias", row["system"]))
    for code, names in row.items()
    if isinstance(names, list)
}

# Categories the national register is asked about, and what each means here.
NATIONAL: Final[dict[str, frozenset[str]]] = {
    code: frozenset(names) for code, names in _TABLE["spoken"]["mitz"].items() if isinstance(names, list)
}


def category_of(resource: Json) -> str:
    """Name the national data category of an item; empty when its type belongs to none, and so to nobody."""
    kind = resource.get("resourceType", "")
    only = _ONLY.get(kind)
    if only is not None:
        return only
    if kind == "Observation":
        return _observation(resource)
    return _consent(resource) if kind == "Consent" else ""


def categories_of_type(type: str) -> frozenset[str]:  # noqa: A002 - the FHIR word
    """Give every category an item of this type can fall in; empty when none knows it."""
    return _OF_TYPE.get(type, _NONE)


def types_of_category(category: str) -> frozenset[str]:
    """Give the resource types in which a category is found."""
    return _TYPES_OF.get(category, _NONE)


def labels_of(resource: Json) -> frozenset[str]:
    """Give the security labels of an item: written on it, carried by what it is, by its department or by who wrote it.

    One nobody knows is restricted.
    """
    security = resource.get("meta", {}).get("security")
    kind = resource.get("resourceType", "")
    content, placed = _CONTENT.get(kind), kind in _PLACES or "contained" in resource
    if not security and content is None and not placed:
        return _NONE
    found = {label_of(coding.get("system", ""), coding.get("code", "")) for coding in security or ()}
    if kind == _DOCUMENT and "securityLabel" in resource:
        said = [coding for concept in resource["securityLabel"] for coding in concept.get("coding", ())]
        found |= {label_of(coding.get("system", ""), coding.get("code", "")) for coding in said}
    if placed:
        found |= {_LABEL_THERE[code] for code in _departments(resource) if code in _LABEL_THERE}
    if content is not None:
        codes = set(_codes(resource.get("code"))) | set(_codes(resource.get("category")))
        found |= {label for marked, label in content if not marked or not marked.isdisjoint(codes)}
    return frozenset(found - {_PLAIN})


def label_of(system: str, code: str) -> str:
    """Name one security label; "plain" has no effect, one nobody knows is restricted."""
    return _LABEL_OF.get((system, code), _UNKNOWN)


def knows_label(system: str, code: str) -> bool:
    """Claim that the table names this security label."""
    return (system, code) in _LABEL_OF


def spoken(system: str, code: str) -> frozenset[str]:
    """Say which categories a code in a patient's statement means; `ANY` in it = all; empty = not understood."""
    if system == SYSTEM:
        return frozenset({code}) if code in CATEGORIES else _NONE
    return _SPOKEN.get((system, code), _NONE)


def obligations_of(labels: frozenset[str]) -> frozenset[str]:
    """Say in words what screening must do with an item of these labels (E11)."""
    if not labels:
        return _NONE
    words = {word for word, marked in (("mask", MASKED), ("review", REVIEWED)) if labels & marked}
    return frozenset(words)


def _observation(resource: Json) -> str:
    for element in ("category", "code"):
        for code in _codes(resource.get(element)):
            name = _OBSERVED.get(code)
            if name is not None:
                return name
    if "specimen" in resource:
        return _WITH_SPECIMEN
    there = _departments(resource) if "contained" in resource else ()
    return next((_OBSERVED_THERE[code] for code in there if code in _OBSERVED_THERE), _UNCODED)


def _departments(resource: Json) -> list[str]:
    """Give the codes of its department and of who wrote it, as far as the item itself says."""
    found: list[str] = []
    for path in _PLACES.get(resource.get("resourceType", ""), ()):
        value: Any = resource
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        found += _codes(value)
    for one in resource.get("contained", ()):
        for element in _WRITERS.get(one.get("resourceType", ""), ()):
            found += _codes(one.get(element))
    return found


def _consent(resource: Json) -> str:
    scopes = _codes(resource.get("scope"))
    if PRIVACY_SCOPE in scopes:
        return "Consent"
    if not _DIRECTIVE_SCOPES.isdisjoint(scopes) or not _DIRECTIVE_CATEGORIES.isdisjoint(
        _codes(resource.get("category"))
    ):
        return "AdvanceDirective"
    return "Consent"


def _codes(concepts: Any) -> list[str]:  # noqa: ANN401 - an element of any shape a source may send
    """Give the codes of a CodeableConcept or a list of them."""
    if isinstance(concepts, dict):
        concepts = [concepts]
    return [coding["code"] for concept in concepts or () for coding in concept.get("coding", ()) if "code" in coding]
