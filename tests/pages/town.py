"""A small region behind the real pages: the line over an outside world in memory, the provider of the demo, on loopback ports."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from gateway.audit.record import Record, decode
from gateway.demo.hosting import Hosted
from gateway.demo.identity_provider import IdentityProvider, Someone
from gateway.oauth.registered import ClientKeys
from gateway.routes.web import application
from tests.gateway.charts import (
    BIRTH,
    BSN,
    CHARTS,
    LOINC,
    Json,
    allergy,
    coded,
    condition,
    directive,
    flag,
    medication,
    observation,
    person,
)
from tests.gateway.world import CENTER, GP, HOSPITAL, POST, SETTINGS, World

_TRUSTED: Final = ssl.create_default_context()
PATIENT_NAME: Final = "Ada Jansen"
DO_NOT: Final = coded("89666000", "Reanimeren")
# The person of the thirty-second task: not to be resuscitated, two allergies, a blood thinner; and measurements.
THIRTY: Final[dict[str, list[Json]]] = {
    "gp": [
        person("g1"), allergy("a1", "g1"), medication("m1", "g1", medicationCodeableConcept=coded("698090000", "Apixaban 5 mg")),
        directive("d1", "g1", scope=coded("treatment", system="http://terminology.hl7.org/CodeSystem/consentscope"),
                  dateTime="2026-01-10", provision={"type": "deny", "code": [DO_NOT]}),
        condition("c1", "g1"),
        observation("o1", "g1"), observation("o2", "g1", effectiveDateTime="2026-02-20", valueQuantity={
            "value": 88, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}),
        {"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": {"reference": "Patient/g1"},
         "class": {"code": "AMB", "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode"},
         "period": {"start": "2026-03-01T20:00:00+01:00", "end": "2026-03-01T20:20:00+01:00"},
         "reasonCode": [{"text": "Pijn op de borst"}]},
    ],
    "hospital": [
        person("h1"), allergy("a2", "h1", code=coded("300916003", "Latex"), criticality="low"), flag("f1", "h1"),
        {**observation("l1", "h1", kind="laboratory"), "code": coded("718-7", "Hemoglobine", LOINC)},
    ],
    "mental": CHARTS["mental"],
}  # fmt: skip

AGREEMENTS: Final = [
    {**SETTINGS["agreements"][0], "patient_asked": True, "emergency": "absent_only",
     "purposes": ["behandeling", "triage-coordinatie", "spoed-noodtoegang"]},
    SETTINGS["agreements"][1],
]  # fmt: skip
SCOPES: Final = ["system/*.rs", "system/Task.crus", "system/Consent.crus"]
PEOPLE: Final = (
    Someone("coordinator", "uzi|900000003", "Co Ordinator", CENTER, ("zorgcoordinator",)),
    Someone("colleague", "uzi|900000004", "Col Lega", CENTER, ("zorgcoordinator",)),
    Someone("physician", "uzi|900000001", "A. de Vries", POST, ("01.015",)),
    Someone("both", "uzi|900000005", "Tw E. Rollen", CENTER, ("zorgcoordinator", "triagist")),
    Someone("nobody", "uzi|900000006", "Nie Mand", CENTER, ("03.000",)),
    Someone("stranger", "uzi|900000007", "Vreem Deling", "99999999", ("zorgcoordinator",)),
)


@dataclass
class Town:
    """The region while it serves."""

    world: World
    base: str
    provider: str
    loop: asyncio.AbstractEventLoop = field(repr=False)
    idp: IdentityProvider = field(repr=False)
    web: Any = field(repr=False)

    def do(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Something inside the serving loop."""

        async def inside() -> Any:
            return await work()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(20)

    @property
    def records(self) -> list[Record]:
        return [decode(raw) for raw in self.world.audit.records]

    def since(self, number: int) -> list[Record]:
        """What was put on the record after so many records."""
        return self.records[number:]

    def calm(self) -> None:
        """Every source answers again, and nobody has a case."""
        self.calm_sources()
        self.world.cases.kept.clear()

    def calm_sources(self) -> None:
        """Every source answers again."""
        for name, chart in self.world.charts.items():
            chart.fails, chart.seconds, chart.lies, chart.body, chart.raises = "", 0.0, False, None, None
            chart.fails_for = frozenset()
            chart.resources = list(THIRTY[name])
            chart.asked.clear()


