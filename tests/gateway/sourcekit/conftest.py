from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.cli import main
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.demo.fhir_server import Manner
from gateway.demo.hosting import Hosted
from gateway.demo.region import Region

Json = dict[str, Any]


@dataclass
class Kit:
    """A running region, its configuration, and the command line beside it."""

    region: Region
    config: Path
    capsys: pytest.CaptureFixture[str]

    def base(self, source: str) -> str:
        return self.region.organizations[source].server.base

    def file(self, name: str, text: str) -> Path:
        path = self.config.parent / name
        path.write_text(text, encoding="utf-8")
        return path

    def change(self, change: Any) -> None:
        tree = self.region.settings_tree()
        change(tree)
        self.config.write_text(toml(tree), encoding="utf-8")

    async def run(self, *words: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = await asyncio.to_thread(main, ["source", *words], {})
        said = self.capsys.readouterr()
        return code, said.out, said.err

    async def test(self, source: str, patient: str = "999990019", *words: str) -> tuple[int, Json]:
        who = self.file("patient", patient)
        code, out, err = await self.run(
            "test", source, "--config", str(self.config), "--patient-file", str(who), "--json", *words
        )
        assert out, err
        return code, json.loads(out)


def toml(tree: Json) -> str:
    """Texts, numbers, booleans and lists are the same in TOML and JSON; dates stand bare, tables in a row."""

    def value(one: Any) -> str:
        if isinstance(one, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {value(each)}" for key, each in one.items()) + "}"
        if isinstance(one, list | tuple):
            return "[" + ", ".join(map(value, one)) + "]"
        return one.isoformat() if isinstance(one, date) else json.dumps(one)

    lines = []
    for name, found in tree.items():
        for table in found if isinstance(found, list) else [found]:
            lines.append(f"[[{name}]]" if isinstance(found, list) else f"[{name}]")
            lines += [f"{json.dumps(key)} = {value(one)}" for key, one in table.items()]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def standing(directory: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Kit]:
    ring = KeyRing.create(directory / "keys", SystemClock().now())
    hosted = Hosted()

    async def jwks(request: Request) -> JSONResponse:
        return JSONResponse(ring.jwks())

    await hosted.start(Starlette(routes=[Route("/oauth/jwks", jwks)]))
    try:
        async with Region(hosted.base, directory=directory, manners={"gp-b": Manner()}) as region:
            kit = Kit(region, directory / "region.toml", capsys)
            kit.change(lambda tree: None)
            yield kit
    finally:
        await hosted.stop()


@pytest.fixture
async def kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Kit]:
    async with standing(tmp_path, capsys) as made:
        yield made
