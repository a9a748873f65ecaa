"""Read HL7 v2 messages (ER7) into segments whose fields are taken apart when first looked at, and acknowledge them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from mappings.formats.er7_tree import Segment, Separators
from mappings.model import NotMappable

MAXIMUM_BYTES: Final = 10_000_000
MAXIMUM_SEGMENTS: Final = 20_000

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
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NOT_PRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_BATCHES: Final = frozenset({b"FHS", b"BHS"})
_ENVELOPE: Final = frozenset({b"FHS", b"BHS", b"FTS"})
Acknowledgment = Literal["AA", "AE", "AR"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its segments in order."""

    segments: tuple[Segment, ...]
    delimiters: Separators
    charset: str
    nulls: bool  # whether it says "" anywhere: explicitly nothing

    def header(self, field: int, component: int = 1) -> str:
        """Give one component of MSH, empty if it is not there."""
        return self.segments[0].peek(field, component)


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
    marks = _marks(*_declared(raw))
    charset = _charset(raw, marks)
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
    marks = _marks(*_declared(raw), charset)
    segments = tuple(
        [Segment(bare, number, marks) for number, part in enumerate(parts, 1) if (bare := part.strip("\n"))]
    )
    if [one.name for one in segments].count("MSH") != 1:
        raise NotMappable("one message at a time: a second MSH", "MSH")
    return Message(segments, marks, charset, '""' in text)


def messages_of(body: bytes) -> tuple[bytes, ...]:
    """Take a batch apart into its messages, in order; what is no batch is one message as it came.

    A batch that says how many messages it holds and holds another number is not whole, so none of it is taken.

    Raises:
        NotMappable: a batch without messages, or fewer or more than its trailer says.

    Spec: HL7 v2.5 2.10.3 'HL7 batch protocol', BTS-1.
    """
    raw = _unframed(body)
    if raw[:3] not in _BATCHES:
        return (body,)
    mark, found, counts = raw[3:4], [], []
    for line in re.split(rb"[\r\n]+", raw):
        if line[:3] == b"MSH":
            found.append([line])
        elif line[:3] == b"BTS":
            counts.append(line.split(mark)[1].strip() if mark in line else b"")
        elif line[:3] in _ENVELOPE:
            continue
        elif found and line:
            found[-1].append(line)
        elif line:
            raise NotMappable("a segment before the first MSH of the batch", line[:3].decode("latin-1", "replace"))
    said = [int(one) for one in counts if one.isdigit()]
    if not found:
        raise NotMappable("a batch without messages", "BHS")
    if said and len(said) == len(counts) and sum(said) != len(found):
        message = f"the batch says {sum(said)} messages and holds {len(found)}"
        raise NotMappable(message, "BTS-1")
    return tuple(b"\r".join(one) + b"\r" for one in found)


def _unframed(body: bytes) -> bytes:
    """Take off what MLLP and careless editors put around a message."""
    return body.strip(b"\x0b\x1c\r\n").removeprefix(b"\xef\xbb\xbf")


def _declared(raw: bytes) -> tuple[bytes, bytes]:
    """Give MSH-1 and MSH-2 as they were written."""
    if raw[:3] != b"MSH":
        raise NotMappable("the message does not start with MSH", "MSH")
    field = raw[3:4]
    return field, raw[4:].split(field, 1)[0] if field else b""


@lru_cache(maxsize=64)
def _marks(field: bytes, declared: bytes, charset: str = "utf-8") -> Separators:
    """Give the separators a message declares, worked out once for the few ways there are."""
    marks = (field + declared).decode("latin-1")
    odd = any(mark.isalnum() or not mark.isascii() or ord(mark) <= 0x20 or mark == '"' for mark in marks)
    if len(marks) not in {5, 6} or odd or len(set(marks)) != len(marks):
        raise NotMappable("MSH-2 must hold four different separators", "MSH-2")
    return Separators(marks[0], marks[1], marks[2], marks[3], marks[4], charset)


def _charset(raw: bytes, marks: Separators) -> str:
    fields = re.split(rb"[\r\n]", raw, maxsplit=1)[0].decode("latin-1").split(marks.field)
    declared = fields[17].split(marks.repetition)[0].strip().upper() if len(fields) > 17 else ""
    charset = _CHARSETS.get(declared)
    if charset is None:
        message = f"MSH-18 must be one of {', '.join(name for name in _CHARSETS if name)}"
        raise NotMappable(message, "MSH-18")
    return charset


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
        marks = _marks(*_declared(_unframed(message)))
    except NotMappable:
        marks = Separators()
    fields = [field.decode("latin-1") for field in _fields(message)]
    trigger = [*fields[8].split(marks.component), ""][1]
    kind = marks.component.join(("ACK", trigger, "ACK")) if trigger else "ACK"
    separators = marks.component + marks.repetition + marks.escape + marks.subcomponent
    header = ["MSH", separators, fields[4], fields[5], fields[2], fields[3], now, "", kind, control_id]
    header += [fields[10] or "P", fields[11] or "2.5"]
    answer = ["MSA", code, fields[9], _escape(text, marks)]
    lines = (marks.field.join(header), marks.field.join(answer).rstrip(marks.field))
    return "".join(f"{line}\r" for line in lines).encode("latin-1", "replace")


def _escape(text: str, marks: Separators) -> str:
    names = {marks.escape: "E", marks.field: "F", marks.component: "S", marks.subcomponent: "T", marks.repetition: "R"}
    flat = _NOT_PRINTABLE.sub(" ", text.replace("\r", " ").replace("\n", " "))
    return "".join(f"{marks.escape}{names[char]}{marks.escape}" if char in names else char for char in flat)


def _fields(body: bytes) -> list[bytes]:
    """Split MSH as far as it goes, padded to twelve fields, without control characters."""
    first = re.split(rb"[\r\n]", _unframed(body[:4096]), maxsplit=1)[0]
    parts = first.split(first[3:4]) if first[:3] == b"MSH" and len(first) > 3 else []
    clean = [re.sub(rb"[\x00-\x1f\x7f]", b"", part)[:250] for part in parts]
    return clean + [b""] * (12 - len(clean)) if len(clean) < 12 else clean
