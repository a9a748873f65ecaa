"""The worlds the contracts are run on: the fakes, and the stores on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from gateway.ports import AuditLog, Cases, ClientStore, Consents, Index, IssuedIds, Misses, ReplayStore
from gateway.pushed import Inbox
from gateway.settings import ClientTable
from gateway.storage import Database, Stores, open_stores, upgrade
from tests.contract.postgres import Server, empty, server
from tests.fakes import (
    FixedClock,
    MemoryAudit,
    MemoryCases,
    MemoryClients,
    MemoryConsents,
    MemoryInbox,
    MemoryIndex,
    MemoryIssued,
    MemoryMisses,
    MemoryReplay,
    plain_seal,
    plain_unseal,
)


class Clients(ClientStore, Protocol):
    """The port, and the command that fills it."""

    async def add(self, client: ClientTable) -> None: ...

    async def disable(self, client_id: str) -> bool: ...

    async def ids(self) -> frozenset[str]: ...


class RevisedConsents(Consents, Protocol):
    """The port, and the revision an episode rests on."""

    async def revision(self, patient: str) -> int: ...


@dataclass
class World:
    """The ports of one implementation, on one clock."""

    clock: FixedClock
    audit: AuditLog
    issued: IssuedIds
    replay: ReplayStore
    clients: Clients
    index: Index
    consents: RevisedConsents
    cases: Cases
    inbox: Inbox
    misses: Misses


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One server for the whole session."""
    with server() as started:
        yield started


@pytest.fixture(scope="module")
def postgresql_url(postgresql: Server) -> str:
    """An upgraded database for one test module."""
    url = postgresql.new_database()
    upgrade(url)
    return url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    clock = FixedClock()
    if request.param == "memory":
        audit, index = MemoryAudit(), MemoryIndex(clock)
        yield World(
            clock,
            audit,
            MemoryIssued(audit),
            MemoryReplay(),
            MemoryClients(),
            index,
            MemoryConsents(),
            MemoryCases(),
            MemoryInbox(index),
            MemoryMisses(),
        )
        return
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        empty(url)
    else:
        url = f"sqlite:///{tmp_path}/gateway.db"
        upgrade(url)
    database = Database.open(url)
    stores = open_stores(database, plain_seal, plain_unseal, clock)
    yield World(
        clock,
        stores.audit,
        stores.issued,
        stores.replay,
        stores.clients,
        stores.index,
        stores.consents,
        stores.cases,
        stores.inbox,
        stores.misses,
    )
    await database.close()


@dataclass
class Stored:
    """The stores of one engine, with what is beneath them."""

    url: str
    clock: FixedClock
    database: Database
    stores: Stores


@pytest.fixture(params=["sqlite", "postgresql"])
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stored]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        empty(url)
    else:
        url = f"sqlite:///{tmp_path}/gateway.db"
        upgrade(url)
    clock = FixedClock()
    database = Database.open(url)
    yield Stored(url, clock, database, open_stores(database, plain_seal, plain_unseal, clock))
    await database.close()
