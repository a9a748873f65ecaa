"""Sources that lie, break and dawdle, at the level of the adapter; numbers are those of the list of attacks.

Each attack has a positive control beside it: the same source, behaving, is heard.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.adapters.address import LOOPBACK, AddressPolicy, same_origin
from gateway.adapters.http import HttpAnswer, HttpClient, HttpError, tls_context
from gateway.errors import StartError
from tests.attacks.certificates import Authority, Issued
from tests.attacks.faulty_source import (
    CUT,
    HANG,
    FaultySource,
    Script,
    Seen,
    cut,
    drip,
    endless,
    gzip_bomb,
    joined,
    patient,
    response,
    searchset,
    single_member_bomb,
)
from tests.gateway.adapters.region import BSN, OTHER_BSN, http, question, source, told
from tests.slack import slack

pytestmark = pytest.mark.network

ALLERGY = {"resourceType": "AllergyIntolerance", "id": "a1"}
Answer = Callable[[Seen], Script]


def behaving(seen: Seen) -> Script:
    return response(searchset(patient(BSN)) if "/Patient/" in seen.path else searchset(ALLERGY))


def only_allergies(script: Callable[[], Script]) -> Answer:
    """A source that is well but for its allergies."""
    return lambda seen: behaving(seen) if "/Patient/" in seen.path else script()


def outcome(
    answer: Answer, *, seconds: float = 0.0, dialect: str = "r4-identifier@1.0"
) -> tuple[set[str], dict[str, str]]:
    """The categories that were answered, and the code per category that failed."""

    async def main() -> tuple[set[str], dict[str, str]]:
        async with FaultySource(answer) as faulty, http() as client:
            payloads, failures = await told(
                source(client, faulty.url, dialect), question(seconds=seconds or 2.0 * slack())
            )
            failed = {category: failure.code for failure in failures for category in failure.categories}
            return {category for payload in payloads for category in payload.categories} - set(failed), failed

    return asyncio.run(main())


WELL: tuple[set[str], dict[str, str]] = ({"Patient", "AllergyIntolerance"}, {})


def test_control_a_behaving_source_is_heard() -> None:
    assert outcome(behaving) == WELL


@pytest.mark.parametrize("dialect", ["r4-identifier@1.0", "360@1.0"])
@pytest.mark.parametrize(
    "found",
    [
        searchset(patient(OTHER_BSN)),
        searchset(patient(BSN), patient(OTHER_BSN, "local-2")),
        searchset({"resourceType": "Patient", "id": "local-1"}),
        searchset(patient(BSN + " ")),
        searchset(patient(BSN, identifier=[{"system": "http://example.org/mrn", "value": BSN}])),
    ],
)
def test_77_a_source_that_gives_another_person_is_not_believed(dialect: str, found: dict[str, object]) -> None:
    answered, failed = outcome(
        lambda seen: response(found) if "/Patient/" in seen.path else behaving(seen), dialect=dialect
    )
    assert answered == set()
    assert failed == {"Patient": "wrong-patient", "AllergyIntolerance": "wrong-patient"}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{}",
        "<Bundle/>",
        '{"resourceType":"Bundle"}',
        '{"resourceType":"Bundle","type":"document"}',
        '{"resourceType":"Patient","type":"searchset"}',
        '{"resourceType":"OperationOutcome","issue":[{"severity":"error","diagnostics":"BSN 999990019"}]}',
        '{"resourceType":"Bundle","type":"searchset","entry":{}}',
        '{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next"}]}',
        '{"resourceType":"Bundle","type":"searchset"} {}',
        '{"resourceType":"Bundle","type":"searchset","entry":[' + "[" * 200_000,
    ],
)
def test_80_what_is_not_a_searchset_fails_its_own_categories(body: str) -> None:
    assert outcome(only_allergies(lambda: response(body))) == ({"Patient"}, {"AllergyIntolerance": "malformed"})


@pytest.mark.parametrize("kind", ["text/html", "application/fhir+xml", "", "text/plain; charset=utf-8"])
def test_80_what_is_not_labelled_fhir_json_is_not_read(kind: str) -> None:
    answer = only_allergies(lambda: response(searchset(ALLERGY), content_type=kind))
    assert outcome(answer) == ({"Patient"}, {"AllergyIntolerance": "malformed"})


def test_80_the_source_itself_says_that_something_is_missing() -> None:
    issue = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "incomplete"}]}
    entries = [{"resource": ALLERGY}, {"search": {"mode": "outcome"}, "resource": issue}]
    answer = only_allergies(lambda: response({"resourceType": "Bundle", "type": "searchset", "entry": entries}))
    assert outcome(answer) == ({"Patient"}, {"AllergyIntolerance": "incomplete"})


@pytest.mark.parametrize(("status", "code"), [(401, "refused"), (403, "refused"), (404, "refused"), (400, "status"),
                                              (429, "status"), (500, "status"), (503, "status"), (204, "status")])  # fmt: skip
def test_a_status_is_told_as_a_code(status: int, code: str) -> None:
    answered, failed = outcome(only_allergies(lambda: response(b"", status=status)))
    assert (answered, failed) == ({"Patient"}, {"AllergyIntolerance": code})


def fetched(answer: Answer, *, seconds: float = 2.0, limit_bytes: int = 8 * 1024 * 1024) -> str | HttpAnswer:
    """What one plain request gives: the answer, or the code."""

    async def main() -> str | HttpAnswer:
        async with FaultySource(answer) as faulty, http() as client:
            deadline = asyncio.get_running_loop().time() + seconds
            try:
                return await client.request("GET", faulty.url, headers={}, deadline=deadline, limit_bytes=limit_bytes)
            except HttpError as error:
                return error.code

    return asyncio.run(main())


@pytest.mark.slow
def test_82_a_body_cut_anywhere_is_a_failure_never_an_answer() -> None:
    whole = joined(response(searchset(ALLERGY)))
    chunked = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5\r\n{"res\r\n10\r\nourceType":"Bund\r\n4\r\nle"}\r\n0\r\n\r\n'
    )

    async def main() -> None:
        at = 0
        answer = b""
        async with FaultySource(lambda _: cut([answer], at)) as faulty, http() as client:
            for answer in (whole, chunked):
                for at in range(len(answer)):
                    deadline = asyncio.get_running_loop().time() + 2 * slack()
                    with pytest.raises(HttpError) as raised:
                        await client.request("GET", faulty.url, headers={}, deadline=deadline, limit_bytes=10_000)
                    assert raised.value.code in ("truncated", "connection"), at
                at = len(answer)
                got = await client.request("GET", faulty.url, headers={}, deadline=deadline + 2, limit_bytes=10_000)
                assert got.body == (
                    b'{"resourceType":"Bundle"}' if answer is chunked else whole.partition(b"\r\n\r\n")[2]
                )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ([*response(b"{}", length=50), CUT], "truncated"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", CUT], "connection"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", CUT], "connection"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", CUT], "connection"),
        ([b"\x00\x01\x02 garbage \xff\r\n\r\n", CUT], "connection"),
        ([b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n", CUT], "connection"),
        ([CUT], "connection"),
    ],
)
def test_82_broken_http_is_a_code(script: Script, code: str) -> None:
    assert fetched(lambda _: script) == code


SLOW: dict[str, Callable[[], Script]] = {
    "nothing": lambda: [HANG],
    "hangs in the head": lambda: [b"HTTP/1.1 200 OK\r\nContent-", HANG],
    "hangs after the head": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", HANG],
    "drips its head": lambda: drip(response(b"{}"), 0.05),
    "drips its body": lambda: [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 1000\r\n\r\n",
        *drip([b"x" * 1000], 0.05),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("how", SLOW)
def test_83_a_slow_source_costs_its_deadline_and_nobody_else(how: str) -> None:
    async def main() -> None:
        async with FaultySource(lambda _: SLOW[how]()) as slow, FaultySource(behaving) as well, http() as client:
            loop = asyncio.get_running_loop()
            began = loop.time()

            async def timed() -> float:
                payloads, failures = await told(source(client, slow.url), question(seconds=0.3))
                assert payloads == []
                assert {failure.code for failure in failures} == {"timeout"}
                return loop.time() - began

            took, (payloads, none) = await asyncio.gather(timed(), told(source(client, well.url), question()))
            assert took < 0.3 + 0.5
            assert len(payloads) == 2
            assert none == []

    asyncio.run(main())


def test_83_a_source_that_hangs_in_the_tls_handshake() -> None:
    async def main() -> None:
        async with FaultySource(lambda _: [HANG]) as silent, http() as client:
            loop = asyncio.get_running_loop()
            began = loop.time()
            with pytest.raises(HttpError, match="timeout"):
                await client.request(
                    "GET", f"https://localhost:{silent.port}/", headers={}, deadline=began + 0.2, limit_bytes=10
                )
            assert loop.time() - began < 0.4

    asyncio.run(main())


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["same", "http", "other"])
def test_85_120_a_redirect_is_not_followed(status: int, scheme: str) -> None:
    async def main() -> None:
        async with FaultySource(behaving) as inner, http() as client:
            to = {"same": "/fhir/elsewhere", "http": inner.url, "other": "https://other.example/fhir"}[scheme]
            moved = only_allergies(lambda: response(b"", status=status, headers={"Location": to}))
            async with FaultySource(moved) as faulty:
                payloads, failures = await told(source(client, faulty.url), question())
                assert [payload.query for payload in payloads] == ["patient"]
                assert [failure.code for failure in failures] == ["redirect"]
                assert inner.seen == []
                assert len(faulty.seen) == 2

    asyncio.run(main())


def paging(link: Callable[[Seen, int], str]) -> tuple[Answer, list[int]]:
    """A source whose allergies have a next page as told; the list counts its pages."""
    pages: list[int] = []

    def answer(seen: Seen) -> Script:
        if "/Patient/" in seen.path:
            return behaving(seen)
        pages.append(1)
        more = link(seen, len(pages))
        links = [{"relation": "next", "url": more}] if more else []
        return response(searchset({**ALLERGY, "id": f"a{len(pages)}"}, link=links))

    return answer, pages


def test_86_control_pages_are_followed_to_the_end() -> None:
    answer, pages = paging(lambda _, count: f"?page={count}" if count < 5 else "")
    assert outcome(answer) == WELL
    assert len(pages) == 5


@pytest.mark.parametrize(
    ("link", "most"),
    [
        (lambda seen, count: "?page=1", 2),
        (lambda seen, count: f"?page={count % 2}", 3),
        (lambda seen, count: f"?page={count}", 20),
        (lambda seen, count: "http://other.example/fhir?page=1", 1),
        (lambda seen, count: f"https://{seen.headers['host']}/fhir?page=1", 1),
        (lambda seen, count: f"http://{seen.headers['host']}@other.example/fhir", 1),
        (lambda seen, count: "file:///etc/passwd", 1),
        (lambda seen, count: "//169.254.169.254/latest", 1),
        (lambda seen, count: f"Patient/{BSN}/allergies", 1),
    ],
)
def test_86_118_pages_that_go_round_or_elsewhere_are_cut_off_and_told(
    link: Callable[[Seen, int], str], most: int
) -> None:
    answer, pages = paging(link)

    async def main() -> None:
        async with FaultySource(answer) as faulty, http() as client:
            payloads, failures = await told(source(client, faulty.url), question())
            assert [failure.code for failure in failures] == ["incomplete"]
            assert failures[0].categories == {"AllergyIntolerance"}
            assert len([each for each in payloads if each.query == "allergies"]) == len(pages) == most

    asyncio.run(main())


def test_86_a_next_link_that_repeats_the_bsn_is_asked_with_a_body() -> None:
    answer, _ = paging(
        lambda _, count: f"/fhir/AllergyIntolerance?patient.identifier=x%7C{BSN}&page=2" if count < 2 else ""
    )

    async def main() -> None:
        async with FaultySource(answer) as faulty, http() as client:
            payloads, failures = await told(source(client, faulty.url), question())
            assert failures == []
            assert len(payloads) == 3
            assert faulty.seen[-1].parameters["page"] == "2"
            assert all(BSN not in seen.target for seen in faulty.seen)

    asyncio.run(main())


def grown_kilobytes(work: Callable[[], object]) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@pytest.mark.slow
@pytest.mark.parametrize("bomb", [gzip_bomb, single_member_bomb])
def test_87_a_decompression_bomb_is_defused(bomb: Callable[[], Script]) -> None:
    script = bomb()
    assert grown_kilobytes(lambda: _expect(fetched(lambda _: script), "too-large", "encoding")) <= 32 * 1024


def test_87_control_a_source_that_compresses_all_the_same_is_read() -> None:
    import gzip

    packed = gzip.compress(b'{"ok":1}')
    got = fetched(lambda _: response(packed, headers={"Content-Encoding": "gzip"}))
    assert isinstance(got, HttpAnswer)
    assert got.body == b'{"ok":1}'
    assert fetched(lambda _: response(packed[:-4], headers={"Content-Encoding": "gzip"})) == "truncated"
    assert fetched(lambda _: response(b"{}", headers={"Content-Encoding": "gzip"})) == "encoding"
    assert fetched(lambda _: response(b"{}", headers={"Content-Encoding": "br"})) == "encoding"


def test_88_an_endless_answer_is_cut_at_the_bound() -> None:
    assert grown_kilobytes(lambda: _expect(fetched(lambda _: endless()), "too-large")) <= 32 * 1024


@pytest.mark.slow
def test_88_too_many_entries_are_too_large() -> None:
    def filled(count: int) -> bytes:
        entries = ",".join(['{"resource":{"resourceType":"Basic"}}'] * count)
        return f'{{"resourceType":"Bundle","type":"searchset","entry":[{entries}]}}'.encode()

    assert outcome(only_allergies(lambda: response(filled(100_000)))) == (
        {"Patient"},
        {"AllergyIntolerance": "too-large"},
    )
    assert outcome(only_allergies(lambda: response(filled(9_000)))) == WELL


def _expect(got: object, *codes: str) -> None:
    assert got in codes


TEXT = '{"resourceType":"Bundle","type":"searchset","id":"überprüft"}'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TEXT.encode("latin-1"), "application/fhir+json; charset=utf-8"),
        (TEXT.encode("latin-1"), "application/fhir+json"),
        (TEXT.encode("latin-1"), "application/fhir+json; charset=iso-8859-1"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "application/fhir+json"),
        (TEXT.encode("utf-16"), "application/fhir+json"),
        (TEXT.encode() + b"\xff", "application/fhir+json"),
    ],
)
def test_91_text_in_another_charset_is_a_failure_not_a_guess(body: bytes, kind: str) -> None:
    answer = only_allergies(lambda: response(body, content_type=kind))
    assert outcome(answer) == ({"Patient"}, {"AllergyIntolerance": "malformed"})


def test_91_control_utf8_is_read() -> None:
    for kind in ("application/fhir+json", 'application/json; charset="UTF-8"', "application/fhir+json;charset=utf8"):
        assert outcome(only_allergies(lambda kind=kind: response(TEXT, content_type=kind))) == WELL  # type: ignore[misc]


def over_tls(served: Issued, trusted: str) -> str | int:
    """Ask a source with this certificate, trusting this authority."""

    async def main() -> str | int:
        async with FaultySource(behaving, tls=served.server()) as faulty, http() as client:
            deadline = asyncio.get_running_loop().time() + 2 * slack()
            try:
                answer = await client.request(
                    "GET",
                    faulty.url,
                    headers={},
                    deadline=deadline,
                    limit_bytes=10_000,
                    tls=tls_context(trusted, "", ""),
                )
            except HttpError as error:
                assert faulty.seen == []
                return error.code
            return answer.status

    return asyncio.run(main())


def test_92_tls_faults_are_refused(tmp_path: Path) -> None:
    trusted, stranger = Authority(tmp_path / "trusted"), Authority(tmp_path / "stranger")
    day = timedelta(days=1)
    bad = {
        "expired": trusted.issue("localhost", after=-2 * day, until=-day),
        "not yet": trusted.issue("localhost", after=day, until=2 * day),
        "wrong name": trusted.issue("hospital.example"),
        "prefix of the name": trusted.issue("localhost.evil.example"),
        "unknown authority": stranger.issue("localhost"),
        "weak key": trusted.issue("localhost", key=rsa.generate_private_key(65537, 1024)),
        "chain left out": trusted.intermediate().issue("localhost"),
    }
    assert {name: over_tls(issued, str(trusted.file)) for name, issued in bad.items()} == dict.fromkeys(bad, "tls")
    assert over_tls(trusted.issue("localhost"), str(trusted.file)) == 200
    assert over_tls(trusted.intermediate().issue("localhost", with_chain=True), str(trusted.file)) == 200
    assert over_tls(trusted.issue("localhost"), "") == "tls", "a private authority is not trusted by itself"


def test_92_plain_http_to_another_machine_is_refused() -> None:
    async def main() -> None:
        async with http() as client:
            with pytest.raises(HttpError, match="tls"):
                await client.request("GET", "http://hospital.example/", headers={}, deadline=1e9, limit_bytes=1)

    asyncio.run(main())


@pytest.mark.slow
def test_97_a_flapping_source_is_left_alone_but_for_one_probe_a_second() -> None:
    sick = True

    def answer(seen: Seen) -> Script:
        return response(b"", status=503) if sick else behaving(seen)

    async def main() -> None:
        nonlocal sick
        async with FaultySource(answer) as faulty, http() as client:
            asked = source(client, faulty.url)
            for _ in range(3):
                await told(asked, question())
            before = len(faulty.seen)
            assert before <= 6
            loop = asyncio.get_running_loop()
            began = loop.time()
            while loop.time() - began < 0.8:
                results = await asyncio.gather(*(told(asked, question()) for _ in range(20)))
                assert all(failure.code == "circuit-open" for _, failures in results for failure in failures)
            assert len(faulty.seen) == before
            asked.breaker._next_probe = 0.0  # a second later
            await asyncio.gather(*(told(asked, question()) for _ in range(100)))
            assert len(faulty.seen) == before + 1, "one probe, alone"
            sick = False
            asked.breaker._next_probe = 0.0
            payloads, failures = await told(asked, question())
            assert len(payloads) == 2
            assert failures == []
            assert asked.breaker.gauge == 0

    asyncio.run(main())


SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.255",
    "127.255.255.254",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[0000::ffff:7f00:0001]",
    "localhost",
    "LOCALHOST",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "[::]",
    "[::ffff:0.0.0.0]",
    "0.0.0.1",
    "10.0.0.1",
    "10.1",
    "167772161",
    "0xa000001",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.1",
    "3232235521",
    "[::ffff:10.0.0.1]",
    "[::ffff:192.168.0.1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "255.255.255.255",
    "224.0.0.1",
    "[ff02::1]",
    "[2001:db8::1]",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[fe80::1]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "[::169.254.169.254]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::1]",
    "[::ffff:a9fe:a9fe]",
]


def test_115_121_no_spelling_of_an_inner_address_is_connected_to() -> None:
    assert len(SPELLINGS) >= 60

    async def main() -> list[str]:
        codes: list[str] = []
        async with FaultySource(behaving) as inner, HttpClient(AddressPolicy()) as client:
            for spelling in SPELLINGS:
                deadline = asyncio.get_running_loop().time() + 2 * slack()
                url = f"https://{spelling}:{inner.port}/"
                with pytest.raises(HttpError) as raised:
                    await client.request("GET", url, headers={}, deadline=deadline, limit_bytes=10)
                codes.append(raised.value.code)
            assert inner.connections == 0
        return codes

    codes = asyncio.run(main())
    # Some spellings are not taken for a host at all; none may come as far as a connection.
    assert set(codes) <= {"address", "connection"}
    assert codes.count("address") > 50


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0",
                                     "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "ff02::1", "x", ""])  # fmt: skip
def test_115_metadata_and_link_local_stay_shut_whatever_is_configured(address: str) -> None:
    assert not AddressPolicy.of(("0.0.0.0/0", "::/0")).permits(address)


def test_115_a_network_that_is_none_stops_the_start() -> None:
    with pytest.raises(StartError, match=r"'10.0.0.1/8' is not a network"):
        AddressPolicy.of(("10.0.0.1/8",))


def test_115_control_public_addresses_and_configured_networks_are_open() -> None:
    policy = AddressPolicy.of((*LOOPBACK, "10.20.0.0/16"))
    assert all(policy.permits(each) for each in ("127.0.0.1", "::1", "10.20.3.4", "145.12.3.4", "2a02:a44::1"))
    assert not any(policy.permits(each) for each in ("10.21.0.1", "192.168.0.1"))


class Pointing(AbstractResolver):
    """A public name that points to whatever address its owner likes, at the moment it is used."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [{"hostname": host, "host": self._address, "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is open."""


def test_119_a_name_that_turns_to_an_inner_address_is_refused_where_it_connects() -> None:
    async def main() -> None:
        async with FaultySource(lambda _: [HANG]) as inner:
            for policy, code, packets in ((AddressPolicy(), "address", 0), (AddressPolicy.of(LOOPBACK), "timeout", 1)):
                async with HttpClient(policy, resolver=Pointing("127.0.0.1")) as client:
                    deadline = asyncio.get_running_loop().time() + 0.3
                    url = f"https://source.example:{inner.port}/"
                    with pytest.raises(HttpError) as raised:
                        await client.request("GET", url, headers={}, deadline=deadline, limit_bytes=10)
                    assert (raised.value.code, inner.connections) == (code, packets)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://src.nl/fhir", True),
        ("https://src.nl:443/other", True),
        ("HTTPS://SRC.NL/", True),
        ("https://src.nl./", True),
        ("https://src.nl.evil/", False),
        ("https://src.nl@evil/", False),
        ("https://src.nl:443@evil/", False),
        ("https://evil/https://src.nl", False),
        ("https://src.nl:444/", False),
        ("http://src.nl/", False),
        ("https://xsrc.nl/", False),
        ("https://src.nl\\@evil/", False),
        ("https://src.nl\t.evil/", False),
        ("https:/src.nl/", False),
        ("https://src.nl:x/", False),
        ("//src.nl/", False),
        ("", False),
    ],
)
def test_122_credentials_go_to_exactly_one_origin(other: str, same: bool) -> None:
    assert same_origin("https://src.nl/fhir", other) is same
