"""Rows of dates another server is held to, as far as they follow R4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import pytest

from gateway.fhir.search import Records, understand
from tests.gateway.search.world import NOW, item

FOLDER: Final = Path(__file__).parents[4] / "shared" / "data" / "search" / "ms-fhir-server-date"


@pytest.mark.real_inputs
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the published rows are not beside the project")
def test_every_published_row_of_dates_holds() -> None:
    fixtures: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / "fixtures.json").read_text("utf-8"))
    records = Records([item("Observation", str(at), one) for at, one in enumerate(fixtures["date"])], NOW)
    table = json.loads((FOLDER / "table.json").read_text("utf-8"))
    assert table
    for row in table:
        address = urlsplit(row["path"])
        search = understand(address.path, parse_qsl(address.query))
        assert [int(one.id) for one in records.items if search.matches(one, records)] == row["expect"], row["path"]
