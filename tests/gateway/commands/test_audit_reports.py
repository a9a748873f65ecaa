"""`gateway audit list|report|export`: bound to one organization, on the record first, safe to open, signed."""

from __future__ import annotations

import argparse
import asyncio
import base64
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import export
from gateway.audit.record import Asked, Record, Shown, decode, encode
from gateway.audit.view import Seen
from gateway.cli import main
from gateway.clock import SystemClock
from gateway.commands.audit_review import overdue
from gateway.crypto.ring import KeyRing
from gateway.logged import AuditQuery
from gateway.model import instant
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.audit_store import AuditStore
from gateway.storage.beside import beside
from gateway.storage.database import Database
from profiles.identifiers import BSN_SYSTEM
from profiles.validation import validate
from tests.gateway.audit import balp
from tests.gateway.charts import BSN, OTHER_BSN
from tests.gateway.world import GP, HOSPITAL, POST
from tests.slack import slack

pytestmark = pytest.mark.slow

ORGANIZATIONS = "".join(
    f'\n[[organizations]]\nura = "{ura}"\nname = "{name}"\nfacility_type = "{kind}"\n'
    for ura, name, kind in (
        (GP, "Huisarts De Linde", "Z3"),
        (HOSPITAL, "Ziekenhuis Oost", "V4"),
        (POST, "Huisartsenpost", "N6"),
    )
)


