"""A killed process loses nothing it acknowledged."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.storage import Database, open_stores, upgrade
from tests.fakes import FixedClock, plain_seal, plain_unseal

WRITE = """
import asyncio, os, sys
from gateway.storage import Database, open_stores
from tests.fakes import FixedClock, plain_seal, plain_unseal

async def main():
    stores = open_stores(Database.open(sys.argv[1]), plain_seal, plain_unseal, FixedClock())
    async def write(name):
        for number in range(1_000_000):
            body = b"%d-%d-%d" % (os.getpid(), name, number)
            seq = await stores.audit.append(body)
            os.write(1, b"%d %s\\n" % (seq, body))
    await asyncio.gather(*(write(name) for name in range(16)))

asyncio.run(main())
"""
ROOT = Path(__file__).parents[3]


@pytest.mark.proof
def test_kill_under_load_loses_no_acknowledged_record(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    upgrade(url)
    acknowledged: dict[int, bytes] = {}
    moment = random.Random(7)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", WRITE, url], stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(moment.uniform(0, 0.15))
            process.kill()
            for line in (first + process.stdout.read()).splitlines(keepends=True):
                seq, _, body = line.rstrip(b"\n").partition(b" ")
                if line.endswith(b"\n"):
                    assert int(seq) not in acknowledged
                    acknowledged[int(seq)] = body
    assert len(acknowledged) > 200

    async def read() -> dict[int, bytes]:
        database = Database.open(url)
        stores = open_stores(database, plain_seal, plain_unseal, FixedClock())
        kept = {record.seq: record.body async for record in stores.audit.records()}
        await database.close()
        return kept

    kept = asyncio.run(read())
    assert list(kept) == list(range(1, len(kept) + 1))
    assert acknowledged.items() <= kept.items()
