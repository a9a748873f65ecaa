"""Own rules where the profiles are blind: what is formally right and could still harm somebody. The rows are in safety.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from profiles.dates import certainly_after, parse
from profiles.exact import Json
from profiles.identifiers import passes_elfproef
from profiles.instances import Instance
from profiles.review import Review
from profiles.walk import Path

_INACTIVE: Final = frozenset(
    ("entered-in-error", "refuted", "inactive", "resolved", "completed", "stopped", "not-taken")
)


class _Rows:
    """The rows of safety.toml, as the rules need them."""

    def __init__(self) -> None:
        text = files("profiles.definitions").joinpath("safety.toml").read_text(encoding="utf-8")
        table: dict[str, Any] = tomllib.loads(text)
        self.severity = {name: str(row["severity"]) for name, row in table["rules"].items()}
        self.bsn: str = table["bsn"]["system"]
        self.directive: Json = table["directives"]["category"]
        self.other: str = table["directives"]["other"]
        self.none = {kind: frozenset(codes) for kind, codes in table["none"].items()}
        self.none_of_all = {kind: frozenset(codes) for kind, codes in table["none_of_all"].items()}
        self.saturation = frozenset(f"{table['saturation']['system']}|{code}" for code in table["saturation"]["codes"])
        self.past: tuple[str, ...] = tuple(table["past"]["elements"])
        self.units = {code: frozenset(row["units"]) for row in table["vital_units"] for code in row["codes"]}
        self.texts: dict[str, str] = table["unit_texts"]


@cache
def rows() -> _Rows:
    """Read the table, once."""
    return _Rows()


def check_safety(value: Json, at: Path, kind: str, review: Review) -> None:
    """Check what no profile asks of one resource."""
    if kind == "Observation":
        _observation(value, at, review)
    elif kind == "Consent":
        _directive(value, at, review)
    elif kind == "AllergyIntolerance":
        if "reaction" in value and rows().none[kind] & _codes(value.get("code")):
            _found("none-with-reaction", (at, ".reaction"), review)
    elif kind == "Bundle":
        _none_beside_present(value, at, review)
    if review.whole.now is not None:
        _future(value, at, review)


def check_identifier(instance: Instance, review: Review) -> None:
    """Check an identifier that says it is a BSN."""
    value, _, at, _ = instance
    if value.get("system") == rows().bsn and type(number := value.get("value")) is str and not passes_elfproef(number):
        _found("bsn", (at, ".value"), review)


def check_quantity(instance: Instance, review: Review) -> None:
    """Check that the unit people read is the unit machines compute with."""
    value, _, at, _ = instance
    texts = rows().texts
    named = texts.get(value.get("unit", ""))
    if named is not None and named != value.get("code", named) and value.get("code") in texts.values():
        _found("unit-text", (at, ".unit"), review)


def _found(rule: str, at: Path, review: Review, expected: str = "") -> None:
    review.add(rule, at, expected, severity=rows().severity[rule])


def _codes(concept: Json | None) -> set[str]:
    codings = concept.get("coding", ()) if concept is not None else ()
    return {f"{coding['system']}|{coding['code']}" for coding in codings if "system" in coding and "code" in coding}


def _directive(consent: Json, at: Path, review: Review) -> None:
    table = rows()
    category = f"{table.directive['system']}|{table.directive['code']}"
    if not any(category in _codes(concept) for concept in consent.get("category", ())):
        return
    other = any(extension.get("url") == table.other for extension in consent.get("modifierExtension", ()))
    decided = "type" in consent.get("provision", {})
    if other and decided:
        _found("directive-contradiction", ((at, ".provision"), ".type"), review)
    elif not other and not decided:
        _found("directive-nothing", (at, ".provision"), review)


def _observation(value: Json, at: Path, review: Review) -> None:
    table = rows()
    codes = _codes(value.get("code"))
    if 0 < len(codes & table.saturation) < len(table.saturation):
        _found("saturation-code", (at, ".code"), review, ", ".join(sorted(table.saturation)))
    _unit(value, codes, at, review)
    for n, component in enumerate(value.get("component", ())):
        _unit(component, _codes(component.get("code")), ((at, ".component"), n), review)


def _unit(holder: Json, codes: set[str], at: Path, review: Review) -> None:
    quantity = holder.get("valueQuantity")
    if quantity is None or "code" not in quantity:
        return
    for code in sorted(codes & rows().units.keys()):
        allowed = rows().units[code]
        if quantity["code"] not in allowed:
            place: Path = ((at, ".value.ofType(Quantity)"), ".code")
            _found("vital-unit", place, review, ", ".join(sorted(allowed)))


def _none_beside_present(bundle: Json, at: Path, review: Review) -> None:
    table = rows()
    for kind, all_codes in table.none_of_all.items():
        none: list[int] = []
        present = False
        for n, resource in _resources(bundle, kind):
            codes = _codes(resource.get("code") or resource.get("medicationCodeableConcept"))
            if codes & all_codes:
                none.append(n)
            elif not codes & table.none[kind] and not _is_past(resource):
                present = True
        for n in none if present else ():
            _found("none-beside-present", (((at, ".entry"), n), ".resource"), review)


def _resources(bundle: Json, kind: str) -> Iterator[tuple[int, Json]]:
    for n, entry in enumerate(bundle.get("entry", ())):
        resource = entry.get("resource")
        if resource is not None and resource["resourceType"] == kind:
            yield n, resource


def _is_past(resource: Json) -> bool:
    """Claim that a resource does not speak of what is so now."""
    said = {resource.get("status")} if type(resource.get("status")) is str else set()
    for name in ("clinicalStatus", "verificationStatus"):
        concept = resource.get(name)
        said |= {coding.get("code") for coding in concept.get("coding", ())} if concept is not None else set()
    return not said.isdisjoint(_INACTIVE)


def _future(value: Json, at: Path, review: Review) -> None:
    now = review.whole.now
    limit = parse(now.isoformat()) if now is not None else None
    for name in rows().past:
        date = parse(value[name]) if name in value else None
        if date is not None and limit is not None and certainly_after(date, limit):
            _found("future-date", (at, "." + name), review)
