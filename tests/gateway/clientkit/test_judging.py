"""What the client kit says of a client that was seen: right and wrong, scenario by scenario."""

from __future__ import annotations

import pytest

from gateway.clientkit.faults import MARK
from gateway.clientkit.scenarios import SCENARIOS, Scenario
from gateway.clientkit.seen import Run, Seen, digest
from gateway.commands.selftest_client import _text

TOKEN, SEARCH, PAGE = "/oauth/token", "/fhir/Observation", "patient=p&_cursor=x"
SUMMARY = "/fhir/Patient/p/$summary"


def scenario(name: str) -> Scenario:
    (found,) = [one for one in SCENARIOS if one.name == name]
    return found


def went(name: str, *requests: Seen, **facts: object) -> Run:
    """A client that sends these requests: the scenario decides what becomes of each."""
    run, chosen = Run(**facts), scenario(name)  # type: ignore[arg-type]
    for seen in requests:
        run.requests.append(seen)
        seen.fault = chosen.decide(seen, run)
        canned = {"expired": 401, "throttled": 429, "unavailable": 503, "wrong-cursor": 400}
        seen.status = canned.get(seen.fault, 200)
    return run


def asked(path: str, at: float = 0.0, token: str = "t1", query: str = "patient=p") -> Seen:
    return Seen(at, "GET", path, query if path == SEARCH else "", token)


def verdicts(name: str, run: Run) -> list[str]:
    return [one.verdict for one in scenario(name).judged(run)]


def got(at: float = 0.0) -> Seen:
    return Seen(at, "POST", TOKEN, "")


GOOD: dict[str, Run] = {
    "expired": went("expired", got(), asked(SEARCH), asked(SUMMARY), got(), asked(SUMMARY, token="t2")),
    "throttled": went("throttled", got(), asked(SEARCH), asked(SEARCH, 1.1)),
    "unavailable": went("unavailable", got(), asked(SEARCH), asked(SEARCH, 1.5)),
    "partial": went("partial", got(), asked(SEARCH), output=f"note: {MARK}"),
    "slow": went("slow", got(), asked(SUMMARY)),
    "wrong-cursor": went("wrong-cursor", got(), asked(SEARCH), asked(SEARCH, query=PAGE), asked(SEARCH)),
    "cut": went("cut", got(), asked(SEARCH), asked(SEARCH, 1.0)),
}
BAD: dict[str, Run] = {
    "expired": went("expired", got(), asked(SEARCH), *(asked(SUMMARY, n) for n in range(6))),
    "throttled": went("throttled", got(), asked(SEARCH), asked(SEARCH, 0.2)),
    "unavailable": went("unavailable", got(), asked(SEARCH)),
    "slow": went("slow", got(), asked(SUMMARY), asked(SUMMARY, 1.0)),
    "wrong-cursor": went("wrong-cursor", got(), asked(SEARCH), asked(SEARCH, query=PAGE)),
    "cut": went("cut", got(), asked(SEARCH)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_client_that_does_right(name: str) -> None:
    assert set(verdicts(name, GOOD[name])) == {"right"}


@pytest.mark.parametrize("name", BAD)
def test_a_client_that_does_wrong(name: str) -> None:
    assert "wrong" in verdicts(name, BAD[name])


def test_what_only_a_user_can_see_is_asked() -> None:
    assert verdicts("partial", went("partial", got(), asked(SEARCH))) == ["look"]


def test_what_holds_always() -> None:
    discovery = Seen(0, "GET", "/fhir/.well-known/smart-configuration", "")
    whole = [discovery, got(), asked(SEARCH), asked(SEARCH, query=PAGE), asked(SUMMARY)]
    assert set(verdicts("plain", went("plain", *whole))) == {"right"}
    assert verdicts("plain", went("plain")).count("wrong") == 5
    told = [one.text for one in scenario("plain").judged(went("plain", *[got() for _ in range(9)], *whole))]
    assert any("keep a token" in text for text in told)
    leak = Seen(0, "GET", SEARCH, "patient.identifier=http://fhir.nl/fhir/NamingSystem/bsn|1")
    assert "wrong" in verdicts("plain", went("plain", *whole, leak))
    assert "wrong" in verdicts("slow", went("slow", timed_out=True))


def test_the_report_says_how_many_are_wrong() -> None:
    text = _text([(scenario("cut"), scenario("cut").judged(BAD["cut"]))])
    assert "WRONG" in text
    assert text.endswith("1 wrong")
    assert digest(b"") == ""
    assert digest(b"a") != digest(b"b")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("identifier=999990019", "a BSN stood in a URL"),
        ("identifier=http://fhir.nl/fhir/NamingSystem/bsn%7C12", "a BSN stood in a URL"),
        ("identifier=%39%39%39990019", "a BSN stood in a URL"),
        ("access_token=abc", "a token stood in a URL"),
        ("patient=p1-abc999990019xyz&_lastUpdated=gt2026-01-01&code=123456789", ""),
    ],
)
def test_what_never_stands_in_a_url_is_told_in_every_scenario(query: str, words: str) -> None:
    for name in GOOD:
        run = went(name, got(), asked(SEARCH, query=query))
        told = [one.text for one in scenario(name).judged(run) if "stood in a URL" in one.text]
        assert [text.partition(":")[0] for text in told] == ([words] if words else []), name
