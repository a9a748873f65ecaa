"""What a handshake tells of a certificate, also when it is not trusted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters.address import LOOPBACK, AddressPolicy
from gateway.sourcekit.reaching import Check, certified, own
from tests.attacks.certificates import Authority, Issued

pytestmark = [pytest.mark.anyio, pytest.mark.network]

HERE = AddressPolicy.of(LOOPBACK)


@asynccontextmanager
async def serving(issued: Issued) -> AsyncIterator[str]:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0, ssl=issued.server())
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/fhir"


async def checked(url: str, authority: Authority, addresses: AddressPolicy = HERE) -> Check:
    trusting = ssl.create_default_context(cafile=str(authority.file))
    return await certified(url, trusting, addresses, 5, datetime.now(UTC))


async def test_a_good_certificate_and_its_days(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(authority.issue("localhost", until=timedelta(days=90, hours=1))) as url:
        check = await checked(url, authority)
    assert check.state == "ok"
    assert "localhost, issued by Test authority, EC secp256r1" in check.text
    assert "90 days left" in check.text


async def test_one_that_ends_soon_is_noted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(authority.issue("localhost", until=timedelta(days=5))) as url:
        assert (await checked(url, authority)).state == "note"


async def test_one_that_ended_is_wrong_and_still_described(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ended = authority.issue("localhost", after=timedelta(days=-9), until=timedelta(days=-3))
    async with serving(ended) as url:
        check = await checked(url, authority)
    assert check.state == "wrong"
    assert "expired" in check.text
    assert "-3 days left" in check.text or "-4 days left" in check.text


async def test_another_host_or_authority_is_not_trusted(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    async with serving(authority.issue("elsewhere.example")) as url:
        assert (await checked(url, authority)).state == "wrong"
    async with serving(authority.issue("localhost")) as url:
        assert (await checked(url, stranger)).state == "wrong"


async def test_an_address_that_is_closed_is_not_connected_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(authority.issue("localhost")) as url:
        check = await checked(url, authority, AddressPolicy())
    assert (check.state, check.reached) == ("wrong", False)


async def test_no_tls_is_said(tmp_path: Path) -> None:
    assert (await checked("http://127.0.0.1:9/fhir", Authority(tmp_path))).state == "note"


async def test_the_own_certificate_is_looked_at(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue("gateway.example", until=timedelta(days=400))
    check = own("own certificate", str(issued.certificate), datetime.now(UTC))
    assert (check.state, "gateway.example" in check.text) == ("ok", True)
