"""Hold the records of one log against the hashes kept of them and against every checkpoint that was signed. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Final

from gateway.audit.alignment import WINDOWS, Alignment, joined
from gateway.audit.checkpoints import Head, Log
from gateway.audit.merkle import Frontier

Row = tuple[int, int, bytes]  # sequence number, moment in microseconds since 1970, body
Range = tuple[int, int]  # first and last sequence number

LATE: Final = timedelta(seconds=60)  # between the moment of a record and that of a checkpoint over it
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
LAW: Final = timedelta(days=5 * 365 + 1)  # a record is kept at least this long, whatever is configured
OWN: Final = ""  # who holds a checkpoint of our own database


@dataclass(frozen=True, slots=True)
class Claim:
    """What a checkpoint with a good signature says of one log, and who holds it: a witness, an auditor, or we."""

    head: Head
    at: datetime
    holder: str = OWN


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is not as it was written, in words for who must act and for a court."""

    log: Log
    first: int
    last: int
    kind: str
    text: str


KINDS: Final = {
    "edit": "changed after they were written",
    "deletion": "removed from the log",
    "insertion": "put into the log afterwards",
    "reordering": "no longer stand where they were written",
    "truncation": "cut from the end of the log",
}


class LogCheck:
    """One log while it is read, tile by tile. What it keeps does not grow with the log."""

    def __init__(self, log: Log, claims: Iterable[Claim], now: datetime, signed: datetime | None = None) -> None:
        """`signed`: when it was last signed how many records there are."""
        self.log = log
        self._signed = signed
        self.records = 0
        self.retired = 0
        self._now = now
        claims = sorted((one for one in claims if one.head.size), key=lambda one: one.head.size)
        self._all = tuple(claims)
        self._claims = deque(claims)
        self._kept = Frontier()
        self._there: Frontier | None = None  # of the records themselves, once they are not what was kept of them
        self._alignment = Alignment()
        self._good = 0  # records up to the last checkpoint that agreed before one did not
        self._shown: Claim | None = None  # the largest that agreed, of those others hold
        self._failed: list[tuple[Claim, bool]] = []  # and whether the records themselves agree
        self._early: list[Range] = []
        self._misnumbered: list[Range] = []
        self._put_in: list[int] = []  # after the last that is covered, with a moment before its checkpoint

    @property
    def size(self) -> int:
        """How many records are covered by the tree."""
        return self._kept.size

    def root(self) -> bytes:
        """The root over the hashes kept."""
        return self._kept.root()

    def skip(self, root: bytes) -> None:
        """A full tile that is not looked into: only its root counts."""
        while self._claims and self._claims[0].head.size <= self._kept.size:
            self._claims.popleft()
        self._kept.add_tree(8, root)
        while self._claims and self._claims[0].head.size <= self._kept.size:
            claim = self._claims.popleft()
            if claim.head.size == self._kept.size:
                self._judge(claim, self._kept.root())

    def tile(self, kept: Sequence[bytes], rows: Sequence[Row], retired: Sequence[Range] = ()) -> None:
        """The next hashes kept (256, fewer at the end), and the records that stand at their numbers."""
        there = [sha256(b"\0" + at.to_bytes(8, "big") + body).digest() for _, at, body in rows]
        first = self._kept.size + 1
        self.records += len(there)
        if len(there) == len(kept) and there == kept and self._alignment.aligned and self._there is None:
            if rows and rows[-1][0] != first + len(kept) - 1:
                self._misnumbered.append((first, rows[-1][0]))
            self._grow(kept, None)
            return
        numbers = {row[0] for row in rows}
        gone = {
            number
            for begin, last in retired
            for number in range(max(begin, first), min(last, first + len(kept) - 1) + 1)
            if number not in numbers
        }
        self.retired += len(gone)
        for begin, last in retired if gone else ():
            self._judge_retired(begin, last)
        self._alignment.add(
            ((number, leaf) for number, leaf in enumerate(kept, first) if number not in gone),
            ((row[0], leaf) for row, leaf in zip(rows, there, strict=True)),
        )
        if gone:
            merged = dict(zip((row[0] for row in rows), there, strict=True))
            merged |= {number: kept[number - first] for number in gone}
            there = [merged[number] for number in sorted(merged)]
        self._grow(kept, there)

    def tail(self, rows: Sequence[Row]) -> None:
        """Records after the last that is covered: written since the last checkpoint, or before a crash."""
        self.records += len(rows)
        if self._signed is not None:  # what was written before that is under it
            before = (self._signed - LATE - _EPOCH) // timedelta(microseconds=1)
            self._put_in += [row[0] for row in rows if row[1] < before]
        tree = self._there = self._there or self._kept.copy()
        leaves = [sha256(b"\0" + at.to_bytes(8, "big") + body).digest() for _, at, body in rows]
        if not self._alignment.clean and rows[0][0] <= self._kept.size + WINDOWS[-1]:
            # What was pushed beyond the last covered number by an insertion is found here.
            self._alignment.add((), zip((row[0] for row in rows), leaves, strict=True))
        for leaf in leaves:
            tree.extend((leaf,))
            while self._claims and self._claims[0].head.size <= tree.size:
                claim = self._claims.popleft()
                self._failed.append((claim, claim.head.size == tree.size and claim.head.root == tree.root()))

    def end(self) -> list[Finding]:
        """Everything that is not as it was written, once the log was read to its end."""
        if not self.records and not self._kept.size and self._claims:
            return [self._missing()]
        as_signed = max((claim.head.size for claim, agrees in self._failed if agrees), default=0)
        found = [
            self._finding(one.first, one.last, one.kind)
            for one in self._alignment.end(self._kept.size)
            if one.last > as_signed  # up to there the records are as they were signed, whatever the hashes kept say
        ]
        found += [self._finding(first, last, "edit") for first, last in self._misnumbered if not found]
        if self._alignment.clean:
            found += [self._finding(one.first, one.last, one.kind) for one in joined(self._put_in, "insertion")]
        found += [
            Finding(self.log, first, last, "deletion", f"records {first} to {last} were removed before their time")
            for first, last in sorted(set(self._early))
        ]
        return sorted([*found, *self._contradictions(), *self._beyond()])

    # --- while reading ---------------------------------------------------------------------------

    def _grow(self, kept: Sequence[bytes], there: Sequence[bytes] | None) -> None:
        """Add to the tree of what was kept, and where that is another one, to the tree of what is there."""
        if there is not None and self._there is None and there != kept:
            self._there = self._kept.copy()
        rest = list(kept)
        others = list(there if there is not None else kept) if self._there is not None else []
        while self._claims and self._claims[0].head.size <= self._kept.size + len(rest):
            claim = self._claims.popleft()
            many = claim.head.size - self._kept.size
            self._kept.extend(rest[:many])
            rest = rest[many:]
            if self._there is not None:
                self._there.extend(others[:many])
                others = others[many:]
            self._judge(claim, self._kept.root())
        self._kept.extend(rest)
        if self._there is not None:
            self._there.extend(others)

    def _judge(self, claim: Claim, root: bytes) -> None:
        if claim.head.root == root:
            self._good = self._good if self._failed else claim.head.size
            self._shown = claim if claim.holder else self._shown
            return
        self._failed.append((claim, self._there is not None and self._there.root() == claim.head.root))

    def _judge_retired(self, first: int, last: int) -> None:
        """Records may be gone when a checkpoint that covers them is as old as the law asks them to be kept."""
        covering = [claim.at for claim in self._all if claim.head.size >= last]
        if not covering or min(covering) > self._now - LAW:
            self._early.append((first, last))

    # --- at the end ------------------------------------------------------------------------------

    def _finding(self, first: int, last: int, kind: str) -> Finding:
        which = f"record {first}" if first == last else f"records {first} to {last}"
        text = KINDS[kind] if first != last else KINDS[kind].replace("they were", "it was").replace("stand", "stands")
        verb = "" if kind == "reordering" else "was " if first == last else "were "
        return Finding(self.log, first, last, kind, f"{which} {verb}{text}")

    def _missing(self) -> Finding:
        last = self._all[-1]
        text = (
            f"the whole log is gone; {_holder(last)} shows that it had {last.head.size} records on {_moment(last.at)}"
        )
        return Finding(self.log, 1, last.head.size, "missing-log", text)

    def _contradictions(self) -> Iterator[Finding]:
        damaged = [claim for claim, agrees in self._failed if agrees]
        if damaged:
            text = "the records are as they were signed, the hashes kept of them are not; stop the gateway and run gateway audit rebuild"
            yield Finding(self.log, 1, damaged[-1].head.size, "tree", text)
        failed = [claim for claim, agrees in self._failed if not agrees]
        if not failed:
            return
        first = self._good + 1
        last = failed[-1].head.size
        if self._forked(failed):
            shown = (*failed, self._shown) if self._shown else failed
            holders = " and ".join(sorted({_holder(one) for one in shown if one.holder}))
            text = f"two histories were signed and shown to different witnesses ({holders}); they part after record {first - 1}"
            yield Finding(self.log, first, last, "fork", text)
        else:
            text = (
                f"records between {first} and {last} were replaced and their hashes made anew; {_holder(failed[0])} "
                f"of {_moment(failed[0].at)} covers {failed[0].head.size} records with another root"
            )
            yield Finding(self.log, first, last, "rewrite", text)

    def _forked(self, failed: Sequence[Claim]) -> bool:
        """Claim that two checkpoints were signed and given away that cannot both be true."""
        given = [one for one in failed if one.holder]
        kept = self._shown.head.size if self._shown else 0
        if any(one.head.size <= kept for one in given):
            return True
        return any(one.head.size == two.head.size and one.head.root != two.head.root for one, two in pairwise(given))

    def _beyond(self) -> Iterator[Finding]:
        """Checkpoints that cover more records than there are."""
        if not self._claims:
            return
        have = max(self._kept.size, self._there.size if self._there else 0)
        own = [claim for claim in self._claims if not claim.holder]
        last = own[-1] if own else self._claims[-1]
        kind = "truncation" if own else "rollback"
        what = "records were cut from the end" if own else "the database was set back to an earlier state"
        text = f"{what}: there are {have} records, {_holder(last)} of {_moment(last.at)} covers {last.head.size}"
        yield Finding(self.log, have + 1, last.head.size, kind, text)


def _holder(claim: Claim) -> str:
    return f"the checkpoint held by {claim.holder}" if claim.holder else "our own checkpoint"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