class Region:
    """A configuration with a log in which a few things stand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "region.toml"
        assert main(["init", str(directory)], {}) == 0
        text = self.config.read_text(encoding="utf-8").replace('ura = ""', f'ura = "{POST}"', 1)
        self.config.write_text(text + ORGANIZATIONS, encoding="utf-8")
        self.patient = KeyRing.open(directory / "keys").patient_id(BSN_SYSTEM, BSN)
        (directory / "bsn").write_text(BSN, encoding="utf-8")
        self.now = instant(SystemClock().now())
        self.fill()

    def fill(self) -> None:
        looked = Record(
            kind="outcome", at=self.now, request="r1", interaction="search-type", action="E", type="Condition",
            client="post-app", organization=POST, facility="N6", person="uzi|900000001", person_name="=cmd|' /C calc'!A0",
            role="01.015", assurance="high", token="t1", purpose="behandeling", patient=self.patient, address="10.0.0.1",
            status=200, custodians=(
                Asked(GP, "gp", {"Condition": "answered"}, "pull", "consent-1/1", (Shown("Condition", "i1-a", "v1"),)),
                Asked(HOSPITAL, "hospital", {"Condition": "refused:consent-missing"}),
            ),
        )  # fmt: skip
        other = msgspec.structs.replace(looked, request="r2", organization=HOSPITAL, custodians=(), kind="refusal",
                                        status=403, error="agreement-missing", person_name="B. Anders")  # fmt: skip
        made = Record(kind="outcome", at=self.now, request="r3", interaction="create", action="C", type="List",
                      organization=GP, patient=self.patient, status=201, object="List/list-1/_history/1",
                      reasons=("explicit",), token="t2", client="gp-app")  # fmt: skip
        ended = msgspec.structs.replace(made, request="r4", interaction="delete", action="D", patient="", status=204,
                                        object="List/list-1", reasons=())  # fmt: skip

        async def write() -> None:
            async with beside(f"sqlite:///{self.directory / 'gateway.db'}") as (database, log):
                for record in (looked, other, made, ended):
                    await AuditStore(database, SystemClock(), log).append(encode(record))

        asyncio.run(write())

    def run(self, *arguments: str) -> int:
        return main(["audit", *arguments, "--config", str(self.config)], {})

    def records(self) -> list[Record]:
        async def read() -> list[Record]:
            async with beside(f"sqlite:///{self.directory / 'gateway.db'}") as (database, log):
                return [decode(one.body) async for one in AuditStore(database, SystemClock(), log).records()]

        return asyncio.run(read())


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    return Region(tmp_path_factory.mktemp("region"))


def test_an_auditor_lists_what_is_of_its_organization(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    assert region.run("list", "--organization", GP) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == ["delete", "create", "search-type"]
    assert "Huisarts De Linde answered" in lines[-1][-1]
    assert region.run("list", "--organization", HOSPITAL) == 0
    out = capsys.readouterr().out
    assert "agreement-missing" in out
    assert "De Linde" not in out


def test_a_list_of_events_is_valid(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    assert region.run("list", "--format", "json", "--organization", POST) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "search-type" in str(events)
    for event in events:
        assert [one for one in validate(event) if one.is_error] == []
        assert balp.breaches(event) == []


def test_f1_a_mandate_of_two_persons_shows_more_for_a_time(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    today = SystemClock().now().date()
    text = region.config.read_text(encoding="utf-8")
    mandates = "".join(
        f'\n[[audit.mandates]]\nid = "{id_}"\npersons = {persons}\norganizations = {uras}\nstart = {start}\nend = {end}\n'
        for id_, persons, uras, start, end in (
            ("good", ["A. Een", "B. Twee"], ["*"], today, today), ("part", ["A. Een", "B. Twee"], [HOSPITAL], today, today),
            ("alone", ["A. Een", "a. een "], ["*"], today, today), ("past", ["A", "B"], ["*"], "2020-01-01", "2020-02-01"),
        )
    )  # fmt: skip
    region.config.write_text(text + mandates.replace("'", '"'), encoding="utf-8")
    try:
        assert region.run("list", "--mandate", "good") == 0
        out = capsys.readouterr().out
        assert "Huisarts De Linde answered, Ziekenhuis Oost withheld" in out
        assert region.run("list", "--mandate", "part") == 0
        assert "create" not in [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()]
        assert [region.run("export", "--mandate", id_) for id_ in ("alone", "past", "none")] == [1, 1, 1]
        (used, *_) = [one for one in region.records() if one.type == "audit list" and "mandate=good" in one.reasons]
        assert used.status == 200
    finally:
        region.config.write_text(text, encoding="utf-8")


def test_without_an_organization_only_what_is_of_none(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    text = region.config.read_text(encoding="utf-8")
    region.config.write_text(text.replace(f'ura = "{POST}"', 'ura = ""', 1), encoding="utf-8")
    try:
        assert region.run("list") == 0
        said = capsys.readouterr()
        assert region.run("list") == 0
        assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()][:1] == ["audit list"]
    finally:
        region.config.write_text(text, encoding="utf-8")
    assert region.patient not in said.out
    assert "--organization" in said.err


def test_the_log_is_listed_beside_a_gateway_that_serves_and_asks_it_too(
    region: Region, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serving() -> tuple[int, int]:
        database = Database.open(f"sqlite:///{region.directory / 'gateway.db'}")
        store, queries = AuditStore(database, SystemClock(), database.log), AuditLookup(database)
        try:
            listing = asyncio.ensure_future(asyncio.to_thread(region.run, "list", "--organization", POST))
            now = SystemClock().now()
            query = AuditQuery(start=now - timedelta(hours=1), end=now + timedelta(hours=1))
            while not listing.done():
                await store.append(encode(Record(kind="outcome", at=instant(now), request="beside", status=200)))
                await queries.find(query, 10)
            return await listing, len((await queries.find(query, 500))[0])
        finally:
            await database.close()

    code, found = asyncio.run(serving())
    assert (code, found > 3) == (0, True)
    assert "search-type" in capsys.readouterr().out


def test_a_list_of_one_patient(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    assert region.run("list", "--organization", POST, "--patient-file", str(region.directory / "bsn")) == 0
    out = capsys.readouterr().out
    assert region.patient in out
    assert BSN not in out
    (region.directory / "other").write_text(OTHER_BSN, encoding="utf-8")
    assert region.run("list", "--organization", POST, "--patient-file", str(region.directory / "other")) == 0
    assert capsys.readouterr().out == ""


def test_a_citizens_report(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    assert region.run("report", "--patient-file", str(region.directory / "bsn")) == 0
    said = capsys.readouterr()
    made = json.loads(said.out)
    asked = [one for one in made["events"] if one["did"] in {"seen", "partly", "refused"}]
    assert [(one["did"], one["who"]["organization"]) for one in asked] == [
        ("partly", "Huisartsenpost"), ("refused", "Ziekenhuis Oost")]  # fmt: skip
    assert (asked[0]["gave"], asked[0]["withheld"]) == (["Huisarts De Linde"], ["Ziekenhuis Oost"])
    (line,) = made["available"]
    assert (line["who"]["organization"], line["basis"], line["until"]) == ("Huisarts De Linde", "explicit", region.now)
    assert BSN not in said.out + said.err
    assert "Anders" not in said.out, "names of employees are a choice of the region"
    written = [one for one in region.records() if one.type == "audit report"]
    assert [(one.kind, one.patient) for one in written][-2:] == [("intent", ""), ("command", region.patient)]


def test_a_citizens_page(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(region.directory / "bsn")
    assert region.run("report", "--patient-file", file, "--format", "html") == 0
    page = capsys.readouterr().out
    assert page.startswith("<!DOCTYPE html>")
    assert "Huisarts De Linde" in page
    assert region.run("report", "--patient-file", file, "--format", "html", "--without-locations") == 0
    assert "De Linde" not in capsys.readouterr().out


def test_a_report_that_is_not_on_the_record_is_not_shown(
    region: Region, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gateway.commands import recording
    from gateway.errors import Unavailable

    whole = recording._append

    async def broken(url: str, record: bytes, clock: Any) -> None:
        if decode(record).kind == "command":
            raise Unavailable("audit-unavailable")
        await whole(url, record, clock)

    monkeypatch.setattr(recording, "_append", broken)
    assert region.run("report", "--patient-file", str(region.directory / "bsn")) == 3
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("report", "--patient-file", "none"), 1), (("list", "--organization", "90000099"), 1),
        (("list", "--since", "2026-02-02", "--until", "2026-02-01"), 2), (("export", "--out", "region.toml"), 1),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(
    region: Region, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(region.directory)
    (region.directory / "none").write_text("123456789", encoding="utf-8")
    assert region.run(*arguments) == code


def manifest(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a manifest whose signature holds."""
    head, claims, signature = text.strip().split(".")
    header = json.loads(raw(head))
    Ed25519PublicKey.from_public_bytes(raw(header["jwk"]["x"])).verify(raw(signature), f"{head}.{claims}".encode())
    return header, json.loads(raw(claims))


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_an_export_is_what_its_signed_manifest_says(region: Region) -> None:
    out = region.directory / "log.ndjson"
    assert region.run("export", "--organization", POST, "--out", str(out)) == 0
    header, claims = manifest((region.directory / "log.ndjson.manifest.jws").read_text())
    assert (header["alg"], header["kid"]) == ("EdDSA", "audit-1")
    assert raw(header["jwk"]["x"]) == KeyRing.open(region.directory / "keys").audit_keys()[1]
    assert claims["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert claims["bytes"] == out.stat().st_size
    events = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert claims["rows"] == len({event["id"].partition("-")[0] for event in events})
    assert (claims["organization"], claims["newest"]) == (POST, events[0]["id"])
    assert BSN not in out.read_text(encoding="utf-8")
    assert region.run("export", "--out", str(out)) == 1, "never overwritten"


def test_the_script_of_the_documentation_checks_an_export(region: Region) -> None:
    page = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
    (script,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "manifest.jws" in block]
    out = region.directory / "checked.ndjson"
    assert region.run("export", "--organization", GP, "--out", str(out)) == 0
    key = base64.urlsafe_b64encode(KeyRing.open(region.directory / "keys").audit_keys()[1]).decode().rstrip("=")
    command = [sys.executable, "-c", script, str(out), key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30 * slack(), check=False)
    assert done.returncode == 0, done.stderr
    assert f"records of {GP}" in done.stdout
    out.write_text(out.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert subprocess.run(command, capture_output=True, timeout=30 * slack(), check=False).returncode == 1


def test_127_an_export_for_a_spreadsheet_holds_no_formula(region: Region, capsys: pytest.CaptureFixture[str]) -> None:
    assert region.run("export", "--organization", POST, "--format", "csv") == 0
    said = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(said.out, newline="")))
    assert tuple(rows[0]) == export.COLUMNS
    (name,) = {row["name"] for row in rows if row["request"] == "r1"}
    assert name.startswith("'=")
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert manifest(said.err)[1]["sha256"] == hashlib.sha256(said.out.encode()).hexdigest()


