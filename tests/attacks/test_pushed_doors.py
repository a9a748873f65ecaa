"""Cases 93 to 107 against what is pushed: a hostile file, feed, document or message is a dead letter, kept whole, replayable, and shows nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gateway.intake import desk
from tests.gateway.charts import BSN, OTHER_BSN, Json
from tests.gateway.intake.desk import DeskWorld
from tests.gateway.intake.test_documents import entry, transfer
from tests.gateway.intake.test_nursing_home import ADA, BOB, GOOD, allergy_row, csv_file, feed
from tests.gateway.test_push import PID, VISIT, message
from tests.gateway.world import run
from tests.slack import slack

FEED = feed("full", ("C1", BSN, "Latex"))
DOCUMENT = transfer(entry())
WEIGHT = b'"weights":[{"id":"g1","unit":"kg","start":"2026-01-05","value":%s}],"allergies"'


def weighing(value: bytes) -> bytes:
    return FEED.replace(b'"allergies"', WEIGHT % value)


def nested(levels: int) -> bytes:
    return FEED.replace(b'"count"', b'"x":' + b"[" * levels + b"]" * levels + b',"count"')


DEAD = {
    "csv 091 charset": (GOOD.replace(b"Penicilline", "Pénicilline".encode("latin-1")), "csv"),
    "csv 104 UTF-16": (GOOD.decode().encode("utf-16"), "csv"),
    "csv 104 overlong": (GOOD.replace(b"Ada", b"A\xc1\xa4a"), "csv"),
    "csv 104 surrogate": (GOOD.replace(b"Ada", b"A\xed\xa0\x80a"), "csv"),
    "csv 105 NUL": (GOOD.replace(b"Ada", b"A\x00da"), "csv"),
    "csv 093 a row in a cell": (GOOD.replace(b"Penicilline", b"P\nC9;999990020;;;X;Y;allergie;z;;;Q;actief;;;;;"), "csv"),
    "json 101 depth": (nested(2_000), "json"),
    "json 101 depths": (nested(200_000), "json"),
    "json 102 NaN": (weighing(b"NaN"), "json"),
    "json 102 infinity": (weighing(b"-Infinity"), "json"),
    "json 103 patient": (FEED.replace(b'"bsn"', b'"bsn":"%s","bsn"' % OTHER_BSN.encode(), 1), "json"),
    "json 103 mode": (FEED.replace(b'"mode"', b'"mode":"delta","mode"', 1), "json"),
    "json 104 UTF-16": (FEED.decode().encode("utf-16"), "json"),
    "json 104 surrogate": (FEED.replace(b"Latex", b"\\ud800"), "json"),
    "json 105 NUL": (FEED.replace(b"Latex", b"La\x00tex"), "json"),
    "json half": (FEED[:-20], "json"),
    "cda 098 file": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + DOCUMENT.partition(b"?>")[2], "cda"),
    "cda 098 include": (DOCUMENT.replace(b"<title>", b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/><title>')[:-30], "cda"),
    "cda 099 bomb": (b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 9_999 + b'">]><a>' + b"&b;" * 9_999 + b"</a>", "cda"),
    "cda 100 depth": (b"<a>" * 100_000 + b"</a>" * 100_000, "cda"),
    "cda 104 charset": (DOCUMENT.replace(b'encoding="UTF-8"', b'encoding="UTF-32"'), "cda"),
    "cda 105 NUL": (DOCUMENT.replace(b"Jan", b"J\x00n"), "cda"),
    "cda two patients": (DOCUMENT.replace(b"<custodian>", DOCUMENT[DOCUMENT.index(b"<recordTarget>") : DOCUMENT.index(b"<custodian>")].replace(BSN.encode(), OTHER_BSN.encode()) + b"<custodian>"), "cda"),
    "hl7v3 098 file": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><MCCI_IN200101 xmlns="urn:hl7-org:v3">&b;</MCCI_IN200101>', "hl7v3"),
    "hl7v3 100 depth": (b"<MCCI_IN200101 xmlns='urn:hl7-org:v3'>" + b"<a>" * 100_000, "hl7v3"),
    "hl7v2 093 two patients": (message("ADT^A04^ADT_A01", "I1", "EVN|A04", PID.format(bsn=BSN) + "\rPID|1||" + OTHER_BSN + "^^^NLMINBIZA^NNNLD", VISIT), "hl7v2"),
    "hl7v2 094 separators": (message("ADT^A04^ADT_A01", "I2", PID.format(bsn=BSN), VISIT).replace(b"|^~\\&|", b"||||||"), "hl7v2"),
    "unknown format": (b"\x89PNG\r\n\x1a\n", "unknown"),
}  # fmt: skip


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskWorld]:
    """One world for all of them: none may leave anything that the next could stumble over."""
    made = DeskWorld(tmp_path_factory.mktemp("door"))
    yield made
    assert made.query("SELECT COUNT(*) FROM held_item") == [(0,)]
    assert made.query("SELECT COUNT(*) FROM index_entry") == [(0,)]
    made.close()


@pytest.mark.parametrize("name", DEAD)
def test_a_hostile_push_is_a_dead_letter_and_nothing_else(door: DeskWorld, name: str) -> None:
    body, format_ = DEAD[name]
    before, began = len(door.slips()), time.monotonic()
    (taken,) = door.taken(body, format_=format_)
    assert time.monotonic() - began < 1.0 * slack()
    assert (taken.state, taken.outcome) == ("dead", "new")
    reason = taken.message.reason
    assert reason
    assert not {word for word in ("passwd", BSN, OTHER_BSN, "nicilline", "Jan", "999990020") if word in reason}
    kept = run(door.desk.kept(taken.message.receipt))
    assert kept is not None
    assert (kept.message.raw, kept.items) == (body, ()), "as it came"
    (again,) = run(desk.read_anew(taken.message.receipt, door.ports))
    assert again.state == "dead", "replayed without harm"
    assert len(door.slips()) == before + 1
    assert door.taken(body, format_=format_)[0].outcome == "again"


def only(world: DeskWorld) -> Json:
    (item,) = world.search().items
    return item


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskWorld]:
    made = DeskWorld(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def test_093_a_cell_in_quotes_stays_one_cell(world: DeskWorld) -> None:
    sly = '"P\nC9;999990020;;;X;Y;allergie;z;;;Q;actief;;;;;"'
    assert world.takes(csv_file(allergy_row(ADA, "a1", sly)), format_="csv") == ["accepted new"]
    assert only(world)["code"]["text"].startswith("P\nC9;")
    assert world.get(f"AllergyIntolerance?patient={world.patient_id(OTHER_BSN)}").items == []


def test_095_an_allergy_that_is_over_is_not_active(world: DeskWorld) -> None:
    world.takes(csv_file(allergy_row(ADA, "a1", "Latex").replace("actief", "afgesloten")), format_="csv")
    assert only(world)["clinicalStatus"]["coding"][0]["code"] == "resolved"


def test_096_a_code_nobody_knows_is_kept(world: DeskWorld) -> None:
    world.takes(csv_file(allergy_row(ADA, "a1", "Latex").replace(";;;Latex", ";X-17;EIGEN;Latex")), format_="csv")
    assert only(world)["code"] == {"coding": [{"code": "X-17"}], "text": "Latex"}


def test_102_a_number_of_any_size_is_shown_as_it_was_sent_or_not_at_all(world: DeskWorld) -> None:
    began = time.monotonic()
    (taken,) = world.taken(weighing(b"1e400000000"), format_="json")
    assert taken.state in {"accepted", "dead"}
    page, bundle = world.summary(accept="text/html"), world.summary()
    assert (page.status, bundle.status) == (200, 200)
    assert len(page.body) + len(bundle.body) < 1_000_000
    assert b"Infinity" not in bundle.body
    assert time.monotonic() - began < 3.0 * slack()


def test_106_a_number_in_other_digits_names_nobody(world: DeskWorld) -> None:
    wide = "".join(chr(0xFF10 + int(digit)) for digit in BSN).encode()
    (taken,) = world.taken(GOOD.replace(BSN.encode(), wide), format_="csv")
    assert taken.state == "quarantined"
    assert world.search().items == []


def test_106_a_name_that_turns_the_line_around_is_shown_escaped_or_as_it_is_and_breaks_nothing(
    world: DeskWorld,
) -> None:
    world.takes(csv_file(allergy_row(ADA, "a1", "La\u202etex<b>")), format_="csv")
    page = world.summary(accept="text/html")
    assert page.status == 200
    assert b"<b>" not in page.body.partition(b"tex")[2][:8]


def test_no_partial_write_when_a_file_of_many_breaks_in_the_middle(world: DeskWorld) -> None:
    good, bad = allergy_row(ADA, "a1", "Latex"), allergy_row(BOB, "a2", "No\x00ten")
    assert world.takes(csv_file(good, bad), format_="csv") == ["dead new"]
    assert world.search().items == []
    assert world.query("SELECT COUNT(*) FROM held_item") == [(0,)]
