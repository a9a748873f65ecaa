"""The pushed items that were read last, by id and by place: bounded in bytes, forgotten with every change to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from gateway.model import Item
from gateway.storage.inbox_rows import Touched
from gateway.storage.index_store import Registered
from gateway.storage.recent import Recent

ITEMS_BYTES: Final = 16 * 1024 * 1024
PLACES_BYTES: Final = 32 * 1024 * 1024
_FACTS_BYTES: Final = 1_024  # what an item takes beside its bytes

Kept = tuple[int, Item]  # until when it may stay, in microseconds; 0 is without end
Place = tuple[str, str]  # a patient and a source


class HeldMemory:
    """Opened items of one process.

    INVARIANT: nothing is given again that the desk changed, or whose time is over; every request gets items of its own.
    """

    def __init__(self, era: Callable[[], int | None], registered: Registered) -> None:
        self._registered = registered  # what messages brought with them: where data of a patient is
        self.items: Recent[str, Kept] = Recent(ITEMS_BYTES, era, lambda kept: _weight((kept,)))
        self.places: Recent[Place, tuple[Kept, ...]] = Recent(PLACES_BYTES, era, _weight)

    def forget(self, touched: Touched) -> None:
        """Forget what a change touched, in the loop, as soon as its commit has ended."""
        self.items.forget(*touched.items, *touched.settled, *touched.followed)
        self.places.forget(*touched.places)
        self._registered.forget(*touched.registered)


def in_time(kept: Sequence[Kept], now: int) -> list[Item]:
    """The items that may stay at this moment, for one request; nobody parsed those that are kept.

    Units: `now` in microseconds.
    """
    return [replace(item) for expires, item in kept if not expires or expires > now]


def _weight(kept: Sequence[Kept]) -> int:
    return sum([len(item.raw) for _, item in kept], (len(kept) + 1) * _FACTS_BYTES)
