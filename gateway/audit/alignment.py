"""Where records and the hashes kept of them part ways, and what must have been done to them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

Numbered = tuple[int, bytes]  # sequence number and hash

WINDOWS: Final = (64, 1_024, 16_384)  # how far ahead both are looked through for where they meet again
REMEMBERED: Final = 20_000  # differences that are told one by one


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """What was done to the records `first` to `last`."""

    first: int
    last: int
    kind: str  # "edit" | "deletion" | "insertion" | "reordering" | "truncation"


class Alignment:
    """Two rows of hashes, compared while they are read: those kept, and those of the records that are there."""

    def __init__(self) -> None:
        self._kept: deque[Numbered] = deque()
        self._there: deque[Numbered] = deque()
        self._lost: dict[bytes, int] = {}  # hash that was kept -> number of the record that no longer has it
        self._new: dict[bytes, int] = {}  # hash of a record -> its number, where another was kept
        self._cut: list[Difference] = []  # more than is told one by one
        self._end: int | None = None

    @property
    def aligned(self) -> bool:
        """Claim that whatever was added so far was compared."""
        return not self._kept and not self._there

    @property
    def clean(self) -> bool:
        """Claim that no difference was found."""
        return self.aligned and not self._lost and not self._new and not self._cut

    def add(self, kept: Iterable[Numbered], there: Iterable[Numbered]) -> None:
        """Compare further."""
        self._kept.extend(kept)
        self._there.extend(there)
        if max(len(self._kept), len(self._there)) >= 2 * WINDOWS[-1] or self._lead():
            self._compare(final=False)

    def end(self, covered: int | None = None) -> tuple[Difference, ...]:
        """What was done, once both have been read to their end; records after `covered` may be new."""
        self._compare(final=True)
        if covered is not None:
            self._new = {leaf: number for leaf, number in self._new.items() if number <= covered or leaf in self._lost}
        return tuple(sorted([*self._cut, *self._named()]))

    def _lead(self) -> bool:
        """Claim that the next of both are the same, so that comparing does not need to look ahead."""
        return bool(self._kept and self._there) and self._kept[0][1] == self._there[0][1]

    def _compare(self, *, final: bool) -> None:
        kept, there = self._kept, self._there
        while kept and there:
            if kept[0][1] == there[0][1]:
                kept.popleft()
                there.popleft()
                continue
            if not final and min(len(kept), len(there)) < WINDOWS[-1]:
                return
            self._skip(*self._meeting())
        if final:
            if kept and not there:
                self._end = kept[0][0]
            self._skip(len(kept), len(there))

    def _meeting(self) -> tuple[int, int]:
        """How many of each to leave behind, so that the next of both are the same: as few as possible."""
        for window in WINDOWS:
            places = {leaf: place for place, (_, leaf) in zip(range(window), self._there, strict=False)}
            found = (
                (place + places[leaf], place, places[leaf])
                for place, (_, leaf) in zip(range(window), self._kept, strict=False)
                if leaf in places
            )
            best = min(found, default=None)
            if best is not None:
                return best[1], best[2]
        many = min(len(self._kept), len(self._there), WINDOWS[-1])
        return many, many

    def _skip(self, kept: int, there: int) -> None:
        lost = [self._kept.popleft() for _ in range(kept)]
        new = [self._there.popleft() for _ in range(there)]
        if len(self._lost) + len(self._new) + kept + there > REMEMBERED:
            numbers = [number for number, _ in (*lost, *new)]
            self._cut.append(Difference(min(numbers), max(numbers), "edit" if there else "deletion"))
            return
        self._lost.update((leaf, number) for number, leaf in lost)
        self._new.update((leaf, number) for number, leaf in new)

    def _named(self) -> Iterator[Difference]:
        moved = self._lost.keys() & self._new.keys()
        # Whatever was at the place of a record that moved is not told a second time.
        places = {self._lost[leaf] for leaf in moved} | {self._new[leaf] for leaf in moved}
        yield from joined((min(self._lost[leaf], self._new[leaf]) for leaf in moved), "reordering")
        lost = {number for leaf, number in self._lost.items() if leaf not in moved}
        new = {number for leaf, number in self._new.items() if leaf not in moved}
        edited = lost & new
        yield from joined(edited, "edit")
        gone = lost - edited - (places & new)
        tail = {number for number in gone if self._end is not None and number >= self._end}
        yield from joined(tail, "truncation")
        yield from joined(gone - tail, "deletion")
        yield from joined(new - edited, "insertion")


def joined(numbers: Iterable[int], kind: str) -> Iterator[Difference]:
    """Differences of one kind: numbers that follow each other as one."""
    first = last = None
    for number in sorted(set(numbers)):
        if first is not None and last is not None and number > last + 1:
            yield Difference(first, last, kind)
            first = None
        first, last = number if first is None else first, number
    if first is not None and last is not None:
        yield Difference(first, last, kind)
