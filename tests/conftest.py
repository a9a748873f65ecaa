"""What holds for every test: no network but loopback where a test says so, and in CI nothing is left out in silence."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts

LOOPBACK: Final = ["127.0.0.1", "::1"]
_MAY_CONNECT: Final = ("network", "slow", "proof")
_MUST_RUN: Final = ("browser", "chromium")  # words in the reason of a skip that CI does not accept

# How long an example takes says how busy the machine is; the first one of a clean clone also makes the table of characters.
settings.register_profile("roaz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("roaz")


@pytest.fixture
def anyio_backend() -> str:
    """The one event loop the gateway runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _network(request: pytest.FixtureRequest) -> Generator[None]:
    """Close the network; tests marked network, slow or proof may use loopback."""
    if any(request.node.get_closest_marker(mark) for mark in _MAY_CONNECT):
        socket_allow_hosts(LOOPBACK, allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)
    yield
    socket_allow_hosts(None)
    enable_socket()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test on real inputs or in a browser that is skipped has failed: nobody would notice otherwise."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = str(report.longrepr)
        if item.get_closest_marker("real_inputs") or any(word in reason.lower() for word in _MUST_RUN):
            report.outcome = "failed"
            report.longrepr = f"left out in CI: {reason}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a PostgreSQL server takes long: it has to be started."""
    for item in items:
        if "[" in item.name and "postgresql" in item.name.partition("[")[2]:
            item.add_marker(pytest.mark.slow)
