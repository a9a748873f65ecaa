"""Mapping: HL7 v2 bytes to resources against python-hl7 that only parses them, and an STU3 Bundle of 100 resources."""

from __future__ import annotations

import gc
import importlib
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Report
from gateway.serving import settle
from mappings.downgrade import downgrade
from mappings.model import Origin
from mappings.translation import translate
from profiles.exact import encode

_ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:16:00+01:00")
_SEGMENTS = (
    r"MSH|^~\&|HIS|HOSP|GW|ROAZ|20260105101500||ADT^A04^ADT_A01|M0001|P|2.5|||AL|NE||UNICODE UTF-8",
    "EVN|A04|20260105101500|||2207^Smit^M^^^^^^VEKTIS|20260105101200",
    (
        "PID|1||999990019^^^NLMINBIZA^NNNLD~P123^^^HOSP^PI||de Vries&de&Vries^Jan^P^^^^L||19560312|M|||"
        "Dorpsstraat 12&Dorpsstraat&12^^Utrecht^^3511AA^NL^H~Kade 3&Kade&3^^Zeist^^3701AB^NL^BI||"
        "0612345678^PRN^CP~0301234567^PRN^PH~^NET^Internet^jan.p@example.org||nl|M||||||Utrecht||||NL||N"
    ),
    "PD1||||01012345^Bakker^A^^^dr.^^^VEKTIS",
    (
        "NK1|1|de Vries&de&Vries^Anna^M^^^^L|SPO^echtgenote|Dorpsstraat 12&Dorpsstraat&12^^Utrecht^^3511AA^NL^H|0687654321^PRN^CP|"
        "0307654321^WPN^PH|C^Emergency Contact^HL70131"
    ),
    (
        "PV1|1|E|SEH^1^2^HOSP^^N|1|||0101^Jansen^K^^^dr.^^^VEKTIS|01012345^Bakker^A^^^dr.^^^VEKTIS|0307^Visser^T^^^dr.^^^VEKTIS|CAR||||7|||"
        "0101^Jansen^K^^^dr.^^^VEKTIS||V987^^^HOSP^VN|||||||||||||||||||||||||20260105100000"
    ),
    "PV2|||R07.4^pijn op de borst^I10NL|||||20260105100000|||||||||||||||||2",
    "AL1|1|DA|373270004^penicilline^SCT|SV|huiduitslag|20110501",
    "DG1|1||R07.4^pijn op de borst^I10NL||20260105100200|W|||||||||1|0101^Jansen^K^^^dr.^^^VEKTIS",
    "OBX|1|NM|8867-4^hartslag^LN||88|/min^^UCUM|60-100|N|||F|||20260105100500|||||||||HOSP lab",
)
_ADT = "\r".join(_SEGMENTS).encode()


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 7
    messages: int = 300
    bundles: int = 10
    memory: int = 5_000


def quick() -> Size:
    """Tiny sizes: shows that it runs."""
    return Size(1, 5, 1, 50)


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:  # noqa: ARG001 - one signature a benchmark
    """Measure one core, interleaved rounds: processor time, so that other work on the machine counts less."""
    parse = _peer()
    ours, encoded, theirs, lifted = [], [], [], []
    bundle = _bundle(100)
    lowered: list[float] = []
    r4 = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": one} for one in translate(bundle, "fhir-stu3", _ORIGIN).resources],
    }
    settle()  # as a gateway that serves
    for number in range(size.rounds):
        messages = _messages(number * size.messages, size.messages)
        ours.append(_microseconds(lambda one: translate(one, "hl7v2", _ORIGIN), messages))
        encoded.append(_microseconds(lambda one: encode(list(translate(one, "hl7v2", _ORIGIN).resources)), messages))
        if parse is not None:
            theirs.append(_microseconds(lambda one: parse(one.decode()), messages))
        lifted.append(_microseconds(lambda one: translate(one, "fhir-stu3", _ORIGIN), [bundle] * size.bundles))
        lowered.append(_microseconds(lambda _: downgrade(r4), [bundle] * size.bundles))
    report = Report("mapping", {"message bytes": len(messages[0]), "segments": 10, "time": "processor"})
    report.add("ADT bytes to resources, a second", "messages/s", [1e6 / one for one in ours], digits=0, at_least=2000)
    report.add(
        "ADT bytes to resources as JSON, a second",
        "messages/s",
        [1e6 / one for one in encoded],
        digits=0,
        at_least=2000,
    )
    report.add("STU3 BgZ of 100 resources", "ms", [one / 1000 for one in lifted], at_most=20)
    report.add("the same said in STU3 again", "ms", [one / 1000 for one in lowered], at_most=20)
    if theirs:
        report.add(
            "python-hl7 parses the same message, a second", "messages/s", [1e6 / one for one in theirs], digits=0
        )
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        report.add("our mapping against its parsing, same round", "times its time", ratios, digits=2, at_most=1)
    grown = _growth(size.memory)
    report.add(f"memory that stays after {size.memory} messages", "KiB", [grown / 1024], at_most=64)
    return report


