"""Read HL7 v2 messages (ER7) into a tree of segments, fields and components, and acknowledge them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from mappings.model import Json, NotMappable

MAXIMUM_BYTES: Final = 10_000_000
MAXIMUM_SEGMENTS: Final = 20_000
PARENT: Final = "^"  # from a segment to the segment it belongs to

_CHARSETS: Final = {
    "": "utf-8",
    "ASCII": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "8859/1": "iso8859-1",
    "8859/15": "iso8859-15",
    "8859/9": "iso8859-9",
    "WINDOWS-1252": "cp1252",
}
_SEGMENT: Final = re.compile(r"[A-Z][A-Z0-9]{2}\Z")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NOT_PRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_HEX: Final = re.compile(r"X((?:[0-9A-Fa-f]{2})+)\Z")
_LAYOUT: Final = re.compile(r"\.(?:br|sp|in|ti|fi|nf|ce|sk)[+\-]?\d*\Z")

Acknowledgment = Literal["AA", "AE", "AR"]


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The separators a message declares in MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its segments in order, each a name and a dict of fields by number."""

    segments: tuple[tuple[str, Json], ...]
    delimiters: Delimiters
    charset: str

    def header(self, field: int, component: int = 1) -> str:
        """Give one component of MSH, empty if it is not there."""
        found: Any = self.segments[0][1].get(str(field), [{}])[0].get(str(component), "")
        return found if isinstance(found, str) else str(found.get("1", ""))


def read(body: bytes) -> Message:
    """Read one message; nothing is guessed about what the sender did not write.

    Raises:
        NotMappable: names the segment and field and the rule; never content.

    Spec: HL7 v2.5 chapter 2.5 'Message construction rules', 2.7 'Use of escape sequences', MSH-18.
    """
    if len(body) > MAXIMUM_BYTES:
        message = f"longer than {MAXIMUM_BYTES} bytes"
        raise NotMappable(message)
    raw = _unframed(body)
    delimiters = _delimiters(raw)
    charset = _charset(raw, delimiters)
    try:
        text = raw.decode(charset)
    except UnicodeDecodeError:
        raise NotMappable("the bytes are not in the character set MSH-18 names", "MSH-18") from None
    if _CONTROL.search(text):
        raise NotMappable("control characters in the text, or another character set than MSH-18 names", "MSH-18")
    parts = text.split("\r") if "\r" in text else text.split("\n")
    if len(parts) > MAXIMUM_SEGMENTS:
        message = f"more than {MAXIMUM_SEGMENTS} segments"
        raise NotMappable(message)
    reader = _Reader(delimiters, charset)
    segments = tuple(
        reader.segment(part.strip("\n"), number) for number, part in enumerate(parts, 1) if part.strip("\n")
    )
    if sum(name == "MSH" for name, _ in segments) != 1:
        raise NotMappable("one message at a time: a second MSH", "MSH")
    return Message(segments, delimiters, charset)


def _unframed(body: bytes) -> bytes:
    """Take off what MLLP and careless editors put around a message."""
    return body.strip(b"\x0b\x1c\r\n").removeprefix(b"\xef\xbb\xbf")


def _delimiters(raw: bytes) -> Delimiters:
    if raw[:3] != b"MSH":
        raise NotMappable("the message does not start with MSH", "MSH")
    field = raw[3:4].decode("latin-1")
    marks = raw[4:].split(raw[3:4], 1)[0].decode("latin-1") if field else ""
    all_marks = field + marks
    odd = any(mark.isalnum() or not mark.isascii() or ord(mark) <= 0x20 or mark == '"' for mark in all_marks)
    if len(marks) not in {4, 5} or odd or len(set(all_marks)) != len(all_marks):
        raise NotMappable("MSH-2 must hold four different separators", "MSH-2")
    return Delimiters(field, marks[0], marks[1], marks[2], marks[3])


def _charset(raw: bytes, delimiters: Delimiters) -> str:
    fields = re.split(rb"[\r\n]", raw, maxsplit=1)[0].decode("latin-1").split(delimiters.field)
    declared = fields[17].split(delimiters.repetition)[0].strip().upper() if len(fields) > 17 else ""
    charset = _CHARSETS.get(declared)
    if charset is None:
        message = f"MSH-18 must be one of {', '.join(name for name in _CHARSETS if name)}"
        raise NotMappable(message, "MSH-18")
    return charset


