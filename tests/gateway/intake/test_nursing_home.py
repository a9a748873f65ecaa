"""The nursing home's nightly file and its feed, through the real maps and the drop directory, to what a physician sees."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from profiles import exact
from tests.gateway.charts import BSN, OTHER_BSN, Json
from tests.gateway.intake.desk import DeskWorld
from tests.gateway.intake.test_directory import Drop
from tests.gateway.intake.test_documents import posted, told

COLUMNS = "clientnummer;bsn;geboortedatum;geslacht;achternaam;voornamen;soort;id;code;codestelsel;omschrijving;status;begin;eind;waarde;eenheid;toelichting"
ADA = f"C1;{BSN};19800229;V;Jansen;Ada"
BOB = f"C2;{OTHER_BSN};19410101;M;Pietersen;Bob"
SNOMED = "http://snomed.info/sct"


def allergy_row(client: str, id_: str, text: str) -> str:
    return f"{client};allergie;{id_};;;{text};actief;20200101;;;;"


def csv_file(*rows: str, written: str = "", columns: str = COLUMNS) -> bytes:
    end = f"EINDE;{len(rows)};{written}" if written else f"EINDE;{len(rows)}"
    return "\n".join((columns, *rows, end, "")).encode()


def feed(mode: str, *clients: tuple[str, str, str], written: str = "2026-03-02T03:00:00+01:00") -> bytes:
    """A JSON feed; each client is (number, BSN, allergy)."""
    held: list[Json] = [
        {"clientNumber": number, "bsn": bsn, "birthDate": "1980-02-29", "familyName": "Jansen", "gender": "F",
         "allergies": [{"id": f"{number}-{text}", "description": text, "status": "active"}]}
        for number, bsn, text in clients
    ]  # fmt: skip
    return exact.encode({"mode": mode, "exportTime": written, "count": len(held), "clients": held})


def allergies(world: DeskWorld, bsn: str = BSN) -> list[str]:
    found = world.get(f"AllergyIntolerance?patient={world.patient_id(bsn)}").items
    return sorted(item["code"]["text"] for item in found)


@pytest.fixture
def nightly_drop(tmp_path: Path) -> Drop:
    return Drop(DeskWorld(tmp_path, source={"dialect": "csv/nursing-home"}), tmp_path / "drop")


def test_the_nightly_file_is_what_the_home_has(nightly_drop: Drop) -> None:
    drop, world = nightly_drop, nightly_drop.world
    drop.put("export_20260301.csv", csv_file(allergy_row(ADA, "a1", "Penicilline"), allergy_row(ADA, "a2", "Latex"),
                                             allergy_row(BOB, "a3", "Noten")))  # fmt: skip
    assert drop.sweeps() == 1
    assert (allergies(world), allergies(world, OTHER_BSN)) == (["Latex", "Penicilline"], ["Noten"])
    drop.put("export_20260302.csv", csv_file(allergy_row(ADA, "a2", "Latex")))
    drop.sweeps()
    assert (allergies(world), allergies(world, OTHER_BSN)) == (["Latex"], [])
    drop.put("export_20260301.csv", csv_file(allergy_row(ADA, "a1", "Penicilline"), allergy_row(BOB, "a3", "Noten")))
    drop.sweeps()
    assert (allergies(world), allergies(world, OTHER_BSN)) == (["Latex"], []), "a replayed older night changes nothing"
    assert drop.names("refused") == []
    world.close()


def test_one_row_nobody_can_place_costs_that_row_only(nightly_drop: Drop) -> None:
    drop, world = nightly_drop, nightly_drop.world
    nobody = ";999990018;19500101;M;X;Y;allergie;a9;;;Iets;actief;20200101;;;;"
    drop.put("export_20260302.csv", csv_file(allergy_row(ADA, "a1", "Penicilline"), nobody))
    drop.sweeps()
    assert sorted(drop.states) == ["accepted", "dead"]
    assert allergies(world) == ["Penicilline"]
    assert len(drop.names("processed")) == 1
    world.close()


MOVED = COLUMNS.replace("clientnummer;bsn", "bsn;clientnummer")
GOOD = csv_file(allergy_row(ADA, "a1", "Penicilline"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        csv_file(allergy_row(ADA, "a1", "Penicilline"), columns=MOVED),
        GOOD.replace(b"EINDE;1", b""),
        GOOD.replace(b"EINDE;1", b"EINDE;2"),
        GOOD.replace(b"Penicilline", "Pénicilline".encode("latin-1")),
        GOOD.decode().encode("utf-16"),
        GOOD.replace(b";actief", b""),
        csv_file(),
    ],
)
def test_a_file_that_is_not_as_agreed_is_refused_whole(nightly_drop: Drop, body: bytes) -> None:
    drop, world = nightly_drop, nightly_drop.world
    drop.put("export_20260301.csv", GOOD)
    drop.sweeps()
    drop.put("export_20260302.csv", body)
    drop.sweeps()
    assert drop.states == ["accepted", "dead"]
    assert allergies(world) == ["Penicilline"], "what is there stays"
    reason = next(name for name in drop.names("refused") if name.endswith(".reason.txt"))
    text = (drop.path / "refused" / reason).read_text()
    assert text.strip()
    assert not {word for word in ("nicilline", "Jansen", BSN) if word in text}
    world.close()


def test_the_feed_comes_over_http_full_and_delta(world: DeskWorld) -> None:
    full = feed("full", ("C1", BSN, "Latex"), ("C2", OTHER_BSN, "Noten"))
    assert told(posted(world, full, "nursing", "application/json")) == ["accepted"]
    world.clock.advance(timedelta(hours=1))
    delta = feed("delta", ("C1", BSN, "Penicilline"), written="2026-03-02T04:00:00+01:00")
    assert posted(world, delta, "nursing", "application/json").status == 201
    assert (allergies(world), allergies(world, OTHER_BSN)) == (["Latex", "Penicilline"], ["Noten"])
    world.clock.advance(timedelta(days=1))
    later = feed("full", ("C1", BSN, "Latex"), written="2026-03-03T03:00:00+01:00")
    assert posted(world, later, "nursing", "application/json").status == 201
    assert (allergies(world), allergies(world, OTHER_BSN)) == (["Latex"], [])
    assert posted(world, full, "nursing", "application/json").status == 200
    assert allergies(world, OTHER_BSN) == []


def test_a_late_night_is_said_on_every_answer(world: DeskWorld) -> None:
    posted(world, feed("full", ("C1", BSN, "Latex")), "nursing", "application/json")
    world.clock.advance(timedelta(hours=26))
    assert "source-stale" in world.search().remarks
