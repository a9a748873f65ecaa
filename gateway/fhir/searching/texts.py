"""Texts: names, addresses, words of a narrative, and addresses on the web."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.errors import Invalid
from gateway.fhir.searching.escaping import plain
from gateway.fhir.searching.folding import folded, variants
from gateway.fhir.searching.tokens import begins

ValueTest = Callable[[Any], bool]
Json = dict[str, Any]

# The parts of a HumanName and an Address that are words.
_WORDS: Final = (
    "text",
    "family",
    "given",
    "prefix",
    "suffix",
    "line",
    "city",
    "district",
    "state",
    "postalCode",
    "country",
)
_MARK: Final = re.compile(r"<[^>]*>")


def build(name: str, modifier: str, text: str) -> ValueTest:
    """What one value of a string parameter asks: begins with, `:contains` or `:exact`.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 3.1.1.4.8 'string'.
    """
    value = plain(text)
    if modifier == "exact":
        return lambda found: any(one == value for one in parts(found))
    wanted = variants(value)
    if not wanted[0]:
        raise Invalid("invalid-parameter", name=name, why="give letters or digits")
    if modifier == "contains":
        return lambda found: any(one in form for part in parts(found) for form in variants(part) for one in wanted)
    return lambda found: any(begins(part, wanted) for part in parts(found))


def build_uri(modifier: str, text: str) -> ValueTest:
    """What one value of a uri parameter asks: exactly this, `:below` it or `:above` it.

    A canonical of a resource may carry a version, and a source a fragment; without one each is meant.

    Spec: FHIR R4 3.1.1.4.12 'uri'.
    """
    value = plain(text)
    if modifier == "below":
        return lambda found: isinstance(found, str) and _is_below(found, value)
    if modifier == "above":
        return lambda found: isinstance(found, str) and _is_below(value, found)
    return lambda found: (
        isinstance(found, str)
        and (
            found == value
            or ("|" not in value and found.partition("|")[0] == value)
            or ("#" not in value and found.partition("#")[0] == value)
        )
    )


def contains(words: str, text: str) -> bool:
    """Claim that every word is in a text."""
    forms = folded(text)
    return all(word in forms for word in folded(words).split())


def narrative(resource: Json) -> str:
    """The words of the narrative of a resource."""
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    return _MARK.sub(" ", div) if isinstance(div, str) else ""


def content(node: Any) -> str:  # noqa: ANN401 - an element of a resource
    """Every text in a resource."""
    return " ".join(_strings(node))


def _is_below(one: str, other: str) -> bool:
    """Claim that an address is another or a path under it; a urn has nothing under it."""
    if one == other:
        return True
    return not other.startswith("urn:") and one.startswith(other if other.endswith("/") else other + "/")


def parts(value: Any) -> Iterator[str]:  # noqa: ANN401 - an element of a resource
    """The words of a text, a name or an address."""
    if value.__class__ is str:
        yield value
    elif value.__class__ is dict:
        for name in _WORDS:
            held = value.get(name)
            if held.__class__ is str:
                yield held
            elif held.__class__ is list:
                yield from (one for one in held if one.__class__ is str)


def _strings(node: Any) -> Iterator[str]:  # noqa: ANN401 - an element of a resource
    if node.__class__ is str:
        yield _MARK.sub(" ", node)
    elif node.__class__ is dict:
        for name, child in node.items():
            if name not in ("id", "meta", "reference", "resourceType"):
                yield from _strings(child)
    elif node.__class__ is list:
        for child in node:
            yield from _strings(child)
