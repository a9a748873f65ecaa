"""The contract of `Tallies` on every engine: sums beside the log are what a plain counting of the same records gives."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.audit.record import Record, encode
from gateway.audit.retention import Retention
from gateway.audit.tally import counted
from gateway.logged import Measure
from gateway.settings import Settings
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.audit_retention import AuditRetention
from gateway.storage.audit_tally import AuditTally
from tests.contract.conftest import Stored
from tests.contract.test_audit_lookup import a_record
from tests.contract.test_audit_trees import notary
from tests.fakes import NOON

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MEASURES: tuple[Measure, ...] = ("event", "refused", "agent", "source")
PARTIES = ("", "90000000", "90000001", "90000002", "90000003")
TODAY = NOON.date()


async def sums(stored: Stored, *parties: str, first: date = TODAY, last: date = TODAY) -> Counter[tuple[str, str]]:
    tally, found = AuditTally(stored.database), Counter[tuple[str, str]]()
    for measure in MEASURES:
        for one in await tally.tallies(parties, first, last, measure):
            found[measure, one.value] += one.count
    return found


def plainly(records: list[Record], *parties: str) -> Counter[tuple[str, str]]:
    every = [row for record in records for row in counted(record)]
    return Counter((measure, value) for party, measure, value in every if party in parties)


async def test_sums_are_those_of_a_plain_counting_also_when_made_again(stored: Stored) -> None:
    chance = random.Random(4)
    records = [a_record(chance, number) for number in range(400)]
    for one in records:
        await stored.stores.audit.append(encode(one))
    lookup = AuditLookup(stored.database)
    while await lookup.fill():
        pass
    for parties in [(one,) for one in PARTIES] + [("90000001", "")]:
        wanted = plainly(records, *parties)
        assert await sums(stored, *parties) == wanted, parties
        assert wanted or parties == ("",)
    tally, added = AuditTally(stored.database), plainly(records, "90000001")
    for measure in MEASURES:
        totals = await tally.totals(("90000001",), TODAY, TODAY, measure)
        assert dict(totals) == {value: count for (named, value), count in added.items() if named == measure}
        assert [count for _, count in totals] == sorted((count for _, count in totals), reverse=True)
    before = await sums(stored, *PARTIES)
    await lookup.rebuild()
    assert await sums(stored, *PARTIES) == before
    assert not await sums(stored, *PARTIES, first=TODAY + timedelta(1), last=TODAY + timedelta(9))
    assert not await sums(stored, *PARTIES, first=TODAY - timedelta(9), last=TODAY - timedelta(1))


async def test_what_is_retired_is_taken_away(stored: Stored) -> None:
    follows = await notary(stored)
    chance = random.Random(5)
    records = [a_record(chance, number) for number in range(20)]
    for one in records:
        await stored.stores.audit.append(encode(one))
    await follows.close()
    await AuditLookup(stored.database).fill()
    assert await sums(stored, *PARTIES) == plainly(records, *PARTIES)
    retention = AuditRetention(stored.stores.trees, stored.stores.audit, Retention(Settings()))
    assert await retention.retire(datetime(2034, 1, 1, tzinfo=UTC)) == 19, "the last record of a log stays"
    assert await sums(stored, *PARTIES) == plainly(records[-1:], *PARTIES)
