"""The database goes away while records are written: nothing acknowledged is lost, nothing is acknowledged twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.errors import Unavailable
from gateway.storage import Database, open_stores, upgrade
from tests.contract.postgres import Server, server
from tests.fakes import FixedClock, plain_seal, plain_unseal

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]

WRITE = """
import asyncio, os, sys
from gateway.storage import Database, open_stores
from tests.fakes import FixedClock, plain_seal, plain_unseal

async def main():
    database = Database.open(sys.argv[1])
    stores = open_stores(database, plain_seal, plain_unseal, FixedClock())
    async def write(name):
        for number in range(1_000_000):
            body = b"%d-%d-%d" % (os.getpid(), name, number)
            seq = await stores.audit.append(body)
            os.write(1, b"%d %d %d %s\\n" % (*database.log, seq, body))
    await asyncio.gather(*(write(name) for name in range(16)))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that may be stopped."""
    with server() as started:
        yield started


@pytest.fixture
def url(own_server: Server) -> str:
    url = own_server.new_database()
    upgrade(url)
    return url


async def kept(url: str) -> dict[tuple[int, int, int], bytes]:
    database = Database.open(url, exclusive=False)
    rows = await database.rows("SELECT log, epoch, seq, body FROM audit_log ORDER BY log, epoch, seq")
    await database.close()
    for log in {row[:2] for row in rows}:
        seqs = [row[2] for row in rows if row[:2] == log]
        assert seqs == list(range(1, len(seqs) + 1)), f"{log} has a gap"
    return {(log, epoch, seq): body for log, epoch, seq, body in rows}


@pytest.mark.proof
async def test_kill_under_load_loses_no_acknowledged_record(url: str) -> None:
    acknowledged: dict[tuple[int, int, int], bytes] = {}
    moment = random.Random(7)
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", WRITE, url], stdout=subprocess.PIPE, cwd=ROOT) as process:  # noqa: ASYNC220 - it is killed
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(moment.uniform(0, 0.15))  # noqa: ASYNC251 - nothing else runs in this loop
            process.kill()
            for line in (first + process.stdout.read()).splitlines(keepends=True):
                if line.endswith(b"\n"):
                    log, epoch, seq, body = line.split()
                    place = (int(log), int(epoch), int(seq))
                    assert place not in acknowledged
                    acknowledged[place] = body
    assert len(acknowledged) > 100
    assert acknowledged.items() <= (await kept(url)).items()


async def test_a_restart_of_the_server_is_survived(url: str, own_server: Server) -> None:
    database = Database.open(url)
    stores = open_stores(database, plain_seal, plain_unseal, FixedClock())
    acknowledged: dict[int, bytes] = {}
    refused = 0
    ended = asyncio.Event()

    async def write(name: int) -> None:
        nonlocal refused
        number = 0
        while not ended.is_set():
            number += 1
            body = b"%d-%d" % (name, number)
            try:
                seq = await stores.audit.append(body)
            except Unavailable:
                refused += 1
                await asyncio.sleep(0.02)
            else:
                assert seq not in acknowledged
                acknowledged[seq] = body

    writers = [asyncio.create_task(write(name)) for name in range(8)]
    await asyncio.sleep(0.2)
    await asyncio.to_thread(own_server.stop)
    with pytest.raises(Unavailable):
        await database.row("SELECT 1")
    await asyncio.sleep(0.1)
    assert not database.healthy()
    before = len(acknowledged)
    await asyncio.to_thread(own_server.start)
    for _ in range(500):
        if database.healthy() and len(acknowledged) > before + 20:
            break
        await asyncio.sleep(0.02)
    ended.set()
    await asyncio.gather(*writers)
    assert database.healthy()
    assert await database.row("SELECT 1") == (1,)
    assert refused
    assert before > 0
    assert len(acknowledged) > before
    found = {seq: body for (_, _, seq), body in (await kept(url)).items()}
    assert acknowledged.items() <= found.items()
    assert len(set(found.values())) == len(found)
    await database.close()


# What makes the server refuse to write, and what lets it write again. `refuse` raises as the server itself would.
_REFUSE = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$; "
    "CREATE TRIGGER refuse BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse()"
)
_LIFT = "DROP TRIGGER refuse ON audit_log; DROP FUNCTION refuse"
FAULTS = {
    "full disk": (_REFUSE.format(body="RAISE EXCEPTION 'no space left' USING ERRCODE = '53100';"), _LIFT),
    "failing fsync": (_REFUSE.format(body="RAISE EXCEPTION 'could not fsync' USING ERRCODE = '58030';"), _LIFT),
    "out of time": (_REFUSE.format(body="RAISE EXCEPTION 'canceled' USING ERRCODE = '57014';"), _LIFT),
    "read only": ("{alter} SET default_transaction_read_only = on; {end}", "BEGIN READ WRITE; {alter} RESET default_transaction_read_only; COMMIT; {end}"),
    "connections ended": ("{end}", "SELECT 1"),
}  # fmt: skip


async def test_132_148_a_server_that_cannot_write_shows_nothing_and_loses_nothing(url: str, own_server: Server) -> None:
    """Full disk, failing fsync, time out, read-only, cut off: refused while it lasts, and everything acknowledged is kept."""
    name = urlsplit(url).path.lstrip("/")
    words = {
        "alter": f"ALTER DATABASE {name}",
        "end": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()",
    }
    database = Database.open(url)
    stores = open_stores(database, plain_seal, plain_unseal, FixedClock())
    acknowledged: dict[int, bytes] = {}
    codes: set[str] = set()

    async def write(body: bytes) -> bool:
        try:
            seq = await stores.audit.append(body)
        except Unavailable as error:
            codes.add(error.code)
            return False
        assert seq not in acknowledged
        acknowledged[seq] = body
        return True

    for fault, (begin, lift) in FAULTS.items():
        assert await write(b"before " + fault.encode()), fault
        await asyncio.to_thread(own_server.run, begin.format(**words) if "$$" not in begin else begin, name)
        tried = await asyncio.gather(*(write(b"%d in " % number + fault.encode()) for number in range(20)))
        if fault != "connections ended":  # there the next connection may go on at once
            assert not any(tried), fault
        await asyncio.to_thread(own_server.run, lift.format(**words), name)
        for _ in range(500):
            if await write(b"after " + fault.encode()):
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError(fault)
    found = {seq: body for (_, _, seq), body in (await kept(url)).items()}
    assert acknowledged.items() <= found.items()
    assert codes == {"audit-unavailable"}
    await database.close()


async def test_a_server_that_came_back_is_found_without_a_request(url: str, own_server: Server) -> None:
    database = Database.open(url)
    await asyncio.to_thread(own_server.stop)
    with pytest.raises(Unavailable):
        await database.append(database.log, 0, b"x")
    with pytest.raises(Unavailable):
        await database.write(lambda cursor: cursor.execute("SELECT 1") and None)
    assert not database.healthy()
    await asyncio.to_thread(own_server.start)
    for _ in range(500):
        if database.healthy():
            break
        await asyncio.sleep(0.02)
    assert database.healthy()
    await database.close()


class Proxy:
    """A door to the server that can be shut in the middle of a sentence."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._left: int | None = None  # bytes that still pass, None = all
        self._on_commit = False

    def cut_answer_to_commit(self) -> None:
        self._on_commit = True

    def cut_after(self, count: int) -> None:
        self._left = count

    def mend(self) -> None:
        self._left, self._on_commit = None, False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, sink = await asyncio.open_unix_connection(f"{self._server}/.s.PGSQL.5432")
        mute = asyncio.Event()
        answering = asyncio.create_task(self._answer(upstream, writer, mute))
        while data := await reader.read(65_536):
            if self._on_commit and b"COMMIT" in data:
                mute.set()
            passing = data if self._left is None else data[: self._left]
            if self._left is not None:
                self._left -= len(passing)
            sink.write(passing)
            if mute.is_set() or len(passing) < len(data):
                await asyncio.sleep(0.1)  # what passed has arrived
                break
        sink.close()
        writer.close()
        await answering

    async def _answer(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event) -> None:
        while data := await upstream.read(65_536):
            if not mute.is_set():
                writer.write(data)
        writer.close()


