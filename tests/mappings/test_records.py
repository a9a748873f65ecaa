"""Files and feeds of many clients: each client apart, and a file that is not what its map says is refused whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.model import NotMappable, Origin, Translation
from mappings.records import translate_records
from mappings.translation import guess, split, translate
from profiles.exact import decode, encode
from profiles.validation import validate

ORIGIN = Origin("90000004", "nursing-home", "2026-01-05T10:16:00+01:00")
EXAMPLES = Path(__file__).parent / "data"
CSV = (EXAMPLES / "csv" / "nursing-home.input.csv").read_bytes()
JSON = (EXAMPLES / "json" / "nursing-home.input.json").read_bytes()


def parts(body: bytes, format_: str = "csv") -> tuple[Translation, ...]:
    found = translate_records(body, format_, ORIGIN)
    for one in found:
        for resource in one.resources:
            assert [str(issue) for issue in validate(resource) if issue.is_error] == []
    return found


def refused(body: bytes, format_: str = "csv") -> NotMappable:
    with pytest.raises(NotMappable) as caught:
        translate_records(body, format_, ORIGIN)
    return caught.value


@pytest.mark.parametrize("example", sorted([*EXAMPLES.glob("csv/*.input.*"), *EXAMPLES.glob("json/*.input.*")]), ids=lambda p: p.name)  # fmt: skip
def test_examples(example: Path) -> None:
    result = translate(example.read_bytes(), example.parent.name, Origin("90000001", "region", ORIGIN.received))
    expected = decode((example.parent / "nursing-home.expected.json").read_bytes())
    assert list(result.resources) == expected["resources"]
    assert [[loss.path, loss.kind] for loss in result.losses] == expected["losses"]
    assert result.facts == expected["facts"]
    assert guess(example.read_bytes()) == example.parent.name


def test_each_client_is_a_translation_of_its_own() -> None:
    first, second = parts(CSV)
    assert {one["resourceType"] for one in first.resources} == {
        "Patient",
        "MedicationStatement",
        "Condition",
        "Consent",
    }
    assert [one["resourceType"] for one in second.resources] == ["Patient", "Observation", "RelatedPerson", "AllergyIntolerance"]  # fmt: skip
    assert not set(first.keys) & set(second.keys)
    assert first.facts["client"] == first.keys[0]
    assert (first.facts["coverage"], first.facts["written"]) == ("full", "2026-01-05T03:00:00+01:00")
    assert first.losses == second.losses == ()


def test_keys_are_the_same_each_night_in_any_order_and_hold_no_bsn() -> None:
    lines = CSV.decode().split("\nC")
    turned = "\nC".join([lines[0], *reversed(lines[1:-1]), lines[-1]])
    body = turned.encode()
    assert {key for one in parts(body) for key in one.keys} == {key for one in parts(CSV) for key in one.keys}
    assert "99999" not in str([one.keys for one in parts(CSV)])


def test_a_quoted_newline_is_part_of_its_cell_and_digits_are_kept() -> None:
    first, second = parts(CSV)
    assert first.resources[1]["dosage"][0]["text"] == "3 maal daags 1,\nbij pijn"
    assert str(second.resources[1]["valueQuantity"]["value"]) == "72.50"


def test_yes_but_is_never_a_yes() -> None:
    consent = parts(CSV)[0].resources[3]
    assert "type" not in consent["provision"]
    assert consent["modifierExtension"][0]["valueString"] == "alleen als familie erbij is"


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        ("bsn;geboortedatum", "geboortedatum;bsn", "header[2]", "expected 'bsn', found 'geboortedatum'"),
        ("omschrijving;status", "omschr;status", "header[11]", "expected 'omschrijving', found 'omschr'"),
        (";toelichting\n", "\n", "header[17]", "expected 'toelichting', found 'nothing'"),
        (";toelichting\n", ";toelichting;extra\n", "header[18]", "expected 'nothing', found 'extra'"),
        ("EINDE;6;2026-01-05T03:00:00+01:00\n", "", "end", "end marker is missing"),
        ("EINDE;6", "EINDE;7", "end", "6 rows"),
        ("EINDE;6;2026-01-05T03:00:00+01:00", "EINDE", "end", "6 rows"),
        ("uitslag", 'uitslag;"', "row[6]", "not complete"),
        ("P70;ICPC", "P70", "row[2]", "16 cells"),
    ],
)
def test_a_file_that_is_not_as_agreed_is_refused_by_name(old: str, new: str, path: str, words: str) -> None:
    error = refused(CSV.decode().replace(old, new, 1).encode())
    assert words in str(error)
    assert error.path.partition("[")[0] == path.partition("[")[0]


def test_a_file_without_a_header_names_no_patient() -> None:
    error = refused(b"\n".join(CSV.split(b"\n")[1:]))
    assert "something else" in str(error)
    assert "C1" not in str(error)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_charset_that_is_not_the_agreed_one_is_refused(encoding: str) -> None:
    assert refused(CSV.decode().replace("Jan", "Çelik").encode(encoding)).path == "encoding"


@pytest.mark.parametrize("end", range(0, len(CSV) - 1, 50))
def test_every_truncation_is_refused(end: int) -> None:
    refused(CSV[:end])


def test_a_row_of_nobody_or_of_two_costs_only_itself() -> None:
    text = CSV.decode().replace("C2;999990020;1950;V;Bos;Anna;gewicht", ";999990018;1950;V;Bos;Anna;gewicht")
    text = text.replace(
        "C1;999990019;12-03-1956;M;de Vries;Jan;probleem", "C1;999990019;13-03-1956;M;de Vries;Jan;probleem"
    )
    first, second, rest = parts(text.replace(";contactpersoon;", ";onbekend;").encode())
    assert len(first.resources) == 3
    assert [one["resourceType"] for one in second.resources] == ["Patient", "AllergyIntolerance"]
    assert rest.resources == ()
    assert [loss.path for loss in rest.losses] == ["row[2]", "row[4]"]
    assert ("row[5].soort", "unknown-code") in [(loss.path, loss.kind) for loss in second.losses]
    assert "999990018" not in str(rest.losses)


@pytest.mark.parametrize(("body", "format_"), [(CSV, "csv"), (JSON.replace(b'"count":1', b'"count":2').replace(b'"clients":[', b'"clients":[{"clientNumber":"C2","bsn":"999990020","birthDate":"1950"},'), "json")])  # fmt: skip
def test_a_file_taken_apart_says_the_same_of_each_client(body: bytes, format_: str) -> None:
    whole, pieces = parts(body, format_), split(body, format_)
    assert len(pieces) == len(whole) == 2
    for piece, expected in zip(pieces, whole, strict=True):
        (alone,) = parts(piece, format_)
        assert (alone.resources, alone.keys) == (expected.resources, expected.keys)
        assert alone.facts == {**expected.facts, "clients": "1"}
        assert split(piece, format_) == (piece,)


def test_what_is_of_nobody_is_a_piece_of_its_own_and_never_lost() -> None:
    body = CSV.decode().replace("C2;999990020;1950;V;Bos;Anna;gewicht", ";999990018;1950;V;Bos;Anna;gewicht").encode()
    *_, stray = split(body, "csv")
    assert b"72,50" in stray
    (only,) = parts(stray)
    assert only.resources == ()
    assert [loss.kind for loss in only.losses] == ["invalid"]


def test_a_bsn_that_lost_its_zeros_is_found_again() -> None:
    text = CSV.decode().replace("999990019", "12345672")
    assert parts(text.encode())[0].resources[0]["identifier"][0]["value"] == "012345672"


def test_a_number_of_a_client_belongs_to_its_custodian() -> None:
    other = translate_records(CSV, "csv", Origin("90000005", "other-home", ORIGIN.received))
    assert other[0].resources[0]["identifier"][1]["system"] == "urn:roaz:90000005:client"
    assert not {key for one in other for key in one.keys} & {key for one in parts(CSV) for key in one.keys}


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('"count":1', '"count":2', "count"),
        ('"mode":"delta"', '"mode":"deel"', "mode"),
        ('"clients":[', '"cliënten":[', "clients"),
        ('"birthDate"', '"geboren"', "clients[0]"),
        ('"bsn":"999990019"', '"bsn":"999990019","bsn":"999990020"', ""),
    ],
)
def test_a_feed_that_is_not_as_agreed_is_refused(old: str, new: str, path: str) -> None:
    assert refused(JSON.decode().replace(old, new, 1).encode(), "json").path == path


@pytest.mark.parametrize("end", range(0, len(JSON.rstrip()) - 1, 50))
def test_half_a_feed_is_refused(end: int) -> None:
    refused(JSON[:end], "json")


def test_an_empty_delta_is_an_answer_without_clients() -> None:
    (only,) = parts(b'{"mode":"delta","count":0,"clients":[]}', "json")
    assert only.resources == ()
    assert only.facts["clients"] == "0"


def test_what_a_feed_holds_beyond_the_map_is_a_loss() -> None:
    (only,) = parts(JSON.replace(b'"unit":"kg"', b'"unit":"kg","room":"12"'), "json")
    assert [(loss.path, loss.kind) for loss in only.losses] == [("clients[0].weights[0].room", "unmapped")]


def test_an_unknown_map_is_named() -> None:
    with pytest.raises(NotMappable) as caught:
        translate(CSV, "csv", ORIGIN, "csv/other")
    assert "csv/nursing-home" in str(caught.value)
    assert translate(CSV, "csv", ORIGIN, "csv/nursing-home").resources


def test_other_formats_are_one_patient() -> None:
    body = encode({"resourceType": "Patient", "id": "p"})
    assert split(body, "fhir-r4") == (body,)
