"""A small lawful world: one question that is answered yes, for tests to bend."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from consent.model import (
    ANY,
    AccessRequest,
    Agreement,
    Case,
    Custodian,
    Effect,
    Facts,
    Requester,
    Statement,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
POST, HOSPITAL, GP, MENTAL = "90000001", "90000002", "90000003", "90000004"
PATIENT = "p1-aaaa"

PHYSICIAN = Requester("post-ehr", POST, "N6", "01.015", "900000101", "substantial")
COORDINATOR = Requester("zcc", POST, "N6", "zorgcoordinator", "900000102", "substantial")
SYSTEM = Requester("sandbox", POST, "N6", system=True)
CASE = Case("case-1", "caller", POST, PATIENT, NOW - timedelta(hours=1), NOW + timedelta(hours=5), "zcc", "900000102")

QUESTION = AccessRequest(
    requester=PHYSICIAN,
    purpose="behandeling",
    scopes=frozenset({"system/*.rs"}),
    action="s",
    type="AllergyIntolerance",
    category="AllergyIntolerance",
    patient=PATIENT,
    custodian=Custodian(GP, "Z3"),
)


def agreement(**changes: Any) -> Agreement:
    """An agreement of the post with everybody, for all care, on explicit consent."""
    usual = Agreement(
        id="a1",
        requesters=frozenset({POST}),
        custodians=frozenset({ANY}),
        categories=frozenset({ANY}),
        purposes=frozenset({"behandeling", "triage-coordinatie", "spoed", "spoed-noodtoegang", "waarneming"}),
        roles=frozenset({ANY}),
        start=NOW - 30 * DAY,
        end=NOW + 30 * DAY,
    )
    return replace(usual, **changes)


def statement(effect: Effect, **changes: Any) -> Statement:
    """What this patient says about the data of the GP."""
    return replace(Statement(id=f"c-{effect}", version=1, effect=effect, patient=PATIENT, custodian=GP), **changes)


def facts(*statements: Statement, **changes: Any) -> Facts:
    """The usual facts with these statements."""
    return replace(Facts(now=NOW, agreements=(agreement(),), statements=statements), **changes)
