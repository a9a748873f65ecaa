"""The page of one patient: what it adds to `$summary` in the process, how large it is, and when a browser shows it."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from benchmarks.figures import Report
from tests.gateway.charts import Json, condition, medication, observation
from tests.pages.browsing import chromium
from tests.pages.town import THIRTY, Town, town, visitor

_SOURCES_MS: Final = 20
_OVER_MS: Final = 15
_PAINT_MS: Final = 300
_PAGE_KB: Final = 60


@dataclass(frozen=True, slots=True)
class Size:
    """How often it is asked."""

    rounds: int = 5
    calls: int = 20
    paints: int = 10


def quick() -> Size:
    """Just enough to see that it runs."""
    return Size(rounds=1, calls=2, paints=1)


def chart() -> dict[str, list[Json]]:
    """A long chart: 60 measurements, 30 problems, 20 medicines beside those of the thirty-second task."""
    more = [
        observation(f"x{n}", "g1", effectiveDateTime=f"2026-02-{n % 28 + 1:02d}T{n % 24:02d}:00:00+01:00")
        for n in range(60)
    ]
    more += [condition(f"y{n}", "g1", code={"text": f"Aandoening {n}"}) for n in range(30)]
    more += [medication(f"z{n}", "g1", medicationCodeableConcept={"text": f"Middel {n} 5 mg"}) for n in range(20)]
    return THIRTY | {"gp": [*THIRTY["gp"], *more]}


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Ask page and summary in turn; then let a browser show the page."""
    del profile
    report = Report("pages", {"sources": f"{_SOURCES_MS} ms", "rounds": size.rounds, "calls": size.calls})
    with town(directory, charts=chart()) as served, visitor(served, "coordinator") as person:
        page = str(person.looks(script="1").url)
        session = person.http.cookies["session"]
        _measured(report, served, page, session, size)
        for one in served.world.charts.values():
            one.seconds = _SOURCES_MS / 1000
        body = person.get(page.removeprefix(served.base)).content
        report.add("page, gzip", "kB", [len(gzip.compress(body)) / 1000], at_most=_PAGE_KB)
        if shutil.which("chromium"):
            report.add(
                "first contentful paint", "ms", _paints(served, page, session, size), digits=0, at_most=_PAINT_MS
            )
    return report


def _measured(report: Report, served: Town, page: str, session: str, size: Size) -> None:
    world = served.world
    token = next(
        token
        for token, found in served.web.state.sessions.find(session, world.clock.now()).tokens.values()
        if found.case
    )
    summary = f"Patient/{world.patient}/$summary"

    async def a_summary() -> None:
        answer = await world.send("GET", summary, None, headers={"authorization": f"Bearer {token}"})
        assert answer.status == 200, answer.body

    async def a_page() -> None:
        transport = httpx2.ASGITransport(served.web)
        async with httpx2.AsyncClient(transport=transport, base_url=served.base) as http:
            answer = await http.get(page, headers={"cookie": f"session={session}"})
        assert answer.status_code == 200, answer.text

    of_page, of_summary, over = [], [], []
    for _ in range(size.rounds):
        first, second = (_cpu(served, work, size.calls) for work in (a_page, a_summary))
        of_page.append(first)
        of_summary.append(second)
        over.append(first - second)
    report.add("CPU of a page", "ms", of_page)
    report.add("CPU of $summary", "ms", of_summary)
    report.add("page over $summary", "ms", over, at_most=_OVER_MS)


def _cpu(served: Town, work: Callable[[], Awaitable[None]], calls: int) -> float:
    """Milliseconds of processor for one call; one is made before, so that nothing is made for the first time."""
    served.do(work)
    began = time.process_time()
    for _ in range(calls):
        served.do(work)
    return (time.process_time() - began) * 1000 / calls


def _paints(served: Town, page: str, session: str, size: Size) -> list[float]:
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_cookies([{"name": "session", "value": session, "url": served.base}])
        window: Any = context.new_page()
        found = []
        for _ in range(size.paints + 1):
            window.goto(page)
            paint = "performance.getEntriesByName('first-contentful-paint')"
            window.wait_for_function(f"() => {paint}.length")
            found.append(float(window.evaluate(f"() => {paint}[0].startTime")))
        context.close()
    return found[1:]
