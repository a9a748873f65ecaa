"""Each map of HL7 v3 and CDA has an example: a whole document, or a part of one with what must stand in its resource."""

from __future__ import annotations

from typing import Any, Final

import pytest
import yaml

from mappings.engine import CompiledMap
from mappings.library import RESERVED
from mappings.reading import Reading
from mappings.tables import names
from tests.mappings.test_v3 import EXAMPLES, batch, cda, message, read

ROWS: Final[dict[str, dict[str, Any]]] = yaml.safe_load((EXAMPLES / "v3-examples.yaml").read_text(encoding="utf-8"))


def holds(wanted: Any, given: Any) -> bool:
    """Claim that everything wanted stands in what is given."""
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(
            key in given and holds(value, given[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(given, list) and all(any(holds(one, other) for other in given) for one in wanted)
    return str(wanted) == str(given)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the maps that were used."""
    found: set[str] = set()
    run = CompiledMap.run

    def noted(compiled: CompiledMap, reading: Reading, node: Any) -> Any:
        found.add(compiled.definition.name)
        return run(compiled, reading, node)

    monkeypatch.setattr(CompiledMap, "run", noted)
    return found


@pytest.mark.parametrize("name", ROWS)
def test_the_example_of_a_map_comes_out_as_written(name: str, used: set[str]) -> None:
    source, section = ROWS[name]["source"], ROWS[name].get("section")
    document = cda(header=source) if section == "header" else cda(source, code=section or "")
    made = read(document, "cda") if section else read(batch(message(source)), "hl7v3")
    assert name in used
    given = [one for one in made.resources if holds(ROWS[name]["gives"], one)]
    assert given, [one for one in made.resources if one["resourceType"] == ROWS[name]["gives"]["resourceType"]]


def test_every_map_of_hl7_v3_and_cda_has_an_example(used: set[str]) -> None:
    for format_ in ("cda", "hl7v3"):
        for example in sorted((EXAMPLES / format_).glob("*.input.xml")):
            read(example.read_bytes(), format_)
    every = {name for folder in ("hl7v3", "cda") for name in names(f"maps/{folder}")} - RESERVED
    assert every - used - ROWS.keys() == set()
