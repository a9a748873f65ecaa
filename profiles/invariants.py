"""The invariants of the base specification that need more than the presence of elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from profiles.dates import certainly_after, parse
from profiles.exact import Json
from profiles.walk import Path, Walk

Rule = Callable[[Json, Path, Walk], None]


def extension(value: Json, at: Path, walk: Walk) -> None:
    """ext-1: a value or extensions."""
    nested = "extension" in value
    if nested == any(name.lstrip("_").startswith("value") for name in value if type(name) is str):
        walk.add("ext-1", at)


def is_ordered(period: Any) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that a period does not certainly end before it starts (per-1)."""
    start, end = period.get("start"), period.get("end")
    if type(start) is not str or type(end) is not str:
        return True
    first, last = parse(start), parse(end)
    return first is None or last is None or not certainly_after(first, last)


def period(value: Json, at: Path, walk: Walk) -> None:
    """per-1: the start is not after the end."""
    if not is_ordered(value):
        walk.add("per-1", at)


def entries(bundle: Json) -> list[tuple[int, Json]]:
    """Give the entries of a Bundle that are objects, with their place."""
    found = bundle.get("entry")
    return [(n, entry) for n, entry in enumerate(found) if type(entry) is dict] if type(found) is list else []


def bundle(value: Json, at: Path, walk: Walk) -> None:
    """bdl-1 to bdl-12: what belongs to each type of Bundle.

    Spec: FHIR R4 Bundle, constraints.
    """
    kind = value.get("type")
    if "total" in value and kind not in ("searchset", "history"):
        walk.add("bdl-1", (at, ".total"))
    if kind == "document":
        _document(value, at, walk)
    if kind == "message" and _first_type(value) != "MessageHeader":
        walk.add("bdl-12", at)
    asked = kind in ("batch", "transaction", "history")
    answered = kind in ("batch-response", "transaction-response", "history")
    for n, entry in entries(value):
        here: Path = (at, f".entry[{n}]")
        if "search" in entry and kind != "searchset":
            walk.add("bdl-2", (here, ".search"))
        if ("request" in entry) != asked:
            walk.add("bdl-3", here)
        if ("response" in entry) != answered:
            walk.add("bdl-4", here)
        if not ("resource" in entry or "request" in entry or "response" in entry):
            walk.add("bdl-5", here)
    _full_urls(value, at, walk)


def _document(value: Json, at: Path, walk: Walk) -> None:
    identifier = value.get("identifier")
    if type(identifier) is not dict or "system" not in identifier or "value" not in identifier:
        walk.add("bdl-9", (at, ".identifier"))
    if "timestamp" not in value:
        walk.add("bdl-10", at)
    if _first_type(value) != "Composition":
        walk.add("bdl-11", at)


def _first_type(value: Json) -> Any:  # noqa: ANN401 - JSON is any value
    found = entries(value)
    resource = found[0][1].get("resource") if found and found[0][0] == 0 else None
    return resource.get("resourceType") if type(resource) is dict else None


def _full_urls(value: Json, at: Path, walk: Walk) -> None:
    seen: set[tuple[str, str]] = set()
    for n, entry in entries(value):
        url, resource = entry.get("fullUrl"), entry.get("resource")
        if type(url) is not str:
            continue
        meta = resource.get("meta") if type(resource) is dict else None
        version = meta.get("versionId") if type(meta) is dict else None
        key = (url, version if type(version) is str else "")
        if key in seen and value.get("type") != "history":
            walk.add("bdl-7", (at, f".entry[{n}].fullUrl"))
        seen.add(key)
        if "/_history/" in url:
            walk.add("bdl-8", (at, f".entry[{n}].fullUrl"))


RULES: Final[dict[str, Rule]] = {"Extension": extension, "Period": period, "Bundle": bundle}