def _messages(first: int, count: int) -> list[bytes]:
    """A feed: every message is of another patient at another time; the physicians, wards and diagnoses of one hospital come back."""
    return [adt(number, f"M{number:05}", "999990019") for number in range(first, first + count)]


def adt(number: int, control: str, bsn: str) -> bytes:
    """One message of a feed, about one person."""
    return (
        _ADT.replace(b"M0001", control.encode())
        .replace(b"999990019", bsn.encode())
        .replace(b"P123", b"P%d" % number)
        .replace(b"Jan^P", b"Jan%d^P" % number)
        .replace(b"jan.p@", b"jan.p%d@" % number)
        .replace(b"^Anna^", b"^Anna%d^" % number)
        .replace(b"Dorpsstraat 12&Dorpsstraat&12", b"Dorpsstraat %d&Dorpsstraat&%d" % (number, number))
        .replace(b"0612345678", b"06%08d" % number)
        .replace(b"0687654321", b"06%08d" % (number + 50_000_000))
        .replace(b"19560312", b"19%02d0312" % (number % 90 + 10))
        .replace(b"202601051015", b"2026010510%02d" % (number % 60))
        .replace(b"20260105100000", b"202601051%05d" % (number % 50 * 100))
        .replace(b"0101^Jansen", b"%04d^Jansen" % (number % 40))
        .replace(b"SEH^1^2", b"SEH^%d^2" % (number % 20))
        .replace(b"||88|", b"||%d|" % (number % 80 + 50))
        .replace(b"V987", b"V%d" % number)
        .replace(b"R07.4", b"R%02d.4" % (number % 30))
    )


def _microseconds(work: Callable[[bytes], object], inputs: list[bytes]) -> float:
    started = time.process_time()
    for one in inputs:
        work(one)
    return (time.process_time() - started) / len(inputs) * 1e6


def _peer() -> Callable[[str], object] | None:
    try:
        found: Callable[[str], object] = importlib.import_module("hl7").parse
    except ImportError:
        print("python-hl7 is not installed: not compared", file=sys.stderr)
        return None
    return found


def _bundle(count: int) -> bytes:
    """A summary as a source sends it: a patient and measurements, problems, allergies and medication."""
    kinds = ("Observation", "Condition", "AllergyIntolerance", "MedicationStatement")
    entries: list[dict[str, object]] = [
        {"resource": {"resourceType": "Patient", "id": "p", "name": [{"family": "Vries"}], "gender": "male"}}
    ]
    entries += [{"resource": _resource(kinds[number % 4], number)} for number in range(count - 1)]
    return encode({"resourceType": "Bundle", "type": "searchset", "entry": entries})


def _resource(kind: str, number: int) -> dict[str, object]:
    coded = {"coding": [{"system": "http://snomed.info/sct", "code": "22298006", "display": "hartinfarct"}]}
    base: dict[str, object] = {"resourceType": kind, "id": f"r{number}"}
    subject = {"reference": "Patient/p", "display": "J. de Vries"}
    if kind == "Observation":
        category = {"coding": [{"system": "http://hl7.org/fhir/observation-category", "code": "vital-signs"}]}
        value = {"value": 82, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}
        return base | {"status": "final", "category": [category], "code": coded, "subject": subject, "context": subject,
                       "effectiveDateTime": "2026-01-05T10:00:00+01:00", "valueQuantity": value}  # fmt: skip
    if kind == "Condition":
        return base | {"clinicalStatus": "active", "verificationStatus": "confirmed", "code": coded, "subject": subject,
                       "assertedDate": "2026-01-05", "onsetDateTime": "2025"}  # fmt: skip
    if kind == "AllergyIntolerance":
        return base | {"clinicalStatus": "active", "verificationStatus": "confirmed", "code": coded, "patient": subject,
                       "category": ["medication"], "criticality": "high", "assertedDate": "2026-01-05"}  # fmt: skip
    dose = {
        "doseQuantity": {"value": 1, "unit": "stuk"},
        "text": "1 maal daags",
        "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
    }
    return base | {"status": "active", "taken": "y", "medicationCodeableConcept": coded, "subject": subject, "dosage": [dose],
                   "effectivePeriod": {"start": "2025-01-01"}}  # fmt: skip


def _growth(messages: int) -> int:
    """What stays in memory after many messages, after a first part that fills what is worked out once."""
    for _ in range(min(messages, 500)):
        translate(_ADT, "hl7v2", _ORIGIN)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(messages):
        translate(_ADT.replace(b"M0001", b"M%d" % number).replace(b"P123", b"P%d" % number), "hl7v2", _ORIGIN)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown
