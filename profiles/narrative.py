"""XHTML narratives: what FHIR allows in them, and a form that is safe to show."""

from __future__ import annotations

import html
import html.entities
import re
from typing import Any, Final

from lxml import etree

from profiles.xhtml import LONGEST, Rules, is_plain, rules

_DOCTYPE: Final = re.compile(r"<!(?!--|\[CDATA\[)|<\?")
_ENTITY: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]{0,31});")
_XML_ENTITIES: Final = frozenset(("amp", "lt", "gt", "quot", "apos"))
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.\-]*):", re.IGNORECASE)
_CLASS_OF_BLANKS: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]+")
_STYLE_VALUE: Final = re.compile(r"[a-zA-Z0-9 \-]{1,40}")
_BESIDE: Final = re.compile(r"url\([a-z0-9_\-][a-z0-9_.\-]*\)")
_XMLNS: Final = ' xmlns="http://www.w3.org/1999/xhtml"'


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_pis=True,
        remove_comments=True,
    )


_PARSER: Final = _parser()


def _parsed(div: str) -> etree._Element | None:
    """Read one XHTML element without a DTD, entities or processing instructions."""
    if len(div) > LONGEST or _DOCTYPE.search(div):
        return None
    try:
        return etree.fromstring(div, _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        return None


def problems(div: str) -> tuple[str, ...]:
    """Name the rules of FHIR a narrative breaks; nothing when it is as it should be.

    Spec: FHIR R4 2.4 'Narrative', txt-1 and txt-2.
    """
    return () if is_plain(div) else _examined(div)


def _examined(div: str) -> tuple[str, ...]:
    root = _parsed(div)
    allowed = rules()
    if root is None or root.tag != allowed.root:
        return ("narrative-form",)
    found: list[str] = []
    attributes, elements, seen = allowed.attributes, allowed.elements, False
    for element in root.iter():
        if element.tag not in elements:
            return ("txt-1",)
        given = element.attrib
        if given:
            if not attributes.issuperset(given) or not _harmless(given, allowed):
                return ("txt-1",)
            if _asks_elsewhere(element, given, allowed):
                found.append("narrative-image")
        if not seen:
            seen = _has_content(element, allowed)
    if not seen:
        found.append("txt-2")
    return tuple(dict.fromkeys(found))


def _has_content(element: etree._Element, allowed: Rules) -> bool:
    text, tail = element.text, element.tail
    if (text and not text.isspace()) or (tail and not tail.isspace()):
        return True
    return bool(element.tag == allowed.namespace + "img")


def _harmless(given: Any, allowed: Rules) -> bool:  # noqa: ANN401 - lxml keeps its attribute type private
    """Claim that no attribute holds active content."""
    style = given.get("style")
    # A picture beside the page is no active content; what is shown keeps no style that could ask for one.
    if style is not None and any(mark in _BESIDE.sub("", style.lower()) for mark in allowed.unsafe_style):
        return False
    return all(_scheme(given[name]) in allowed.schemes for name in ("href", "cite", "longdesc") if name in given)


def _asks_elsewhere(element: etree._Element, given: Any, allowed: Rules) -> bool:  # noqa: ANN401 - as above
    if element.tag != allowed.namespace + "img":
        return False
    source = given.get("src", "")
    return not (source.startswith("#") or source.lower().startswith(allowed.image_prefixes))


def _scheme(address: str) -> str:
    """Give the scheme a browser would see; a relative address counts as http."""
    match = _SCHEME.match(_CLASS_OF_BLANKS.sub("", address))
    return match[1].lower() if match else "http"


def escape(text: str) -> str:
    """Make text safe between tags and in quoted attributes; characters that steer direction become visible."""
    if not text.isprintable():  # what steers is not printable, and most text is
        text = _BIDI.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)
    return html.escape(text, quote=True)


_BIDI: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def clean(div: str) -> str | None:
    """Give a narrative of another system in a form that is safe to show, or nothing when it cannot be read.

    Text is never lost except that of scripts, styles and embedded objects. Links lose their target, images
    from elsewhere become their description.
    INVARIANT: the result holds only allowed elements and attributes and asks for nothing outside itself.
    """
    root = _parsed(_ENTITY.sub(_character, div))
    allowed = rules()
    if root is None or root.tag != allowed.root:
        return None
    parts: list[str] = []
    _show(root, allowed, parts)
    return "".join(parts)


def _character(match: re.Match[str]) -> str:
    """Read an HTML entity that XML does not know, as many senders write &nbsp;."""
    if match[1] in _XML_ENTITIES:
        return match[0]
    return html.escape(html.entities.html5.get(match[1] + ";", match[0]))


def _show(element: etree._Element, allowed: Rules, parts: list[str]) -> None:
    """Write one element; the depth is bounded by the parser (256)."""
    name = etree.QName(element).localname if isinstance(element.tag, str) else ""
    if name.lower() in allowed.dropped or not name:
        return
    if element.tag not in allowed.elements:
        _content(element, allowed, parts)
        return
    if name == "img":
        parts.append(_image(element, allowed))
        return
    attributes = "".join(
        f' {key}="{escape(value)}"'
        for key, value in sorted((str(key), str(value)) for key, value in element.attrib.items())
        if key in allowed.shown_attributes
    )
    opening = f"<{name}{_XMLNS if element.getparent() is None else ''}{attributes}{_style(element, allowed)}"
    if name in ("br", "hr", "col"):
        parts.append(opening + "/>")
        return
    parts.append(opening + ">")
    _content(element, allowed, parts)
    parts.append(f"</{name}>")


def _content(element: etree._Element, allowed: Rules, parts: list[str]) -> None:
    parts.append(escape(element.text or ""))
    for child in element:
        _show(child, allowed, parts)
        parts.append(escape(child.tail or ""))


def _image(element: etree._Element, allowed: Rules) -> str:
    source, alternative = element.get("src", ""), escape(element.get("alt", ""))
    if source.lower().startswith(allowed.image_prefixes) and re.fullmatch(
        r"[A-Za-z0-9+/=\s]*", source.partition(",")[2]
    ):
        return f'<img src="{escape(source)}" alt="{alternative}"/>'
    return f"[{alternative}]" if alternative else ""


def _style(element: etree._Element, allowed: Rules) -> str:
    kept = []
    for declaration in element.get("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name.lower() in allowed.shown_style and _STYLE_VALUE.fullmatch(value):
            kept.append(f"{name.lower()}: {value}")
    return f' style="{"; ".join(kept)}"' if kept else ""
