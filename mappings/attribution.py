"""Which losses are of which resource: what stood in the part of the source it was made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mappings.model import Translation


def losses_of(translation: Translation) -> dict[str, int]:
    """Count the losses of each resource by its native key, where its place in the source is known.

    A note is no loss. What was lost outside every resource, such as a segment nobody reads, is of none.
    """
    if not translation.places:
        return {}
    places = set(translation.places.values())
    found = Counter(_place(loss.path, places) for loss in translation.losses if loss.kind != "note")
    return {key: found[place] for key, place in translation.places.items()}


def _place(path: str, places: set[str]) -> str:
    """The nearest place a path is in: "PID-3.1" is in "PID", "entry[2].resource.code" in "entry[2].resource"."""
    while path and path not in places:
        path = path[: max(path.rfind(mark) for mark in "-.[")] if any(mark in path for mark in "-.[") else ""
    return path


def labels(names: Sequence[str]) -> list[str]:
    """Name each segment of a message as its losses do: by its number where there are several of its name."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(f"{name}[{seen[name]}]")
    return [name if seen[name] == 1 else label for name, label in zip(names, made, strict=True)]
