"""Third-party messages and documents through the doors of their kind: kept, refused with a reason, or waiting, and never lost."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pytest

from mappings.model import NotMappable, Origin, Translation
from mappings.translation import guess, translate
from profiles import exact
from profiles.identifiers import BSN_SYSTEM
from tests.real_inputs import corpus, ips
from tests.real_inputs.corpus import File
from tests.real_inputs.stand import Person, Source, Stand
from tests.slack import slack

pytestmark = [pytest.mark.real_inputs, pytest.mark.slow]

SECONDS: Final = 2.0  # for any file, until it is acknowledged
MOST_FILES: Final = 40  # of one collection; with PROVE_ALL=1 all of them
ORIGIN: Final = Origin("90001000", "counted", "2026-01-05T10:00:00+01:00")
COLLECTIONS: Final = {
    "hl7v2": "hl7v2-r4-ms",
    "ccda": "ccda-r4-ms",
    "ketenzorg": "nl-ketenzorg-hl7v3-stu3",
    "saz": "nl-saz-cda-ehdsi",
}
STATES: Final = {"accepted", "replaced", "quarantined", "dead"}
# The identifiers and the year of birth, as they stand in the file.
_PID: Final = re.compile(rb"(?<=\r)(PID\|[^|\r]*\|[^|\r]*\|)([^|\r]*)((?:\|[^|\r]*){4}\d{0,4})")
_ROLE: Final = re.compile(rb"(<patientRole[^>]*>)(.*?)</patientRole>", re.DOTALL)
_ID: Final = re.compile(rb'<id [^>]*>|<birthTime value="\d{4}')


@dataclass(frozen=True, slots=True)
class Letter:
    """One file as it is sent, what the maps make of it, and whom it is about."""

    file: File
    body: bytes
    made: Translation | None
    person: Person | None

    @property
    def is_dead(self) -> bool:
        """Claim that nobody can be said to be meant: no map reads it, it says nothing, or it is about several persons."""
        return self.made is None or not self.made.resources or len(_patients(self.made)) > 1


def numbered(source: Source, file: File) -> bytes:
    """The file with a number of the custodian for its patient: the same person has the same number in every file."""
    oid = source.system.removeprefix("urn:oid:").encode()

    def number(*stated: bytes) -> bytes:
        return b"P" + hashlib.sha256(b"|".join(stated)).hexdigest()[:12].encode()

    def of_pid(found: re.Match[bytes]) -> bytes:
        return b"%b%b^^^&%b&ISO^PI~%b%b" % (found[1], number(found[2], found[3][-4:]), oid, found[2], found[3])

    def of_role(found: re.Match[bytes]) -> bytes:
        own = b'<id root="%b" extension="%b"/>' % (oid, number(*_ID.findall(found[2])))
        return found[1] + own + found[0].removeprefix(found[1])

    if source.id == "hl7v2":
        return _PID.sub(of_pid, file.body.replace(b"\r\n", b"\r").replace(b"\n", b"\r"))
    return _ROLE.sub(of_role, file.body, count=1)


def letter(source: Source, file: File) -> Letter:
    """Read a file as its custodian knows it."""
    body = file.body if BSN_SYSTEM in _systems(_read(file.body)) else numbered(source, file)
    made = _read(body)
    numbers = _systems(made)
    system = next((one for one in (BSN_SYSTEM, source.system) if one in numbers), "")
    birth = next((str(one.get("birthDate", "")) for one in _patients(made)), "")
    person = Person(source, system, numbers[system], birth) if system and len(_patients(made)) == 1 else None
    return Letter(file, body, made, person)


def _read(body: bytes) -> Translation | None:
    try:
        return translate(body, guess(body), ORIGIN)
    except NotMappable:
        return None


def _patients(made: Translation | None) -> list[corpus.Json]:
    return [one for one in made.resources if one["resourceType"] == "Patient"] if made else []


def _systems(made: Translation | None) -> dict[str, str]:
    return {
        each["system"]: each["value"]
        for one in _patients(made)
        for each in one.get("identifier", ())
        if "system" in each and "value" in each
    }


def sent(stand: Stand, source: Source, one: Letter) -> None:
    """Send a file through the door of its source; the answer says what became of it, in time."""
    began = time.perf_counter()
    if source.table["kind"] == "mllp":
        control = one.body.split(b"|")[9].decode()
        assert stand.push(source, control, one.body) == ("AE" if one.is_dead else "AA"), one.file.name
    else:
        answer = stand.post(source, one.body, "application/xml")
        assert answer.status_code == (422 if one.is_dead else 201), (one.file.name, answer.text)
    assert time.perf_counter() - began < SECONDS * slack(), one.file.name


@pytest.mark.parametrize("name", sorted(COLLECTIONS))
def test_every_file_is_taken_and_every_patient_has_a_summary(stand: Stand, name: str) -> None:
    source = stand.sources[name]
    letters = [letter(source, file) for file in corpus.sample(corpus.inputs(COLLECTIONS[name]), MOST_FILES)]
    assert letters
    known = {(one.person.system, one.person.value): one.person for one in letters if one.person}
    for person in known.values():
        stand.know(person)
    for one in letters:
        sent(stand, source, one)
        stand.count(name, "files in")
        stand.count(name, "resources made", len(one.made.resources) if one.made else 0)
        stand.count(name, "not mapped", len(one.made.losses) if one.made else 0)
    shown = 0
    for person in known.values():
        answer = stand.summary(person)
        assert answer.status_code == 200, answer.text
        summary = exact.decode(answer.content)
        assert ips.faults(summary) == []
        shown += sum(
            one["resource"].get("meta", {}).get("source", "").startswith(f"urn:roaz:{name}#")
            for one in summary["entry"]
        )
    stand.count(name, "persons", len(known))
    stand.count(name, "resources out", shown)
    assert shown > 0
    _account(stand, name, letters)


def _account(stand: Stand, name: str, letters: list[Letter]) -> None:
    """Every file is on the desk, and those that show nothing say why."""
    rows = [row for row in stand.desk() if row["source"] == name]
    digests = {hashlib.sha256(one.body).hexdigest() for one in letters}
    assert len(rows) == len(digests)
    assert sum(row["state"] == "dead" for row in rows) == sum(one.is_dead for one in letters)
    assert {row["state"] for row in rows} <= STATES
    assert {row["reason"] for row in rows if row["state"] in {"quarantined", "dead"}}.isdisjoint({"", "-"})
    stand.count(name, "items kept", sum(int(row["items"]) for row in rows))
    for (state, why), number in Counter((row["state"], row["reason"].partition(";")[0]) for row in rows).items():
        stand.count(name, f"{state}: {why}" if why not in {"", "-"} else state, number)
