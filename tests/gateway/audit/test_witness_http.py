"""Two gateways that are each other's witness, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from gateway import serving
from gateway.adapters.address import LOOPBACK, AddressPolicy
from gateway.adapters.http import HttpClient
from gateway.adapters.witnesses import GatewayWitness, witnesses_of
from gateway.audit.checkpoints import tree_in
from gateway.audit.evidence import Evidence, keys_of, witness_key, witnessed_by
from gateway.audit.witness import Addition, WitnessError
from gateway.crypto.notes import WITNESS, Note, Verifier
from gateway.errors import StartError
from gateway.routes import witness
from gateway.settings import AuditTable, WitnessedTable, WitnessTable
from tests.gateway.audit.ledger import BASE, KEY, OTHER
from tests.gateway.audit.test_evidence import Place, turn

pytestmark = pytest.mark.anyio
ORIGIN = f"{BASE}/1.1"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def web(evidence: Evidence, place: Place) -> FastAPI:
    app = FastAPI()
    app.include_router(witness.router)
    app.state.evidence = evidence
    app.state.ports = SimpleNamespace(now=place.clock.now)
    return app


@asynccontextmanager
async def asking(evidence: Evidence, place: Place) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=web(evidence, place))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http


def places(directory: Path) -> tuple[Place, Place]:
    for name in ("ours", "theirs"):
        (directory / name).mkdir()
    ours, theirs = Place(directory / "ours"), Place(directory / "theirs")
    ours.witnesses.clear()
    theirs.witnesses.clear()
    return ours, theirs


async def test_what_is_published_can_be_checked_by_anybody(tmp_path: Path) -> None:
    ours, _ = places(tmp_path)
    async with ours.serving() as (stores, evidence), asking(evidence, ours) as http:
        assert (await http.get("/audit/checkpoint")).status_code == 404
        await stores.audit.append(b"x")
        await turn(stores, evidence)
        newest = await http.get("/audit/checkpoint")
        (key,) = (await http.get("/audit/keys")).text.splitlines()
        note = Note.parse(newest.content)
        assert Verifier(ORIGIN, Verifier.parse(key).public).signed(note)
        assert (await http.get("/audit/checkpoint/1.1")).content == newest.content
        assert [(await http.get(f"/audit/checkpoint/{wrong}")).status_code for wrong in ("9.9", "x", "1")] == [404] * 3


async def test_a_gateway_signs_for_another_what_only_grew(tmp_path: Path) -> None:
    ours, theirs = places(tmp_path)
    async with ours.serving() as (stores, evidence), theirs.serving() as (_, witnessing):
        witnessing.others = witnessed_by((WitnessedTable(BASE, (str(keys_of(BASE, ours.keys)[0]),)),))
        for number in range(3):
            await stores.audit.append(b"%d" % number)
        await turn(stores, evidence)
        raw = await stores.trees.last_note((1, 1))
        assert raw is not None
        addition = Addition(0, (), Note.parse(raw))
        async with asking(witnessing, theirs) as http:

            async def post(body: bytes) -> tuple[int, str, str]:
                answer = await http.post("/witness/add-checkpoint", content=body)
                return answer.status_code, answer.text, answer.headers["content-type"]

            assert (await http.get("/witness/checkpoints", params={"origin": ORIGIN})).status_code == 404
            status, line, _ = await post(addition.raw())
            assert status == 200
            assert line.startswith(f"— {BASE}/witness ")
            status, size, kind = await post(addition.raw())
            assert (status, size, kind) == (409, "3\n", "text/x.tlog.size")
            assert (await post(Addition(3, (), addition.note).raw()))[0] == 200, "the same again is no growth, but true"
            forged = Note(addition.note.text, (Verifier(ORIGIN, bytes(32)).sign(addition.note.text, OTHER.sign),))
            assert (await post(Addition(3, (), forged).raw()))[0] == 403
            elsewhere = addition.note.text.replace(BASE, "other.example/audit", 1)
            stranger = Note(
                elsewhere,
                (Verifier("other.example/audit/1.1", KEY.public_key().public_bytes_raw()).sign(elsewhere, KEY.sign),),
            )
            assert (await post(Addition(0, (), stranger).raw()))[0] == 404
            assert (await post(b"old x\n\n"))[0] == 400
            assert (await post(b"x" * 300_000))[0] == 413
            kept = (await http.get("/witness/checkpoints", params={"origin": ORIGIN})).content.split(b"\0")
        assert Note.parse(kept[0]).text == addition.note.text
        assert witness_key(BASE, theirs.keys).signed(Note.parse(kept[0]))


@pytest.mark.slow
@pytest.mark.network
async def test_gateways_witness_each_other_over_http(tmp_path: Path, socket_enabled: Any) -> None:
    del socket_enabled
    ours, theirs = places(tmp_path)
    async with theirs.serving() as (_, witnessing):
        witnessing.others = witnessed_by((WitnessedTable(BASE, (str(keys_of(BASE, ours.keys)[0]),)),))
        bound = serving.bind("127.0.0.1:0")
        door = serving.Serving(web(witnessing, theirs), bound)
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        await door.start()
        async with HttpClient(AddressPolicy.of(LOOPBACK)) as http:
            table = WitnessTable("noord", url=url, key=str(witness_key(BASE, theirs.keys)))
            (noord,) = witnesses_of(AuditTable(witnesses=(table,)), tmp_path, http)
            ours.witnesses[:] = [noord]
            assert await noord.history(ORIGIN) == []
            await ours.work(300)
            await ours.work(5)
            (newest, *_) = await noord.history(ORIGIN)
            assert tree_in(newest.text)[1] == 305
            assert (await ours.examined()).whole
            with pytest.raises(WitnessError, match="another size is known there: 305") as caught:
                await noord.add(Addition(0, (), newest))
            assert caught.value.objection is not None
            assert caught.value.objection.size == 305
            ours.change("DELETE FROM audit_log WHERE seq > 100")
            ours.change("DELETE FROM audit_tree")
            ours.change("DELETE FROM audit_checkpoint")
            ours.change("DELETE FROM audit_tile")
            with pytest.raises(StartError, match=r"witness 'noord' saw 305 records in log 1\.1, here are 100"):
                await ours.work(1)
            wrong = GatewayWitness(WitnessTable("w", url=url, key=str(Verifier("x", bytes(32), WITNESS))), http)
            with pytest.raises(WitnessError, match="unusable"):
                await wrong.history(ORIGIN)
        await door.stop()
        async with HttpClient(AddressPolicy.of(LOOPBACK)) as http:
            (silent,) = witnesses_of(AuditTable(witnesses=(table,)), tmp_path, http)
            with pytest.raises(WitnessError, match="connection"):
                await silent.history(ORIGIN)
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "table",
    [
        WitnessTable("w"),
        WitnessTable("w", "gateway", url="https://x"),
        WitnessTable("w", "gateway", url="https://x", key="x"),
        WitnessTable("w", "file"),
        WitnessTable("w", "post", path="x"),
    ],
)
async def test_a_witness_that_is_not_configured_whole_is_an_error(table: WitnessTable, tmp_path: Path) -> None:
    async with HttpClient(AddressPolicy.of(())) as http:
        with pytest.raises(StartError, match=r"audit\.witnesses 'w'") as caught:
            witnesses_of(AuditTable(witnesses=(table,)), tmp_path, http)
    assert caught.value.exit_code == 1


def test_a_gateway_that_is_witnessed_is_configured_with_its_own_key() -> None:
    good = str(Verifier(BASE, KEY.public_key().public_bytes_raw()))
    assert witnessed_by((WitnessedTable(BASE, (good,)),)) == {BASE: [KEY.public_key().public_bytes_raw()]}
    for name, key in ((BASE, "x"), ("other.example/audit", good)):
        with pytest.raises(StartError, match=r"audit\.witnessed"):
            witnessed_by((WitnessedTable(name, (key,)),))
