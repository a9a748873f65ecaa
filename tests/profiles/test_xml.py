"""FHIR XML: exact both ways by the definitions, and hostile XML is refused without reading anything else."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from profiles import exact
from profiles.exact import Json, NotExact
from profiles.validation import accepts
from profiles.xml import parsed, to_json, to_xml
from tests.profiles.examples import ALL, OBSERVATION, PATIENT
from tests.slack import slack

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NS = 'xmlns="http://hl7.org/fhir"'
XHTML = "{http://www.w3.org/1999/xhtml}"
NL_CORE = sorted(DATA.glob("nl-core-examples/*.xml"))
IN_JSON = sorted([*DATA.glob("r4-examples/*.json"), *DATA.glob("ips-examples/*.json")])
real = pytest.mark.skipif(not DATA.is_dir(), reason="third-party examples are not beside the project")


def canonical(raw: bytes) -> bytes:
    """XML without what FHIR gives no meaning: comments, blanks between elements, prefixes."""
    root = etree.fromstring(raw, etree.XMLParser(remove_comments=True, remove_pis=True))
    for element in root.iter():
        parent = element.getparent()
        if not str(element.tag).startswith(XHTML):
            element.text = None
        if parent is not None and not str(parent.tag).startswith(XHTML):
            element.tail = None
    for name in [name for name in root.attrib if str(name).startswith("{")]:
        del root.attrib[name]
    return bytes(etree.tostring(root, method="c14n", exclusive=True))


def facts(value: Any) -> Any:
    """JSON as facts: numbers by their digits, narratives by their canonical form."""
    if isinstance(value, dict):
        return {
            name: etree.tostring(etree.fromstring(child), method="c14n") if name == "div" else facts(child)
            for name, child in value.items()
        }
    if isinstance(value, list):
        return [facts(child) for child in value]
    return value.as_tuple() if isinstance(value, Decimal) else (type(value), value)


@real
@pytest.mark.real_inputs
@pytest.mark.parametrize("path", NL_CORE, ids=lambda path: path.stem)
def test_nl_core_xml_comes_back_equal_and_its_json_is_accepted(path: Path) -> None:
    raw = path.read_bytes()
    resource = to_json(raw)
    assert canonical(to_xml(resource)) == canonical(raw)
    assert accepts(resource)
    assert exact.decode(exact.encode(resource)) == resource


@real
@pytest.mark.real_inputs
@pytest.mark.parametrize("path", IN_JSON, ids=lambda path: path.stem)
def test_published_json_comes_back_fact_for_fact(path: Path) -> None:
    resource = exact.decode(path.read_bytes())
    back = to_json(to_xml(resource))
    assert facts(back) == facts(resource)
    assert to_xml(to_json(to_xml(back))) == to_xml(back)


@pytest.mark.parametrize("name", ALL)
def test_examples_by_hand_come_back(name: str) -> None:
    assert facts(to_json(to_xml(ALL[name]))) == facts(ALL[name])


def patient(inside: str) -> bytes:
    return f"<Patient {NS}>{inside}</Patient>".encode()


def test_primitives_with_ids_extensions_and_gaps() -> None:
    raw = patient(
        '<name id="n1"><given value="A"/><given id="g2"><extension url="urn:x"><valueCode value="BR"/></extension></given>'
        '<given value="C" id="g3"/></name>'
    )
    assert to_json(raw)["name"] == [
        {
            "id": "n1",
            "given": ["A", None, "C"],
            "_given": [None, {"id": "g2", "extension": [{"url": "urn:x", "valueCode": "BR"}]}, {"id": "g3"}],
        }
    ]
    only = {"resourceType": "Patient", "_birthDate": {"extension": [{"url": "urn:x", "valueBoolean": False}]}}
    assert to_json(to_xml(only)) == only
    assert b"<birthDate><extension" in to_xml(only)


def test_elements_are_written_in_the_order_of_the_definitions() -> None:
    written = to_xml(
        {"birthDate": "1972", "name": [{"text": "x"}], "id": "a", "resourceType": "Patient", "active": True}
    )
    names = [str(child.tag).rpartition("}")[2] for child in parsed(written)]
    assert names == ["id", "active", "name", "birthDate"]


@pytest.mark.parametrize(
    "number", ["0.010", "7.20", "-0.0", "1E+3", "0.00000001", "100", "12345678901234567890.5", "1e400"]
)
def test_decimals_keep_their_digits(number: str) -> None:
    raw = f'<Observation {NS}><valueQuantity><value value="{number}"/></valueQuantity></Observation>'.encode()
    value = to_json(raw)["valueQuantity"]["value"]
    assert Decimal(value).as_tuple() == Decimal(number).as_tuple()
    assert f'value="{number.upper().replace("E400", "E+400")}"'.encode() in to_xml(to_json(raw))


def test_integers_and_booleans_are_typed() -> None:
    resource = to_json(patient('<multipleBirthInteger value="2"/>'))
    assert type(resource["multipleBirthInteger"]) is int
    assert to_json(patient('<active value="false"/>'))["active"] is False


def test_text_with_every_character_xml_has_comes_back() -> None:
    text = "a\tb\nc\rd<&>\"'é\u2028\x85😀  "
    resource = {"resourceType": "Patient", "name": [{"text": text}]}
    assert to_json(to_xml(resource)) == resource


def test_a_narrative_keeps_its_language_and_says_the_same_in_a_browser() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml" xml:lang="nl">a <b/> &amp; <br/>b</div>'
    raw = f'<Patient {NS} xmlns:q="urn:q"><text><status value="generated"/>{div}</text></Patient>'.encode()
    kept = to_json(raw)["text"]["div"]
    assert kept == div.replace("<b/>", "<b></b>")
    prefixed = '<h:div xmlns:h="http://www.w3.org/1999/xhtml">x</h:div>'
    assert to_json(patient(f'<text><status value="generated"/>{prefixed}</text>'))["text"]["div"] == prefixed


def test_comments_instructions_and_schema_hints_say_nothing() -> None:
    raw = f"""<?xml version="1.0" encoding="utf-8"?><!-- <!DOCTYPE x> --><?a b?>
      <Patient {NS} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir x.xsd">
      <!-- c --><?d e?><active value="true"/></Patient>""".encode()
    assert to_json(raw) == {"resourceType": "Patient", "active": True}
    assert to_json(b"\xef\xbb\xbf" + patient("")) == {"resourceType": "Patient"}


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("<foo value='Jansen'/>", "unknown element: Patient.foo"),
        ("<name><given value='Jansen'/><nickname value='Jansen'/></name>", "unknown element: Patient.name[0].nickname"),
        ("<birthDate value='1972'/><name><text value='Jansen'/></name>", "out of order: Patient.name"),
        ("<active value='true'/><active value='true'/>", "repeated: Patient.active"),
        ("<active value='Jansen'/>", "not a boolean: Patient.active"),
        ("<multipleBirthInteger value='007'/>", "not a integer: Patient.multipleBirthInteger"),
        ("<active/>", "an empty element: Patient.active"),
        ("<name/>", "an empty element: Patient.name[0]"),
        ("<active value='true' units='Jansen'/>", "unknown attribute: Patient.active.units"),
        ("Jansen", "text between elements"),
        ("<contained><Patient/><Patient/></contained>", "expected one resource: Patient.contained[0]"),
        ("<contained><Nothing/></contained>", "not a resource of a known type: Patient.contained[0]"),
        ("<text><status value='generated'/><div>Jansen</div></text>", "text between elements"),
        ("<active xmlns='urn:other' value='true'/>", "unknown element: Patient.active"),
    ],
)
def test_what_has_no_place_is_named_never_repeated(inside: str, said: str) -> None:
    with pytest.raises(NotExact) as caught:
        to_json(patient(inside))
    assert said in str(caught.value)
    assert "Jansen" not in str(caught.value)


NOT_XML: list[tuple[Json, str]] = [
    ({"resourceType": "Patient", "foo": 1}, "unknown element: Patient.foo"),
    ({"resourceType": "Patient", "name": [{"given": [None]}]}, "an empty element: Patient.name[0].given[0]"),
    ({"resourceType": "Patient", "name": []}, "an empty list: Patient.name"),
    ({"resourceType": "Patient", "name": {}}, "expected a list: Patient.name"),
    ({"resourceType": "Patient", "name": [{}]}, "an empty element: Patient.name[0]"),
    ({"resourceType": "Patient", "active": "true"}, "not a boolean: Patient.active"),
    ({"resourceType": "Patient", "active": [True]}, "expected one value, not a list: Patient.active"),
    ({"resourceType": "Patient", "multipleBirthInteger": True}, "not a integer"),
    ({"resourceType": "Patient", "name": [{"text": "a\ufffe"}]}, "a character that XML cannot hold"),
    ({"resourceType": "Patient", "text": {"div": "<div>a</div>"}}, "a narrative that is not one XHTML div"),
    ({"resourceType": "Patient", "text": {"div": "<!DOCTYPE a><div/>"}}, "a narrative that is not one XHTML div"),
    ({"resourceType": "Nothing"}, "not a resource of a known type: Resource"),
    ({}, "not a resource of a known type: Resource"),
]


@pytest.mark.parametrize(("resource", "said"), NOT_XML)
def test_what_xml_cannot_say_is_refused_by_element(resource: Json, said: str) -> None:
    with pytest.raises(NotExact, match=said.replace("[", r"\[").replace("]", r"\]")):
        to_xml(resource)


def hostile(tmp_path: Path) -> dict[str, bytes]:
    canary = tmp_path / "canary.txt"
    canary.write_text("CANARY")
    laughs = "".join("<!ENTITY l%d '%s'>" % (n, f"&l{n - 1};" * 10) for n in range(1, 10))  # noqa: UP031 - as it reads
    attributes = " ".join(f"a{n}=''" for n in range(100_000))
    return {
        "empty": b"",
        "external entity": f'<!DOCTYPE a [<!ENTITY x SYSTEM "{canary.as_uri()}">]>'.encode()
        + patient('<name><text value="&x;"/></name>'),
        "external entity in a narrative": f'<!DOCTYPE a [<!ENTITY x SYSTEM "{canary.as_uri()}">]>'.encode()
        + patient('<text><div xmlns="http://www.w3.org/1999/xhtml">&x;</div></text>'),
        "parameter entity": f'<?a?><!-- --> <!DOCTYPE a [<!ENTITY % x SYSTEM "{canary.as_uri()}">%x;]>'.encode()
        + patient(""),
        "billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]>'.encode()
        + patient('<name><text value="&l9;"/></name>'),
        "document type": b"<!DOCTYPE Patient>" + patient(""),
        "undeclared entity": patient('<name><text value="&nbsp;"/></name>'),
        "100,000 deep": f"<Patient {NS}>".encode() + b"<extension>" * 100_000,
        "300 deep": patient("<extension>" * 300 + "</extension>" * 300),
        "100 deep": patient('<extension url="u">' * 100 + '<valueCode value="a"/>' + "</extension>" * 100),
        "100,000 attributes": f"<Patient {NS} {attributes}/>".encode(),
        "UTF-16": patient("").decode().encode("utf-16"),
        "UTF-16 without mark": patient("").decode().encode("utf-16-le"),
        "UTF-7": b'<?xml version="1.0" encoding="UTF-7"?>' + patient(""),
        "not UTF-8": patient('<name><text value="\xff"/></name>').decode().encode("latin-1"),
        "NUL": patient('<name><text value="&#0;"/></name>'),
        "wrong namespace": b'<Patient xmlns="urn:hl7-org:v3"/>',
        "no namespace": b"<Patient/>",
        "two roots": patient("") * 2,
        "too many tags": patient("<name/>" * 400_000),
        "include": patient('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/hostname"/>'),
        "exponent beyond all bounds": f'<Observation {NS}><valueQuantity><value value="1e{"9" * 30}"/>'
        "</valueQuantity></Observation>".encode(),
    }


def test_hostile_xml_is_refused_at_once_and_reads_no_file(tmp_path: Path) -> None:
    for name, raw in hostile(tmp_path).items():
        started = time.perf_counter()
        with pytest.raises(NotExact) as caught:
            to_json(raw)
        assert "CANARY" not in str(caught.value), name
        assert time.perf_counter() - started < 3, name


def test_a_truncated_document_is_refused_wherever_it_ends() -> None:
    raw = to_xml(ALL["document"])
    for end in range(0, len(raw) - 1, 40):
        with pytest.raises(NotExact):
            to_json(raw[:end])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3000), st.integers(0, 40))
def test_damaged_xml_is_read_or_refused_never_another_error(noise: bytes, at: int, lost: int) -> None:
    raw = to_xml(PATIENT)
    damaged = raw[: at % len(raw)] + noise + raw[at % len(raw) + lost :]
    try:
        to_json(damaged)
    except NotExact:
        return


_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1
)
_EXTENSION = st.fixed_dictionaries(
    {"url": _TEXT}, optional={"id": _TEXT, "valueString": _TEXT, "valueInteger": st.integers(-9, 9)}
)
_BESIDE = st.fixed_dictionaries({"extension": st.lists(_EXTENSION, min_size=1, max_size=2)}, optional={"id": _TEXT})
_DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=3)


@st.composite
def _names(draw: st.DrawFn) -> Json:
    pairs = draw(st.lists(st.tuples(st.none() | _TEXT, st.none() | _BESIDE).filter(any), min_size=1, max_size=4))
    name: Json = {"family": draw(_TEXT)}
    if any(value for value, _ in pairs):
        name["given"] = [value for value, _ in pairs]
    if any(beside for _, beside in pairs):
        name["_given"] = [beside for _, beside in pairs]
    return name


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(_names(), min_size=1, max_size=3), _DECIMALS, st.booleans(), st.none() | _BESIDE)
def test_what_is_made_of_known_elements_comes_back(
    names: list[Json], number: Decimal, active: bool, beside: Json | None
) -> None:
    inner: Json = {"resourceType": "Patient", "name": names, "active": active}
    if beside:
        inner["_active"] = beside
    observation = {**OBSERVATION, "valueQuantity": {"value": number}, "contained": [inner]}
    resource = {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": observation}]}
    assert facts(to_json(to_xml(resource))) == facts(resource)


def test_a_large_bundle_is_quick() -> None:
    resource = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": OBSERVATION}] * 120}
    raw = to_xml(resource)
    assert len(raw) > 100_000
    for work in (lambda: to_xml(resource), lambda: to_json(raw)):
        best = 9.0
        for _ in range(7):
            started = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - started)
        assert best < 0.06 * slack()
