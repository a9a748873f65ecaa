"""`gateway source probe`: servers and files are recognized, and what is printed is accepted by the settings."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway import settings
from gateway.adapters.dialects import dialect
from gateway.cli import main
from gateway.demo.ambulance import messages
from gateway.demo.persons import persons
from gateway.sourcekit import coverage, mapped, report, signatures, stanza, statement
from gateway.sourcekit.probing import probe_file
from gateway.sourcekit.support import fits, judge
from gateway.summary.sections import SECTIONS
from profiles import exact
from tests.fakes import NOON
from tests.gateway.sourcekit.conftest import Kit

STU3 = {
    "resourceType": "AllergyIntolerance",
    "id": "a1",
    "meta": {"profile": ["http://fhir.nl/fhir/StructureDefinition/nl-core-allergyintolerance"]},
    "clinicalStatus": "active",
    "verificationStatus": "confirmed",
    "patient": {"reference": "Patient/p1"},
    "assertedDate": "2026-01-02",
}
R4 = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {"resource": {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}}},
        {"resource": {"resourceType": "Condition", "id": "c2", "subject": {"reference": "Patient/p1"}}},
    ],
}
CDA = '<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>Overdracht</title></ClinicalDocument>'
HL7V3 = '<MCCI_IN200101 xmlns="urn:hl7-org:v3"><id root="1"/></MCCI_IN200101>'
R4_PROFILE = "http://nictiz.nl/fhir/StructureDefinition/nl-core-Patient"
R4_XML = f'<Patient xmlns="http://hl7.org/fhir"><meta><profile value="{R4_PROFILE}"/></meta></Patient>'
STU3_XML = '<Condition xmlns="http://hl7.org/fhir"><assertedDate value="2026-01-01"/></Condition>'


def capability(**changes: Any) -> dict[str, Any]:
    types = {query.type for query in dialect("360@1.0").queries}
    rows = [
        {
            "type": kind,
            "interaction": [{"code": "search-type"}],
            "searchParam": [{"name": name} for name in ("identifier", "patient", "_profile", "code", "category")],
        }
        for kind in sorted(types)
    ]
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"resource": rows}]} | changes


def probed(path: Path, body: bytes, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    path.write_bytes(body)
    main(["source", "probe", str(path), "--json", *words], {})
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


@pytest.mark.anyio
@pytest.mark.network
@pytest.mark.slow
async def test_servers_of_the_region_are_recognized(kit: Kit) -> None:
    for source, name, kind in (("gp-a", "360@1.0", "fhir-r4"), ("hospital", "bgz-msz@2.0", "fhir-stu3")):
        code, out, _ = await kit.run("probe", kit.base(source), "--json", "--id", source, "--custodian", "90000101")
        told = json.loads(out)
        assert (code, told["guess"]) == (0, name)
        (table,) = settings.parse(tomllib.loads(told["stanza"])).sources
        assert (table.id, table.kind, table.dialect, table.url) == (source, kind, name, kit.base(source))
        shown = {(row["section"], row["category"]) for row in told["coverage"]}
        assert shown >= {(section.key, category) for section in SECTIONS for category in section.categories}
        assert {row["found"] for row in told["coverage"]} <= {"yes", "no", "unknown"}
        assert not kit.region.organizations[source].access_log, "nothing of a patient is asked"


@pytest.mark.anyio
@pytest.mark.network
@pytest.mark.slow
async def test_the_text_is_read_by_people_and_the_stanza_by_the_settings(kit: Kit) -> None:
    code, out, _ = await kit.run("probe", kit.base("gp-a"))
    assert code == 0
    block = out[out.index("[[sources]]") : out.index("\nsection ")]
    assert settings.parse(tomllib.loads(block)).sources[0].kind == "fhir-r4"
    code, out, _ = await kit.run("probe", "http://127.0.0.1:9/fhir", "--seconds", "2")
    assert code == 3
    code, _, err = await kit.run("probe", "http://127.0.0.1:9/fhir?identifier=1")
    assert code == 2
    assert "identifier=1" not in err


def test_a_dialect_is_as_good_as_what_is_declared() -> None:
    found = statement.read(exact.encode(capability()))
    best, second = fits(found, "yes")
    assert best.dialect.name == "360@1.0"
    assert (best.share, best.count("no")) == (1.0, 0)
    assert second.share < best.share
    assert coverage.missing(best.verdicts) == frozenset()


def test_what_is_not_declared_is_named() -> None:
    declared = capability()
    declared["rest"][0]["resource"] = [
        row | {"searchParam": [{"name": "patient"}, {"name": "identifier"}]}
        for row in declared["rest"][0]["resource"]
        if row["type"] != "Flag"
    ]
    found = statement.read(exact.encode(declared))
    queries = {query.name: query for query in dialect("360@1.0").queries}
    assert judge(queries["alerts"], found, "yes").found == "no"
    verdict = judge(queries["allergies"], found, "yes")
    assert (verdict.found, verdict.how) == ("no", "not declared: _profile")
    assert judge(queries["patient"], found, "no").found == "no"
    assert fits(found, "yes")[0].dialect.name == "r4-identifier@1.0"


def test_a_server_that_declares_no_parameters_has_not_said_no() -> None:
    declared = capability()
    for row in declared["rest"][0]["resource"]:
        del row["searchParam"]
    found = statement.read(exact.encode(declared))
    assert all(judge(query, found, "yes").found == "unknown" for query in dialect("360@1.0").queries)


def test_what_is_no_statement_is_refused() -> None:
    for body in (b"<html>", b"[]", b'{"resourceType":"Patient"}'):
        with pytest.raises(statement.NotAStatement):
            statement.read(body)
    odd = statement.read(b'{"resourceType":"CapabilityStatement","fhirVersion":5,"rest":[{"resource":[{"type":{}}]}]}')
    assert (odd.kind, odd.types) == ("", {})


def test_the_token_endpoint_of_a_server_is_found() -> None:
    uris = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [{"url": "token", "valueUri": "https://source.example/token"}],
    }
    declared = capability(rest=[{"security": {"extension": [uris]}, "resource": []}])
    assert statement.read(exact.encode(declared)).token_endpoint == "https://source.example/token"


@pytest.mark.parametrize(
    ("body", "format_", "kind"),
    [
        (messages(persons(NOON), NOON)[0].raw, "hl7v2", "mllp"),
        (exact.encode(STU3), "fhir-stu3", "fhir-stu3"),
        (exact.encode(R4), "fhir-r4", "fhir-r4"),
        (CDA.encode(), "cda", "inbox"),
        (HL7V3.encode(), "hl7v3", "inbox"),
        (R4_XML.encode(), "fhir-r4", "fhir-r4"),
        (STU3_XML.encode("utf-16"), "fhir-stu3", "fhir-stu3"),
        (b"bsn;geboortedatum;allergie\r\n999990019;1961-04-12;pinda\r\n", "csv", "inbox"),
        (b'[{"bsn": "999990019"}]', "json", "inbox"),
    ],
)
def test_files_are_recognized(body: bytes, format_: str, kind: str, tmp_path: Path,
                              capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    told = probed(tmp_path / "sample", body, capsys, "--custodian", "90000101")
    assert (told["exit"], told["guess"]) == (0, format_)
    (table,) = settings.parse(tomllib.loads(told["stanza"])).sources
    assert (table.id, table.custodian, table.kind, table.phase) == ("sample", "90000101", kind, "test")
    for secret in ("999990019", "1961-04-12", "pinda", "Overdracht"):
        assert secret not in json.dumps(told)


def test_a_message_is_mapped_and_its_losses_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = messages(persons(NOON), NOON)[1]
    told = probed(tmp_path / "oru.hl7", made.raw + b"ZZZ|1|secret\r", capsys)
    assert told["mapped"]["message"] == "ORU^R01"
    assert told["mapped"]["types"]["Observation"] > 0
    assert any(lost["path"].startswith("ZZZ") for lost in told["mapped"]["lost"])
    assert "secret" not in json.dumps(told)
    found = {(row["section"], row["category"]): row["found"] for row in told["coverage"]}
    assert found["vital-signs", "ObservationVitalSigns"] == "yes"
    assert found["allergies", "AllergyIntolerance"] == "unknown", "a map exists, only not in this message"
    assert found["directives", "AdvanceDirective"] == "no", "no map makes it"


def test_repeated_losses_are_one_line() -> None:
    body = exact.encode({"resourceType": "Bundle", "type": "collection",
                         "entry": [{"resource": STU3 | {"id": f"a{n}", "strange": "x"}} for n in range(3)]})  # fmt: skip
    made = mapped.attempt(body, "fhir-stu3", "2026-03-02T12:00:00Z")
    (lost,) = [one for one in made.lost if one.path.endswith("strange")]
    assert (lost.count, "[" in lost.path) == (3, False)


def test_what_cannot_be_mapped_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = probed(tmp_path / "a.hl7", b"MSH|^~\\&|A|B|C|D|2026||ADT^A99|1|P|2.5\r", capsys)
    assert told["exit"] == 0
    assert "MSH-9" in told["mapped"]["trouble"]


def test_junk_is_not_a_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for body in (b"", b"\x00\x01\x02", b"hello", bytes(range(256)) * 40):
        told = probed(tmp_path / "junk", body, capsys)
        assert (told["exit"], told["guess"], told["stanza"]) == (1, "", "")
    assert main(["source", "probe", str(tmp_path / "absent")], {}) == 1


def test_a_first_line_that_may_be_data_is_not_shown() -> None:
    header = signatures.recognize(b"naam;plaats\nJansen;Utrecht\n")
    assert header is not None
    assert header.columns == ("naam", "plaats")
    data = signatures.recognize(b"Jansen;1961-04-12\nPietersen;1950-01-01\n")
    assert data is not None
    assert (data.format, data.columns) == ("csv", ())
    assert signatures.recognize(b"a;b\n1;2;3\n") is None


def test_a_name_becomes_an_id() -> None:
    assert stanza.named("Fhir.GP-A.example") == "fhir-gp-a-example"
    assert stanza.named("../..") == "source"


THIRD_PARTY = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.mark.real_inputs
@pytest.mark.slow
@pytest.mark.skipif(not THIRD_PARTY.is_dir(), reason="the third-party files are not beside the project")
@pytest.mark.parametrize(
    ("folder", "pattern", "format_"),
    [
        ("nl-core-examples", "*.xml", "fhir-r4"),
        ("ips-examples", "*.json", "fhir-r4"),
        ("nl-bgz-msz2-stu3/resources", "*.xml", "fhir-stu3"),
        ("pairs/hl7v2-r4-ms", "*.hl7", "hl7v2"),
        ("pairs/ccda-r4-ms", "*.xml", "cda"),
        ("pairs/nl-ketenzorg-hl7v3-stu3", "*.expected.xml", "fhir-stu3"),
    ],
)
def test_files_of_others_are_recognized(folder: str, pattern: str, format_: str) -> None:
    files = sorted((THIRD_PARTY / folder).rglob(pattern))
    assert files
    for path in files[:: max(1, len(files) // 12)]:
        probe = probe_file(path, path.read_bytes(), "", "", NOON)
        assert probe.guess == format_, path.name
        assert settings.parse(tomllib.loads(stanza.written(probe.table))).sources
        assert report.probe_text(probe)
