"""One HL7 v2 segment as fields, repetitions, components and subcomponents, taken apart when first looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mappings.model import NotMappable

ALL: Final = -1  # a mask with every bit set: everything in it was read
NULL: Final = '""'

_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}\Z")
_HEX: Final = re.compile(r"X((?:[0-9A-Fa-f]{2})+)\Z")
_LAYOUT: Final = re.compile(r"\.(?:br|sp|in|ti|fi|nf|ce|sk)[+\-]?\d*\Z")
_NOT_PRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Separators:
    """The separators a message declares in MSH-1 and MSH-2, and the character set of its escapes."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    charset: str = "utf-8"

    @property
    def all(self) -> str:
        """Give them as one text, by which two messages are told apart."""
        return f"{self.field}{self.component}{self.repetition}{self.escape}{self.subcomponent}{self.charset}"

    def unescaped(self, text: str) -> str:
        """Write out the escape sequences of a text.

        Spec: HL7 v2.5 2.7 'Use of escape sequences in text fields'.
        """
        parts = text.split(self.escape)
        # Escapes come in pairs of the mark; a mark without its twin is text.
        made, position = [parts[0]], 1
        while position < len(parts):
            if position + 1 < len(parts) and (value := self._escaped(parts[position])) is not None:
                made += (value, parts[position + 1])
                position += 2
            else:
                made += (self.escape, parts[position])
                position += 1
        return "".join(made)

    def _escaped(self, name: str) -> str | None:
        letters = {"F": self.field, "S": self.component, "T": self.subcomponent, "R": self.repetition}
        found = ({"E": self.escape, "H": "", "N": ""} | letters).get(name)
        if found is not None:
            return found
        if _LAYOUT.match(name):
            return "\n" if name[1:3] in {"br", "sp"} else ""
        match = _HEX.match(name)
        if match is None:
            return None
        value = bytes.fromhex(match[1]).decode(self.charset, "replace").replace("\r", "\n")
        return _NOT_PRINTABLE.sub(" ", value)


class Node:
    """One repetition of a field, or one component: its parts in order, and a mask of those that were read."""

    __slots__ = ("mask", "parts")

    def __init__(self, parts: list[str | Node]) -> None:
        self.parts = parts
        self.mask = 0

    @property
    def form(self) -> tuple[bool, ...]:
        """Which parts have content."""
        return tuple(map(bool, self.parts))

    def has(self, at: int) -> bool:
        """Claim that a part, counted from 1, has content."""
        return at <= len(self.parts) and bool(self.parts[at - 1])

    def child(self, at: int) -> Node | None:
        """Give a component as a node of its own, counted from 1; none if it is empty."""
        if at > len(self.parts):
            return None
        part = self.parts[at - 1]
        if isinstance(part, str):
            if not part:
                return None
            part = self.parts[at - 1] = Node([part])
        return part

    def peek(self, at: int = 1) -> str:
        """See the text of a part, or of its first subcomponent, without counting it as read."""
        if at > len(self.parts):
            return ""
        part = self.parts[at - 1]
        while not isinstance(part, str):
            part = part.parts[0]
        return "" if part == NULL else part

    def text(self, at: int = 1) -> str:
        """Read the text of a part, or of its first subcomponent."""
        try:
            part = self.parts[at - 1]
        except IndexError:
            return ""
        if part.__class__ is str:
            self.mask |= 1 << at
        while part.__class__ is Node:
            part.mask |= 2
            part = part.parts[0]
        return part.strip() if part != NULL else ""  # type: ignore[union-attr]

    def flat(self) -> str:
        """Give the content as one text that does not depend on the separators of its message."""
        parts = self.parts
        if len(parts) == 1 and isinstance(parts[0], str):
            return parts[0]
        return "^".join([one if isinstance(one, str) else one.flat().replace("^", "&") for one in parts])

    def leaves(self) -> list[str]:
        """List the texts in it."""
        found: list[str] = []
        for one in self.parts:
            found += [one] if isinstance(one, str) else one.leaves()
        return [one for one in found if one not in ("", NULL)]


class Segment:
    """One segment: raw fields by number, the segments that belong to it, and what of it was read."""

    __slots__ = ("_form", "_marks", "children", "fields", "mask", "name", "parent", "raw")

    def __init__(self, text: str, number: int, marks: Separators) -> None:
        raw = text.split(marks.field)
        self.name = raw[0]
        if not _NAME.match(self.name):
            message = f"segment {number} has no name of three capitals or digits"
            raise NotMappable(message, f"segment {number}")
        if self.name == "MSH":  # MSH-1 is the separator itself
            raw.insert(1, marks.field)
        self.raw = raw
        self.mask = 0b110 if self.name == "MSH" else 0
        self.parent: Segment | None = None
        self.children: dict[str, list[Segment]] = {}
        self._form: tuple[tuple[bool, ...], tuple[str, ...]] | None = None
        self._marks = marks
        self.fields: dict[int, list[Node]] = {}  # those that were looked at

    @property
    def form(self) -> tuple[tuple[bool, ...], tuple[str, ...]]:
        """Which fields have content, and which segments stand below: fixed once a map looks at it."""
        if self._form is None:
            self._form = tuple(map(bool, self.raw)), tuple(self.children)
        return self._form

    def has(self, number: int) -> bool:
        """Claim that a field has content."""
        return number < len(self.raw) and bool(self.raw[number])

    def field(self, number: int) -> list[Node]:
        """Give the repetitions of a field; empty ones are left out."""
        found = self.fields.get(number)
        if found is not None:
            return found
        raw = self.raw
        text = raw[number] if number < len(raw) else ""
        if not text:
            return []
        marks = self._marks
        if marks.repetition in text:
            found = [self._node(part) for part in text.split(marks.repetition) if part]
        else:
            found = [self._node(text)]
        self.fields[number] = found
        return found

    def peek(self, field: int, component: int = 1) -> str:
        """See the text of a component of the first repetition without counting it as read."""
        found = self.field(field)
        return found[0].peek(component) if found else ""

    def release(self) -> None:
        """Let go of the segments around it, so that a message that was read is forgotten at once."""
        self.parent = None
        self.children = {}

    def opened(self, number: int) -> bool:
        """Claim that a field was looked at."""
        return number in self.fields

    def flat(self) -> str:
        """Give the content of all fields as one text."""
        fields = ("~".join(node.flat() for node in self.field(number)) for number in range(1, len(self.raw)))
        return "|".join((self.name, *fields))

    def _node(self, text: str) -> Node:
        marks = self._marks
        if marks.subcomponent not in text and marks.escape not in text:
            return Node(list[str | Node](text.split(marks.component)))
        if marks.component not in text and marks.subcomponent not in text:
            return Node([marks.unescaped(text)])
        return Node([self._component(part) for part in text.split(marks.component)])

    def _component(self, text: str) -> str | Node:
        marks = self._marks
        if marks.subcomponent in text:
            return Node(
                [marks.unescaped(part) if marks.escape in part else part for part in text.split(marks.subcomponent)]
            )
        return marks.unescaped(text) if marks.escape in text else text
