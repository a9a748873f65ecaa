from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.demo.stand import Asked, running


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def region_once(anyio_backend: str) -> AsyncIterator[Asked]:
    """One region for the tests of a module: starting it takes longer than asking it."""
    async with running() as asked:
        yield asked


@pytest.fixture
def asked(region_once: Asked) -> Asked:
    """The running region with empty access logs."""
    for organization in region_once.region.organizations.values():
        organization.server.log.entries.clear()
    return region_once
