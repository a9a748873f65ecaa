from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pages.browsing import chromium
from tests.pages.town import Town, Visitor, town, visitor


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One region for all tests of this folder."""
    with town(tmp_path_factory.mktemp("town")) as made:
        yield made


@pytest.fixture
def place(served: Town) -> Town:
    """The region with every source well and no case open."""
    served.calm()
    return served


@pytest.fixture
def coordinator(place: Town) -> Iterator[Visitor]:
    """A coordinator who is logged in, without a browser."""
    with visitor(place, "coordinator") as made:
        yield made


@pytest.fixture(scope="module")
def browser(served: Town) -> Iterator[object]:
    """One chromium for a module; its driver keeps an event loop in this thread, so the region is there before it."""
    with chromium() as made:
        yield made