@given(st.text(max_size=20))
def test_127_no_text_becomes_a_formula_and_none_is_lost(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    record = Record(kind="outcome", at="2026-03-02T12:00:00.000Z", request="r", person_name=text, query=text)
    (row,) = csv.reader(io.StringIO(export.rows("1.1.1", Seen(record, "all")), newline=""))
    cell = row[export.COLUMNS.index("name")]
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") in {text.replace("\x00", ""), text.replace("\x00", "").removeprefix("'")}


def test_f6_a_review_is_drawn_by_chance_and_on_record_with_who_how_many_and_what_came_of_it(
    region: Region, capsys: pytest.CaptureFixture[str]
) -> None:
    assert region.run("sample", "--organization", POST, "--size", "5") == 0
    said = capsys.readouterr()
    assert region.patient in said.out
    number = said.err.split("sample ")[1][:8]
    drawn = [one for one in region.records() if one.type == "audit sample" and one.kind == "command"][-1]
    assert f"sample={number}" in drawn.reasons
    assert any(word.startswith("of=") for word in drawn.reasons)
    assert region.run("review", number, "--outcome", "question", "--findings", "1", "--organization", HOSPITAL) == 1
    assert region.run("review", number, "--outcome", "question", "--findings", "1", "--organization", POST) == 0
    reviewed = [one for one in region.records() if one.type == "audit review" and one.status == 200][-1]
    assert {f"sample={number}", "outcome=question", "findings=1"} <= set(reviewed.reasons)
    assert reviewed.person.startswith("os|")


def test_f6_a_sample_holds_no_more_than_asked_and_only_accesses(
    region: Region, capsys: pytest.CaptureFixture[str]
) -> None:
    assert region.run("sample", "--organization", GP, "--size", "1") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert region.run("sample", "--organization", POST, "--since", "2020-01-01", "--until", "2020-01-02") == 0
    assert capsys.readouterr().out == ""


def test_f6_an_overdue_review_is_a_warning(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.commands import audit_review

    options = argparse.Namespace(config=region.config, environment={})
    monkeypatch.setattr(audit_review, "newest", _reviewed(None))
    assert overdue(options).startswith("overdue: none")
    monkeypatch.setattr(audit_review, "newest", _reviewed("2026-01-02T12:00:00.000Z"))
    assert overdue(options) == "overdue: the last was on 2026-01-02"
    monkeypatch.setattr(audit_review, "newest", _reviewed(region.now))
    assert overdue(options) == f"the last was on {region.now[:10]}"


def _reviewed(at: str | None) -> Any:
    async def newest(*_: Any) -> Record | None:
        return Record(kind="command", at=at, request="r") if at else None

    return newest
