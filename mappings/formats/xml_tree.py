"""Read clinical XML of HL7 version 3 into a tree the maps read: no document types, no entities, bounded in every way."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from lxml import etree

from mappings.model import Json, NotMappable

MAXIMUM_BYTES: Final = 10_000_000
MAXIMUM_ATTRIBUTES: Final = 100  # of one element
MAXIMUM_DEPTH: Final = 200  # XML parsers stop at 256; a document of people stays below 50
MAXIMUM_NODES: Final = 200_000
# Maps look at siblings, so their number is what time depends on: many items, but never many names or performers.
MAXIMUM_ITEMS: Final = 5_000
MAXIMUM_SIBLINGS: Final = 100
_ITEMS: Final = frozenset({"entry", "component", "entryRelationship"})

V3: Final = "urn:hl7-org:v3"
# The names of other namespaces get a prefix of ours, whatever the sender calls them.
_PREFIXES: Final = {
    V3: "",
    "": "",
    "http://www.w3.org/2001/XMLSchema-instance": "xsi_",
    "urn:hl7-org:sdtc": "sdtc_",
    "urn:hl7-nl:v3": "nl_",
    "urn:ihe:pharm:medication": "pharm_",
    "urn:ihe:pharm": "pharm_",
    "http://hl7.org/fhir": "fhir_",
}
_ENCODINGS: Final = {
    "UTF-8": "utf-8", "UTF8": "utf-8", "US-ASCII": "ascii", "ASCII": "ascii", "ISO-8859-1": "iso8859-1",
    "ISO-8859-15": "iso8859-15", "WINDOWS-1252": "cp1252",
}  # fmt: skip
_DECLARATION: Final = re.compile(rb"<\?xml[^>]{0,200}\?>")
_ENCODING: Final = re.compile(rb"""encoding\s*=\s*["']([A-Za-z0-9._\-]{1,40})["']""")
_CONTROLS: Final = re.compile("[\x80-\x9f]")
_SPACES: Final = re.compile(r"[ \t\r\n\xa0]+")
_FLAT: Final = frozenset({"text", "originalText", "title", "desc"})  # a narrative is read as its text
_ROWS: Final = frozenset({"paragraph", "br", "tr", "item", "caption", "list", "table"})
_ORDERED: Final = frozenset({"name"})  # the order of the parts of a name says which prefix is whose


def read(body: bytes) -> Json:
    """Read one document: `{root name: [node]}`.

    A node holds its attributes as text, its children as lists, its own text under `_text`, its parent
    under `^` and the code of the section it stands in under `within`.

    Raises:
        NotMappable: not XML, a document type, too large, too deep, or bytes that are not in the charset they claim.
    """
    if len(body) > MAXIMUM_BYTES:
        message = f"larger than {MAXIMUM_BYTES} bytes"
        raise NotMappable(message)
    text = _decoded(body)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NotMappable("a document type is not allowed in clinical XML")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True, encoding="utf-8",
    )  # fmt: skip
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise NotMappable("malformed XML") from None
    name = _name(root.tag)
    return {name: [_Builder(root).node(root, name, None, 0, "")]}


def _decoded(body: bytes) -> str:
    """Decode by the charset the document claims, and refuse a claim that cannot be true."""
    plain = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    declaration = _DECLARATION.match(plain)
    found = _ENCODING.search(declaration[0]) if declaration else None
    claimed = found[1].decode("ascii").upper() if found else "UTF-8"
    encoding = _ENCODINGS.get(claimed)
    if encoding is None:
        message = f"the charset must be one of {', '.join(sorted(_ENCODINGS))}"
        raise NotMappable(message, "encoding")
    try:
        text = plain[declaration.end() if declaration else 0 :].decode(encoding)
    except UnicodeDecodeError:
        raise NotMappable("the bytes are not in the charset the document claims", "encoding") from None
    if encoding not in {"utf-8", "ascii"} and (_CONTROLS.search(text) or _is_utf8(plain)):
        raise NotMappable("the bytes are not in the charset the document claims", "encoding")
    return text


def _is_utf8(body: bytes) -> bool:
    try:
        return not body.isascii() and bool(body.decode("utf-8"))
    except UnicodeDecodeError:
        return False


