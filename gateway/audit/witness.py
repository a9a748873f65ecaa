"""What a witness does: sign a checkpoint only when the log it knows merely grew, and no log it knew is gone. Pure.

Spec: C2SP tlog-witness v1. Beyond it: the heads of the other logs in a checkpoint of a gateway are held to the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from gateway.audit.checkpoints import Checkpoint, Head, name_of, tree_in
from gateway.audit.merkle import consistent
from gateway.crypto.notes import Note, Verifier

_OLD: Final = re.compile(r"old (0|[1-9]\d{0,17})")
_MOST_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class Addition:
    """A checkpoint brought to a witness, and the proof that the tree only grew since `old`."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    def raw(self) -> bytes:
        """The body of the request."""
        lines = [f"old {self.old}", *(base64.b64encode(one).decode() for one in self.proof)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note.raw()

    @classmethod
    def parse(cls, raw: bytes) -> Addition:
        """Read the body of a request.

        Raises:
            ValueError: it is none.
        """
        head, empty, rest = raw.partition(b"\n\n")
        first, *hashes = head.decode("ascii").split("\n")
        old = _OLD.fullmatch(first)
        if old is None or not empty or len(hashes) > _MOST_HASHES:
            message = "expected 'old SIZE', the hashes of a proof, an empty line and a checkpoint"
            raise ValueError(message)
        try:
            proof = tuple(base64.b64decode(line, validate=True) for line in hashes)
        except binascii.Error:
            message = "a hash of the proof is not base64"
            raise ValueError(message) from None
        return cls(int(old[1]), proof, Note.parse(rest))


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a witness does not sign, as a status of HTTP; `size` is what it knows, where that helps."""

    status: int
    why: str
    size: int | None = None


def objection(addition: Addition, known: Note | None, verifiers: Iterable[Verifier]) -> Objection | None:
    """What speaks against signing, None when nothing does. `known` is the last that was signed of this log.

    INVARIANT: two checkpoints that contradict each other are never both signed.
    """
    origin = tree_in(addition.note.text)[0]
    keys = [one for one in verifiers if one.name == origin]
    if not keys:
        return Objection(404, "this log is not witnessed here")
    if not any(one.signed(addition.note) for one in keys):
        return Objection(403, "no signature of a known key")
    return not_grown(addition, known)


def not_grown(addition: Addition, known: Note | None) -> Objection | None:
    """Why a checkpoint is no growth of the one that is known, None when it is."""
    _, size, root = tree_in(addition.note.text)
    if addition.old > size:
        return Objection(400, "the old size is larger than the new one")
    _, old, old_root = tree_in(known.text) if known else ("", 0, b"")
    if addition.old != old:
        return Objection(409, "another size is known here", old)
    if known is None:
        return None if not addition.proof else Objection(422, "the first checkpoint needs no proof")
    if old == size and root != old_root:
        return Objection(409, "fork: the same size is known here with another root", old)
    if old and not consistent(old, size, old_root, root, addition.proof):
        return Objection(422, "fork: the tree did not grow from the one that is known here")
    return _other_logs(known, addition.note)


def _other_logs(known: Note, new: Note) -> Objection | None:
    """A log that was in the last checkpoint is in this one, or was followed by a newer epoch of its slot."""
    try:
        before, after = Checkpoint.parse(known.text), Checkpoint.parse(new.text)
    except ValueError:  # not of a gateway: it speaks of one log only
        return None
    why = contradiction(before.heads, after.heads)
    if why is None and after.closed[0] < before.closed[0]:
        why = f"missing: {before.closed[0]} logs had ended, now {after.closed[0]}"
    if why is None and after.closed[0] == before.closed[0] and after.closed != before.closed:
        why = "fork: a log that had ended is another now"
    return Objection(422, why) if why else None


def contradiction(before: Sequence[Head], after: Sequence[Head]) -> str | None:
    """What cannot be true of logs that only grow, None when nothing."""
    now = {head.log: head for head in after}
    newest = {head.log[0]: head.log[1] for head in sorted(after)}
    for head in before:
        found = now.get(head.log)
        if found is None:
            if newest.get(head.log[0], 0) < head.log[1]:
                return f"missing: log {name_of(head.log)} is gone"
        elif found.size < head.size:
            return f"rollback: log {name_of(head.log)} had {head.size} records, now {found.size}"
        elif found.size == head.size and found.root != head.root:
            return f"fork: log {name_of(head.log)} has another root at {head.size} records"
    return None


class WitnessError(Exception):
    """A witness could not be asked, or objects; `objection` says what it has against a checkpoint."""

    def __init__(self, why: str, objection: Objection | None = None) -> None:
        super().__init__(why)
        self.objection = objection


class Witness(Protocol):
    """Somebody else who keeps our checkpoints."""

    @property
    def id(self) -> str:
        """Its name in reports."""
        ...

    @property
    def every(self) -> timedelta:
        """It is not asked more often than this."""
        ...

    async def history(self, origin: str) -> list[Note]:
        """What it keeps of a log, the newest first.

        Raises:
            WitnessError: it cannot be asked.
        """
        ...

    async def add(self, addition: Addition) -> Note:
        """Give it a checkpoint; the note with what it signed.

        Raises:
            WitnessError: it cannot be asked, or objects.
        """
        ...
