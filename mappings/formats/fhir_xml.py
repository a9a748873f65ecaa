"""Read FHIR XML into the shape of FHIR JSON, without definitions: what repeats is a list, all values are text."""

from __future__ import annotations

from typing import Any, Final

from lxml import etree

from mappings.model import Json, NotMappable
from profiles.exact import NotExact
from profiles.xml import parsed

_FHIR: Final = "{http://hl7.org/fhir}"
_XHTML: Final = "{http://www.w3.org/1999/xhtml}"
_DEPTH: Final = 64
_LISTS: Final = {"Bundle": ("entry", "link"), "OperationOutcome": ("issue",)}  # read before any map is chosen


def read(body: bytes) -> Json:
    """Read one FHIR resource; the maps decide what is a list and what is a number.

    Raises:
        NotMappable: not XML, a document type, too deep, or not in the FHIR namespace.

    Spec: FHIR 2.6.1 'XML representation'.
    """
    try:
        root = parsed(body)
    except NotExact as error:
        raise NotMappable(str(error)) from None
    resource = _resource(root, 0)
    for name in _LISTS.get(resource["resourceType"], ()):
        if isinstance(resource.get(name), dict):
            resource[name] = [resource[name]]
    return resource


def _resource(element: Any, depth: int) -> Json:  # noqa: ANN401 - lxml
    return {"resourceType": element.tag[len(_FHIR) :], **_children(element, depth)}


def _children(element: Any, depth: int) -> Json:  # noqa: ANN401 - lxml
    if depth > _DEPTH:
        message = f"nested deeper than {_DEPTH} levels"
        raise NotMappable(message)
    made: Json = {name: element.get(name) for name in element.attrib if name in {"id", "url"}}
    for child in element:
        if not isinstance(child.tag, str):
            continue
        name = child.tag.partition("}")[2]
        value: Any
        if child.tag.startswith(_XHTML):
            value = etree.tostring(child, encoding="unicode", with_tail=False)
        elif name in {"contained", "resource"} and len(child) and child[0].tag[len(_FHIR) :][:1].isupper():
            value = _resource(child[0], depth + 1)
        else:
            value = child.get("value")
            rest = _children(child, depth + 1)
            if value is None:
                value = rest
            elif rest:
                _shadow(made, name, rest)
        known = made.get(name)
        if known is None:
            made[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            made[name] = [known, value]
    return made


def _shadow(made: Json, name: str, rest: Json) -> None:
    """Keep the extensions of a primitive where FHIR JSON has them; for a list, only when unambiguous."""
    known = made.get(name)
    if known is None:
        made[f"_{name}"] = rest
        return
    count = len(known) if isinstance(known, list) else 1
    shadows = made.get(f"_{name}")
    before = shadows if isinstance(shadows, list) else [shadows]
    made[f"_{name}"] = [*before, *[None] * (count - len(before)), rest]
