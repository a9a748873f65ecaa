"""The log of a world, to be asked: every record in memory, judged one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.audit.record import Record, decode
from gateway.logged import AuditQuery, Logged, RecordId
from gateway.metrics import Metrics
from gateway.routes.fhir import FhirApp
from tests.fakes import MemoryAudit
from tests.gateway.world import World


class MemoryQueries:
    """What `AuditQueries` promises, true to it and slow."""

    def __init__(self, audit: MemoryAudit) -> None:
        self._audit = audit
        self.asked: list[AuditQuery] = []

    async def find(self, query: AuditQuery, limit: int, after: str = "") -> tuple[list[Logged], str]:
        self.asked.append(query)
        newest_first = [one for one in reversed(self._logged()) if not after or str(one.id.sequence) != after]
        if after:
            newest_first = [one for one in newest_first if one.id.sequence < int(after)]
        found = [one for one in newest_first if _within(one, query)]
        return found[:limit], str(found[limit - 1].id.sequence) if len(found) > limit else ""

    async def get(self, record: RecordId) -> Logged | None:
        return next((one for one in self._logged() if one.id == record), None)

    def _logged(self) -> list[Logged]:
        return [
            Logged(RecordId(1, 1, number), datetime.fromisoformat(decode(raw).at), raw)
            for number, raw in enumerate(self._audit.records, 1)
        ]


def _within(one: Logged, query: AuditQuery) -> bool:
    record = decode(one.body)
    custodians = {asked.custodian for asked in record.custodians}
    parties = {record.organization} | custodians
    agents = {text.rpartition("|")[2] for text in (record.person, record.responsible, record.client) if text}
    return (
        query.start <= one.at < query.end
        and (not query.patients or record.patient in query.patients)
        and (not query.parties or record.organization in query.parties or bool(custodians & set(query.parties)))
        and (not query.organization or query.organization in parties)
        and (not query.requester or query.requester == record.organization)
        and (not query.custodian or query.custodian in custodians)
        and (not query.agent or query.agent in agents)
        and (not query.actions or record.action in query.actions)
        and (not query.kinds or record.kind in query.kinds)
        and (not query.purposes or record.purpose in query.purposes)
        and (not query.policy or record.policy == query.policy)
        and (not query.site or query.site in {asked.source for asked in record.custodians})
        and (not query.request or record.request == query.request)
    )


class LogWorld(World):
    """A world whose log can be asked."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.queries = MemoryQueries(self.audit)
        self.ports = replace(self.ports, queries=self.queries)
        self.app = FhirApp(self.ports, Metrics())

    @property
    def numbered(self) -> list[tuple[str, Record]]:
        """Every record with its id."""
        return [(f"1.1.{number}", record) for number, record in enumerate(self.records, 1)]
