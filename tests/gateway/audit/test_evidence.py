"""The evidence of a real database and key ring: followed, signed, witnessed, and refused when it is not what was signed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.adapters.witnesses import FileWitness
from gateway.audit.checkpoints import Checkpoint, tree_in
from gateway.audit.evidence import Evidence, witnessed_by
from gateway.audit.examination import Examination, Examiner
from gateway.audit.merkle import entry_of, leaf_hash, root_of
from gateway.audit.notary import Notary, verifiers
from gateway.audit.record import Record, encode
from gateway.audit.witness import Addition, Witness, WitnessError
from gateway.audit.witnessing import Witnessing
from gateway.crypto.notes import Note
from gateway.crypto.ring import KeyRing
from gateway.errors import StartError
from gateway.settings import WitnessTable
from gateway.storage import Database, Stores, open_stores, upgrade
from gateway.storage.acknowledgement import acknowledge
from gateway.storage.beside import beside
from gateway.storage.instants import to_micros
from tests.fakes import NOON, FixedClock, plain_seal, plain_unseal
from tests.gateway.audit.ledger import BASE

pytestmark = pytest.mark.anyio


@dataclass
class Place:
    """A database, a key ring and write-once storage."""

    directory: Path
    clock: FixedClock = field(default_factory=FixedClock)
    witnesses: list[Witness] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = f"sqlite:///{self.directory}/gateway.db"
        upgrade(self.url)
        self.keys = KeyRing.create(self.directory / "keys", NOON)
        self.witnesses.append(FileWitness(WitnessTable("worm", "file", path="worm"), self.directory / "worm"))

    @asynccontextmanager
    async def serving(self, *, orderly: bool = True) -> AsyncIterator[tuple[Stores, Evidence]]:
        """A process that serves, until it stops in order or just dies."""
        database = Database.open(self.url)
        stores = open_stores(database, plain_seal, plain_unseal, self.clock)
        steps: list[timedelta] = []

        async def jumped(step: timedelta) -> None:
            steps.append(step)
            await stores.audit.append(encode(Record(kind="clock", at="x", request="gateway")))

        hour = timedelta(hours=1)
        witnessing = Witnessing(self.witnesses, stores.trees, self.keys, BASE)
        notary = Notary(
            stores.trees, self.keys, self.clock, BASE, hour, timedelta(minutes=9), jumped, witnessing.submit
        )
        evidence = Evidence(notary, witnessing, stores.witnessed, self.keys, BASE, witnessed_by(()))
        database.follow(notary.committed)
        try:
            await evidence.open()
            yield stores, evidence
            if orderly:
                await evidence.close()
        finally:
            await database.close()

    async def work(self, count: int, *, orderly: bool = True) -> None:
        async with self.serving(orderly=orderly) as (stores, _):
            for number in range(count):
                await stores.audit.append(b"record %d" % number)

    async def examined(self) -> Examination:
        database = Database.open(self.url, exclusive=False)
        trees = open_stores(database, plain_seal, plain_unseal, self.clock).trees
        examiner = Examiner(trees, BASE, self.keys.audit_keys().values(), self.clock.at)
        for log in ((1, 1), (1, 2), (2, 1)):
            for witness in self.witnesses:
                for note in await witness.history(f"{BASE}/{log[0]}.{log[1]}"):
                    assert examiner.add(note.raw(), witness.id)
        found = await examiner.run(None, lambda *_: None)
        await database.close()
        return found

    def change(self, statement: str, *parameters: object) -> None:
        """What somebody does who can write to the database."""
        with sqlite3.connect(self.directory / "gateway.db") as connection:
            connection.execute(statement, parameters)


async def turn(stores: Stores, evidence: Evidence) -> None:
    """One checkpoint over everything that was recorded: the writer hands records on after it answered."""
    async with asyncio.timeout(10):
        while evidence.notary.size < await stores.trees.newest((1, 1)):  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.001)
    await evidence.notary.turn()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_was_recorded_is_signed_kept_and_witnessed(place: Place) -> None:
    async with place.serving() as (stores, evidence):
        for number in range(3):
            await stores.audit.append(b"%d" % number)
        place.clock.at += timedelta(seconds=1)
        await turn(stores, evidence)
        raw = await stores.trees.last_note((1, 1))
        assert raw is not None
        note = Note.parse(raw)
        checkpoint = Checkpoint.parse(note.text)
        rows = await stores.trees.rows((1, 1), 0, 9)
        assert checkpoint.size == 3
        assert checkpoint.at == place.clock.at
        assert checkpoint.root == root_of(leaf_hash(entry_of(at, body)) for _, at, body in rows)
        assert [head.log for head in checkpoint.heads] == [(1, 1)]
        assert any(key.signed(note) for key in verifiers(BASE, (1, 1), place.keys))
    (newest, *_) = await place.witnesses[0].history(f"{BASE}/1.1")
    assert tree_in(newest.text) == tree_in(note.text)
    assert (await place.examined()).whole


async def test_nothing_is_signed_twice_while_nothing_happens_but_a_heartbeat(place: Place) -> None:
    async with place.serving() as (stores, evidence):
        await stores.audit.append(b"x")
        await turn(stores, evidence)
        for _ in range(3):
            place.clock.at += timedelta(seconds=1)
            await turn(stores, evidence)
        assert len(await stores.trees.notes((1, 1))) == 1
        evidence.notary._cut -= 3_600  # an hour of a clock nobody sets
        await turn(stores, evidence)
        first, second = [Checkpoint.parse(Note.parse(raw).text) for _, raw in await stores.trees.notes((1, 1))]
        assert (second.size, second.root) == (first.size, first.root)
        assert second.at > first.at


async def test_what_a_process_that_died_left_is_covered_by_the_next(place: Place) -> None:
    await place.work(300, orderly=False)
    assert [one.covered for one in (await place.examined()).logs] == [0]
    await place.work(5)
    report = await place.examined()
    assert report.whole
    assert [(one.records, one.covered, one.witnessed) for one in report.logs] == [(305, 305, 305)]


async def test_the_log_of_commands_is_followed_too(place: Place) -> None:
    await place.work(2)
    async with beside(place.url) as (database, log):
        await open_stores(database, plain_seal, plain_unseal, place.clock, log).audit.append(b"a command")
    await place.work(1)
    report = await place.examined()
    assert report.whole
    assert {one.log: (one.records, one.covered) for one in report.logs} == {(1, 1): (3, 3), (2, 1): (1, 1)}


DEEDS: dict[str, Callable[[Place], None]] = {
    "the last record is gone": lambda place: place.change("DELETE FROM audit_log WHERE seq = 4"),
    "the whole log is gone": lambda place: place.change("DELETE FROM audit_log"),
    "the tree is another": lambda place: place.change("UPDATE audit_tree SET frontier = zeroblob(32)"),
    "the tree does not fit its size": lambda place: place.change("UPDATE audit_tree SET size = 3"),
    "the checkpoint is forged": lambda place: place.change("UPDATE audit_checkpoint SET note = substr(note, 1, 40)"),
    "the checkpoints are gone": lambda place: place.change("DELETE FROM audit_checkpoint"),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_log_that_is_not_what_was_signed_is_not_served_from(place: Place, deed: str) -> None:
    await place.work(4)
    DEEDS[deed](place)
    with pytest.raises(
        StartError, match=r"audit log 1\.1: .*gateway audit verify.*gateway audit acknowledge"
    ) as caught:
        await place.work(1)
    assert caught.value.exit_code == 3


def put_back(directory: Path) -> None:
    for file in directory.glob("gateway.db*"):
        file.unlink()
    (directory / "old").rename(directory / "gateway.db")


async def test_a_database_that_was_set_back_is_not_served_from(place: Place, tmp_path: Path) -> None:
    await place.work(3)
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as now, closing(sqlite3.connect(tmp_path / "old")) as old:
        now.backup(old)
    await place.work(3)
    put_back(tmp_path)
    with pytest.raises(StartError, match=r"witness 'worm' saw 6 records in log 1\.1, here are 3"):
        await place.work(1)
    assert {finding.kind for finding in (await place.examined()).findings} == {"rollback"}


async def test_a_new_database_in_the_place_of_the_old_is_not_served_from(place: Place, tmp_path: Path) -> None:
    await place.work(3)
    (tmp_path / "gateway.db").unlink()
    upgrade(place.url)
    with pytest.raises(StartError, match=r"witness 'worm' saw 3 records in log 1\.1, here are 0"):
        await place.work(1)
    assert {finding.kind for finding in (await place.examined()).findings} == {"missing-log"}


async def test_a_loss_on_record_lets_care_go_on_and_stays_visible(place: Place) -> None:
    await place.work(4)
    DEEDS["the last record is gone"](place)
    record = encode(Record(kind="loss", at="x", request="r", reasons=("log 1.1",)))
    assert acknowledge(place.url, (1, 1), NOON, record) == 2
    await place.work(2)
    report = await place.examined()
    assert {finding.kind for finding in report.findings} == {"truncation"}
    assert {one.log: one.covered for one in report.logs} == {(1, 1): 4, (1, 2): 3}
    with pytest.raises(StartError, match="has ended already"):
        acknowledge(place.url, (1, 1), NOON, record)


class Silent:
    """A witness that is down."""

    id = "down"
    every = timedelta(0)

    async def history(self, origin: str) -> list[Note]:
        raise WitnessError("timeout")

    async def add(self, addition: Addition) -> Note:
        raise WitnessError("timeout")


async def test_a_witness_that_is_down_stops_no_care_and_gets_it_later(place: Place) -> None:
    worm = place.witnesses.pop()
    place.witnesses.append(Silent())
    async with place.serving() as (stores, evidence):
        assert await evidence.witnessing.check() == ["down"]
        await stores.audit.append(b"x")
    place.witnesses[:] = [worm]
    await place.work(1)
    assert tree_in((await worm.history(f"{BASE}/1.1"))[0].text)[1] == 2


@pytest.mark.slow
async def test_checkpoints_are_thinned_and_what_is_old_still_proves(place: Place) -> None:
    async with place.serving() as (stores, evidence):
        for _ in range(200):
            await stores.audit.append(b"x")
            place.clock.at += timedelta(seconds=30)
            await turn(stores, evidence)
        before = len(await stores.trees.notes((1, 1)))
        dropped = await stores.trees.thin(place.clock.at)
        left = [at for at, _ in await stores.trees.notes((1, 1))]
        old = [at for at in left if at <= to_micros(place.clock.at - timedelta(minutes=10))]
        assert 85 <= dropped == before - len(left)
        assert len({at // 60_000_000 for at in old}) == len(old) >= 89
        assert await stores.trees.thin(place.clock.at) == 0
    assert (await place.examined()).whole
