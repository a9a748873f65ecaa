"""Signed notes: a short text with the Ed25519 signatures of those who vouch for it, checkable with a public key alone.

Spec: C2SP signed-note v1.0, tlog-cosignature v1.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Sign = Callable[[bytes], bytes]

LOG: Final = 1  # a key that signs the text
WITNESS: Final = 4  # a key that signs when it saw the text
LARGEST_BYTES: Final = 262_144

_LINE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_VKEY: Final = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Signature:
    """One line below the text."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """The line as it stands in the note."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and who vouches for it."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a note.

        Raises:
            ValueError: not UTF-8, with control characters, or not a text, an empty line and signatures.
        """
        message = "not a signed note"
        if len(raw) > LARGEST_BYTES:
            raise ValueError(message)
        text = raw.decode("utf-8")
        head, empty, tail = text.rpartition("\n\n")
        lines = tail.split("\n")
        if not empty or lines.pop() or not 0 < len(lines) <= _MOST:
            raise ValueError(message)
        if any(ord(letter) < 0x20 and letter != "\n" for letter in text):
            raise ValueError(message)
        return cls(head + "\n", tuple(_signature(line) for line in lines))

    def raw(self) -> bytes:
        """The note as it is sent and kept."""
        return (self.text + "\n" + "".join(one.line() for one in self.signatures)).encode()

    def signed(self, signatures: Iterable[Signature]) -> Note:
        """The same text with more signatures."""
        return Note(self.text, (*self.signatures, *signatures))


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public key of a log or a witness, under the name it signs with."""

    name: str
    public: bytes
    algorithm: int = LOG

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read "name+keyid+key".

        Raises:
            ValueError: not such a text, or its parts do not belong together.
        """
        message = "not a verifier key: expected name+keyid+base64"
        found = _VKEY.fullmatch(vkey)
        if found is None:
            raise ValueError(message)
        key = _decoded(found[3])
        if len(key) != 33 or key[0] not in {LOG, WITNESS}:
            raise ValueError(message)
        made = cls(found[1], key[1:], key[0])
        if made.key_id.hex() != found[2]:
            raise ValueError(message)
        return made

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell which key of this name it is."""
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.algorithm]) + self.public).decode()}"

    def sign(self, text: str, sign: Sign) -> Signature:
        """Sign as the owner of a log."""
        return Signature(self.name, self.key_id, sign(text.encode()))

    def cosign(self, text: str, now: datetime, sign: Sign) -> Signature:
        """Sign as a witness that saw the text at this moment."""
        seconds = int(now.timestamp())
        return Signature(self.name, self.key_id, seconds.to_bytes(8, "big") + sign(_seen(text, seconds)))

    def signed(self, note: Note) -> bool:
        """Claim that this key signed the note."""
        return any(self._fits(one, note.text) for one in note.signatures)

    def _fits(self, signature: Signature, text: str) -> bool:
        if (signature.name, signature.key_id) != (self.name, self.key_id):
            return False
        value, message = signature.value, text.encode()
        if self.algorithm == WITNESS:
            value, message = value[8:], _seen(text, int.from_bytes(value[:8], "big"))
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def _seen(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def signature_in(line: str) -> Signature:
    """Read one signature line.

    Raises:
        ValueError: not one.
    """
    return _signature(line.removesuffix("\n"))


def _signature(line: str) -> Signature:
    found = _LINE.fullmatch(line)
    value = _decoded(found[2]) if found else b""
    if found is None or len(value) < 5:
        message = "not a signature line"
        raise ValueError(message)
    return Signature(found[1], value[:4], value[4:])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        message = "not base64"
        raise ValueError(message) from None