@contextmanager
def town(directory: Path, *, charts: Mapping[str, list[Json]] = THIRTY, deadline: str = "1500ms") -> Iterator[Town]:
    """Serve a region for as long as the block lasts."""
    door, login = _ports()
    clients = [
        {"id": f"pages-{ura}", "organization": ura, "issuer": login.base, "scopes": SCOPES, "roles": list(roles), "purposes": list(why)}
        for ura, roles, why in (
            (CENTER, ("zorgcoordinator", "triagist"), ("triage-coordinatie",)),
            (POST, ("01.015",), ("behandeling", "spoed-noodtoegang")),
        )
    ]  # fmt: skip
    world = World(charts=charts, permits=(GP, HOSPITAL), known_at=(GP, HOSPITAL), settings={
        "gateway": {**SETTINGS["gateway"], "base": door.base, "deadline": deadline, "demo": True},
        "agreements": AGREEMENTS, "clients": clients,
        "login": {"issuer": login.base, "first_look": "150ms",
                  "assurance": {"http://eidas.europa.eu/LoA/substantial": "substantial"}},
    })  # fmt: skip
    idp = IdentityProvider(login.base, f"{door.base}/pages/callback", PEOPLE, world.clock)
    web = application(world.ports, ClientKeys(directory))
    web.state.evidence = None
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    do(door.start(web))
    do(login.start(idp.application()))
    try:
        yield Town(world, door.base, login.base, loop, idp, web)
    finally:
        do(door.stop())
        do(login.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _ports() -> tuple[Hosted, Hosted]:
    return Hosted(), Hosted()


@dataclass
class Visitor:
    """A person with a browser that has no script: plain HTTP."""

    town: Town
    http: httpx2.Client

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.http.get(f"{self.town.base}{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, fields: dict[str, Any], *, csrf: str | None = None, **headers: str) -> httpx2.Response:
        token = self.csrf() if csrf is None else csrf
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(f"{self.town.base}{path}", data={"csrf": token, **fields}, headers=sent)

    def csrf(self) -> str:
        """The secret of a form of this session."""
        text = self.get("/pages/paper").text
        return text.partition('name="csrf" value="')[2].partition('"')[0]

    def log_in(self, who: str, *, level: str = "substantial", second: bool = True, to: str = "") -> httpx2.Response:
        """Go to the provider, say who one is, and come back."""
        asked = self.http.get(f"{self.town.base}/pages/login{f'?to={to}' if to else ''}")
        form = dict(asked.request.url.params)
        form |= {"person": who, "level": level, **({"second_factor": "yes"} if second else {})}
        return self.http.post(f"{self.town.provider}/authorize", data=form)

    def opens(self, bsn: str = BSN, born: str = BIRTH, **fields: str) -> httpx2.Response:
        """Open a case."""
        form = {
            "origin": "caller",
            "who": "J. Jansen, partner",
            "why": "benauwd",
            "bsn": bsn,
            "birthDate": born,
            **fields,
        }
        return self.post("/pages/cases/new", form)

    def looks(self, **fields: str) -> httpx2.Response:
        """Open a case, confirm who it is, and read the page."""
        asked = self.opens(**fields)
        assert asked.url.path.endswith("/person"), asked.text
        return self.post(asked.url.path, {})


@contextmanager
def visitor(served: Town, who: str = "", **more: Any) -> Iterator[Visitor]:
    """Somebody with a fresh browser, logged in when `who` is given."""
    with httpx2.Client(timeout=20, follow_redirects=True, verify=_TRUSTED) as http:
        made = Visitor(served, http)
        if who:
            made.log_in(who, **more)
        yield made


__all__ = ["BIRTH", "BSN", "THIRTY", "Town", "Visitor", "town", "visitor"]
