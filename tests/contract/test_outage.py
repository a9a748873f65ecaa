"""The database goes away while records are written: nothing acknowledged is lost, nothing is acknowledged twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


async def test_an_answer_to_commit_that_is_lost_is_no_acknowledgment(url: str, tmp_path: Path) -> None:
    """The commit reaches the server, its answer never comes back: the caller is told that nobody knows."""
    directory = url.rpartition("host=")[2]
    armed = False

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, sink = await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432")

        async def back() -> None:
            while data := await upstream.read(65_536):
                if not cut.is_set():
                    writer.write(data)
            writer.close()

        cut = asyncio.Event()
        answering = asyncio.create_task(back())
        while data := await reader.read(65_536):
            if armed and b"COMMIT" in data:
                cut.set()
            sink.write(data)
            if cut.is_set():
                await asyncio.sleep(0.1)  # the server has the commit
                break
        sink.close()
        writer.close()
        await answering

    proxy = await asyncio.start_unix_server(relay, tmp_path / ".s.PGSQL.5432")
    database = Database.open(url)  # leases through the real door
    await database.close()
    through = url.replace(directory, str(tmp_path))
    database = await asyncio.to_thread(Database.open, through)
    assert await database.append(database.log, 0, b"first") == 1
    armed = True
    with pytest.raises(Unavailable) as raised:
        await database.append(database.log, 0, b"unknown")
    assert raised.value.code == "audit-unavailable"
    armed = False
    assert await database.append(database.log, 0, b"next") == 3  # the unknown one was written, and has its number
    await database.close()
    assert list((await kept(url)).values()) == [b"first", b"unknown", b"next"]
    proxy.close()
