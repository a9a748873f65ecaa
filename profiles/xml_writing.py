"""Write a resource as FHIR XML, elements in the order of the definitions."""

from __future__ import annotations

import re
from typing import Any, Final

from lxml import etree

from profiles.definitions import definitions
from profiles.exact import Json, NotExact
from profiles.walk import Path, below, rendered
from profiles.xhtml import LONGEST, is_plain
from profiles.xml_form import XHTML_DIV, Form, Slot, form, text_of

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE: Final = ' xmlns="http://hl7.org/fhir"'
# Levels of JSON; more than can be read, so that a Bundle fits around the deepest resource.
_DEEPEST: Final = 128
_TOO_DEEP: Final = f"nested deeper than {_DEEPEST} levels"

_SPECIAL: Final = re.compile('[&<>"\x00-\x1f\ud800-\udfff\ufffe\uffff]')
_NEVER: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # no characters of XML 1.0
_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_VOID: Final = frozenset(XHTML_DIV.removesuffix("div") + name for name in ("br", "hr", "img", "col"))
_DOCTYPE: Final = re.compile(r"<!(?!--|\[CDATA\[)")
_DIV_PARSER: Final = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
)


def written(resource: Json) -> bytes:
    """Write one resource.

    Raises:
        NotExact: what the definitions do not know or XML cannot say, by element.
    """
    kind = resource.get("resourceType") if type(resource) is dict else None
    at: Path = (None, kind if type(kind) is str and kind in definitions().resources else "Resource")
    parts = [_DECLARATION]
    _resource(resource, _NAMESPACE, parts, at, 1)
    return "".join(parts).encode()


def wrong(why: str, at: Path) -> NotExact:
    """Say why something cannot be kept, and of which element."""
    return NotExact(f"{why}: {rendered(at)}")


def _resource(value: Any, opening: str, parts: list[str], at: Path, depth: int) -> None:  # noqa: ANN401 - JSON
    kind = value.get("resourceType") if type(value) is dict else None
    if type(kind) is not str or kind not in definitions().resources:
        raise wrong("not a resource of a known type", at)
    _object(value, kind, form(kind), opening, parts, at, depth)


def _object(
    value: Any,  # noqa: ANN401 - JSON
    tag: str,
    known: Form,
    opening: str,
    parts: list[str],
    at: Path,
    depth: int,
) -> None:
    """Write one object as an element; `opening` is what its start tag holds already."""
    if type(value) is not dict:
        raise wrong("expected an object", at)
    if depth > _DEEPEST:
        raise wrong(_TOO_DEEP, at)
    places = set()
    for name in value:
        place = known.positions.get(name)
        if place is not None:
            places.add(place)
        elif name != "resourceType" or not known.is_resource:
            raise wrong("unknown element", below(at, name))
    if not places and not known.is_resource:
        raise wrong("an empty element", at)
    start = len(parts)
    parts.append("")
    for place in sorted(places):
        slot = known.slots[place]
        if slot.name in known.attributes:
            opening += f' {slot.name}="{_text(value[slot.name], slot, (at, "." + slot.name))}"'
        else:
            _property(value, slot, parts, at, depth)
    if len(parts) == start + 1:
        parts[start] = f"<{tag}{opening}/>"
    else:
        parts[start] = f"<{tag}{opening}>"
        parts.append(f"</{tag}>")


def _property(owner: Json, slot: Slot, parts: list[str], at: Path, depth: int) -> None:
    """Write all that one property and its underscore sibling hold."""
    name = slot.name
    value, beside = owner.get(name), owner.get("_" + name)
    step = "." + name
    if not slot.many:
        if type(value) is list or type(beside) is list:
            raise wrong("expected one value, not a list", (at, step))
        _one(slot, value, beside, parts, (at, step), depth + 1)
        return
    values, besides = ([] if found is None else found for found in (value, beside))
    if type(values) is not list or type(besides) is not list:
        raise wrong("expected a list", (at, step))
    count = max(len(values), len(besides))
    if not count:
        raise wrong("an empty list", (at, step))
    for n in range(count):
        _one(
            slot,
            values[n] if n < len(values) else None,
            besides[n] if n < len(besides) else None,
            parts,
            (at, f"{step}[{n}]"),
            depth + 2,
        )


def _one(slot: Slot, value: Any, beside: Any, parts: list[str], at: Path, depth: int) -> None:  # noqa: ANN401 - JSON
    if slot.kind == "complex":
        _object(value, slot.name, form(slot.type), "", parts, at, depth)
    elif slot.kind == "primitive":
        if beside is not None:
            opening = "" if value is None else f' value="{_text(value, slot, at)}"'
            _object(beside, slot.name, form("Element"), opening, parts, at, depth)
        else:
            parts.append(f'<{slot.name} value="{_text(value, slot, at)}"/>')
    elif slot.kind == "resource":
        parts.append(f"<{slot.name}>")
        _resource(value, "", parts, at, depth)
        parts.append(f"</{slot.name}>")
    else:
        parts.append(_div(value, at))


def _text(value: Any, slot: Slot, at: Path) -> str:  # noqa: ANN401 - JSON
    text = text_of(value, slot.type)
    if text is None:
        raise wrong("an empty element" if value is None else f"not a {slot.type}", at)
    if not _SPECIAL.search(text):
        return text
    if _NEVER.search(text):
        raise wrong("a character that XML cannot hold", at)
    return text.translate(_ESCAPES)


def _div(value: Any, at: Path) -> str:  # noqa: ANN401 - JSON
    """Write a narrative as it is when it is plain, else as a parser understood it; it must be one XHTML div."""
    if type(value) is not str or len(value) > LONGEST:
        raise wrong("not a narrative", at)
    if is_plain(value):
        return value
    try:
        root = None if _DOCTYPE.search(value) else etree.fromstring(value, _DIV_PARSER)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None or root.tag != XHTML_DIV:
        raise wrong("a narrative that is not one XHTML div", at)
    return xhtml(root)


def xhtml(div: Any) -> str:  # noqa: ANN401 - lxml
    """Write a narrative so that a browser that takes it for HTML sees the same: only void elements close themselves."""
    for element in div.iter():
        if not len(element) and element.text is None and element.tag not in _VOID:
            element.text = ""
    return etree.tostring(div, encoding="unicode", with_tail=False)
