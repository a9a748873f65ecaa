"""What is remembered from message to message changes nothing: result and losses are those of reading it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mappings import library
from mappings.er7_memory import repeats
from mappings.model import Origin
from mappings.tables import table
from mappings.translation import translate
from profiles.exact import encode

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:16:00+01:00")
EXAMPLES = sorted((Path(__file__).parent / "data" / "hl7v2").glob("*.hl7"))
HEAD = r"MSH|^~\&|HIS|HOSP|GW|ROAZ|20260105101500||ADT^A04^ADT_A01|M0001|P|2.5||||||UNICODE UTF-8"
PID = "PID|1||P123^^^HOSP^PI||Vries^Jan||19560312|M"
PV1 = "PV1|1|E|SEH^1^2^HOSP||||0101^Jansen^K^^^dr.^^^VEKTIS|||CAR"


def made(*segments: str) -> tuple[bytes, list[tuple[str, str, str]]]:
    found = translate("\r".join(segments).encode(), "hl7v2", ORIGIN)
    return encode(list(found.resources)), [(one.path, one.kind, one.reason) for one in found.losses]


@pytest.mark.slow
def test_every_example_comes_out_twice_the_same() -> None:
    assert EXAMPLES
    for path in EXAMPLES:
        library.forget()
        first = translate(path.read_bytes(), "hl7v2", ORIGIN)
        for whole in (False, True):
            again = translate(path.read_bytes(), "hl7v2", ORIGIN, whole=whole)
            library.forget()
            cold = translate(path.read_bytes(), "hl7v2", ORIGIN, whole=whole)
            assert again == cold, path.name
        assert first == translate(path.read_bytes(), "hl7v2", ORIGIN)


def test_the_same_text_in_another_message_means_what_that_message_says() -> None:
    first = made(HEAD, PID, PV1)
    other_marks = made(HEAD.replace(r"^~\&", r"#~\&").replace("ADT^A04^ADT_A01", "ADT#A04#ADT_A01"), PID.replace("^", "#"), PV1)  # fmt: skip
    assert b"Jansen" in first[0]
    assert b"Jansen, K" not in other_marks[0]
    assert made(HEAD, PID, PV1) == first
    withdrawn = made(HEAD, PID, PV1.replace("CAR", '""'))
    assert ("PV1-10", "note", "explicitly emptied by the sender") in withdrawn[1]


def test_what_was_lost_once_is_lost_again() -> None:
    unknown = PV1.replace("|E|", "|ZZZ|").replace("^VEKTIS", "^VEKTIS^^^^^^^^^^^^^^^rest")
    first = made(HEAD, PID, unknown)
    assert first[1]
    assert made(HEAD, PID, unknown) == first


def test_what_two_maps_remark_on_one_field_both_remark_again() -> None:
    """PV1-16 is read for the patient and for the visit; SPM-7 as a method, and as the time of a result below it."""
    visit = made(HEAD, PID, PV1 + "||||||VIP^Bekend^L")
    assert [one[:2] for one in visit[1]].count(("PV1-16.3", "unknown-code")) == 2
    order = HEAD.replace("ADT^A04^ADT_A01", "ORU^R01")
    result = (order, PID, "OBR|1|||8867-4^hartslag^LN", "SPM|1|||SER||||BCAE", "OBX|1|NM|8867-4^hartslag^LN||80")
    first = made(*result)
    for _ in range(2):
        assert made(HEAD, PID, PV1 + "||||||VIP^Bekend^L") == visit
        assert made(*result) == first


def test_what_is_done_to_one_resource_is_not_done_to_the_next() -> None:
    body = f"{HEAD}\r{PID}\r{PV1}".encode()
    first = translate(body, "hl7v2", ORIGIN)
    before = encode(list(first.resources))
    for resource in first.resources:
        for value in resource.values():
            if isinstance(value, list):
                value.clear()
            elif isinstance(value, dict):
                value["changed"] = True
    assert encode(list(translate(body, "hl7v2", ORIGIN).resources)) == before
    assert encode(list(translate(body, "hl7v2", replace(ORIGIN, zone="UTC")).resources)) == before


def test_nothing_of_a_patient_is_remembered() -> None:
    types = table("maps/hl7v2/types.yaml")
    for name in ("Patient", "RelatedPerson", "RelatedPerson-mother"):
        for line in next(one for one in library.definitions("hl7v2") if one.name == name).lines:
            if line.target in {"name", "identifier", "address", "telecom", "birthDate", "deceased[x]"}:
                assert not repeats(line, types), (name, line.target)
