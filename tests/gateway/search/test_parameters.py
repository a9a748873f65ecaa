"""The table of parameters against the published definitions of FHIR R4, and what it finds against FHIRPath."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final

import pytest

from gateway.fhir.search import INCLUDES, PARAMETERS, REVINCLUDES
from gateway.fhir.types import SEARCHED
from profiles import exact
from profiles.fhirpath import Environment, compile_expression
from tests.gateway.search import definitions
from tests.gateway.search.definitions import NOT_OFFERED, PUBLISHED

Json = dict[str, Any]
EXAMPLES: Final = definitions.PUBLISHED.parents[1] / "data" / "r4-examples"
PUBLISHED_HERE = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the published definitions are not beside the project"
)


def table() -> Json:
    return tomllib.loads(files("gateway.fhir").joinpath("parameters.toml").read_text("utf-8"))


def test_every_type_that_is_searched_has_parameters_and_each_can_be_read() -> None:
    for type_ in (*SEARCHED, "AuditEvent"):
        assert {"_id", "_lastUpdated", "_profile", "_tag", "_security", "_source"} <= PARAMETERS[type_].keys()
        for row in PARAMETERS[type_].values():
            assert row.values({"resourceType": type_}) in ([], [False]) or row.kind == "composite", row
    assert {"patient", "code", "date", "value-quantity", "code-value-quantity"} <= PARAMETERS["Observation"].keys()


def test_what_comes_along_is_offered_by_name() -> None:
    assert "MedicationRequest:medication" in INCLUDES["MedicationRequest"]
    assert "MedicationRequest:medication" in REVINCLUDES["Medication"]
    assert "Observation:has-member" in REVINCLUDES["Observation"]
    assert not any(one.startswith("Condition:code") for one in INCLUDES["Condition"])


@pytest.mark.real_inputs
@PUBLISHED_HERE
def test_the_table_is_what_the_definitions_say() -> None:
    held = table()
    for type_, parameters in definitions.rows().items():
        assert held[type_] == parameters, type_
        own = held["own"].get(type_, {})
        assert not own.keys() & parameters.keys(), "what R4 defines is not written again"
    subsets = tomllib.loads(files("gateway.fhir.searching").joinpath("subsets.toml").read_text("utf-8"))
    assert subsets == definitions.subsets()


def published() -> Iterator[tuple[str, str, str]]:
    """Type, parameter and the part of its published expression that is about the type."""
    for path in sorted(PUBLISHED.glob("SearchParameter-*.json")):
        one = json.loads(path.read_text("utf-8"))
        for type_ in one["base"]:
            if type_ in definitions.TYPES and one["code"] not in NOT_OFFERED and one["type"] != "composite":
                parts = [part.strip() for part in one["expression"].split("|")]
                mine = [part for part in parts if part.lstrip("(").startswith(f"{type_}.")]
                if mine:
                    yield type_, one["code"], " | ".join(mine)


@pytest.mark.real_inputs
@pytest.mark.slow
@PUBLISHED_HERE
def test_what_a_path_finds_is_what_the_expression_finds() -> None:
    examples: dict[str, list[Json]] = {}
    sources = [*EXAMPLES.glob("*.json"), *(EXAMPLES.parent / "synthea-r4").rglob("*.json")]
    for path in sources:
        one = exact.decode(path.read_bytes())
        held = [entry["resource"] for entry in one.get("entry", ()) if "resource" in entry] or [one]
        for resource in held:
            group = examples.setdefault(resource["resourceType"], [])
            if len(group) < 12:
                group.append(resource)
    resolve = Environment(resolve=_typed)
    compared = 0
    for type_, name, expression in published():
        row = PARAMETERS[type_][name]
        for resource in examples.get(type_, ()):
            wanted = [
                node.value for node in compile_expression(expression, type_).evaluate(resource, environment=resolve)
            ]
            found = [one for one in row.values(resource) if "resolve()" not in expression or _leads(one, row.targets)]
            assert {_key(one) for one in found} == {_key(one) for one in wanted}, (
                type_,
                name,
            )  # a union has none twice
            compared += bool(wanted)
    assert compared > 300


def _typed(reference: str, _: Json) -> Json | None:
    return {"resourceType": _kind(reference)}


def _leads(value: Any, targets: frozenset[str]) -> bool:
    text = value.get("reference", "") if isinstance(value, dict) else value
    return "*" in targets or _kind(text) in targets


def _kind(reference: str) -> str:
    """The type a reference names, also one by a condition."""
    path, condition, _ = reference.partition("?")
    return path if condition else path.rpartition("/")[0].rpartition("/")[2]


def _key(value: Any) -> str:
    """A value as FHIRPath compares it: 1.0 is 1.00."""
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, dict):
        return str({name: _key(child) for name, child in value.items()})
    return str([_key(child) for child in value]) if isinstance(value, list) else repr(value)
