"""CONTRIBUTING, "Add a kind of source": ten steps that name what exists, and that make a kind nobody knew answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import dialects, kinds
from gateway.adapters.kinds import source_of
from gateway.errors import StartError
from gateway.model import Failure, Payload, SourceQuestion
from gateway.ports import Source
from gateway.settings import SourceTable
from profiles import exact
from tests.gateway.adapters.region import BASE, HandClock, PlainSigner, http
from tests.gateway.charts import CHARTS
from tests.gateway.world import SETTINGS, World

ROOT = Path(__file__).parents[3]
DIALECT = """
name = "carrier-pigeon@1.0"
format = "pigeon"
specification = "what a pigeon carries"
patient = "all"
partial = ["AdvanceDirective"]
[[queries]]
name = "all"
type = "AllergyIntolerance"
interaction = "PIGEON"
answer = "LETTER"
categories = ["AllergyIntolerance", "Condition"]
"""


def steps() -> list[str]:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = page.partition("## Add a kind of source")[2].partition("\nBy contributing")[0]
    return re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]


def test_there_are_ten_and_what_they_name_is_there() -> None:
    found = steps()
    assert len(found) == 10
    for number, step in enumerate(found, 1):
        names = [name for name in re.findall(r"`([^`]+)`", step) if "/" in name]
        assert names, f"step {number} says where"
        for name in names:
            assert (ROOT / name).exists(), f"step {number}: {name}"


class PigeonSource:
    """Step 5: an adapter."""

    def __init__(self, table: SourceTable, *_: object) -> None:
        self._dialect = dialects.dialect(table.dialect)

    async def fetch(self, question: SourceQuestion) -> AsyncGenerator[Payload | Failure]:
        for query in self._dialect.asking(question.categories, question.types):
            entries = [{"resource": one} for one in CHARTS["gp"]]
            body = exact.encode({"resourceType": "Bundle", "type": "collection", "entry": entries})
            yield Payload("fhir-r4", body, query.name, query.categories | {"Patient"}, "2026-03-02T12:00:00Z")


@pytest.fixture
def pigeons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Steps 4 and 6: a dialect and a row."""
    (tmp_path / "carrier-pigeon-1.0.toml").write_text(DIALECT)
    monkeypatch.setattr(dialects, "_FOLDER", str(tmp_path))
    dialects._dialects.cache_clear()
    monkeypatch.setitem(kinds.ASKED, "pigeon", (__name__, "PigeonSource"))
    yield
    dialects._dialects.cache_clear()


def row(**more: Any) -> dict[str, Any]:
    return {"id": "gp", "custodian": "90000001", "kind": "pigeon", "dialect": "carrier-pigeon@1.0", "url": "x", **more}


def made(table: SourceTable) -> Source | None:
    async def main() -> Source | None:
        async with http() as client:
            return source_of(table, client, PlainSigner(), BASE, HandClock())

    return asyncio.run(main())


@pytest.mark.usefixtures("pigeons")
def test_followed_they_make_a_new_kind_answer() -> None:
    rows = [row() if one["id"] == "gp" else one for one in SETTINGS["sources"]]
    source = made(SourceTable(**row()))
    assert isinstance(source, PigeonSource)
    world = World(settings={"sources": rows}, sources={"gp": source})
    found = world.search().items
    assert "90000001" in {item["meta"]["tag"][-1]["code"] for item in found}
    assert dialects.partial_by_dialect() == {"carrier-pigeon@1.0": frozenset({"AdvanceDirective"})}


def test_left_undone_they_are_missed_at_the_start() -> None:
    with pytest.raises(StartError, match="kind 'pigeon' is not known"):
        made(SourceTable(**row()))
