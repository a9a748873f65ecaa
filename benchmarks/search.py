"""What a search costs: a searchset of held items, with little and with much held beside it, and a whole BgZ beside one summary."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Report
from benchmarks.processes import Cores, Load, Process
from benchmarks.read import told
from benchmarks.records import bsns, messages
from benchmarks.region import Region, free_port, push
from benchmarks.summary import DELAY_MS, SOURCES
from gateway import settings
from gateway.app import database_url
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.model import Item, instant
from gateway.pushed import Letter, Message
from gateway.storage import open_stores
from gateway.storage.beside import beside
from profiles import exact
from profiles.identifiers import BSN_SYSTEM

FEED: Final = "90000901"
ITEMS: Final = 20
LETTERS: Final = 100  # of others, kept in one commit
PADDING: Final = 300  # bytes of an item of others: a million of them fit on a small disk
_SCT, _LOINC = "http://snomed.info/sct|", "http://loinc.org|"
# The queries of the BgZ (MSZ 2.0) in the words of R4; the patient stands before each.
BGZ: Final = (
    ("Patient", "_include=Patient:general-practitioner"),
    ("Coverage", "_include=Coverage:payor"),
    *(("Consent", f"category={_SCT}{code}") for code in ("11291000146105", "11341000146107")),
    ("Observation", f"category={_SCT}118228005,{_SCT}384821006"),
    ("Condition", ""),
    *(("Observation", f"code={_SCT}{code}") for code in ("365508006", "228366006", "228273003", "365980008")),
    ("NutritionOrder", ""),
    ("Flag", ""),
    ("AllergyIntolerance", ""),
    ("MedicationStatement", "category=urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6&_include=MedicationStatement:medication"),
    ("MedicationRequest", f"category={_SCT}16076005&_include=MedicationRequest:medication"),
    ("MedicationDispense", f"category={_SCT}422037009&_include=MedicationDispense:medication"),
    ("DeviceUseStatement", "_include=DeviceUseStatement:device"),
    ("Immunization", "status=completed"),
    *(("Observation", f"code={code}&_sort=-date&_count=1") for code in (f"{_LOINC}85354-9", f"{_LOINC}29463-7", f"{_LOINC}8302-2")),
    ("Observation", f"category={_SCT}49581000146104"),
    ("Encounter", ""),
    ("Procedure", f"category={_SCT}387713003,{_SCT}258174001&_include=Procedure:based-on"),
    ("ProcedureRequest", "status=active"),
    ("CareTeam", "status=active&_include=CareTeam:participant"),
    ("DocumentReference", "status=current"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how much is measured."""

    rounds: int = 5
    seconds: float = 3.0
    patients: int = 20
    little: int = 10_000  # items held beside those that are asked for
    much: int = 1_000_000
    sets: int = 6  # patients whose BgZ is asked, a round


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure held items with little beside them and with much, then a BgZ over ten sources."""
    assert len(BGZ) == 27
    held = _held(directory / "held", size, profile)
    pulled = _pulled(directory / "pulled", size)
    report = Report("search", {"items": ITEMS, "bytes": held["bytes"], "little": size.little, "much": size.much, "sources": SOURCES,
                               "queries": len(BGZ), "delay ms": DELAY_MS, "rounds": size.rounds})  # fmt: skip
    cost = {name: [one["cpu"] / one["count"] * 1e6 for one in held[name]] for name in ("little", "much")}
    report.add(
        "searchset of 20 held items", "/s of one core", [1e6 / one for one in cost["little"]], digits=0, at_least=2000
    )
    report.add("searchset of 20 held items: CPU", "us", cost["little"], digits=0)
    report.add("the same, much beside it: CPU", "us", cost["much"], digits=0)
    growth = [much / little for much, little in zip(cost["much"], cost["little"], strict=True)]
    report.add("growth", "times", growth, digits=2, at_most=2.5)
    whole = [one["seconds"] / one["count"] for one in pulled["summary"]]
    for name, queries in (("in a batch", 1), ("one after another", len(BGZ)), ("nine at a time", len(BGZ))):
        each = [one["seconds"] / one["count"] * queries for one in pulled[name]]
        ratios = [one / base for one, base in zip(each, whole, strict=True)]
        report.add(
            f"BgZ {name}", "times a summary", ratios, digits=2, at_most=3 if name != "one after another" else None
        )
        report.add(f"BgZ {name}", "ms", [1000 * one for one in each])
    report.add("summary", "ms", [1000 * one for one in whole])
    return report


def _held(directory: Path, size: Size, profile: Path | None) -> dict[str, Any]:
    cores = Cores.of_this_machine()
    region = Region.at(directory)
    region.profile = profile
    region.custodian(FEED, "observation", {"id": "ambulance", "kind": "mllp", "listen": "127.0.0.1:0"}, "AMB")
    region.write()
    found: dict[str, Any] = {}
    paths: list[str] = []
    for name, beside_it in (("little", size.little), ("much", size.much - size.little)):
        asyncio.run(_fill(region, name, beside_it))
        talk = directory / f"gateway-{name}.log"
        with Process(region.serve, cores.server, talk=talk) as gateway, Load(cores.other) as load:
            gateway.ready(region.port)
            if not paths:
                paths, found["bytes"] = _pushed(region, talk, size)
            requests = [region.request("GET", path) for path in paths]
            job = {"kind": "steady", "port": region.port, "connections": 8, "count": 10_000_000, "seconds": size.seconds,
                   "requests": requests}  # fmt: skip
            found[name] = [_measured(gateway, load, job | {"seed": number}) for number in range(-1, size.rounds)][1:]
    return found


def _measured(gateway: Process, load: Load, job: dict[str, Any]) -> dict[str, Any]:
    before = gateway.cpu_seconds()
    result = load.run(job)
    return result | {"cpu": gateway.cpu_seconds() - before}


def _pushed(region: Region, talk: Path, size: Size) -> tuple[list[str], int]:
    """Push each patient's results, and give the search of each with the bytes of its answer."""
    (address,) = told(talk, 1).values()
    paths: list[str] = []
    persons = bsns(size.patients)
    push(address, [message for bsn in persons for message in messages(bsn, "ambulance", ITEMS)])
    answer = b""
    for bsn in persons:
        form = f"patient.identifier={BSN_SYSTEM}|{bsn}".encode()
        answer = region.ask("POST", "Observation/_search", form, "application/x-www-form-urlencoded")
        bundle = exact.decode(answer)
        assert bundle["total"] == ITEMS
        paths.append(bundle["link"][0]["url"].partition("/fhir/")[2])
    return paths, len(answer)


