"""What `Observation/$lastn` asks, and the newest observations of each code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from gateway.errors import Invalid
from gateway.fhir.invocation import FORM, given, one
from gateway.model import Incoming, Item
from profiles import dates

_NEEDED: Final = ("code", "category")
_OF_A_SEARCH: Final = ("_count", "_sort", "_cursor", "_total", "_summary", "_elements", "_include", "_revinclude")


def split(incoming: Incoming) -> tuple[int, Incoming]:
    """How many of each code, and the same request as the search it rests on.

    Raises:
        Invalid: a `max` that is no number, or neither code nor category.

    Spec: FHIR R4 Observation-lastn.
    """
    found = given(incoming)
    for name, _ in found:
        if name.split(":")[0] in _OF_A_SEARCH:
            known = "max, patient, and what selects observations in a search"
            raise Invalid("unknown-parameter", name=name[:40], type="Observation/$lastn", known=known)
    counts = [value for name, value in found if name == "max"]
    most = one({"max": counts} if counts else {}, "max") or "1"
    if not re.fullmatch(r"[1-9]\d{0,4}", most):
        raise Invalid("invalid-parameter", name="max", why="give a whole number, 1 or more")
    if not any(name.split(":")[0] in _NEEDED for name, _ in found):
        raise Invalid("invalid-parameter", name="code", why="give a code or a category")
    rest = [(name, value) for name, value in found if name != "max"]
    headers = {**incoming.headers, b"content-type": FORM.encode()}
    form = urlencode(rest).encode()
    return int(most), msgspec.structs.replace(incoming, method="POST", query="", body=form, headers=headers)


def newest(items: Sequence[Item], most: int) -> list[Item]:
    """The newest of each code, `most` of each and all of the same moment as the last of these; groups newest first.

    Codes that one observation gives are one group: they say the same.
    """
    groups: list[tuple[set[str], list[Item]]] = []
    for item in sorted(items, key=lambda item: item.id):
        codes = _codes(item)
        same = [group for group in groups if group[0] & codes]
        merged = (codes.union(*(group[0] for group in same)), [one for group in same for one in group[1]] + [item])
        groups = [group for group in groups if group not in same] + [merged]
    kept = [_latest(found, most) for _, found in groups]
    return [item for group in sorted(kept, key=lambda group: _when(group[0]), reverse=True) for item in group]


def _latest(items: list[Item], most: int) -> list[Item]:
    ordered = sorted(items, key=_when, reverse=True)
    last = _when(ordered[min(most, len(ordered)) - 1])
    return [item for number, item in enumerate(ordered) if number < most or _when(item) == last]


def _when(item: Item) -> datetime:
    found = dates.parse(item.date)
    return found.lower if found else dates.EARLIEST


def _codes(item: Item) -> set[str]:
    code = item.resource.get("code") or {}
    codings: Iterable[object] = code.get("coding") or ()
    found = {
        f"{coding.get('system', '')}|{coding['code']}"
        for coding in codings
        if isinstance(coding, dict) and coding.get("code")
    }
    return found or {f"text|{str(code.get('text', '')).casefold()}"}
