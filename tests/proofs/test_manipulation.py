"""Whoever lays hands on records that a witness saw is found out and the deed is named; who does not is never accused."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from gateway.audit.checkpoints import Log
from gateway.audit.growing import GrowingTree
from gateway.audit.merkle import entry_of as entry
from gateway.audit.merkle import leaf_hash
from tests.fakes import FixedClock
from tests.gateway.audit.ledger import KEY, OTHER, Keys, Ledger, Row, Seen

pytestmark = [pytest.mark.proof, pytest.mark.anyio, pytest.mark.timeout(3600)]

OWN: Log = (1, 1)
COMMANDS: Log = (2, 1)


async def a_ledger(chance: random.Random, *, witnesses: int = 1) -> Ledger:
    """A gateway that has been at work for a while; a witness follows all of it."""
    ledger = Ledger(witnesses=[Seen(f"w{number}") for number in range(1, witnesses + 1)])
    for _ in range(chance.randrange(2, 6)):
        await work(ledger, chance)
        await ledger.checkpoint()
    return ledger


async def work(ledger: Ledger, chance: random.Random, most: int = 180) -> None:
    count = chance.randrange(1, most)
    await ledger.append([chance.randbytes(chance.randrange(1, 40)) for _ in range(count)])
    if chance.random() < 0.5 or COMMANDS not in ledger.shelf.records:
        await ledger.append([chance.randbytes(12)], COMMANDS)


def numbered(ledger: Ledger, rows: list[Row]) -> None:
    ledger.shelf.records[OWN] = [(number, at, body) for number, (_, at, body) in enumerate(rows, 1)]


async def made_anew(ledger: Ledger, log: Log = OWN) -> None:
    """Hashes of the records as they are now, by somebody who knows how."""
    tree = GrowingTree(log)
    tree.add(leaf_hash(entry(at, body)) for _, at, body in ledger.shelf.records[log])
    ledger.shelf.kept_tiles[log] = {}
    await ledger.shelf.keep([tree.growth()], [])


# --- each does something to a log, and says under which names it may be found -----------------------


async def edit(ledger: Ledger, chance: random.Random) -> set[str]:
    rows = ledger.shelf.records[OWN]
    place = chance.randrange(len(rows))
    number, at, body = rows[place]
    position = chance.randrange(len(body) + 8)
    if position < len(body):
        rows[place] = (number, at, bytes(b ^ (i == position) for i, b in enumerate(body)))
    else:
        rows[place] = (number, at + 1, body)
    if chance.random() < 0.3:
        await made_anew(ledger)
        return {"rewrite"}
    return {"edit"}


async def delete(ledger: Ledger, chance: random.Random) -> set[str]:
    rows = ledger.shelf.records[OWN]
    first = chance.randrange(len(rows))
    last = min(len(rows), first + chance.choice((1, 1, 1, 2, 50)))
    expected = "truncation" if last == len(rows) else "deletion"
    del rows[first:last]
    if chance.random() < 0.5:
        numbered(ledger, rows)
    return {expected}


async def insert(ledger: Ledger, chance: random.Random) -> set[str]:
    rows = ledger.shelf.records[OWN]
    rows.insert(chance.randrange(len(rows)), (0, rows[0][1], b"never happened"))
    numbered(ledger, rows)
    return {"insertion"}


async def swap(ledger: Ledger, chance: random.Random) -> set[str]:
    rows = ledger.shelf.records[OWN]
    one, two = chance.sample(range(len(rows)), 2)
    rows[one], rows[two] = rows[two], rows[one]
    numbered(ledger, rows)
    return {"reordering"}


async def truncate(ledger: Ledger, chance: random.Random) -> set[str]:
    rows = ledger.shelf.records[OWN]
    del rows[chance.randrange(len(rows)) :]
    if chance.random() < 0.5:
        await made_anew(ledger)
    return {"truncation"} if rows else {"truncation", "missing-log"}


async def rewrite(ledger: Ledger, chance: random.Random) -> set[str]:
    """With the key: new hashes and new checkpoints, all of them signed."""
    rows = ledger.shelf.records[OWN]
    place = chance.randrange(len(rows))
    rows[place] = (*rows[place][:2], b"what should have happened")
    await made_anew(ledger)
    for log in (OWN, COMMANDS):
        ledger.shelf.kept_notes[log] = []
    ledger.notary = ledger.appointed()
    await ledger.notary._follow_others()
    await ledger.notary._tree(OWN)
    await ledger.notary.cut(ledger.clock.at, 0)
    return {"rewrite"}


async def roll_back(ledger: Ledger, chance: random.Random) -> set[str]:
    """An older copy of the whole database in its place."""
    old = copy.deepcopy(ledger.shelf)
    await work(ledger, chance)
    await ledger.checkpoint()
    ledger.shelf = old
    return {"rollback"}


async def fork(ledger: Ledger, chance: random.Random) -> set[str]:
    """Two histories from one point, each shown to one witness."""
    one, two = ledger.witnesses
    other = ledger.fork()
    same = chance.randrange(1, 100)
    for side, witness, mark in ((ledger, one, b"a"), (other, two, b"b")):
        await side.append([mark + chance.randbytes(8) for _ in range(same)])
        await side.checkpoint(witness)
        if chance.random() < 0.5:
            await work(side, chance)
            await side.checkpoint(witness)
    if chance.random() < 0.5:
        ledger.shelf = other.shelf
    return {"fork"}


async def drop(ledger: Ledger, chance: random.Random) -> set[str]:
    log = chance.choice((OWN, COMMANDS))
    for held in (ledger.shelf.records, ledger.shelf.trees, ledger.shelf.kept_tiles, ledger.shelf.kept_notes):
        held.pop(log, None)
    return {"missing-log"}


DEEDS: dict[str, Callable[[Ledger, random.Random], Awaitable[set[str]]]] = {
    "edit": edit,
    "delete": delete,
    "insert": insert,
    "swap": swap,
    "truncate": truncate,
    "rewrite with the key": rewrite,
    "roll back to a backup": roll_back,
    "two forks shown to two witnesses": fork,
    "drop a whole log": drop,
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_135_to_138_every_manipulation_is_found_and_named(deed: str, scale: int) -> None:
    chance = random.Random(f"135 {deed}")
    total = 80 if scale == 1 else 10_000 // len(DEEDS) + 1
    found: Counter[str] = Counter()
    for number in range(total):
        ledger = await a_ledger(chance, witnesses=2 if deed.startswith("two forks") else 1)
        expected = await DEEDS[deed](ledger, chance)
        report = await ledger.examined()
        kinds = {finding.kind for finding in report.findings}
        assert kinds & expected, (number, expected, report.findings)
        found.update(kinds & expected)
    assert sum(found.values()) >= total


async def test_an_edit_is_named_by_its_number(scale: int) -> None:
    chance = random.Random(135)
    for _ in range(60 * scale):
        ledger = await a_ledger(chance)
        rows = ledger.shelf.records[OWN]
        places = sorted(chance.sample(range(len(rows)), min(len(rows), chance.randrange(1, 4))))
        for place in places:
            rows[place] = (*rows[place][:2], b"edited %d" % place)
        numbers = {
            number
            for finding in (await ledger.examined()).findings
            for number in range(finding.first, finding.last + 1)
        }
        assert numbers == {place + 1 for place in places}


async def test_a_log_nobody_touched_is_never_accused(scale: int) -> None:
    chance = random.Random(136)
    for number in range(700 if scale == 1 else 10_000):
        ledger = await a_ledger(chance, witnesses=chance.randrange(1, 3))
        if chance.random() < 0.3:  # a crash: what is recorded last is in no checkpoint yet
            await work(ledger, chance)
        if chance.random() < 0.3:  # and the process after it goes on
            ledger.notary = ledger.appointed()
            await ledger.notary.open()
            await work(ledger, chance)
            await ledger.checkpoint()
        if chance.random() < 0.2:
            ledger.keys = Keys(KEY, OTHER)
            ledger.notary.signer = ledger.keys
            await work(ledger, chance)
            await ledger.checkpoint(Seen("new"))
        if chance.random() < 0.2:  # a slot that was taken over
            await ledger.append([b"new epoch"], (1, 2))
            await ledger.checkpoint(Seen("new"))
        if chance.random() < 0.2:  # years later
            ledger.clock = FixedClock(ledger.clock.at + timedelta(days=3_000))
            rows = ledger.shelf.records[OWN]
            first, last = sorted(chance.sample(range(1, max(3, len(rows) // 2)), 2))
            if last <= ledger.shelf.trees[OWN][0]:
                ledger.shelf.records[OWN] = [row for row in rows if not first <= row[0] <= last]
                ledger.shelf.gone[OWN] = [(first, last)]
        report = await ledger.examined()
        assert not report.findings, (number, report.findings)
        assert not ledger.objections, number
