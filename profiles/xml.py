"""FHIR XML to JSON and back, exact both ways, by the compiled definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

from lxml import etree

from profiles.definitions import definitions
from profiles.exact import MAXIMUM_DEPTH, Json, NotExact
from profiles.walk import Path, below
from profiles.xml_form import FHIR, Form, Slot, form, value_of
from profiles.xml_writing import written, wrong, xhtml

MAXIMUM_BYTES: Final = 10_000_000
MAXIMUM_TAGS: Final = 400_000  # a tree takes hundreds of bytes for each, however short it is written

_TOO_DEEP: Final = f"nested deeper than {MAXIMUM_DEPTH} levels"
# Hints for schema validators on the root, to be ignored.
_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
# What may stand before the root, so that a document type is seen before any parser reads it.
_PROLOG: Final = re.compile(rb"(?:\xef\xbb\xbf)?+(?>\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
_ENCODING: Final = re.compile(rb"""(?:\xef\xbb\xbf)?+<\?xml\s[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']""")
_ENCODINGS: Final = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})
_PARSER: Final = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,  # stops at 256 levels
    remove_comments=True,
    remove_pis=True,
)
_stray_text: Final = etree.XPath("//f:*/text()[normalize-space()]", namespaces={"f": FHIR[1:-1]}, smart_strings=False)


def to_json(raw: bytes) -> Json:
    """Read one resource; the JSON says all that the XML said, comments and processing instructions apart.

    Raises:
        NotExact: not one FHIR resource in UTF-8, a document type, too large, too deep, or an element that is
            unknown, empty, repeated or out of order; the text names the element, never its content.

    Spec: FHIR R4 2.6.1 'XML representation'.
    """
    root = parsed(raw)
    if _stray_text(root):
        message = "text between elements; FHIR XML has values in attributes"
        raise NotExact(message)
    return _resource(root, None, 1)


def to_xml(resource: Json) -> bytes:
    """Write one resource as UTF-8 XML, elements in the order of the definitions.

    Raises:
        NotExact: an element the definitions do not know or XML cannot say; the text names the element.

    Spec: FHIR R4 2.6.1 'XML representation'.
    """
    return written(resource)


