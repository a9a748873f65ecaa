from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.running import Demo, listens, running


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One region for all tests of this folder; it ends by Ctrl-C and leaves nothing behind."""
    temporary = tmp_path_factory.mktemp("demo")
    with running(temporary) as found:
        ports = found.process.ports()
        assert len(ports) >= 6  # the gateway, the feed, and four organizations that are asked
        assert list(temporary.iterdir())
        yield found
        exit_code, rest = found.process.stop()
        said = found.process.said()
    assert (exit_code, rest) == (0, b"")
    assert "Traceback" not in said
    assert [person["bsn"] for person in found.said["patients"] if person["bsn"] and person["bsn"] in said] == []
    assert list(temporary.iterdir()) == []
    assert [port for port in ports if listens(port)] == []
