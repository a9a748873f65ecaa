"""A proof that one record stands in the log, which anybody can check with the public key and a few lines of code.

Spec: C2SP tlog-proof v1: the record, its index, the hashes that lead to the root, and the signed checkpoint.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from gateway.audit.checkpoints import tree_in
from gateway.audit.merkle import includes, leaf_hash
from gateway.crypto.notes import Note, Verifier

HEADER: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Proof:
    """One record, and why it must be in the log."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: Note

    def text(self) -> str:
        """The file."""
        lines = [HEADER, f"extra {_text(self.entry)}", f"index {self.index}", *map(_text, self.path)]
        return "".join(f"{line}\n" for line in lines) + "\n" + self.checkpoint.raw().decode()

    @classmethod
    def parse(cls, text: str) -> Proof:
        """Read a file.

        Raises:
            ValueError: it is none.
        """
        head, _, note = text.partition("\n\n")
        lines = head.split("\n")
        if (
            len(lines) < 3
            or lines[0] != HEADER
            or not lines[1].startswith("extra ")
            or not lines[2].startswith("index ")
        ):
            message = "not a proof of an audit log"
            raise ValueError(message)
        try:
            entry, *path = (base64.b64decode(line, validate=True) for line in (lines[1][6:], *lines[3:]))
        except binascii.Error:
            message = "not base64"
            raise ValueError(message) from None
        return cls(entry, int(lines[2][6:]), tuple(path), Note.parse(note.encode()))

    def holds(self, key: Verifier) -> bool:
        """Claim that the owner of this key signed a log with this record at this place."""
        origin, size, root = tree_in(self.checkpoint.text)
        signed = Verifier(origin, key.public).signed(self.checkpoint)
        return signed and includes(leaf_hash(self.entry), self.index, size, self.path, root)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
