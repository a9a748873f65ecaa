"""What the form of an answer costs: XML, gzip and indentation against JSON, for the same questions over the whole line in one process."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Report
from tests.gateway.charts import CHARTS, Json
from tests.gateway.world import PHYSICIAN, World, raw

ITEMS: Final = 20
_XML: Final = (b"accept", b"application/fhir+xml")
_FORMS: Final[dict[str, tuple[tuple[bytes, bytes], ...]]] = {
    "JSON": (),
    "XML": (_XML,),
    "gzip": ((b"accept-encoding", b"gzip"),),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How often is measured."""

    rounds: int = 9
    calls: int = 40


def quick() -> Size:
    """Shows that it runs."""
    return Size(2, 2)


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure, interleaved; the ratio is of the two medians of one round."""
    del directory, profile
    world = World(charts={**CHARTS, "gp": [*CHARTS["gp"], *_results()]}, settings={"gateway": {
        "base": "http://gateway.test", "deadline": "30s"}})  # fmt: skip
    token = (b"authorization", f"Bearer {world.token(PHYSICIAN)}".encode())
    questions = {
        "summary": (f"/fhir/Patient/{world.patient}/$summary", b""),
        f"search of {ITEMS}": ("/fhir/Observation", f"patient={world.patient}&category=laboratory".encode()),
    }
    found: dict[tuple[str, str], list[float]] = {(name, form): [] for name in questions for form in _FORMS}
    gc.collect()
    for _ in range(size.rounds):
        for name, (path, query) in questions.items():
            for form, headers in _FORMS.items():
                scope = {"path": path, "query_string": query, "headers": [(b"host", b"gateway.test"), token, *headers]}
                found[name, form].append(_median(world, scope, size.calls))
    report = Report("forms", {"calls a round": size.calls, "rounds": size.rounds})
    for name in questions:
        plain = found[name, "JSON"]
        report.add(f"{name}: JSON", "ms", [value * 1e3 for value in plain], digits=2)
        for form in ("XML", "gzip"):
            ratios = [one / other for one, other in zip(found[name, form], plain, strict=True)]
            report.add(f"{name}: {form} against JSON", "x", ratios, digits=2, at_most=3.0 if form == "XML" else None)
    return report


def _median(world: World, scope: Json, times: int) -> float:
    async def timed() -> list[float]:
        taken = []
        for _ in range(times):
            before = time.process_time()
            reply = await raw(world.app, scope)
            taken.append(time.process_time() - before)
            assert reply is not None
            assert reply.status == 200, reply.body
            assert len(reply.body) > 1_000, reply.body
        return taken

    return statistics.median(asyncio.run(timed()))


def _results() -> list[Json]:
    def result(number: int) -> dict[str, Any]:
        laboratory = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
        return {
            "resourceType": "Observation", "id": f"lab{number}", "status": "final", "subject": {"reference": "Patient/g1"},
            "category": [{"coding": [laboratory]}], "effectiveDateTime": f"2026-01-{number % 28 + 1:02}T08:00:00+01:00",
            "code": {"coding": [{"system": "http://loinc.org", "code": "2951-2", "display": "Natrium"}], "text": "Natrium"},
            "valueQuantity": {"value": 140 + number, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
            "note": [{"text": "afgenomen na een nacht vasten; herhaald op dezelfde dag met hetzelfde resultaat" * 8}],
            "referenceRange": [{"low": {"value": 135}, "high": {"value": 145}, "text": "135 - 145"}],
        }  # fmt: skip

    return [result(number) for number in range(ITEMS)]