def parsed(raw: bytes) -> Any:  # noqa: ANN401 - lxml
    """Parse bytes of others as FHIR XML: no document type, no entity, nothing fetched, bounded in every way.

    Raises:
        NotExact: see `to_json`.
    """
    if len(raw) > MAXIMUM_BYTES or raw.count(b"<") > MAXIMUM_TAGS:
        message = f"larger than {MAXIMUM_BYTES} bytes or {MAXIMUM_TAGS} tags"
        raise NotExact(message)
    claimed = _ENCODING.match(raw)
    if b"\x00" in raw or (claimed is not None and claimed[1].lower() not in _ENCODINGS):
        message = "not UTF-8"
        raise NotExact(message)
    prolog = _PROLOG.match(raw)
    if prolog is not None and raw.startswith(b"<!DOCTYPE", prolog.end()):
        message = "a document type is not allowed in FHIR XML"
        raise NotExact(message)
    try:
        root: Any = etree.fromstring(raw, _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise NotExact("malformed XML" + (f" at line {line}" if line else "")) from None
    if root.getroottree().docinfo.doctype or not str(root.tag).startswith(FHIR):
        message = "the root is not an element of http://hl7.org/fhir"
        raise NotExact(message)
    return root


def _resource(element: Any, at: Path | None, depth: int) -> Json:  # noqa: ANN401 - lxml
    kind = str(element.tag).removeprefix(FHIR)
    if kind not in definitions().resources:
        raise wrong("not a resource of a known type", at or (None, "Resource"))
    made: Json = {"resourceType": kind}
    _fill(element, kind, made, at or (None, kind), depth)
    return made


def _fill(element: Any, type_: str, made: Json, at: Path, depth: int) -> None:  # noqa: ANN401 - lxml
    """Read the attributes and children of one element into its object."""
    if depth > MAXIMUM_DEPTH:
        raise wrong(_TOO_DEEP, at)
    known = form(type_)
    for name in element.attrib:  # not items(), which takes quadratic time
        if name in known.attributes:
            made[name] = element.get(name)
        elif depth > 1 or not name.startswith(_XSI):
            raise wrong("unknown attribute", below(at, name))
    sparse: list[str] = []
    for child, slot in _slotted(element, known, at):
        if slot.kind == "primitive":
            _primitive(child, slot, made, at, depth, sparse)
        elif slot.many:
            values = made.setdefault(slot.name, [])
            values.append(_value(child, slot, (at, f".{slot.name}[{len(values)}]"), depth + 2))
        else:
            made[slot.name] = _value(child, slot, (at, "." + slot.name), depth + 1)
    for name in sparse:
        _align(made, name)
    if not made:
        raise wrong("an empty element", at)


def _slotted(element: Any, known: Form, at: Path) -> Iterator[tuple[Any, Slot]]:  # noqa: ANN401 - lxml
    """Give each child with its slot; JSON cannot say another order than that of the definitions."""
    last = -1
    for child in element:
        slot = known.tags.get(child.tag)
        if slot is None:
            raise wrong("unknown element", below(at, _local(child)))
        if slot.position < last:
            raise wrong("out of order", (at, "." + slot.name))
        if slot.position == last and not slot.many:
            raise wrong("repeated", (at, "." + slot.name))
        last = slot.position
        yield child, slot


def _value(child: Any, slot: Slot, at: Path, depth: int) -> Any:  # noqa: ANN401 - lxml, JSON
    if slot.kind == "complex":
        made: Json = {}
        _fill(child, slot.type, made, at, depth)
        return made
    if slot.kind == "xhtml":
        return _div(child)
    if len(child) != 1 or child.attrib or not str(child[0].tag).startswith(FHIR):
        raise wrong("expected one resource", at)
    return _resource(child[0], at, depth)


def _primitive(child: Any, slot: Slot, made: Json, at: Path, depth: int, sparse: list[str]) -> None:  # noqa: ANN401 - lxml
    """Read one primitive: its value, and beside it under an underscore its id and extensions."""
    name, here = slot.name, (at, "." + slot.name)
    text = child.attrib.pop("value", None)
    value = None
    if text is not None:
        value = value_of(text, slot.type)
        if value is None:
            raise wrong("not a " + slot.type, here)
    beside: Json | None = None
    if len(child) or child.attrib or value is None:
        beside = {}
        _fill(child, "Element", beside, here, depth + 1 + slot.many)
    if not slot.many:
        if value is not None:
            made[name] = value
        if beside is not None:
            made["_" + name] = beside
        return
    if depth >= MAXIMUM_DEPTH:
        raise wrong(_TOO_DEEP, here)
    values = made.setdefault(name, [])
    if beside is not None:
        besides = made.setdefault("_" + name, [])
        besides.extend([None] * (len(values) - len(besides)))
        besides.append(beside)
        if name not in sparse:
            sparse.append(name)
    values.append(value)


def _align(made: Json, name: str) -> None:
    """Make a list of primitives and its underscore sibling equally long; a list of nothing but null says nothing."""
    values, besides = made[name], made["_" + name]
    besides.extend([None] * (len(values) - len(besides)))
    if all(value is None for value in values):
        del made[name]


def _div(child: Any) -> str:  # noqa: ANN401 - lxml
    """Keep a narrative as it is written, without the namespaces of the elements around it."""
    if len(child.nsmap) > 1 or child.prefix is not None:
        child = deepcopy(child)
        child.tail = None
        etree.cleanup_namespaces(child)
    return xhtml(child)


def _local(child: Any) -> str:  # noqa: ANN401 - lxml
    return child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
