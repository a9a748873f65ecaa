"""The form of an answer: conditions, compression, indentation, releases, the base in links, quotas, deprecations."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from gateway import envelope
from gateway.errors import Refused
from gateway.fhir.public import public_base
from gateway.throttle import Allowances, Quota
from profiles.xml import to_json
from tests.gateway.charts import BSN, BSN_SYSTEM, privacy
from tests.gateway.world import BASE, GP, PHYSICIAN, Reply, World, custodian, raw, run

PLAIN: Final = "identity"


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def ask(world: World, path: str, headers: dict[str, str]) -> Reply:
    return world.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture(scope="module")
def item(world: World) -> str:
    return f"AllergyIntolerance/{world.search().items[0]['id']}"


# --- ETag, Last-Modified ----------------------------------------------------------------------------


def test_a_read_is_answered_again_only_when_it_changed(world: World, item: str) -> None:
    first = world.get(item)
    tag, modified = first.header("etag"), first.header("last-modified")
    assert re.fullmatch(r'W/"[A-Za-z0-9\-.]+"', tag)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", modified)
    assert world.get(item).header("etag") == tag
    for asked in ({"if_none_match": tag}, {"if_none_match": f'"x", {tag}'}, {"if_none_match": "*"},
                  {"if_none_match": tag.removeprefix("W/")}, {"if_modified_since": modified},
                  {"if_none_match": tag, "if_modified_since": "Thu, 01 Jan 1970 00:00:00 GMT"}):  # fmt: skip
        again = ask(world, item, asked)
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag), asked
        assert "content-length" not in again.headers
    for asked in ({"if_none_match": 'W/"other"'}, {"if_modified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
                  {"if_modified_since": "yesterday"}, {"if_none_match": '"other"', "if_modified_since": modified}):  # fmt: skip
        assert ask(world, item, asked).status == 200, asked


def test_an_unchanged_answer_is_decided_and_recorded_like_any_other(item: str) -> None:
    world = World()
    found = f"AllergyIntolerance/{world.search().items[0]['id']}"
    tag = world.get(found).header("etag")
    assert world.get(found, None, if_none_match=tag).status == 401
    before = len(world.records)
    assert world.get(found, if_none_match=tag).status == 304
    assert world.records[-1].kind == "outcome"
    assert len(world.records) > before
    assert item


def test_what_was_fetched_again_unchanged_has_the_same_tag(item: str) -> None:
    world = World()
    path = f"AllergyIntolerance/{world.search().items[0]['id']}"
    tag = world.get(path).header("etag")
    world.clock.advance(timedelta(seconds=90))
    assert world.get(path).header("etag") == tag
    assert world.get(f"Patient/{world.patient}").header("etag")
    assert item


def test_no_answer_without_a_body_states_a_length(world: World, item: str) -> None:
    tag = world.get("metadata", None).header("etag")
    reply = world.get("metadata", None, if_none_match=tag)
    assert (reply.status, reply.header("content-length")) == (304, "")
    assert world.request("HEAD", item, headers={"accept-encoding": PLAIN}).header("content-length") == str(
        len(world.get(item, accept_encoding=PLAIN).body)
    )


# --- gzip, _pretty, releases ------------------------------------------------------------------------


def compressed(world: World, path: str, accept: str) -> tuple[Reply, bytes]:
    head = [(b"host", b"gateway.test"), (b"accept-encoding", accept.encode()),
            (b"authorization", f"Bearer {world.token(PHYSICIAN)}".encode())]  # fmt: skip
    path, _, query = path.partition("?")
    reply = run(raw(world.app, {"path": f"/fhir/{path}", "query_string": query.encode(), "headers": head}))
    assert reply is not None
    return reply, reply.body


@pytest.mark.parametrize(
    ("accept", "done"),
    [("gzip", True), ("gzip, deflate", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0", False),
     ("identity", False), ("", False), ("xgzip", False)],
)  # fmt: skip
def test_an_answer_is_compressed_for_who_takes_it(world: World, accept: str, done: bool) -> None:
    path = f"AllergyIntolerance?patient={world.patient}"
    reply, body = compressed(world, path, accept)
    assert (reply.header("content-encoding") == "gzip") is done
    assert ("Accept-Encoding" in reply.header("vary")) is done
    text = gzip.decompress(body) if done else body
    assert text == world.get(path, accept_encoding=PLAIN).body


def test_176_no_page_and_nothing_small_is_compressed(world: World) -> None:
    head = {"accept_encoding": "gzip", "accept": "text/html"}
    assert ask(world, f"Patient/{world.patient}/$summary", head).header("content-encoding") == ""
    assert world.get("Nothing", accept_encoding="gzip").header("content-encoding") == ""


def test_pretty_changes_spaces_only(world: World, item: str) -> None:
    plain, pretty = world.get(item), world.get(f"{item}?_pretty=true")
    assert pretty.json == plain.json
    assert b'\n  "' in pretty.body
    assert world.get(f"{item}?_pretty=false").body == plain.body
    form = f"patient={world.patient}&_pretty=true"
    assert b'\n  "' in world.post("AllergyIntolerance/_search", form).body
    whole, lines = world.summary(accept="application/fhir+xml", x_request_id="r"), world.get(
        f"Patient/{world.patient}/$summary?_pretty=true", accept="application/fhir+xml", x_request_id="r")  # fmt: skip
    assert lines.body.count(b"\n") > 100
    assert to_json(lines.body) == to_json(whole.body)


def test_stu3_is_answered_to_who_names_it(world: World, item: str) -> None:
    old = world.get(item, accept="application/fhir+json; fhirVersion=3.0")
    assert old.status == 200
    assert "fhirVersion=3.0" in old.header("content-type")
    assert old.json["clinicalStatus"] == "active"
    same = world.get(item, accept="application/fhir+json; fhirVersion=4.0")
    assert same.json["clinicalStatus"]["coding"][0]["code"] == "active"
    found = world.search(accept='application/fhir+json; fhirVersion="3.0"')
    assert found.items[0]["clinicalStatus"] == "active"
    assert world.get(item, accept="application/fhir+json; fhirVersion=5.0").status == 406


# --- the base behind a proxy ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://a.example"),
        ({"x-forwarded-host": "fhir.example", "x-forwarded-proto": "https"}, "https://fhir.example"),
        ({"x-forwarded-host": "fhir.example:443", "x-forwarded-proto": "https"}, "https://fhir.example"),
        ({"x-forwarded-host": "fhir.example", "x-forwarded-proto": "https", "x-forwarded-port": "8443"},
         "https://fhir.example:8443"),
        ({"x-forwarded-host": "spoofed.example, fhir.example"}, "http://fhir.example"),
        ({"x-forwarded-proto": "https", "host": "kept.example"}, "https://kept.example"),
        ({"x-forwarded-host": "fhir.example", "x-forwarded-prefix": "/region/"}, "http://fhir.example/region"),
        ({"forwarded": 'for=1.2.3.4;host="fhir.example:8443";proto=https'}, "https://fhir.example:8443"),
        ({"forwarded": "host=x.example, for=1.2.3.4;host=fhir.example;proto=https"}, "https://fhir.example"),
        ({"forwarded": "host=f.example", "x-forwarded-host": "x.example"}, "http://f.example"),
        ({"forwarded": 'host="[2001:db8::1]:8443";proto=https'}, "https://[2001:db8::1]:8443"),
        ({"x-forwarded-host": "evil.example/path"}, "http://a.example"),
        ({"x-forwarded-host": "a b"}, "http://a.example"), ({"x-forwarded-host": '"><script>'}, "http://a.example"),
        ({"x-forwarded-host": "x.example", "x-forwarded-proto": "javascript"}, "http://a.example"),
        ({"x-forwarded-host": "user@x.example"}, "http://a.example"),
        ({"x-forwarded-host": "x.example", "x-forwarded-prefix": "//evil.example"}, "http://a.example"),
        ({"x-forwarded-host": "x..example"}, "http://a.example"),
    ],
)  # fmt: skip
def test_the_base_a_proxy_tells(headers: dict[str, str], base: str) -> None:
    given = {name.encode(): value.encode() for name, value in headers.items()}
    assert public_base(given, "http://a.example") == base


def test_every_link_has_the_public_base_and_only_behind_a_listed_proxy() -> None:
    told = {"x_forwarded_host": "fhir.example", "x_forwarded_proto": "https"}
    behind = World(settings={"gateway": {"base": BASE, "deadline": "300ms", "trusted_proxies": ["127.0.0.1"]}})
    paths = [f"AllergyIntolerance?patient={behind.patient}&_count=1", f"Patient/{behind.patient}/$everything?_count=1",
             f"Patient/{behind.patient}/$summary", f"DocumentReference/$docref?patient={behind.patient}",
             f"Patient/{behind.patient}", "metadata", "Nothing"]  # fmt: skip
    for path in paths:
        body = ask(behind, path, told).body.decode()
        urls = set(re.findall(r"https?://(?:gateway\.test|fhir\.example)[^\"<|]*", body))
        inside = {url for url in urls if url.startswith(BASE)}
        assert urls - inside, path
        # Tokens come from the issuer, whatever the address it was asked by.
        assert all(url.startswith(f"{BASE}/oauth/") for url in inside), (path, inside)
        assert "fhir.example" not in ask(World(), path, told).body.decode()
    cursor = ask(behind, paths[0], told).json["link"][1]["url"]
    assert cursor.startswith("https://fhir.example/fhir/AllergyIntolerance?")


# --- quotas -----------------------------------------------------------------------------------------


def limited(*quotas: Quota, **own: list[Quota]) -> World:
    world = World()
    world.ports = replace(world.ports, allowances=Allowances(quotas, own))
    world.app = replace(world.app, ports=world.ports)
    return world


def test_a_client_beyond_its_quota_is_told_when_to_come_back() -> None:
    world = limited(Quota("minute", 3, 60), Quota("day", 100, 86_400))
    path = f"Flag?patient={world.patient}"
    first = world.get(path)
    assert first.header("ratelimit-policy") == '"minute";q=3;w=60, "day";q=100;w=86400'
    assert first.header("ratelimit") == '"minute";r=2;t=60, "day";r=99;t=86400'
    assert [world.get(path).status for _ in range(3)] == [200, 200, 429]
    refused = world.get(path)
    assert (refused.status, refused.code) == (429, "too-many-requests")
    assert 1 <= int(refused.header("retry-after")) <= 60
    assert '"minute";r=0' in refused.header("ratelimit")
    assert world.records[-1].error == "too-many-requests"
    other = replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, client="other-app"), token_id="t5")
    assert world.get(path, other).status == 200, "the quota of one client is not that of another"
    world.clock.advance(timedelta(seconds=61))
    assert world.get(path).status == 200
    assert world.get("metadata", None).header("ratelimit") == ""


def test_a_client_with_a_quota_of_its_own_and_one_without_any() -> None:
    own = limited(Quota("minute", 1, 60), **{"post-app": [Quota("minute", 2, 60)]})
    assert [own.search().status for _ in range(3)] == [200, 200, 429]
    free = limited()
    assert [free.search().status for _ in range(3)] == [200] * 3
    assert free.search().header("ratelimit") == ""


def test_each_entry_of_a_batch_counts() -> None:
    world = limited(Quota("minute", 3, 60))
    entries = [{"request": {"method": "GET", "url": f"Flag?patient={world.patient}"}}] * 4
    reply = world.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    statuses = sorted(one["response"]["status"] for one in reply.json["entry"])
    assert statuses == ["200 OK", "200 OK", "429 Too Many Requests", "429 Too Many Requests"]


def test_what_is_counted_is_bounded_and_a_clock_that_is_set_back_starts_anew() -> None:
    allowances = Allowances((Quota("minute", 1, 60),))
    allowances.take(b"a", "x", 100.0)
    with pytest.raises(Refused):
        allowances.take(b"a", "x", 101.0)
    allowances.take(b"a", "x", 50.0)
    assert allowances.client_of(b"a") == "x"
    assert allowances.client_of(b"b") == ""


# --- what will go -----------------------------------------------------------------------------------


def test_a_deprecated_media_type_works_and_says_until_when(world: World, item: str) -> None:
    reply = world.get(item, accept="application/json+fhir")
    assert reply.status == 200
    assert reply.header("deprecation") == "@1767225600"
    assert reply.header("sunset") == "Fri, 31 Dec 2027 00:00:00 GMT"
    assert 'rel="deprecation"' in reply.header("link")
    assert world.get(f"{item}?_format=application/xml%2Bfhir").header("deprecation")
    for accept in ("application/fhir+json", "*/*", "application/fhir+xml"):
        assert world.get(item, accept=accept).header("deprecation") == ""


def test_limits_of_url_and_headers(world: World) -> None:
    assert world.get(f"Flag?patient={world.patient}&_id={'a' * 9000}").code == "uri-too-long"
    assert world.get("metadata", None, x_filler="a" * 40_000).code == "headers-too-large"


def test_an_error_names_the_page_of_cause_and_cure(world: World) -> None:
    reply = world.get("Nothing")
    (issue,) = reply.json["issue"]
    assert issue["diagnostics"].endswith(f"; {BASE}/errors/not-found")
    assert reply.header("link") == f'<{BASE}/errors/not-found>; rel="help"'


# --- what an integrator tries first -----------------------------------------------------------------


def test_an_include_that_is_not_known_names_those_that_are() -> None:
    world = World()
    for given, known in (("_include=asserter", "AllergyIntolerance:asserter"), ("_revinclude=x", "Provenance:target")):
        refused = world.search(more=f"&{given}")
        assert (refused.status, refused.code) == (400, "unknown-parameter")
        text = refused.json["issue"][0]["details"]["text"]
        assert given in text
        assert known in text


def test_a_body_that_is_empty_or_compressed_is_told_so() -> None:
    world = World()
    empty = world.post("Patient/$summary", b"", content_type="application/fhir+json")
    assert (empty.status, empty.code) == (400, "malformed-json")
    assert "there is none" in empty.body.decode()
    squeezed = world.post(
        "Patient/$summary", gzip.compress(b"{}"), content_type="application/fhir+json", content_encoding="gzip"
    )
    assert (squeezed.status, squeezed.code) == (415, "unsupported-media-type")
    assert "without Content-Encoding" in squeezed.body.decode()
    assert (
        world.post("Patient/$summary", b"{}", content_type="application/fhir+json", content_encoding="identity").status
        == 422
    )


def test_a_body_of_another_release_or_charset_is_not_taken_for_ours() -> None:
    world = World()
    body = b'{"resourceType":"Parameters","parameter":[]}'
    for more, status in (
        ("; fhirVersion=5.0", 415), ("; fhirVersion=3.0", 415), ("; charset=iso-8859-1", 415),
        ("; fhirVersion=4.0", 400), ("; charset=UTF-8", 400), ('; charset="utf-8"; fhirVersion=4.0.1', 400),
    ):  # fmt: skip
        for path in ("Patient/$summary", "Flag/$validate"):
            reply = world.post(path, body, content_type=f"application/fhir+json{more}")
            assert (reply.status == 415) is (status == 415), (more, path, reply.body)
            assert status == 415 or path.endswith("$validate") or reply.code == "identifier-invalid"


def test_a_value_that_is_none_is_refused_where_it_would_be_ignored() -> None:
    world = World()
    for query, name in (
        ("patient=", "patient"),
        (f"patient={world.patient},", "patient"),
        (f"patient={world.patient}&_pretty=maybe", "_pretty"),
    ):
        refused = world.get(f"Flag?{query}")
        assert (refused.status, refused.code) == (400, "invalid-parameter"), query
        assert f"'{name}'" in refused.json["issue"][0]["details"]["text"]


def test_what_was_kept_is_not_sent_back_to_who_does_not_want_it() -> None:
    world = World()
    little = world.post("Consent", privacy(GP), custodian(GP), prefer="return=minimal; handling=lenient")
    assert (little.status, little.body) == (201, b"")
    assert (little.header("preference-applied"), little.header("etag")) == ("return=minimal", 'W/"1"')
    assert little.header("location").endswith("/_history/1")
    whole = world.post("Consent", privacy(GP), custodian(GP), prefer="return=representation")
    assert (whole.status, whole.json["resourceType"], whole.header("preference-applied")) == (201, "Consent", "")
    refused = world.post("Consent", privacy(GP), PHYSICIAN, prefer="return=minimal")
    assert (refused.status, refused.code) == (403, "write-refused")
    form = f"patient.identifier={BSN_SYSTEM}|{BSN}"
    assert world.post("Flag/_search", form, prefer="return=minimal").items, "an answer is no return of what was sent"


def test_the_language_is_the_one_the_caller_prefers() -> None:
    for header, wanted in (
        ("", "en"), ("nl", "nl"), ("nl-NL,nl;q=0.9,en-US;q=0.8", "nl"), ("en-US,en;q=0.9,nl;q=0.8", "en"), ("de, nl;q=0.5", "nl"),
        ("en;q=0.3, nl ; q=0.4", "nl"), ("nl;q=0, de", "en"), ("*", "en"), ("nl;q=x", "nl"), ("nlx", "en"), ("fr", "en"), ("\xe9,nl", "nl"),
    ):  # fmt: skip
        assert envelope.language(header.encode("latin-1")) == wanted, header
    world = World()
    assert "één patiënt" in world.get("Flag", accept_language="de, nl;q=0.5").json["issue"][0]["details"]["text"]
