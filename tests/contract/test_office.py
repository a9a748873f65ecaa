"""The stores of the office on each engine: figures about sources, clients two people decide on, the history of the policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.errors import Invalid, Unavailable
from gateway.intake.quality import QualityBook
from gateway.intake.sources import SourceWatch
from gateway.office import ClientOffer, Findings, SourceQuality, SourceState
from gateway.settings import ClientTable
from gateway.storage import Database, open_stores, upgrade
from tests.contract.postgres import empty
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LATER = NOON + timedelta(minutes=5)
KEY = ("Observation", "nl-core", "Observation.code", "http://example.org/p")


@dataclass
class Opened:
    """One database, and how to leave and open it again."""

    url: str
    clock: FixedClock
    database: Database

    def __post_init__(self) -> None:
        self.stores = open_stores(self.database, plain_seal, plain_unseal, self.clock)

    async def again(self) -> Opened:
        await self.database.close()
        return Opened(self.url, self.clock, Database.open(self.url, exclusive=False))


@pytest.fixture(params=["sqlite", "postgresql"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        empty(url)
    else:
        upgrade(url)
    found = Opened(url, FixedClock(), Database.open(url, exclusive=False))
    yield found
    await found.database.close()


async def test_figures_of_sources_add_up_over_processes_and_survive_them(opened: Opened) -> None:
    one, two = (SourceWatch(opened.clock, opened.stores.sources) for _ in range(2))
    one.answered("gp", 0.03)
    one.answered("gp", 9.0)
    one.failed("gp", "timeout", whole=True)
    await one.keep()
    opened.clock.at = LATER
    two.answered("gp", 0.04)
    two.of("gp").losses += 3
    found = (await two.all())["gp"]
    assert (found.answered, found.failed, found.losses) == (3, 1, 3)
    assert (found.last_answer, found.last_failure, found.failure) == (LATER, NOON, "timeout")
    assert found.latencies == {50: 2, 0: 1}
    assert (found.within(0.5), found.within(0.95)) == (50, 0)
    await one.keep()
    await two.keep()
    again = await opened.again()
    opened.database = again.database
    assert (await again.stores.sources.states())["gp"] == found, "nothing is added twice"


async def test_the_quality_table_survives_the_process(opened: Opened) -> None:
    book = QualityBook(opened.clock, opened.stores.sources)
    book.sources["gp"] = SourceQuality("90000001", 5, 2, 1, 0, NOON, {KEY: Findings("error", 2, NOON)})
    await book.keep()
    book.sources["gp"] = SourceQuality("90000001", 1, 1, 0, 4, LATER, {KEY: Findings("error", 1, LATER)})
    book.sources["other"] = SourceQuality("90000002", 1, 0, 0, 0, LATER)
    both = await book.found()
    assert list(both) == ["gp", "other"]
    again = await opened.again()
    opened.database = again.database
    kept = await QualityBook(again.clock, again.stores.sources).found("90000001")
    assert kept == {"gp": SourceQuality("90000001", 6, 3, 1, 4, NOON, {KEY: Findings("error", 3, LATER)})}


class Closed:
    """A store that cannot be written."""

    async def add_states(self, states: object) -> None:
        raise Unavailable("store-unavailable")

    async def add_quality(self, found: object) -> None:
        raise Unavailable("store-unavailable")

    async def states(self) -> dict[str, SourceState]:
        return {}

    async def quality(self, custodian: str = "") -> dict[str, SourceQuality]:
        return {}


async def test_what_cannot_be_written_now_waits_for_the_next_time() -> None:
    watch = SourceWatch(FixedClock(), Closed())
    watch.answered("gp", 0.01)
    with pytest.raises(Unavailable):
        await watch.keep()
    watch.answered("gp", 0.01)
    assert watch.states["gp"].answered == 2
    book = QualityBook(FixedClock(), Closed())
    book.sources["gp"] = SourceQuality("90000001", 1)
    with pytest.raises(Unavailable):
        await book.keep()
    assert book.sources["gp"].checked == 1


def offer(number: str = "o1", client: str = "new-app", person: str = "uzi|1") -> ClientOffer:
    return ClientOffer(number, ClientTable(client, "90000001"), "a new system", person, NOON)


async def test_c8_a_client_may_call_when_a_second_person_decided_so(opened: Opened) -> None:
    clients = opened.stores.clients
    await clients.offer(offer())
    assert await clients.client("new-app") is None
    assert await clients.decide("o1", "uzi|1", accept=True) is None, "not who offered it"
    assert await clients.client("new-app") is None
    decided = await clients.decide("o1", "uzi|2", accept=True)
    assert decided is not None
    assert (decided.state, decided.person, decided.decided_by) == ("executed", "uzi|1", "uzi|2")
    assert await clients.client("new-app") == ClientTable("new-app", "90000001")
    assert await clients.decide("o1", "uzi|3", accept=True) is None, "once"
    assert [one.state for one in await clients.offers()] == ["executed"]


async def test_an_offer_is_taken_back_or_refused_and_may_be_made_again(opened: Opened) -> None:
    clients = opened.stores.clients
    await clients.offer(offer())
    with pytest.raises(Invalid, match="conflict"):
        await clients.offer(offer("o2", person="uzi|2"))
    assert (await clients.decide("o1", "uzi|1", accept=False)) is not None
    await clients.offer(offer("o3", person="uzi|2"))
    assert (await clients.decide("o3", "uzi|1", accept=True)) is not None
    with pytest.raises(Invalid, match="conflict"):
        await clients.offer(offer("o4"))
    assert {(one.id, one.state) for one in await clients.offers()} == {("o1", "rejected"), ("o3", "executed")}


async def test_the_history_of_the_policy_is_listed_newest_first(opened: Opened) -> None:
    policies = opened.stores.policies
    for revision in ("a", "b", "a"):
        await policies.keep(revision, NOON, revision.encode())
    assert [(one.number, one.revision, one.body) for one in await policies.history()] == [
        (3, "a", b""), (2, "b", b""), (1, "a", b"")
    ]  # fmt: skip
    kept = await policies.numbered(2)
    assert kept is not None
    assert kept.body == b"b"
    assert await policies.numbered(9) is None
