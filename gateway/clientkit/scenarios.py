"""The scenarios a client goes through: what goes wrong, and what a client that does right shows to the outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from gateway.clientkit.faults import MARK, SLOW_SECONDS, WAIT_SECONDS, Decide
from gateway.clientkit.seen import Run, Seen

Verdict = Literal["right", "wrong", "look"]
_MOST_TOKENS: Final = 2  # one, and one that was renewed in good time
_MOST_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a client did right or wrong, or that only its user can see."""

    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that goes wrong."""

    name: str
    text: str
    decide: Decide

    def judged(self, run: Run) -> list[Finding]:
        """What this client did."""
        found = list(_always(run))
        if self.name != "plain" and not run.faulted():
            return [
                *found,
                Finding("wrong", "the client never asked what this scenario is about: token, search, pages, summary"),
            ]
        return [*found, *_JUDGED[self.name](run)]


def _first(kind: str, matters: str, times: int = 1) -> Decide:
    """Do it to the first requests of a kind."""

    def decide(seen: Seen, run: Run) -> str:
        return kind if getattr(seen, matters) and len(run.faulted()) < times else ""

    return decide


def _expired(seen: Seen, run: Run) -> str:
    """The token that was used first is no longer valid from the second request on."""
    asked = [one for one in run.requests if one.is_fhir]
    return "expired" if seen.is_fhir and len(asked) > 1 and seen.token == asked[0].token else ""


def _page(seen: Seen, run: Run) -> str:
    """The first next link that is followed, each time it is followed."""
    pages = [one for one in run.requests if one.is_page]
    return "wrong-cursor" if seen.is_page and seen.same(pages[0]) else ""


SCENARIOS: Final = (
    Scenario("plain", "nothing goes wrong", lambda _seen, _run: ""),
    Scenario("expired", "the token expires between two requests (401)", _expired),
    Scenario("throttled", f"too many requests (429, Retry-After: {WAIT_SECONDS})", _first("throttled", "is_search")),
    Scenario(
        "unavailable", f"the store is busy (503, Retry-After: {WAIT_SECONDS})", _first("unavailable", "is_search")
    ),
    Scenario("partial", "one source did not answer: an outcome entry says so", _first("partial", "is_search", 1_000)),
    Scenario("slow", f"the summary takes {SLOW_SECONDS:.0f} seconds", _first("slow", "is_summary")),
    Scenario("wrong-cursor", "a next link is no longer accepted (400)", _page),
    Scenario("cut", "the connection breaks in the middle of an answer", _first("cut", "is_search")),
)


def _check(good: bool, right: str, wrong: str) -> Finding:
    return Finding("right", right) if good else Finding("wrong", wrong)


def _always(run: Run) -> Iterator[Finding]:
    """What holds in every scenario."""
    if run.timed_out:
        yield Finding("wrong", "the client did not end in time")
    if any(one.names_person for one in run.requests):
        yield Finding("wrong", "a BSN stood in a URL: send it in a body")
    if any("access_token=" in one.query for one in run.requests):
        yield Finding("wrong", "a token stood in a URL: send it in the header Authorization")
    tokens = [one for one in run.requests if one.is_token and one.status == 200]
    fhir = [one for one in run.requests if one.is_fhir]
    if len(tokens) > _MOST_TOKENS + sum(one.status == 401 for one in fhir):
        yield Finding("wrong", f"{len(tokens)} tokens for {len(fhir)} requests: keep a token until it expires")


def _plain(run: Run) -> Iterator[Finding]:
    done = [one for one in run.requests if one.status == 200]
    found = any(one.path.endswith(("smart-configuration", "/metadata")) for one in done)
    yield _check(found, "it found the token endpoint by discovery", "it does not read .well-known/smart-configuration")
    yield _check(any(one.is_token for one in done), "it got a token", "it got no token")
    yield _check(any(one.is_search for one in done), "it searched", "it found no observations")
    yield _check(any(one.is_page for one in done), "it followed next links", "it read the first page only")
    yield _check(any(one.is_summary for one in done), "it read the summary", "it read no summary")
    yield _check(run.exit_code == 0, "it ended well", f"it ended with exit code {run.exit_code}")


def _renewed(run: Run) -> Iterator[Finding]:
    first = run.faulted()[0]
    tries = [one for one in run.faulted() if one.same(first)]
    yield _check(len(tries) <= _MOST_TRIES, "it did not insist on the old token", "it kept sending the expired token")
    again = any(one.same(first) and one.token != first.token and one.status == 200 for one in run.after(first))
    yield _check(again, "it got a new token and asked again", "after 401 it did not ask again with a new token")


def _waited(run: Run) -> Iterator[Finding]:
    first = run.faulted()[0]
    again = next((one for one in run.after(first) if one.same(first)), None)
    if again is None:
        yield Finding("wrong", "it did not ask again after Retry-After")
        return
    pause = again.at - first.at
    yield _check(
        pause >= WAIT_SECONDS * 0.95,
        f"it waited {pause:.1f} s",
        f"it asked again after {pause:.2f} s, before Retry-After",
    )
    yield _check(again.status == 200, "and was answered", f"and got {again.status}")


def _said(run: Run) -> Iterator[Finding]:
    if MARK in run.output:
        yield Finding("right", "it says that a source did not answer")
    else:
        yield Finding(
            "look", f"does your screen say that '{MARK}' did not answer? An incomplete list must not look complete"
        )


def _patient(run: Run) -> Iterator[Finding]:
    first = run.faulted()[0]
    yield _check(not first.gone and first.status == 200, "it waited for the answer", "it hung up before the answer")
    yield _check(not any(one.same(first) and one.at < first.at + SLOW_SECONDS for one in run.after(first)),
                 "it asked once", "it asked again while the answer was on its way")  # fmt: skip


def _restarted(run: Run) -> Iterator[Finding]:
    first = run.faulted()[0]
    yield _check(
        len(run.faulted()) <= _MOST_TRIES, "it did not insist on the link", "it kept asking a link that is refused"
    )
    again = any(one.is_search and not one.is_page for one in run.after(first))
    yield _check(again or run.exit_code != 0, "it started the search again, or gave up and said so",
                 "it went on as if the pages it has were all")  # fmt: skip


def _noticed(run: Run) -> Iterator[Finding]:
    first = run.faulted()[0]
    again = any(one.same(first) and one.status == 200 for one in run.after(first))
    yield _check(
        again or run.exit_code != 0, "it asked again, or gave up and said so", "it took half an answer for a whole one"
    )


_JUDGED: Final = {
    "plain": _plain,
    "expired": _renewed,
    "throttled": _waited,
    "unavailable": _waited,
    "partial": _said,
    "slow": _patient,
    "wrong-cursor": _restarted,
    "cut": _noticed,
}
