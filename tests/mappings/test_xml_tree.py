"""Hostile XML is refused in bounded time and memory, and nothing outside the bytes is ever touched."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.formats.xml_tree import MAXIMUM_DEPTH, MAXIMUM_NODES, MAXIMUM_SIBLINGS, read
from mappings.model import NotMappable, Origin
from mappings.translation import translate
from tests.slack import slack

ORIGIN = Origin("90000001", "region", "2026-01-05T10:16:00+01:00")
EXAMPLES = Path(__file__).parent / "data"
CDA = (EXAMPLES / "cda" / "ambulance-transfer.input.xml").read_bytes()
BATCH = (EXAMPLES / "hl7v3" / "gp-summary.input.xml").read_bytes()


def refused(body: bytes, format_: str = "cda") -> str:
    with pytest.raises(NotMappable) as caught:
        translate(body, format_, ORIGIN)
    return str(caught.value)


def within(body: str) -> bytes:
    return CDA.replace(b"<title>Ambulanceoverdracht</title>", body.encode())


def test_no_file_and_no_address_is_ever_read(tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("KANARIE", encoding="ascii")
    # The suite runs with sockets closed: a parser that fetched http:// would fail the test.
    for kind in (
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{canary}">]>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:9/x">]>',
        f'<!DOCTYPE x [<!ENTITY % p SYSTEM "file://{canary}"> %p;]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">',
        "<!DOCTYPE x>",
    ):
        text = refused(CDA.replace(b"<ClinicalDocument ", kind.encode() + b"<ClinicalDocument ", 1))
        assert "document type" in text
        assert "KANARIE" not in text
    include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file://{canary}" parse="text"/>'
    result = translate(within(f"<title>{include}</title>"), "cda", ORIGIN)
    assert "KANARIE" not in str(result)
    sheet = b'<?xml-stylesheet href="file://x"?><ClinicalDocument '
    assert translate(CDA.replace(b"<ClinicalDocument ", sheet, 1), "cda", ORIGIN).resources


def test_entity_bombs_cost_nothing() -> None:
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    bomb = f'<!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><x>&a9;</x>'.encode()
    quadratic = f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]><x>{"&a;" * 50_000}</x>'.encode()
    for body in (bomb, quadratic):
        started = time.perf_counter()
        refused(body)
        assert time.perf_counter() - started < 0.1 * slack()


@pytest.mark.parametrize("depth", [MAXIMUM_DEPTH + 2, 300, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    started = time.perf_counter()
    refused(b"<ClinicalDocument>" + b"<a>" * depth + b"</a>" * depth + b"</ClinicalDocument>")
    assert time.perf_counter() - started < 1 * slack()


def test_the_deepest_that_is_allowed_is_read() -> None:
    depth = MAXIMUM_DEPTH - 10
    nested = "<component>" * depth + "</component>" * depth
    assert translate(within(nested), "cda", ORIGIN).resources


def test_what_is_too_large_is_refused() -> None:
    started = time.perf_counter()
    refused(b"<ClinicalDocument>" + b" " * 50_000_000 + b"</ClinicalDocument>")
    assert time.perf_counter() - started < 0.5 * slack()


@pytest.mark.slow
def test_too_many_elements_are_refused() -> None:
    several = b"<entry>" + b"<a/>" * 60 + b"</entry>"
    body = b"<ClinicalDocument>" + several * (MAXIMUM_NODES // 60) + b"</ClinicalDocument>"
    assert "too many elements" in refused(body)


def test_many_names_side_by_side_are_refused() -> None:
    text = refused(within("<author/>" * (MAXIMUM_SIBLINGS + 1)))
    assert text == "too many elements side by side"


def test_many_items_of_one_act_do_not_cost_their_square() -> None:
    item = '<entryRelationship><observation moodCode="EVN"><code code="1" codeSystem="1.2"/><value/></observation></entryRelationship>'
    spent = []
    for count in (50, 400):
        body = CDA.replace(b"<structuredBody>", f"<structuredBody><component><section><entry><act>{item * count}</act></entry></section></component>".encode())  # fmt: skip
        started = time.process_time()
        assert len(translate(body, "cda", ORIGIN).resources) > count
        spent.append(time.process_time() - started)
    assert spent[1] < spent[0] * 30


def test_references_to_the_narrative_do_not_multiply_it() -> None:
    text = "a" * 200_000
    entry = '<entry><observation><text><reference value="#big"/></text></observation></entry>' * 500
    section = f'<component><section><text><content ID="big">{text}</content></text>{entry}</section></component>'
    tree = read(CDA.replace(b"<structuredBody>", b"<structuredBody>" + section.encode()))
    assert sum(str(tree["ClinicalDocument"][0]["component"]).count("a" * 200_000) for _ in "x") < 100


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"<", b"{}", b"MSH|^~\\&|", b"<a/>", b"<ClinicalDocument/>", b'<ClinicalDocument xmlns="urn:other"/>',
     b'<Bundle xmlns="http://hl7.org/fhir"/>', b"<ClinicalDocument xmlns='urn:hl7-org:v3'><recordTarget/></ClinicalDocument>",
     b"\x00", b"<a>\x00</a>", b"<a>&#xD800;</a>", b"<a>\xed\xa0\x80</a>", b"<a>&undefined;</a>", b"<a b='1' b='2'/>"],
)  # fmt: skip
@pytest.mark.parametrize("format_", ["cda", "hl7v3"])
def test_what_is_no_document_is_refused(body: bytes, format_: str) -> None:
    refused(body, format_)


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [("UTF-8", "latin-1"), ("ISO-8859-1", "utf-8"), ("US-ASCII", "utf-8"), ("UTF-16", "utf-8"), ("UTF-7", "utf-8"),
     ("EBCDIC-CP-US", "utf-8"), ("UTF-16", "utf-16")],
)  # fmt: skip
def test_a_document_that_lies_about_its_charset_is_refused(declared: str, encoding: str) -> None:
    text = CDA.decode().replace("UTF-8", declared)
    refused(text.encode(encoding))


@pytest.mark.parametrize(("declared", "encoding"), [("ISO-8859-1", "latin-1"), ("windows-1252", "cp1252"), ("utf-8", "utf-8-sig")])  # fmt: skip
def test_other_charsets_are_read(declared: str, encoding: str) -> None:
    text = CDA.decode().replace('encoding="UTF-8"', f'encoding="{declared}"').replace(">Jan<", ">Çelik<")
    result = translate(text.encode(encoding), "cda", ORIGIN)
    assert result.resources[0]["name"][0]["given"] == ["Çelik"]


def test_names_are_known_by_their_namespace_not_their_prefix() -> None:
    text = CDA.decode().replace('xmlns="urn:hl7-org:v3"', 'xmlns:x="urn:hl7-org:v3"')
    prefixed = text.replace("</", "</x:").replace("<", "<x:").replace("<x:/x:", "</x:").replace("<x:?", "<?")
    made, same = (translate(body, "cda", ORIGIN).resources for body in (prefixed.encode(), CDA))
    for one in (*made, *same):
        one.pop("content", None)  # the digest of the document, which is another one
    assert made == same


@pytest.mark.parametrize(("body", "format_"), [(CDA, "cda"), (BATCH, "hl7v3")])
def test_every_truncation_is_refused(body: bytes, format_: str) -> None:
    for end in range(0, len(body.rstrip()) - 1, 50):
        refused(body[:end], format_)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 6000))
def test_any_bytes_give_a_refusal_at_most(noise: bytes, place: int) -> None:
    for body, format_ in ((CDA, "cda"), (BATCH, "hl7v3")):
        try:
            translate(body[:place] + noise + body[place:], format_, ORIGIN)
        except NotMappable:
            continue
