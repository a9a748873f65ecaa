"""The simulated region: every organization on a loopback port of its own, started and stopped together."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from starlette.routing import Route

from gateway.clock import SystemClock
from gateway.demo import ambulance, configuration, mllp, nursing, registrations, transfer, v3_server
from gateway.demo.ambulance import Written
from gateway.demo.configuration import Client
from gateway.demo.context import AccessLog, AccessLogEntry, Door
from gateway.demo.facts import Person
from gateway.demo.fhir_server import FhirServer, Manner
from gateway.demo.hosting import Hosted
from gateway.demo.identity_provider import IdentityProvider
from gateway.demo.notices import NoticeDesk
from gateway.demo.oauth_server import TokenEndpoint
from gateway.demo.organizations import charts, records, region_tables
from gateway.demo.persons import persons, scenario_persons
from gateway.demo.registrations import Registration
from gateway.demo.v3_server import V3Server
from gateway.errors import StartError
from gateway.model import HELD_KINDS
from gateway.ports import Clock

SCENARIOS: Final = ("source-down", "no-consent", "duplicate-bsn")
_DOWN: Final = "hospital"  # the source that does not listen in scenario source-down


@dataclass(frozen=True, slots=True)
class Organization:
    """One organization that answers questions, seen from outside."""

    id: str
    ura: str
    server: FhirServer | V3Server
    hosted: Hosted

    @property
    def access_log(self) -> tuple[AccessLogEntry, ...]:
        """Who asked here, in order."""
        return tuple(self.server.log.entries)


class Region:
    """All organizations together: `async with Region(gateway_base, scenario) as region`.

    `directory` is where the clients' private keys are written; without it they live in a temporary
    directory that is removed at the end.
    """

    def __init__(
        self,
        gateway_base: str,
        scenario: str = "",
        *,
        directory: Path | None = None,
        clock: Clock | None = None,
        manners: Mapping[str, Manner] | None = None,
    ) -> None:
        """Read the persons and take the ports; nothing answers yet.

        Raises:
            StartError: an unknown scenario. Exit code 2.
        """
        if scenario and scenario not in SCENARIOS:
            message = f"unknown scenario '{scenario}'; known are: {', '.join(SCENARIOS)}"
            raise StartError(message, 2)
        self.scenario = scenario
        self.gateway_base = gateway_base
        self.clock: Clock = clock or SystemClock()
        self.started = self.clock.now()
        self.persons: tuple[Person, ...] = (*persons(self.started), *scenario_persons(scenario, self.started))
        self.organizations: dict[str, Organization] = {}
        self.notices: dict[str, NoticeDesk] = {}
        self.clients: tuple[Client, ...] = ()
        self._login: Hosted | None = None
        self._directory = directory
        self._temporary: Path | None = None
        self._manners = dict(manners or {})

    async def __aenter__(self) -> Self:
        """Start every organization."""
        if self._directory is None:
            self._directory = self._temporary = Path(tempfile.mkdtemp(prefix="roaz-demo-"))
        try:
            self.clients = configuration.new_clients(self._directory / "clients")
            for source, row in region_tables()["sources"].items():
                if row["kind"] not in HELD_KINDS:
                    await self._open(source, row)
            self._login = Hosted()
            back = f"{self.gateway_base}/pages/callback"
            provider = IdentityProvider(self.issuer, back, configuration.people(), self.clock)
            await self._login.start(provider.application())
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every organization and remove what was temporary."""
        await self._close()

    def settings_tree(self) -> dict[str, Any]:
        """The content of `region.toml` for the gateway in front of this region."""
        bases = {source: organization.server.base for source, organization in self.organizations.items()}
        bases |= {source: str(path) for source, path in self.inboxes.items()}
        tree = configuration.settings_tree(self.gateway_base, bases, self.clients, self.started.date(), self.issuer)
        desks = {one.ura: f"{one.hosted.base}/fhir" for one in self.organizations.values()}
        for row in tree["organizations"]:
            if row["ura"] in desks:
                row["notices"] = desks[row["ura"]]
        return tree

    @property
    def issuer(self) -> str:
        """Where people log in, once it answers."""
        return self._login.base if self._login else ""

    def index_entries(self) -> list[Registration]:
        """What the custodians register at the gateway's index."""
        return registrations.index_entries(self.persons, permitted=self.scenario != "no-consent")

    def consents(self) -> list[Registration]:
        """What the custodians recorded of their patients' wishes."""
        return registrations.consents(self.persons, self.started, permitted=self.scenario != "no-consent")

    async def push(self, mllp_address: str) -> list[str]:
        """Let the ambulance service send its messages; gives the acknowledged control ids.

        Raises:
            NotAcknowledgedError: the gateway did not take a message.
        """
        return await mllp.send(mllp_address, ambulance.messages(self.persons, self.started))

    @property
    def inboxes(self) -> dict[str, Path]:
        """Where each nursing home drops its files."""
        place = (self._directory or Path()) / "inbox"
        return {source: place / source for source, row in region_tables()["sources"].items() if row["kind"] == "inbox"}

    def drop(self) -> int:
        """Let the nursing homes drop their files; gives how many there are."""
        count = 0
        for source, path in self.inboxes.items():
            dropped = nursing.files(source, self.persons, self.started)
            nursing.drop(path, dropped)
            count += len(dropped)
        return count

    def documents(self) -> list[Written]:
        """The transfer documents the ambulance service posts."""
        return transfer.documents(self.persons)

    async def _open(self, source: str, row: dict[str, Any]) -> None:
        hosted = Hosted()
        door = Door(self.gateway_base, self.clock)
        endpoint = TokenEndpoint(f"{hosted.base}/oauth/token", row["client"], door) if "client" in row else None
        ura, log = region_tables()["organizations"][source]["ura"], AccessLog(source, door)
        server: FhirServer | V3Server
        if row["kind"] == "hl7v3":
            held, fails = charts(source, self.persons), frozenset(row.get("fails", ()))
            server = V3Server(f"{hosted.base}{v3_server.PATH}", ura, held, log, endpoint, fails)
        else:
            usual = Manner(float(row.get("delay", 0)), int(row.get("fail_every", 0)))
            manner = self._manners.get(source, usual)
            server = FhirServer(f"{hosted.base}/fhir", records(source, self.persons), log, manner, endpoint)
        self.organizations[source] = Organization(source, ura, server, hosted)
        if self.scenario == "source-down" and source == _DOWN:
            await hosted.stop()
            return
        desk = NoticeDesk(source, f"{hosted.base}/fhir/Communication", door)
        self.notices[source] = desk
        more = [Route("/fhir/Communication", desk.take, methods=["POST"])]
        more += [Route("/oauth/token", endpoint.answer, methods=["POST"])] if endpoint else []
        await hosted.start(server.application(*more))

    async def _close(self) -> None:
        hosts = [self._login, *(organization.hosted for organization in self.organizations.values())]
        await asyncio.gather(*(hosted.stop() for hosted in hosts if hosted is not None))
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
