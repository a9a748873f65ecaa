"""`gateway audit verify|prove|replay|hold|acknowledge` on a database with a log in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.audit.proof import Proof
from gateway.audit.record import Asked, Record, Shown, encode
from gateway.cli import main
from gateway.crypto.notes import Verifier
from tests.gateway.audit.ledger import BASE, OTHER
from tests.gateway.audit.test_evidence import Place, turn

REGION = f"""
[gateway]
base = "http://gateway.example"
[audit]
origin = "{BASE}"
[[audit.witnesses]]
id = "worm"
kind = "file"
path = "worm"
"""
ANSWERED = Asked(
    "90000002", "hospital", {"AllergyIntolerance": "answered"}, "spoed-1", "c1/2", (Shown("Flag", "i1", "7"),)
)
REFUSED = Asked("90000003", "clinic", {"Condition": "refused:no-permit", "lab": "failed:timeout"})
RECORDS = (
    Record(kind="intent", at="2026-03-02T12:00:00.000Z", request="r1", custodians=(Asked("90000002", "hospital"),)),
    Record(
        kind="outcome",
        at="2026-03-02T12:00:01.000Z",
        request="r1",
        interaction="summary",
        person="anna",
        organization="90000001",
        purpose="spoed",
        patient="p1-x",
        status=200,
        custodians=(ANSWERED, REFUSED),
    ),
    Record(
        kind="refusal",
        at="2026-03-02T12:00:02.000Z",
        request="r2",
        interaction="read",
        status=403,
        error="agreement-missing",
    ),
    Record(kind="intent", at="2026-03-02T12:00:03.000Z", request="r3", custodians=(Asked("90000002", "hospital"),)),
    Record(kind="start", at="2026-03-02T12:00:04.000Z", request="gateway"),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    (tmp_path / "region.toml").write_text(REGION, encoding="utf-8")

    async def work() -> None:
        async with made.serving() as (stores, evidence):
            for record in RECORDS:
                await stores.audit.append(encode(record))
                made.clock.at += timedelta(seconds=1)
                await turn(stores, evidence)

    asyncio.run(work())
    return made


def command(place: Place, *arguments: str) -> int:
    return main(["audit", *arguments, "--config", str(place.directory / "region.toml")], {})


def test_a_whole_log_is_told_to_be(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(place, "verify") == 0
    text = capsys.readouterr().out
    assert "Result    WHOLE" in text
    assert "witness 'worm'" in text
    assert str(Verifier(BASE, place.keys.audit_keys()[1])) in text
    assert command(place, "verify", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["whole"]
    assert report["findings"] == []
    (own,) = (log for log in report["logs"] if log["log"] == "1.1")
    assert (own["records"], own["covered"], own["witnessed"]) == (5, 5, 5)


def test_what_was_done_is_named_and_the_exit_code_says_so(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.change("UPDATE audit_log SET body = ? WHERE log = 1 AND seq = 2", b"{}")
    place.change("DELETE FROM audit_log WHERE log = 1 AND seq = 4")
    assert command(place, "verify", "--json") == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [(one["kind"], one["first"], one["last"]) for one in found] == [("edit", 2, 2), ("deletion", 4, 4)]
    assert command(place, "verify") == 1
    text = capsys.readouterr().out
    assert "NOT WHOLE: 2 finding(s)" in text
    assert "EDIT — log 1.1, record 2" in text


def test_a_checkpoint_somebody_kept_is_evidence(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (kept, *_) = sorted((tmp_path / "worm").rglob("*.note"))
    held = tmp_path / "kept.note"
    held.write_bytes(kept.read_bytes())
    assert command(place, "verify", "--against", str(held), "--without-witnesses") == 0
    assert "the file kept.note" in capsys.readouterr().out
    held.write_bytes(kept.read_bytes().replace(b"\n5\n", b"\n4\n", 1))
    assert command(place, "verify", "--against", str(held)) == 1
    assert "not a checkpoint of this gateway" in capsys.readouterr().err
    assert command(place, "verify", "--against", str(tmp_path / "absent")) == 2


def test_another_key_trusts_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    other = str(Verifier(BASE, OTHER.public_key().public_bytes_raw()))
    assert command(place, "verify", "--key", other) == 1
    assert "not signed by a key of this gateway" in capsys.readouterr().out
    assert command(place, "verify", "--key", str(Verifier(BASE, place.keys.audit_keys()[1]))) == 0
    assert command(place, "verify", "--key", "x") == 2


def test_since_a_day_hashes_only_what_came_after(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(place, "verify", "--since", "2026-03-02", "--json") == 0
    assert json.loads(capsys.readouterr().out)["since"] == "2026-03-02T00:00:00.000Z"


def test_what_cannot_be_examined_is_exit_3(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for file in place.directory.glob("gateway.db*"):
        file.unlink()
    assert command(place, "verify") == 3
    assert "gateway:" in capsys.readouterr().err


@pytest.mark.parametrize("id_", ["1.1.2", "r1"])
def test_a_record_is_proven_by_its_id_or_that_of_the_request(
    place: Place, id_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(place, "prove", id_) == 0
    out = capsys.readouterr()
    proof = Proof.parse(out.out)
    assert proof.holds(Verifier(BASE, place.keys.audit_keys()[1]))
    assert proof.entry[8:] == encode(RECORDS[1])
    assert ("1.1.1" in out.err) is (id_ == "r1")


def test_a_record_that_was_changed_is_not_proven(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.change("UPDATE audit_log SET at = 1 WHERE log = 1 AND seq = 2")
    assert command(place, "prove", "1.1.2") == 1
    assert "not as it was written" in capsys.readouterr().err
    assert command(place, "prove", "1.1.99") == 1
    assert command(place, "prove", "unknown") == 1


@pytest.mark.slow
@pytest.mark.parametrize("id_", ["1.1.2", "r1"])
def test_f5_replay_tells_what_was_and_what_was_not_on_screen(
    place: Place, id_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(place, "replay", id_) == 0
    text = capsys.readouterr().out
    assert "on screen: 1 Flag" in text
    assert "Flag/i1 version 7" in text
    assert "agreement spoed-1, consent c1/2" in text
    assert "Condition (section Active problems, Past problems): not shown: refused (no-permit)" in text
    assert "lab: not shown: the source could not (timeout)" in text
    assert command(place, "replay", id_, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["given"]
    assert told["sources"][0]["shown"] == [{"type": "Flag", "id": "i1", "version": "7"}]
    assert told["sources"][1]["states"] == {"Condition": "refused:no-permit", "lab": "failed:timeout"}


@pytest.mark.parametrize(
    ("id_", "text"),
    [("1.1.3", "NOTHING was on screen: 403 agreement-missing"), ("r3", "what became of it is not known")],
)
def test_f5_replay_of_what_was_not_given(place: Place, id_: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(place, "replay", id_) == 0
    assert text in capsys.readouterr().out


def test_f5_replay_of_what_was_no_answer(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(place, "replay", "1.1.5") == 1
    assert "nothing was on a screen" in capsys.readouterr().err


def held(place: Place, capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> tuple[int, str]:
    code = main(["audit", "hold", *arguments, "--config", str(place.directory / "region.toml")], {})
    return code, capsys.readouterr().out


@pytest.mark.slow
def test_holds_are_placed_listed_and_lifted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    line = "D12\t90000002\t-\t2026-01-01\t9000-01-01\n"
    assert held(place, capsys, ["place", "D12", "--organization", "90000002", "--since", "2026-01-01"]) == (0, line)
    assert held(place, capsys, ["list"]) == (0, line)
    assert held(place, capsys, ["place", "D12"])[0] == 1
    assert held(place, capsys, ["lift", "D12"])[0] == 0
    assert held(place, capsys, ["lift", "D12"])[0] == 1
    assert held(place, capsys, ["list"]) == (0, "")
    bsn = place.directory / "bsn"
    bsn.write_text("999990019\n", encoding="utf-8")
    code, out = held(place, capsys, ["place", "D13", "--patient-file", str(bsn)])
    assert code == 0
    assert out.startswith("D13\t-\tp1-")
    assert "999990019" not in out


def test_a_loss_is_put_on_record_and_the_next_epoch_opened(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.change("DELETE FROM audit_log WHERE log = 1 AND seq = 5")
    assert command(place, "acknowledge", "--log", "1.1", "--reason", "disk lost, reported") == 0
    assert capsys.readouterr().out == "1.2\n"
    asyncio.run(place.work(1))
    assert command(place, "verify", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in report["findings"]] == ["truncation"]
    assert command(place, "acknowledge", "--log", "x", "--reason", "r") == 2
    assert command(place, "acknowledge", "--log", "1.1", "--reason", "r") == 1


@pytest.mark.network
def test_check_prints_what_others_need_and_refuses_too_short_a_retention(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    config = place.directory / "region.toml"
    main(["check", "--config", str(config)], {})
    lines = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["durability"].startswith("ok\twrite-ahead log, full sync")
    assert str(Verifier(BASE, place.keys.audit_keys()[1])) in lines["audit"]
    assert lines["witness worm"] == "ok\tlast saw 5 records of log 1.1"
    config.write_text(REGION.replace("[audit]", "[audit]\nretention_years = 4"), encoding="utf-8")
    assert main(["check", "--config", str(config)], {}) == 1
    assert "audit\twrong\taudit.retention_years: 4 is less than the 5 years" in capsys.readouterr().out
