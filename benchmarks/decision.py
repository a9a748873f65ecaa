"""How long one decision takes: with a usual and a large number of agreements and statements, and what a token costs."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.figures import Report
from consent.decision import decide
from consent.model import AccessRequest, Agreement, Custodian, Facts, Requester, Statement
from gateway.crypto.ring import KeyRing
from gateway.model import Caller
from gateway.oauth.tokens import AccessTokens
from gateway.policy import build
from gateway.settings import parse

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_ASKED: Final = AccessRequest(
    Requester("post", "90000001", "N6", "01.015", "uzi|1", "high"), "behandeling", frozenset({"system/*.rs"}), "s",
    "Condition", "Condition", "p1-aaaa", Custodian("90000002", "Z3"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """How often is measured."""

    rounds: int = 7
    calls: int = 2_000


def quick() -> Size:
    """Shows that it runs."""
    return Size(2, 20)


def facts(agreements: int, statements: int) -> Facts:
    """Agreements of which one covers the question, and statements of which most speak about other custodians and categories."""
    usual = Agreement(
        "a", frozenset({"90000001"}), frozenset({"90000002"}), frozenset({"behandeling"}), frozenset({"*"}), frozenset({"*"}),
        NOW - 30 * _DAY, NOW + 30 * _DAY,
    )  # fmt: skip
    others = [
        replace(usual, id=f"b{number}", requesters=frozenset({str(80000000 + number)}))
        for number in range(agreements - 1)
    ]
    names = ["Condition", "MedicationUse", "Alert", "Procedure", "Encounter"]
    said = [
        Statement(
            f"s{number}", 1, "deny" if number % 3 else "permit", "p1-aaaa", "90000002" if number % 2 else str(70000000 + number),
            requesters=frozenset({str(60000000 + number)}) if number % 5 else frozenset(),
            categories=frozenset({names[1 + number % 4]}),
        )
        for number in range(statements - 1)
    ]  # fmt: skip
    return Facts(NOW, (usual, *others), (Statement("yes", 1, "permit", "p1-aaaa", "90000002"), *said))


def run(directory: Path, size: Size, profile: Path | None = None) -> Report:
    """Measure in one process, in interleaved rounds; medians of single calls."""
    del profile
    tokens, header, now = _tokens(directory)
    usual, large = facts(20, 50), facts(1_000, 50)
    told = facts(20, 1_000)
    cases: dict[str, tuple[Callable[[], object], float]] = {
        "20 agreements, 50 statements": (lambda: decide(_ASKED, usual), 30.0),
        "1,000 agreements, 50 statements": (lambda: decide(_ASKED, large), 200.0),
        "20 agreements, 1,000 statements": (lambda: decide(_ASKED, told), 200.0),
        "token that was seen before": (lambda: tokens.caller(header, now), 5.0),
        "token never seen, ES256": (lambda: _cold(tokens, header, now), 300.0),
    }
    assert all(decide(_ASKED, one).permitted for one in (usual, large, told))
    found: dict[str, list[float]] = {name: [] for name in cases}
    gc.collect()
    for _ in range(size.rounds):
        for name, (call, _target) in cases.items():
            found[name].append(_median(call, size.calls))
    report = Report("decision", {"calls a round": size.calls, "rounds": size.rounds})
    for name, (_call, target) in cases.items():
        report.add(name, "us", found[name], at_most=target)
    return report


def _cold(tokens: AccessTokens, header: bytes, now: float) -> None:
    tokens.forget()
    tokens.caller(header, now)


def _median(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return statistics.median(taken) * 1e6


def _tokens(directory: Path) -> tuple[AccessTokens, bytes, float]:
    settings = parse({"organizations": [{"ura": "90000001", "name": "Post", "facility_type": "N6"}]})
    tokens = AccessTokens(KeyRing.create(directory / "keys", NOW), settings, build(settings))
    now = NOW.timestamp()
    token, _ = tokens.issue(Caller(_ASKED.requester, "behandeling", _ASKED.scopes, token_id="t"), now)
    return tokens, f"Bearer {token}".encode(), now