@pytest.fixture
async def proxied(url: str, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Database]]:
    directory = url.rpartition("host=")[2]
    proxy = Proxy(directory)
    door = await asyncio.start_unix_server(proxy, tmp_path / ".s.PGSQL.5432")
    database = await asyncio.to_thread(Database.open, url.replace(directory, str(tmp_path)))
    yield proxy, database
    proxy.mend()
    await database.close()
    door.close()


async def test_an_answer_to_commit_that_is_lost_is_no_acknowledgment(url: str, proxied: tuple[Proxy, Database]) -> None:
    """The commit reaches the server, its answer never comes back: the caller is told that nobody knows."""
    proxy, database = proxied
    assert await database.append(database.log, 0, b"first") == 1
    proxy.cut_answer_to_commit()
    with pytest.raises(Unavailable) as raised:
        await database.append(database.log, 0, b"unknown")
    assert raised.value.code == "audit-unavailable"
    proxy.mend()
    assert await database.append(database.log, 0, b"next") == 3  # the unknown one was written, and has its number
    assert list((await kept(url)).values()) == [b"first", b"unknown", b"next"]


async def test_a_connection_cut_at_any_byte_loses_nothing_acknowledged(
    url: str, proxied: tuple[Proxy, Database]
) -> None:
    proxy, database = proxied
    acknowledged: dict[int, bytes] = {}
    for count in range(0, 700, 35):
        body = b"cut at %d" % count
        proxy.cut_after(count)
        outcomes = await asyncio.gather(
            *(database.append(database.log, 0, body + b"/%d" % one) for one in range(3)), return_exceptions=True
        )
        proxy.mend()
        outcomes.append(await database.append(database.log, 0, body + b"/3"))
        for one, outcome in enumerate(outcomes):
            if isinstance(outcome, int):
                assert outcome not in acknowledged
                acknowledged[outcome] = body + b"/%d" % one
            else:
                assert isinstance(outcome, Unavailable)
    found = {seq: body for (_, _, seq), body in (await kept(url)).items()}
    assert acknowledged.items() <= found.items()
    assert len(set(found.values())) == len(found)
    assert len(acknowledged) >= 20
