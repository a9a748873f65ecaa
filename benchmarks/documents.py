"""Documents: a CDA of 150 kB and a GP batch of eight interactions to resources, and what stays in memory."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Report
from gateway.adapters.workers import Workers
from mappings.model import Origin
from mappings.translation import translate

_ORIGIN = Origin("90000001", "ambulance", "2026-01-05T10:16:00+01:00")
_SCT, _LOINC, _OWN = "2.16.840.1.113883.6.96", "2.16.840.1.113883.6.1", "1.2.826.0.1"
_KEZO = "2.16.840.1.113883.2.4.3.11.60.66.10"
_MP = "2.16.840.1.113883.2.4.3.11.60.20.77.10"
_PATIENT = (
    '<recordTarget><patientRole><id root="2.16.840.1.113883.2.4.6.3" extension="999990019"/>'
    '<patient><name><given qualifier="BR">Jan</given><family qualifier="BR">Vries</family></name>'
    '<administrativeGenderCode code="M" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19560312"/></patient>'
    "</patientRole></recordTarget>"
)
_HEAD = 'xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_AUTHOR = (
    '<author><time value="20260105"/><assignedAuthor><id root="2.16.528.1.1007.3.1" extension="000001111"/>'
    '<code code="01.015" codeSystem="2.16.840.1.113883.2.4.15.111"/><assignedPerson><name><family>Arts</family></name>'
    '</assignedPerson><representedOrganization><id root="2.16.528.1.1007.3.3" extension="00001111"/><name>Praktijk</name>'
    "</representedOrganization></assignedAuthor></author>"
)

_WORDS = "Patiënt geïnformeerd, ziet het nog even aan. " * 40  # real documents: about 2 kB for each resource


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 7
    documents: int = 5
    memory: int = 300


def quick() -> Size:
    """Tiny sizes: shows that it runs."""
    return Size(1, 1, 5)


def document(size: int) -> bytes:
    """Write a CDA document of at least so many bytes: measurements, problems and medicines, each with its words."""
    made: list[str] = []
    told: list[str] = []
    length = number = 0
    while length < size:
        made.append(f"<entry>{_measured(number)}</entry><entry>{_concern(number, 'act')}</entry>")
        told.append(f'<tr ID="r{number}"><td>Meting {number}</td><td>{_WORDS}</td></tr>')
        length += len(made[-1]) + len(told[-1])
        number += 1
    rows = "".join(told)
    return (
        f'<ClinicalDocument {_HEAD}><id root="{_OWN}" extension="d1"/><effectiveTime value="20260105101500+0100"/>'
        f"{_PATIENT}<component><structuredBody><component><section>"
        f'<code code="8716-3" codeSystem="{_LOINC}"/><title>Vitale functies</title><text><table>{rows}</table></text>'
        f"{''.join(made)}</section></component></structuredBody></component></ClinicalDocument>"
    ).encode()


def batch(each: int) -> bytes:
    """Write a batch of eight interactions as a GP answers it, each with so many items."""
    interactions = {
        "REPC_IN990111NL": ("75310-3", _concern),
        "PRPA_IN900350NL": ("46240-8", _contact),
        "REPC_IN990101NL": ("34900-1", _report),
        "POOB_IN990003NL": ("27899-4", lambda number, _: _measured(number)),
        "POLB_IN364001NL03": ("26436-6", lambda number, _: _measured(number)),
        "QUMA_IN991203NL02": ("419891008", _agreement),
        "REPC_IN990121NL": ("74018-3", _alert),
        "REPC_IN990131NL": ("48765-2", _allergy),
    }
    made = []
    for name, (code, write) in interactions.items():
        acts = "".join(f"<component>{write(number, 'act')}</component>" for number in range(each))
        made.append(
            f'<{name}><ControlActProcess><subject><organizer><code code="{code}" codeSystem="{_LOINC}"/>{_PATIENT}{acts}'
            f"</organizer></subject></ControlActProcess></{name}>"
        )
    return f"<MCCI_IN200101 {_HEAD}>{''.join(made)}</MCCI_IN200101>".encode()


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:  # noqa: ARG001 - one signature a benchmark
    """Measure one core in interleaved rounds: processor time, so that other work on the machine counts less."""
    cda, saz = document(150_000), batch(6)
    documents, batches = [], []
    for _ in range(size.rounds):
        documents.append(_milliseconds(lambda: translate(cda, "cda", _ORIGIN), size.documents))
        batches.append(_milliseconds(lambda: translate(saz, "hl7v3", _ORIGIN), size.documents))
    made = len(translate(cda, "cda", _ORIGIN).resources), len(translate(saz, "hl7v3", _ORIGIN).resources)
    report = Report(
        "documents", {"CDA bytes": len(cda), "batch bytes": len(saz), "resources": list(made), "time": "processor"}
    )
    report.add("CDA of 150 kB to resources", "ms", documents, at_most=60)
    report.add("batch of eight interactions to resources", "ms", batches, at_most=80)
    spent, waited = asyncio.run(_beside(cda, directory, size.rounds * size.documents))
    report.add("of which the gateway's own process spends, the rest is another's", "ms", spent)
    report.add("CDA of 150 kB through a process of its own, by the clock", "ms", waited)
    grown = _growth(batch(1), size.memory)
    report.add(f"memory that stays after {size.memory} batches", "KiB", [grown / 1024], at_most=64)
    return report


def _measured(number: int) -> str:
    return (
        f'<observation classCode="OBS" moodCode="EVN"><id root="{_OWN}" extension="m{number}"/>'
        f'<code code="8867-4" codeSystem="{_LOINC}" displayName="hartslag"/><statusCode code="completed"/>'
        f'<effectiveTime value="202601051015{number % 60:02}+0100"/><value xsi:type="PQ" value="{60 + number % 60}" unit="/min"/>'
        "</observation>"
    )


def _concern(number: int, element: str) -> str:
    return (
        f'<{element} classCode="ACT" moodCode="EVN"><templateId root="{_KEZO}.212"/><id root="{_OWN}" extension="e{number}"/>'
        '<code code="CONC" codeSystem="2.16.840.1.113883.5.6"/><text>Diabetes</text><statusCode code="active"/>'
        f'<effectiveTime><low value="20200102"/></effectiveTime><entryRelationship typeCode="SUBJ">{_problem(number)}'
        f"</entryRelationship></{element}>"
    )


def _problem(number: int) -> str:
    return (
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{_KEZO}.213"/><id root="{_OWN}" extension="p{number}"/>'
        f'<code code="282291009" codeSystem="{_SCT}"/><statusCode code="completed"/>'
        '<effectiveTime><low value="20200102"/></effectiveTime>'
        '<value xsi:type="CD" code="T90.02" codeSystem="2.16.840.1.113883.2.4.4.31.1" displayName="Diabetes"/></observation>'
    )


def _contact(number: int, element: str) -> str:  # noqa: ARG001 - one signature an item
    return (
        f'<encounter classCode="ENC" moodCode="EVN"><templateId root="{_KEZO}.201"/><id root="{_OWN}" extension="c{number}"/>'
        '<code code="03" codeSystem="2.16.840.1.113883.2.4.4.30.14"/><effectiveTime><low value="20250623"/></effectiveTime>'
        "</encounter>"
    )


def _report(number: int, element: str) -> str:  # noqa: ARG001 - one signature an item
    lines = "".join(
        f'<entryRelationship typeCode="COMP"><act><templateId root="{_KEZO}.208"/><code code="{code}" codeSystem="{_LOINC}"/>'
        "<text>Keelpijn sinds drie dagen.</text></act></entryRelationship>"
        for code in ("61150-9", "61149-1", "51848-0", "18776-5")
    )
    return (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{_KEZO}.207"/><id root="{_OWN}" extension="r{number}"/>'
        f'<effectiveTime value="20250623"/>{_AUTHOR}{lines}</act>'
    )


def _agreement(number: int, element: str) -> str:  # noqa: ARG001 - one signature an item
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="RQO"><templateId root="{_MP}.9235"/>'
        f'<id root="{_OWN}" extension="a{number}"/><code code="16076005" codeSystem="{_SCT}"/><text>1 maal per dag 1 stuk</text>'
        '<effectiveTime xsi:type="IVL_TS"><low value="20250601"/></effectiveTime><consumable><manufacturedProduct>'
        f'<manufacturedMaterial><code code="{6000 + number}" codeSystem="2.16.840.1.113883.2.4.4.10" displayName="TABLET 10MG"/>'
        f"</manufacturedMaterial></manufacturedProduct></consumable>{_AUTHOR}</substanceAdministration>"
    )


def _alert(number: int, element: str) -> str:  # noqa: ARG001 - one signature an item
    return (
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{_KEZO}.214"/><id root="{_OWN}" extension="f{number}"/>'
        f'<code code="74018-3" codeSystem="{_LOINC}"/><statusCode code="completed"/>'
        '<value xsi:type="CE" code="1348" codeSystem="2.16.840.1.113883.2.4.4.1.902.40" displayName="COPD"/></observation>'
    )


def _allergy(number: int, element: str) -> str:  # noqa: ARG001 - one signature an item
    return (
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{_KEZO}.216"/><id root="{_OWN}" extension="g{number}"/>'
        '<code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><statusCode code="completed"/>'
        f'<value xsi:type="CD" code="419511003" codeSystem="{_SCT}"/><participant typeCode="CSM"><participantRole>'
        '<playingEntity><code code="1088505" codeSystem="2.16.840.1.113883.2.4.4.7"/></playingEntity></participantRole>'
        "</participant></observation>"
    )


def _milliseconds(work: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) * 1000 / times


async def _beside(body: bytes, directory: Path, times: int) -> tuple[list[float], list[float]]:
    """Measure what the serving process spends on a document that is translated beside it, and how long that takes."""
    workers = Workers(directory / "guidelines")
    spent, waited = [], []
    try:
        for number in range(-1, times):  # the first one starts the process
            processor, clock = time.process_time(), time.perf_counter()
            await workers.translate(body, "cda", _ORIGIN, "", 60.0)
            if number >= 0:
                spent.append((time.process_time() - processor) * 1000)
                waited.append((time.perf_counter() - clock) * 1000)
    finally:
        await workers.close()
    return spent, waited


def _growth(body: bytes, times: int) -> int:
    """Give the bytes that stay after so many batches, the first ones not counted: tables are loaded then."""
    for _ in range(20):
        translate(body, "hl7v3", _ORIGIN)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(times):
        translate(body, "hl7v3", _ORIGIN)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown
