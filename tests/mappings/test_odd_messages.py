"""Odd but legal HL7 v2: batches, other separators, escapes, repetitions, partial times, what is empty and what is null."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mappings.formats.hl7v2 import messages_of
from mappings.model import NotMappable, Origin, Translation
from mappings.translation import guess, split, translate

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:16:00+01:00")
HEAD = r"MSH|^~\&|LAB|HOSP|GW|ROAZ|20260105101500||{kind}|{control}|P|2.5||||||{charset}"
PID = "PID|1||999990019^^^NLMINBIZA^NNNLD~P123^^^HOSP^PI||de Vries&de&Vries^Jan^P^^^^L||19560312|M"
OBR = "OBR|1||F1|718-7^Hb^LN|||20260105100500||||||||||||||||||F"


def head(kind: str = "ORU^R01^ORU_R01", control: str = "M1", charset: str = "UNICODE UTF-8") -> str:
    return HEAD.format(kind=kind, control=control, charset=charset)


def read(*segments: str, encoding: str = "utf-8") -> Translation:
    return translate("\r".join(segments).encode(encoding), "hl7v2", ORIGIN)


def only(made: Translation, kind: str) -> dict[str, Any]:
    (found,) = [one for one in made.resources if one["resourceType"] == kind]
    return found


def test_a_batch_is_its_messages() -> None:
    one, two = (f"{head(control=name)}\r{PID}\r{OBR}\rOBX|1|NM|718-7^Hb^LN||{value}|mmol/L|||||F" for name, value in (("M1", "8.1"), ("M2", "9.0")))  # fmt: skip
    for envelope in (
        f"FHS|^~\\&|LAB\rBHS|^~\\&|LAB\r{one}\r{two}\rBTS|2\rFTS|1\r",
        f"BHS|^~\\&|LAB\r\n{one}\r\n{two}\r\nBTS|2\r\n",
        f"BHS|^~\\&|LAB\r{one}\r{two}\r",
        f"BHS|^~\\&|LAB\r{one}\rBTS|1\rBHS|^~\\&|LAB\r{two}\rBTS|1\r",
    ):
        body = envelope.encode()
        assert guess(body) == "hl7v2"
        parts = split(body, "hl7v2")
        assert len(parts) == 2
        assert [part.startswith(b"MSH|") for part in parts] == [True, True]
        made = translate(body, "hl7v2", ORIGIN)
        values = [one["valueQuantity"]["value"] for one in made.resources if one["resourceType"] == "Observation"]
        assert values == [Decimal("8.1"), Decimal("9.0")]
    assert messages_of(one.encode()) == (one.encode(),)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("BHS|^~\\&|LAB\rBTS|0\r", "BHS"),
        ("BHS|^~\\&|LAB\r" + head() + "\r" + PID + "\rBTS|2\r", "BTS-1"),
        ("BHS|^~\\&|LAB\r" + PID + "\r" + head() + "\rBTS|1\r", "PID"),
    ],
)
def test_a_batch_that_is_not_whole_is_refused(body: str, place: str) -> None:
    with pytest.raises(NotMappable) as refused:
        split(body.encode(), "hl7v2")
    assert refused.value.path == place


def test_other_separators_say_the_same() -> None:
    plain = read(head(), PID, OBR, "OBX|1|CE|600-7^kweek^LN||112283007^E. coli^SCT~3092008^S. aureus^SCT||||||F")
    other = str.maketrans({"|": "!", "^": "$", "~": "*", "&": "%", "\\": "/"})
    segments = [one.translate(other) for one in (head(), PID, OBR, "OBX|1|CE|600-7^kweek^LN||112283007^E. coli^SCT~3092008^S. aureus^SCT||||||F")]  # fmt: skip
    assert read(*segments).resources == plain.resources


def test_escapes_stand_for_what_they_say() -> None:
    made = read(head(), PID, OBR, r"OBX|1|ST|2^x^L||a\F\b\S\c\T\d\R\e\E\f\X0D\g\.br\h \H\vet\N\ 50\X25\ \Zxx\ ||||||F")
    assert only(made, "Observation")["valueString"] == "a|b^c&d~e\\f\ng\nh vet 50% \\Zxx\\"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026", "2026"),
        ("202601", "2026-01"),
        ("20260105", "2026-01-05"),
        ("2026010510", "2026-01-05"),
        ("202601051005", "2026-01-05T10:05:00+01:00"),
        ("20260705100500", "2026-07-05T10:05:00+02:00"),
        ("20260705100500.123", "2026-07-05T10:05:00.123+02:00"),
        ("20260105100500-0500", "2026-01-05T10:05:00-05:00"),
        ("20260105100500+0000", "2026-01-05T10:05:00+00:00"),
        ("20261305", None),
        ("gisteren", None),
    ],
)
def test_a_time_keeps_the_precision_it_was_written_with(written: str, expected: str | None) -> None:
    made = read(head(), PID, OBR.replace("|20260105100500|", "||"), f"OBX|1|NM|718-7^Hb^LN||8.1|mmol/L|||||F|||{written}")  # fmt: skip
    observation = only(made, "Observation")
    assert observation.get("effectiveDateTime") == expected
    assert bool([one for one in made.losses if one.path == "OBX-14"]) is (expected is None)


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("8859/1", "iso8859-1"), ("8859/15", "iso8859-15"), ("UNICODE UTF-8", "utf-8"), ("", "utf-8")],
)
def test_letters_are_read_in_the_character_set_that_is_named(charset: str, encoding: str) -> None:
    made = read(head(charset=charset), PID.replace("Jan", "Zoë"), encoding=encoding)
    assert only(made, "Patient")["name"][0]["given"][0] == "Zoë"


def test_numbers_units_and_comparators_are_kept_as_they_were_sent() -> None:
    made = read(
        head(), PID, OBR,
        "OBX|1|NM|1^a^L||<0.50|mmol/L|||||F", "OBX|2|SN|2^b^L||>=^10|mg/dL|||||F", "OBX|3|SN|3^c^L||^1^:^128||||||F",
        "OBX|4|NM|4^d^L||+7|zakjes|||||F", "OBX|5|NM|5^e^L||niet bepaald|mmol/L|||||F", "OBX|6|NM|6^f^L||||||||F",
    )  # fmt: skip
    found = {one["code"]["coding"][0]["code"]: one for one in made.resources if one["resourceType"] == "Observation"}
    assert found["1"]["valueQuantity"] == {"value": Decimal("0.50"), "comparator": "<", "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}  # fmt: skip
    assert found["2"]["valueQuantity"]["comparator"] == ">="
    assert found["3"]["valueRatio"]["denominator"]["value"] == 128
    assert found["4"]["valueQuantity"] == {"value": Decimal(7), "unit": "zakjes"}
    assert found["5"]["valueString"] == "niet bepaald"
    assert "valueQuantity" not in found["6"]
    assert {one.kind for one in made.losses if one.path.startswith("OBX[4]-6")} == {"unknown-code"}


def test_what_is_empty_was_not_said_and_what_is_null_was_emptied() -> None:
    empty = read(head("ADT^A08^ADT_A01"), PID.replace("|M", "|"))
    null = read(head("ADT^A08^ADT_A01"), PID.replace("|M", '|""'))
    assert "gender" not in only(empty, "Patient")
    assert "gender" not in only(null, "Patient")
    assert [one for one in empty.losses if one.path == "PID-8"] == []
    assert [(one.path, one.kind) for one in null.losses if one.path == "PID-8"] == [("PID-8", "note")]


def test_a_segment_of_the_sender_is_reported_by_its_name() -> None:
    made = read(head(), PID, OBR, "OBX|1|NM|718-7^Hb^LN||8.1|mmol/L|||||F", "ZLR|1|geheim")
    assert [(one.path, one.kind) for one in made.losses if one.path.startswith("ZLR")] == [("ZLR", "unmapped")]
    assert "geheim" not in repr(made.losses)


def test_two_patients_in_one_result_are_refused() -> None:
    with pytest.raises(NotMappable) as refused:
        read(head(), PID, OBR, PID.replace("P123", "P9"), OBR)
    assert refused.value.path == "PID"
