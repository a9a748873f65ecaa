"""What a profile asks of references: the type and profile of the target, and whether it may be here or must be elsewhere."""

from __future__ import annotations

from profiles.definitions import definitions
from profiles.exact import Json
from profiles.instances import Instance
from profiles.references import Scope, literal_type, resolved
from profiles.review import Check, Review
from profiles.snapshot import CORE


def target_check(targets: list[str], aggregation: list[str], where: str) -> Check:
    """Give the check of a reference; a target that is not here is judged by the type it shows."""
    shown = ", ".join(targets)
    kinds: dict[str, str | None] = {}
    plain: set[str] = set()

    def check(instance: Instance, review: Review) -> None:
        value, _, at, _ = instance
        if type(value) is not dict:
            return
        target = resolved(value, review.scope)
        if aggregation and "reference" in value and (mode := _mode(value, target)) not in aggregation:
            review.add("reference-aggregation", (at, ".reference"), ", ".join(aggregation), f"{where} {mode}")
        if not targets:
            return
        if not kinds:
            kinds.update((url, review.whole.library.type_of(url)) for url in targets)
            plain.update(kind for url, kind in kinds.items() if kind and url == CORE + kind)
        found = _type(value, target)
        if found is None or found in plain or "Resource" in plain:
            return
        fitting = [url for url, kind in kinds.items() if kind in (found, "Resource", None)]
        if not fitting:
            review.add("reference-target", (at, ".reference" if "reference" in value else ".type"), shown, where)
        elif target is not None and all(
            review.conforms(target.resource, found, url, target) is False for url in fitting
        ):
            review.add("reference-profile", at, ", ".join(fitting), where)

    return check


def _type(reference: Json, target: Scope | None) -> str | None:
    if target is not None:
        return str(target.resource["resourceType"])
    text, declared = reference.get("reference"), reference.get("type")
    shown = literal_type(text) if type(text) is str else None
    if shown is None and type(declared) is str and declared in definitions().resources:
        return declared
    return shown


def _mode(reference: Json, target: Scope | None) -> str:
    if str(reference["reference"]).startswith("#"):
        return "contained"
    return "bundled" if target is not None else "referenced"
