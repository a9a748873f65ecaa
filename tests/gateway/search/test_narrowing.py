"""What of a search is sent on to a source: whatever it leaves out, the search would have left out as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import pytest

from gateway.fhir.search import Records, understand
from gateway.fhir.searching.narrowing import filters
from gateway.model import Failure, Json, Payload, SourceQuestion
from tests.gateway.charts import observation, person
from tests.gateway.search.world import NOW, item
from tests.gateway.world import Chart, Reply, World

DATES: Final = (
    "2012", "2012-12-31", "2013", "2013-01", "2013-01-14", "2013-01-14T00:30:00+02:00", "2013-01-14T10:00:00Z", "2013-01-16",
    "2013-02", "2014-06-30T23:59:59.5-11:00", "9999-12-31", "0001-01-01",
)  # fmt: skip
HELD: Final[dict[str, Json]] = {
    **{text: {"effectiveDateTime": text} for text in DATES},
    "period": {"effectivePeriod": {"start": "2013-01-10", "end": "2013-01-20"}},
    "begun": {"effectivePeriod": {"start": "2013-01-14"}},
    "ended": {"effectivePeriod": {"end": "2013-01-14"}},
    "none": {},
}


def test_what_a_search_finds_meets_every_filter_that_is_sent() -> None:
    records = Records([item("Observation", f"o{number}", held) for number, held in enumerate(HELD.values())], NOW)
    sent = 0
    for prefix, text in product(("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"), DATES):
        search = understand("Observation", [("date", prefix + text)])
        found = filters(search, [("date", prefix + text)])
        tests = [understand(type_, [(name, value)]) for type_, name, value in found]
        for one in records.items:
            if search.matches(one, records):
                assert all(test.matches(one, records) for test in tests), (prefix, text, one.resource, found)
        sent += bool(found)
    assert sent > 80


def test_only_dates_are_sent_written_anew_and_never_when_others_are_needed() -> None:
    def sent(*given: tuple[str, str]) -> list[str]:
        return [f"{name}={value}" for _, name, value in filters(understand("Observation", given), given)]

    assert sent(("date", "ge2026-03-01")) == ["date=ge2026-02-26"]
    assert sent(("date", "2026-03-01")) == ["date=ge2026-02-26", "date=le2026-03-03"]
    assert sent(("date", "ge2026-03-01"), ("date", "lt2026-04"), ("code", "8867-4")) == [
        "date=ge2026-02-26",
        "date=le2026-05-02",
    ]
    for given in (
        ("date", "2026-03-01,2026-05-01"), ("date", "ne2026"), ("date", "ap2026"), ("date:missing", "true"), ("code", "8867-4"),
    ):  # fmt: skip
        assert sent(given) == []
    for more in (
        ("_include", "Observation:encounter"),
        ("encounter.class", "IMP"),
        ("has-member:Observation.code", "1"),
        ("_has:Observation:has-member:code", "1"),
    ):
        assert sent(("date", "ge2026"), more) == [], "what it goes over must not be left out"


@dataclass
class Narrowing(Chart):
    """A source that leaves out what the filters it gets say."""

    sent: int = 0

    async def fetch(self, question: SourceQuestion) -> AsyncIterator[Payload | Failure]:
        whole = self.resources
        for type_, name, value in question.filters:
            test = understand(type_, [(name, value)])
            self.resources = [one for one in self.resources if one["resourceType"] != type_ or test.admits(one)]
        self.sent = len(self.resources)
        try:
            async for part in super().fetch(question):
                yield part
        finally:
            self.resources = whole


@pytest.mark.slow
def test_a_source_that_narrows_and_one_that_does_not_give_the_same() -> None:
    held = [observation(f"o{number}", "h1", effectiveDateTime=text) for number, text in enumerate(DATES)]
    charts: dict[str, list[Json]] = {"hospital": [person("h1"), *held], "gp": [], "mental": []}
    chart = Narrowing(charts["hospital"], name="hospital")
    plain, narrow = World(charts=charts), World(charts=charts, sources={"hospital": chart})

    def found(world: World, more: str) -> tuple[list[str], int, str]:
        reply: Reply = world.search("Observation", more=more)
        return [one["id"] for one in reply.items], reply.json["total"], reply.link("self").replace(world.patient, "p")

    for more in ("&date=2013-01", "&date=ge2013-01-14&date=lt2013-02", "&date=sa2013&_sort=date", "&date=le2013-01-14&_count=2",
                 "&date=eq2013-01-14&status=final", "&code=8867-4", "&date=ne2013", "&date=2013,2014"):  # fmt: skip
        assert found(narrow, more) == found(plain, more), more
    narrow.search("Observation", more="&date=ge2014")
    assert chart.sent < len(held), "it did leave something out"
    assert len(narrow.search("Observation").items) == len(held), "what was narrowed is not taken for the whole"
    assert chart.asked[-1].filters == ()