class _Builder:
    """Builds the nodes of one document, and counts what it gives out."""

    def __init__(self, root: Any) -> None:  # noqa: ANN401 - lxml
        self._root = root
        self._nodes = 0
        self._budget = MAXIMUM_BYTES  # characters that references to the narrative may repeat
        self._texts: dict[str, str] | None = None

    def node(self, element: Any, tag: str, parent: Json | None, depth: int, within: str) -> Json:  # noqa: ANN401 - lxml
        """Build a node with everything in it."""
        self._nodes += 1
        if depth > MAXIMUM_DEPTH or self._nodes > MAXIMUM_NODES:
            raise NotMappable("nested too deep" if depth > MAXIMUM_DEPTH else "too many elements")
        made = _attributes(element)
        if parent is not None:
            made["^"] = parent
        if tag in _FLAT or made.get("xsi_type") == "ED":
            self._flat(element, made)
            return made
        within = _code(element) or within if tag == "section" or (tag == "organizer" and not within) else within
        if within:
            made["within"] = within
        position = -1
        for child in element:
            position += 1
            kind = child.tag
            if kind.__class__ is str:
                named = _name(kind)
                below = self.node(child, named, made, depth + 1, within)
                if tag in _ORDERED:
                    below["order"] = position
                self._add(made, named, below)
        own = _words(element) if position >= 0 else element.text
        if own and not own.isspace():
            made["_text"] = own if position >= 0 else _SPACES.sub(" ", own).strip()
        return made

    @staticmethod
    def _add(made: Json, name: str, below: Json) -> None:
        known = made.get(name)
        if known.__class__ is not list:
            if known is not None:
                made[f"_{name}"] = known  # an attribute of the same name gives way
            made[name] = [below]
            return
        known.append(below)
        if len(known) > MAXIMUM_SIBLINGS and (name not in _ITEMS or len(known) > MAXIMUM_ITEMS):
            raise NotMappable("too many elements side by side")

    def _flat(self, element: Any, made: Json) -> None:  # noqa: ANN401 - lxml
        text = flattened(element)
        reference = next((one.get("value", "") for one in element if _is(one, "reference")), "")
        if not text and reference.startswith("#"):
            text = self._referred(reference[1:])
        if not text and reference:
            made["reference"] = reference
        if text:
            made["_text"] = text

    def _referred(self, identity: str) -> str:
        if self._texts is None:
            self._texts = {one.get("ID"): one for one in self._root.iter() if one.get("ID")}
        found: Any = self._texts.get(identity)
        if found is None:
            return ""
        text = found if isinstance(found, str) else flattened(found)
        self._texts[identity] = text
        self._budget -= len(text)
        return text if self._budget > 0 else ""


def _attributes(element: Any) -> Json:  # noqa: ANN401 - lxml
    found = element.items()
    # lxml looks up attributes one by one: many would cost their square
    if len(found) > MAXIMUM_ATTRIBUTES:
        raise NotMappable("too many attributes on one element")
    made: Json = {}
    for name, value in found:
        if name[0] == "{":
            made[_name(name)] = value.rpartition(":")[2] if name[-5:] == "}type" else value
        else:
            made[name] = value
    return made


def flattened(element: Any) -> str:  # noqa: ANN401 - lxml
    """Give the words of a narrative: a line for each row, paragraph or item, cells kept apart."""
    parts: list[str] = []
    for event, one in etree.iterwalk(element, events=("start", "end")):
        name = _local(one)
        if event == "start":
            if name in _ROWS:
                parts.append("\n")
            parts.append(_SPACES.sub(" ", one.text or ""))
        else:
            if name in _ROWS and name != "br":
                parts.append("\n")
            elif name in {"td", "th"}:
                parts.append(" | ")
            if one is not element:
                parts.append(_SPACES.sub(" ", one.tail or ""))
    lines = ("".join(parts)).split("\n")
    return "\n".join(text for line in lines if (text := line.strip(" |")))


def _words(element: Any) -> str:  # noqa: ANN401 - lxml
    """Give the text of an element between its children."""
    text = " ".join([element.text or "", *(child.tail or "" for child in element)])
    return "" if text.isspace() else _SPACES.sub(" ", text).strip()


def _code(element: Any) -> str:  # noqa: ANN401 - lxml
    found = next((one for one in element if _is(one, "code")), None)
    return "" if found is None else found.get("code", "")


def _is(element: Any, name: str) -> bool:  # noqa: ANN401 - lxml
    return isinstance(element.tag, str) and _local(element) == name


def _local(element: Any) -> str:  # noqa: ANN401 - lxml
    return str(element.tag).rpartition("}")[2] if isinstance(element.tag, str) else ""


@lru_cache(maxsize=1024)
def _name(tag: str) -> str:
    """Name an element or attribute by its namespace URI, never by the sender's prefix."""
    if not tag.startswith("{"):
        return tag
    uri, _, local = tag[1:].partition("}")
    return _PREFIXES.get(uri, "other_") + local
