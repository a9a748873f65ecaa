"""A FHIR server that holds third-party resources: the demo's server, with the searches those files come with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final

from gateway.clock import SystemClock
from gateway.demo.context import AccessLog, Door
from gateway.demo.elements import Json, Version
from gateway.demo.fhir_server import FhirServer, Manner
from gateway.demo.hosting import Hosted
from gateway.demo.search import Found, Pairs, Records

_MORE_TYPES: Final[dict[str, dict[str, dict[str, str]]]] = {
    "r4": {"ServiceRequest": {"patient": "subject", "status": "status"}},
    "stu3": {},
}
_MORE_INCLUDES: Final = {"DeviceUseStatement:device": "device", "Coverage:payor": "payor"}


class Shelf(Records):
    """The resources of one server, and which of them it gave to the gateway."""

    def __init__(self, version: Version, resources: Sequence[Json]) -> None:
        super().__init__(version, resources)
        known = self._rows
        self._rows = {
            **known,
            "parameters": {**known["parameters"], **_MORE_TYPES[version]},
            "includes": {**known["includes"], **_MORE_INCLUDES},
        }
        self.resources = list(resources)
        self.given: set[tuple[str, str]] = set()  # type and id

    def search(self, kind: str, pairs: Pairs) -> Found:
        """Search; `_revinclude=Provenance:target` brings what tells where a match came from."""
        back = [value for name, value in pairs if name == "_revinclude"]
        assert set(back) <= {"Provenance:target"}
        found = super().search(kind, [(name, value) for name, value in pairs if name != "_revinclude"])
        self.given.update((one["resourceType"], one["id"]) for one in found.matches)
        return Found(found.matches, (*found.includes, *back))

    def included(self, matches: Sequence[Json], includes: Sequence[str]) -> list[Json]:
        """What is sent along, in both directions."""
        forward = [include for include in includes if include != "Provenance:target"]
        found = super().included(matches, forward)
        if len(forward) < len(includes):
            named = {f"{one['resourceType']}/{one['id']}" for one in matches}
            found += [
                one
                for one in self.resources
                if one["resourceType"] == "Provenance"
                and any(target.get("reference") in named for target in one.get("target", ()))
            ]
        return found


class Servers:
    """FHIR servers on loopback ports, answering from a thread of their own while the test waits."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="third-party-servers", daemon=True)
        self._thread.start()
        self._hosted: dict[str, Hosted] = {}

    def reserve(self, source: str) -> str:
        """Take a port for a source and give its FHIR base URL."""
        self._hosted[source] = Hosted()
        return f"{self._hosted[source].base}/fhir"

    def start(self, source: str, shelf: Shelf, gateway_base: str) -> FhirServer:
        """Answer for a source; who asks is checked against the gateway's keys."""
        hosted = self._hosted[source]
        server = FhirServer(
            f"{hosted.base}/fhir", shelf, AccessLog(source, Door(gateway_base, SystemClock())), Manner()
        )
        self._run(hosted.start(server.application()))
        return server

    def close(self) -> None:
        """Stop them all."""
        for hosted in self._hosted.values():
            self._run(hosted.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, work: Any) -> None:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(20)
