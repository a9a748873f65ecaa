"""What the administrator's pages are made of: the state of a source in one word, and what two revisions of the policy differ in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.office import SourceState
from gateway.routes.pages.revisions import compared
from gateway.routes.pages.source_rows import source_rows
from gateway.settings import SourceTable, parse
from profiles import exact
from tests.fakes import NOON
from tests.gateway.world import GP, HOSPITAL, POST, SETTINGS, World

HOUR = timedelta(hours=1)
ASKED = SourceTable("gp", GP, "fhir-r4")
FEED = SourceTable(
    "feed", HOSPITAL, "mllp", expected_every=parse(exact.decode(exact.encode(SETTINGS))).sources[2].expected_every
)


@pytest.mark.parametrize(
    ("table", "state", "heard", "word"),
    [
        (ASKED, SourceState(), None, "never"),
        (ASKED, SourceState(answered=1, last_answer=NOON), None, "ok"),
        (ASKED, SourceState(answered=1, failed=1, last_answer=NOON, last_failure=NOON - HOUR), None, "ok"),
        (ASKED, SourceState(answered=1, failed=1, last_answer=NOON - HOUR, last_failure=NOON), None, "failing"),
        (ASKED, SourceState(failed=1, last_failure=NOON), None, "failing"),
        (FEED, SourceState(), None, "never"),
        (FEED, SourceState(), NOON - HOUR, "ok"),
        (FEED, SourceState(), NOON - 25 * HOUR, "late"),
    ],
)
def test_the_state_of_a_source_in_one_word(
    table: SourceTable, state: SourceState, heard: datetime | None, word: str
) -> None:
    (row,) = source_rows([table], {table.id: state}, {}, {table.id: heard}, NOON)
    assert row.word == word


def test_what_needs_somebody_stands_first() -> None:
    rows = source_rows(
        [ASKED, FEED], {"gp": SourceState(answered=1, last_answer=NOON)}, {}, {"feed": NOON - 48 * HOUR}, NOON
    )
    assert [row.word for row in rows] == ["late", "ok"]


def body(**changes: Any) -> bytes:
    settings = parse(exact.decode(exact.encode(SETTINGS | changes)))
    return msgspec.json.encode(settings, enc_hook=str, order="deterministic")


def test_two_revisions_differ_in_who_may_see_what_and_in_the_rest() -> None:
    policy = World().policy
    wider = [{**SETTINGS["agreements"][0], "categories": ["Alert"]}, SETTINGS["agreements"][1]]
    sources = [{**SETTINGS["sources"][0], "url": "https://other.example/fhir"}, *SETTINGS["sources"][1:3]]
    clients = [{"id": "new", "organization": POST, "jwks": {"keys": [{"kty": "EC", "x": "a-long-key"}]}}]
    found = compared(body(), body(agreements=wider, sources=sources, clients=clients), policy)
    assert any(one.effect == "closes" and "Huisartsenpost Oost" in one.text for one in found.agreements)
    told = {(one.table, one.name, one.how) for one in found.changes}
    assert told == {("clients", "new", "added"), ("sources", "gp", "changed"), ("sources", "mental", "removed")}
    (changed,) = [one for one in found.changes if one.how == "changed"]
    assert changed.fields == (("url", "https://gp.example/fhir", "https://other.example/fhir"),)
    rotated = [{**clients[0], "jwks": {"keys": []}}]
    (keys,) = compared(body(clients=clients), body(clients=rotated), policy).changes
    assert keys.fields == (("jwks", "…", "…"),), "a key is long, and told by its name"
    same = compared(body(), body(), policy)
    assert (same.agreements, same.changes) == ((), ())


def test_a_revision_of_another_version_is_compared_as_far_as_it_is_understood() -> None:
    old = exact.encode({"agreements": [{"id": "x", "unknown": 1}], "gateway": {"name": "a"}, "later": [1]})
    found = compared(old, body(), World().policy)
    assert any(one.table == "gateway" for one in found.changes)