class _Reader:
    """Take segments apart with one message's separators."""

    def __init__(self, delimiters: Delimiters, charset: str) -> None:
        self._marks = delimiters
        self._charset = charset
        names = {"F": "field", "S": "component", "T": "subcomponent", "R": "repetition", "E": "escape"}
        self._escapes = {letter: str(getattr(delimiters, name)) for letter, name in names.items()} | {"H": "", "N": ""}

    def segment(self, text: str, number: int) -> tuple[str, Json]:
        """Read one segment: empty fields are left out, `""` stays as it is."""
        parts = text.split(self._marks.field)
        name = parts[0]
        if not _SEGMENT.match(name):
            message = f"segment {number} has no name of three capitals or digits"
            raise NotMappable(message, f"segment {number}")
        # MSH-1 is the separator itself, so the fields of MSH are numbered one further.
        shift, start = (1, 2) if name == "MSH" else (0, 1)
        fields = {str(i + shift): self._field(parts[i]) for i in range(start, len(parts)) if parts[i]}
        return name, fields

    def _field(self, text: str) -> list[Json]:
        marks = self._marks
        if marks.repetition not in text:
            return [self._repetition(text)]
        return [self._repetition(part) for part in text.split(marks.repetition) if part]

    def _repetition(self, text: str) -> Json:
        marks = self._marks
        if marks.component not in text and marks.subcomponent not in text:
            return {"1": self._text(text)}
        return {str(i): self._component(part) for i, part in enumerate(text.split(marks.component), 1) if part}

    def _component(self, text: str) -> str | Json:
        if self._marks.subcomponent not in text:
            return self._text(text)
        return {str(i): self._text(part) for i, part in enumerate(text.split(self._marks.subcomponent), 1) if part}

    def _text(self, text: str) -> str:
        escape = self._marks.escape
        if escape not in text:
            return text
        parts = text.split(escape)
        # Escapes come in pairs of the mark; a mark without its twin is text.
        made, position = [parts[0]], 1
        while position < len(parts):
            if position + 1 < len(parts) and (value := self._escaped(parts[position])) is not None:
                made += (value, parts[position + 1])
                position += 2
            else:
                made += (escape, parts[position])
                position += 1
        return "".join(made)

    def _escaped(self, name: str) -> str | None:
        if name in self._escapes:
            return self._escapes[name]
        if _LAYOUT.match(name):
            return "\n" if name[1:3] in {"br", "sp"} else ""
        match = _HEX.match(name)
        if match is None:
            return None
        value = bytes.fromhex(match[1]).decode(self._charset, "replace").replace("\r", "\n")
        return _NOT_PRINTABLE.sub(" ", value)


def tree(message: Message, attach: dict[str, list[str]]) -> Json:
    """Hang each segment under the nearest one before it that it belongs to; the others stand at the root."""
    root: Json = {}
    latest: dict[str, Json] = {}
    for name, fields in message.segments:
        parent = None
        for candidate, segment in reversed(latest.items()):
            if candidate in attach.get(name, ()):
                parent = segment
                break
        (root if parent is None else parent).setdefault(name, []).append(fields)
        if parent is not None:
            fields[PARENT] = parent
        latest.pop(name, None)
        latest[name] = fields
    return root


def control_id(body: bytes) -> str:
    """Give MSH-10 as far as it can be read, else an empty text. Never raises."""
    return _fields(body)[9].decode("latin-1")


def acknowledge(message: bytes, code: Acknowledgment, text: str = "", *, now: str, control_id: str) -> bytes:
    """Answer a message, also one that cannot be read.

    Args:
        message: the bytes that came in; its own separators and addresses are used, as far as they can be read.
        code: AA stored, AE the sender may send again, AR the sender must not.
        text: why, for the sender's administrator; never personal data.
        now: the time as an HL7 v2 TS, e.g. "20260105101500+0100".
        control_id: the id of the acknowledgment itself.

    Spec: HL7 v2.5 2.9.2 'Message acknowledgment', original mode; 2.14.1 MSA.
    """
    try:
        marks = _delimiters(_unframed(message))
    except NotMappable:
        marks = Delimiters()
    fields = [field.decode("latin-1") for field in _fields(message)]
    trigger = [*fields[8].split(marks.component), ""][1]
    kind = marks.component.join(("ACK", trigger, "ACK")) if trigger else "ACK"
    separators = marks.component + marks.repetition + marks.escape + marks.subcomponent
    header = ["MSH", separators, fields[4], fields[5], fields[2], fields[3], now, "", kind, control_id]
    header += [fields[10] or "P", fields[11] or "2.5"]
    answer = ["MSA", code, fields[9], _escape(text, marks)]
    lines = (marks.field.join(header), marks.field.join(answer).rstrip(marks.field))
    return "".join(f"{line}\r" for line in lines).encode("latin-1", "replace")


def _escape(text: str, marks: Delimiters) -> str:
    names = {marks.escape: "E", marks.field: "F", marks.component: "S", marks.subcomponent: "T", marks.repetition: "R"}
    flat = _NOT_PRINTABLE.sub(" ", text.replace("\r", " ").replace("\n", " "))
    return "".join(f"{marks.escape}{names[char]}{marks.escape}" if char in names else char for char in flat)


def _fields(body: bytes) -> list[bytes]:
    """Split MSH as far as it goes, padded to twelve fields, without control characters."""
    first = re.split(rb"[\r\n]", _unframed(body[:4096]), maxsplit=1)[0]
    parts = first.split(first[3:4]) if first[:3] == b"MSH" and len(first) > 3 else []
    clean = [re.sub(rb"[\x00-\x1f\x7f]", b"", part)[:250] for part in parts]
    return clean + [b""] * (12 - len(clean)) if len(clean) < 12 else clean
