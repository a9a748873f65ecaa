"""The doors of the FHIR endpoint over real sockets: two readings, slow clients, limits, and a fuzz of what is parsed (69-72, 108-114)."""

from __future__ import annotations

import asyncio
import random
import string
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import pytest

from gateway import envelope, serving
from gateway.fhir.formats import JSON_TYPES, XML_TYPES
from gateway.fhir.interactions import TABLE
from tests.gateway.charts import BSN, BSN_SYSTEM
from tests.gateway.world import PHYSICIAN, World, raw, run
from tests.slack import slack

pytestmark = [pytest.mark.slow, pytest.mark.network]

HOST: Final = b"Host: gateway.test\r\n"
POST: Final = b"POST /fhir/Patient/_search HTTP/1.1\r\n" + HOST


@asynccontextmanager
async def door(world: World) -> AsyncIterator[int]:
    """The FHIR endpoint of a world on a port of its own."""
    server = serving.Serving(world.app, serving.bind("127.0.0.1:0"))
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


async def said(port: int, *parts: bytes, pause: float = 0.0, seconds: float = 5.0) -> bytes:
    """Everything the server says to these bytes until it closes, or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        while piece := await asyncio.wait_for(reader.read(65536), seconds):
            found += piece
        return found + b"<closed>"
    except ConnectionError:
        return found + b"<closed>"
    except TimeoutError:
        return found
    finally:
        writer.close()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


# --- 109, 111, 112, 113 -----------------------------------------------------------------------------

AMBIGUOUS: Final = {
    "CL and TE": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two CL": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "two equal CL": POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "CL list": POST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "signed CL": POST + b"Content-Length: +4\r\n\r\nabcd",
    "bare LF": b"GET /fhir/metadata HTTP/1.1\nHost: a\n\n",
    "obs-fold": b"GET /fhir/metadata HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "space before colon": b"GET /fhir/metadata HTTP/1.1\r\nHost : a\r\n\r\n",
    "TE of another kind": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "broken chunk extension": POST + b'Transfer-Encoding: chunked\r\n\r\n4;a="x\r\nabcd\r\n0\r\n\r\n',
    "chunk size with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n-4\r\nabcd\r\n0\r\n\r\n",
    "NUL in the path": b"GET /fhir/meta\x00data HTTP/1.1\r\n" + HOST + b"\r\n",
    "113 no Host": b"GET /fhir/metadata HTTP/1.1\r\n\r\n",
    "113 two Hosts": b"GET /fhir/metadata HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "another HTTP": b"GET /fhir/metadata HTTP/2.0\r\n" + HOST + b"\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
}


def test_109_113_what_two_readers_could_read_differently_is_refused_and_ends_the_connection() -> None:
    world = World()

    async def main() -> None:
        async with door(world) as port:
            for name, sent in AMBIGUOUS.items():
                answer = await said(port, sent)
                assert status(answer) == 400, (name, answer)
                assert answer.endswith(b"<closed>"), name
            smuggled = AMBIGUOUS["CL and TE"] + b"GET /fhir/metadata HTTP/1.1\r\n" + HOST + b"\r\n"
            assert (await said(port, smuggled)).count(b"HTTP/1.1") == 1

    run(main())


def test_111_112_limits_hold_before_anything_is_kept() -> None:
    world = World()

    async def main() -> None:
        async with door(world) as port:
            large = await said(port, POST + b"Content-Length: 209715200\r\n\r\nabc")
            assert (status(large), large.endswith(b"<closed>")) == (413, True)
            chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"a" * 65_536 + b"\r\n"
            assert status(await said(port, chunked, b"10000\r\n" + b"a" * 65_536 + b"\r\n", seconds=2)) == 413
            get = b"GET /fhir/metadata HTTP/1.1\r\n" + HOST
            assert status(await said(port, get + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n")) in (431, 0)
            assert status(await said(port, get + b"X: " + b"a" * 200_000)) in (431, 0)
            assert status(await said(port, get + b"X: " + b"a" * 40_000 + b"\r\n\r\n", seconds=1)) == 431
            many = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 100) for number in range(400))
            assert status(await said(port, get + many + b"\r\n", seconds=1)) == 431
            url = b"GET /fhir/metadata?x=" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"
            assert status(await said(port, url, seconds=1)) == 414
            assert status(await said(port, get + b"Connection: close\r\n\r\n")) == 200, "and it still answers"

    run(main())


# --- 110 --------------------------------------------------------------------------------------------


def test_110_slow_headers_and_slow_bodies_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEADERS_SECONDS", 0.4)
    monkeypatch.setattr(envelope, "BODY_SECONDS", 0.4)

    world = World()

    async def main() -> None:
        async with door(world) as port:
            drip = [b"GET /fhir/metadata HTTP/1.1\r\n", *(b"X-%d: a\r\n" % number for number in range(40))]
            slow_body = POST + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n"
            answers = await asyncio.gather(
                said(port),
                said(port, *drip, pause=0.05),
                said(port, slow_body, *([b"a"] * 40), pause=0.05),
                *(said(port, b"GET /fhir/metadata HTTP/1.1\r\n") for _ in range(200)),
                said(port, b"GET /fhir/metadata HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"),
            )
            assert all(answer.endswith(b"<closed>") for answer in answers)
            assert status(answers[2]) in (400, 408, 0)
            assert status(answers[-1]) == 200, "who comes to the point is answered meanwhile"

    started = time.monotonic()
    run(main())
    assert time.monotonic() - started < 10.0 * slack()


def test_110_who_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "READING_SECONDS", 0.5)

    world = World()

    async def main() -> bytes:
        async with door(world) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            request = b"GET /fhir/metadata?_pretty=true HTTP/1.1\r\n" + HOST + b"\r\n"
            for _ in range(60):  # more than every buffer on the way holds
                writer.write(request)
            await asyncio.sleep(2.0)
            found = b""
            try:
                while piece := await asyncio.wait_for(reader.read(1 << 20), 5):
                    found += piece
            except ConnectionError:
                pass
            writer.close()
            return found

    assert run(main()).count(b"HTTP/1.1 200") < 60


# --- 69, 70, 71, 72 ---------------------------------------------------------------------------------

CONFUSED: Final = [
    "/fhir%2FPatient/{p}", "/fhir//Patient/{p}", "/fhir/./Patient/{p}", "/fhir/../fhir/Patient/{p}", "/fhir/Patient;x/{p}",
    "/fhir/patient/{p}", "/fhir/Patient/{p}/", "/fhir/Patient%2F{p}", "/FHIR/Patient/{p}", "/fhir/Patient/{p}%00",
    "/fhir/%50atient/{p}", "/fhir/metadata/../Patient/{p}", "/fhir/.well-known/smart-configuration/../../Patient/{p}",
]  # fmt: skip


def test_069_whatever_the_path_looks_like_nobody_gets_data_without_a_token() -> None:
    world = World()

    async def main() -> None:
        async with door(world) as port:
            for path in CONFUSED:
                for more in (b"", b"X-Original-URL: /fhir/metadata\r\n", b"X-HTTP-Method-Override: DELETE\r\n",
                             b"X-Rewrite-URL: /fhir/metadata\r\n"):  # fmt: skip
                    line = f"GET {path.replace('{p}', world.patient)} HTTP/1.1\r\n".encode()
                    answer = await said(port, line + HOST + more + b"Connection: close\r\n\r\n")
                    assert status(answer) in (400, 401, 404), (path, answer[:200])
            line = f"GET http://evil.example/fhir/Patient/{world.patient} HTTP/1.1\r\n".encode()
            assert status(await said(port, line + HOST + b"Connection: close\r\n\r\n")) == 401

    run(main())


def test_069_a_token_opens_what_the_route_is_never_what_the_path_looks_like() -> None:
    world = World()
    narrow = replace(PHYSICIAN, scopes=frozenset({"system/Flag.rs"}), token_id="t7")
    token = (b"authorization", f"Bearer {world.token(narrow)}".encode())
    for path in CONFUSED:
        found = path.replace("{p}", world.patient).replace("%2F", "/").replace("%50", "P").replace("%00", "\0")
        reply = run(raw(world.app, {"path": found, "headers": [(b"host", b"a"), token]}))
        assert reply is None or reply.status in (403, 404), path


def test_070_every_representation_holds_the_same_and_the_rest_is_406() -> None:
    world = World(permits=("90000001",))
    denied = "hospital#"
    for kind in (*JSON_TYPES, *XML_TYPES):
        reply = world.search(accept=kind)
        assert reply.status == 200
        assert denied.encode() not in reply.body
    for kind in ("text/turtle", "application/fhir+turtle", "text/csv", "application/pdf", "text/html", "image/png"):
        assert world.search(accept=kind).status == 406
        assert world.search(more=f"&_format={kind.replace('+', '%2B')}").status == 406
    for more in ("&_format=xml", "&_format=json&_pretty=true", "&_format=application/fhir%2Bxml"):
        assert denied.encode() not in world.search(more=more).body


def test_071_no_parameter_that_is_not_known_widens_anything() -> None:
    world, rng = World(), random.Random(71)
    whole = {item["id"] for item in world.search().items}
    names = ["patientt", "Patient", "patient.", "subject.name", "_patient", "pat%69ent2", "identifier2", "_filter", "_query",
             *("".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(40))]  # fmt: skip
    for name in names:
        assert world.search(more=f"&{name}=x").status == 400, name
        lenient = world.search(more=f"&{name}=x", prefer="handling=lenient")
        assert lenient.status == 400 or {item["id"] for item in lenient.items} <= whole, name
        assert world.get(f"Condition?{name}=x", prefer="handling=lenient").status == 400, "never everybody's"


def test_072_no_write_through_a_read_scope() -> None:
    world = World()
    reader = replace(PHYSICIAN, scopes=frozenset({"system/*.rs", "user/*.rs"}), token_id="t6")
    for row in TABLE:
        if row.method in ("PUT", "DELETE") or (row.method == "POST" and row.name == "create"):
            for type_ in row.types:
                path = row.path.replace("{type}", type_).replace("{id}", "x")
                reply = world.request(row.method, path, reader, body={"resourceType": type_})
                assert reply.status == 403, (row.method, path)
    for method in ("PUT", "PATCH", "DELETE"):
        for path in (f"Patient/{world.patient}", "Observation/x", "AuditEvent/1.1.1", "Organization/x"):
            assert world.request(method, path, reader).status == 405
    assert world.request("POST", "Patient?identifier=x", reader, body={"resourceType": "Patient"}).status == 405
    entry = {"request": {"method": "POST", "url": "Task"}, "resource": {"resourceType": "Task"}}
    batch = world.post("", {"resourceType": "Bundle", "type": "batch", "entry": [entry]}, reader)
    assert batch.json["entry"][0]["response"]["status"].startswith("403")


# --- 108, 114 ---------------------------------------------------------------------------------------

BOMBS: Final = {
    "a long value": "&code=" + "a" * 7000,
    "many alternatives": "&code=" + ",".join(["a"] * 3000),
    "escapes": "&code=" + "\\" * 5000,
    "nested chain": "&_has:Observation:patient:" * 60 + "code=x",
    "bars": "&code=" + "|" * 5000,
    "spaces and letters": "&_content=" + "a+" * 3000 + "!",
    "date": "&date=" + "2" * 5000,
    "quantity": "&value-quantity=" + "9" * 6000,
    "exponent": "&value-quantity=1e999999999",
    "combining": "&code:text=" + "%CC%81" * 1000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_108_no_text_makes_the_search_slow(name: str) -> None:
    world = World()
    started = time.process_time()
    for type_ in ("Observation", "AllergyIntolerance"):
        reply = world.search(type_, more=BOMBS[name])
        assert reply.status in (200, 400, 414), reply.body
    assert time.process_time() - started < 2.0 * slack()


def fuzzed(seed: bytes, rng: random.Random) -> Iterator[bytes]:
    """Changes of a valid input: bytes swapped, cut, repeated, and nonsense put in."""
    yield seed
    for _ in range(60):
        body = bytearray(seed)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(body) + 1)
            choice = rng.randrange(4)
            if choice == 0 and body:
                body[at % len(body)] = rng.randrange(256)
            elif choice == 1:
                del body[at : at + rng.randint(1, 20)]
            elif choice == 2:
                body[at:at] = body[: rng.randint(1, 40)] or b"x"
            else:
                body[at:at] = rng.choice(
                    [b"\x00", b'"', b"{" * 50, b"\xff\xfe", b"1e9999", b"<!--", b"&#x0;", b"%", b"\\u0000"]
                )
        yield bytes(body)


SEEDS: Final[dict[str, tuple[str, str, bytes]]] = {
    "form": ("Patient/_search", "application/x-www-form-urlencoded", f"identifier={BSN_SYSTEM}|{BSN}".encode()),
    "json": ("Patient/$summary", "application/fhir+json",
             b'{"resourceType":"Parameters","parameter":[{"name":"identifier","valueIdentifier":{"system":"s","value":"1"}}]}'),
    "xml": ("Patient/$match", "application/fhir+xml",
            b'<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="resource"/></parameter></Parameters>'),
    "batch": ("", "application/fhir+json",
              b'{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"metadata"}}]}'),
    "lastn": ("Observation/$lastn", "application/fhir+json",
              b'{"resourceType":"Parameters","parameter":[{"name":"patient","valueString":"x"},{"name":"max","valueInteger":1}]}'),
    "validate": ("Patient/$validate", "application/fhir+json", b'{"resourceType":"Patient","birthDate":"2020-01-01"}'),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDS)
def test_114_whatever_is_sent_is_answered_and_never_by_a_defect(name: str) -> None:
    path, kind, seed = SEEDS[name]
    world, slowest = World(), 0.0
    for body in fuzzed(seed, random.Random(114)):
        started = time.process_time()
        reply = world.post(path, body, content_type=kind)
        slowest = max(slowest, time.process_time() - started)
        assert reply.status < 500 or reply.status == 501, (body, reply.body)
        assert BSN.encode() not in reply.body or reply.status == 200
    assert slowest < 2.0 * slack()


def test_114_queries_and_tokens_that_are_nonsense() -> None:
    world, rng = World(), random.Random(115)
    for query in fuzzed(f"patient={world.patient}&code=http://loinc.org|8867-4&date=ge2020-01-01".encode(), rng):
        head = [(b"host", b"a"), (b"authorization", f"Bearer {world.token(PHYSICIAN)}".encode())]
        reply = run(raw(world.app, {"path": "/fhir/Observation", "query_string": query, "headers": head}))
        assert reply is not None
        assert reply.status < 500, query
    for token in fuzzed(f"Bearer {world.token(PHYSICIAN)}".encode(), rng):
        reply = run(
            raw(
                world.app,
                {"path": f"/fhir/Patient/{world.patient}", "headers": [(b"host", b"a"), (b"authorization", token)]},
            )
        )
        assert reply is not None
        assert reply.status in (200, 401), token
