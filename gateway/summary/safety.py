"""Whether an item can be shown without being misread (rule E10)."""

from __future__ import annotations

from typing import Any

from gateway.model import Item
from gateway.summary.sections import UNDERSTOOD_MODIFIERS


def unsafe(item: Item) -> bool:
    """Claim that an item says something this gateway does not understand and that changes its meaning.

    Spec: FHIR R4 2.4.0 'Extensibility': a system that does not know a modifier extension SHALL NOT use the element;
    2.20.3.3 'implicitRules' likewise.
    """
    raw = item.raw
    if b'"implicitRules"' in raw and "implicitRules" in item.resource:
        return True
    # The byte search spares nearly every item the walk.
    return b'"modifierExtension"' in raw and _unknown_modifier(item.resource)


def _unknown_modifier(node: Any) -> bool:  # noqa: ANN401 - any JSON value of a foreign resource
    if isinstance(node, dict):
        for extension in node.get("modifierExtension") or ():
            if extension.get("url") not in UNDERSTOOD_MODIFIERS:
                return True
        return any(_unknown_modifier(child) for child in node.values() if isinstance(child, dict | list))
    return isinstance(node, list) and any(_unknown_modifier(child) for child in node)