async def _fill(region: Region, name: str, count: int) -> None:
    """Keep items of other patients, as the feed would have pushed them."""
    read = settings.load(region.config)
    keys = KeyRing.open(region.directory / read.gateway.keys, frozenset())
    async with beside(database_url(read, region.directory)) as (database, log):
        inbox = open_stores(database, keys.seal, keys.unseal, SystemClock(), log).inbox
        letters = _others(name, count)
        while some := list(islice(letters, LETTERS)):
            await inbox.deliver(some)


def _others(name: str, count: int) -> Iterator[Letter]:
    now = datetime.now(UTC)
    padding = "x" * PADDING
    for number in range(count // ITEMS):
        patient = f"p1-{name}{number}"
        items = []
        for each in range(ITEMS):
            id_ = f"i1-{name}{number}x{each}"
            raw = exact.encode({"resourceType": "Observation", "id": id_, "status": "final", "note": [{"text": padding}],
                                "subject": {"reference": f"Patient/{patient}"}})  # fmt: skip
            items.append(
                Item(
                    raw,
                    id_,
                    "Observation",
                    patient,
                    FEED,
                    "ambulance",
                    "ObservationVitalSigns",
                    id_,
                    fetched=instant(now),
                )
            )
        digest = hashlib.sha256(patient.encode()).hexdigest()
        yield Letter(Message("ambulance", FEED, patient, digest, b"{}", now, "accepted"), tuple(items))


def _pulled(directory: Path, size: Size) -> dict[str, list[dict[str, Any]]]:
    cores = Cores.of_this_machine()
    ports = [free_port() for _ in range(SOURCES)]
    region = Region.at(directory, deadline="4s")
    for number, port in enumerate(ports):
        source = {
            "id": f"source-{number}",
            "kind": "fhir-r4",
            "dialect": "r4-identifier@1.0",
            "url": f"http://127.0.0.1:{port}/fhir",
        }
        region.custodian(f"900010{number:02d}", "explicit", source)
    region.tree["gateway"]["share_answers"] = "5s"
    region.write()
    persons, door = bsns(size.sets), free_port()
    words = ["--ports", *map(str, ports), "--delay", str(DELAY_MS / 1000)]
    with (
        Process(["benchmarks.servers", "sources", "--port", str(door), *words], cores.other) as sources,
        Process(region.serve, cores.server, talk=directory / "gateway.log") as gateway,
        Load(cores.other) as load,
    ):
        sources.ready(door)
        gateway.ready(region.port)
        for number in range(SOURCES):
            region.register(f"900010{number:02d}", persons, permit=True, listed=True)
        found: dict[str, list[dict[str, Any]]] = {}
        for number in range(-1, size.rounds):
            for name, (connections, requests) in _asked(region, persons).items():
                job = {"kind": "steady", "port": region.port, "connections": connections, "count": len(requests), "seconds": 120,
                       "requests": requests}  # fmt: skip
                result = _measured(gateway, load, job | {"seed": number})
                if number >= 0:
                    found.setdefault(name, []).append(result)
        return found


def _asked(region: Region, persons: list[str]) -> dict[str, tuple[int, list[str]]]:
    """The same under a new token each: what an earlier round remembers helps nobody."""
    form = "application/x-www-form-urlencoded"

    def searches(token: str) -> list[str]:
        return [
            region.request("POST", f"{type_}/_search", _form(type_, bsn, more).encode(), form, token)
            for bsn in persons
            for type_, more in BGZ
        ]

    summaries = [region.request("POST", "Patient/$summary", _named(bsn), token=region.new_token()) for bsn in persons]
    token = region.new_token()
    batches = [region.request("POST", "", _batch(bsn), token=token) for bsn in persons]
    return {
        "summary": (1, summaries),
        "in a batch": (1, batches),
        "one after another": (1, searches(region.new_token())),
        "nine at a time": (9, searches(region.new_token())),
    }


def _named(bsn: str) -> bytes:
    identifier = {"name": "identifier", "valueIdentifier": {"system": BSN_SYSTEM, "value": bsn}}
    return exact.encode({"resourceType": "Parameters", "parameter": [identifier]})


def _form(type_: str, bsn: str, more: str) -> str:
    name = {"Patient": "identifier", "Coverage": "beneficiary.identifier"}.get(type_, "patient.identifier")
    return f"{name}={BSN_SYSTEM}|{bsn}{'&' if more else ''}{more}"


def _batch(bsn: str) -> bytes:
    """The set as one batch: each entry a POST to _search, its form as a Binary."""

    entries = [
        {
            "request": {"method": "POST", "url": f"{type_}/_search"},
            "resource": {
                "resourceType": "Binary",
                "contentType": "application/x-www-form-urlencoded",
                "data": base64.b64encode(_form(type_, bsn, more).encode()).decode(),
            },
        }
        for type_, more in BGZ
    ]
    return exact.encode({"resourceType": "Bundle", "type": "batch", "entry": entries})


def quick() -> Size:
    """Just enough to see that it runs."""
    return Size(rounds=1, seconds=0.2, patients=2, little=200, much=400, sets=1)
