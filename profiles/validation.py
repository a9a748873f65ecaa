"""Is this resource valid FHIR R4? The public face of validation: a full answer and a fast claim."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from profiles.exact import Json
from profiles.invariants import bundle, entries
from profiles.issue import Issue, issue
from profiles.schema import surely_valid
from profiles.structure import check_resource
from profiles.walk import Path, Walk

MAXIMUM_DEPTH: Final = 100


def validate(resource: Json) -> tuple[Issue, ...]:
    """Give everything base FHIR R4 (4.0.1) has against a resource; nothing when it is valid.

    INVARIANT: never raises; depth, time and the number of issues are bounded by the input.
    """
    if _is_too_deep(resource):
        return (issue("too-deep", "", str(MAXIMUM_DEPTH)),)
    kind = resource.get("resourceType") if type(resource) is dict else None
    at: Path = (None, kind if type(kind) is str and kind.isascii() and kind.isalpha() else "Resource")
    walk = Walk()
    check_resource(resource, at, walk)
    return tuple(walk.issues)


def accepts(resource: Json) -> bool:
    """Claim that a resource is valid base FHIR R4: the verdict of `validate`, fast when the answer is yes.

    INVARIANT: `accepts(r) == (not any(issue.is_error for issue in validate(r)))`; never raises.
    """
    if surely_valid(resource):
        if resource["resourceType"] != "Bundle":
            return True
        if _entries_accepted(resource):
            return True
    return not any(issue.is_error for issue in validate(resource))


def prepare(kinds: Iterable[str]) -> None:
    """Compile the fast check of resource types before the first one arrives; about 30 ms each."""
    for kind in kinds:
        surely_valid({"resourceType": kind})


def _entries_accepted(resource: Json) -> bool:
    walk = Walk()
    bundle(resource, (None, "Bundle"), walk)
    # A Bundle in a Bundle is left to the full check, which counts depth.
    return not walk.issues and all(
        entry["resource"].get("resourceType") != "Bundle" and accepts(entry["resource"])
        for _, entry in entries(resource)
        if "resource" in entry
    )


def _is_too_deep(value: Any) -> bool:  # noqa: ANN401 - JSON is any value
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        below: list[Any] = []
        for node in level:
            if type(node) is dict:
                below.extend(child for child in node.values() if type(child) is dict or type(child) is list)
            elif type(node) is list:
                below.extend(child for child in node if type(child) is dict or type(child) is list)
        if not below:
            return False
        level = below
    return True
