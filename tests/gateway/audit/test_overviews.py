"""What overviews are made of: what a record counts as for whom, periods, plots, one record explained."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest

from gateway.audit.explained import account
from gateway.audit.overviews import KINDS, Period, narrowed, row
from gateway.audit.plots import bars, days, nice
from gateway.audit.record import Asked, Record, Shown
from gateway.audit.tally import counted, event_of, marks
from gateway.audit.view import Seen, seen, viewer
from gateway.office import SourceState
from tests.fakes import NOON
from tests.gateway.world import GP, HOSPITAL, MENTAL, POST, World

WORLD = World()
GIVEN = Record(
    kind="outcome", at="2026-03-02T12:00:00.000Z", request="r", interaction="summary", type="Patient", client="post-app",
    organization=POST, person="uzi|900000001", role="01.015", purpose="behandeling", patient="p1-x", status=200,
    custodians=(
        Asked(HOSPITAL, "hospital", {"Condition": "answered"}, "pull", "c1/1", (Shown("Condition", "i1", "v1"),)),
        Asked(GP, "gp", {"Condition": "failed:timeout"}),
    ),
)  # fmt: skip


def deviating(**fields: object) -> Record:
    return type(GIVEN)(**({name: getattr(GIVEN, name) for name in GIVEN.__struct_fields__} | fields))


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({}, "given"),
        ({"kind": "refusal", "status": 403, "error": "role-refused"}, "refused"),
        ({"kind": "refusal", "status": 403, "error": "role-refused", "patient": ""}, "barred"),
        ({"kind": "refusal", "status": 503}, "failed"),
        ({"error": "unknown", "status": 500}, "failed"),
        ({"error": "cancelled"}, "failed"),
        ({"purpose": "spoed-noodtoegang"}, "emergency"),
        ({"type": "AuditEvent"}, "log"),
        ({"kind": "token", "patient": ""}, "login"),
        ({"interaction": "login", "patient": ""}, "login"),
        ({"kind": "push"}, "push"),
        ({"kind": "start", "patient": ""}, "kept"),
        ({"patient": ""}, "kept"),
    ],
)
def test_what_a_record_is_for_who_asked(fields: dict[str, object], event: str) -> None:
    assert event_of(deviating(**fields)) == event


def test_everybody_who_took_part_counts_a_record_once() -> None:
    found = Counter((party, measure, value) for party, measure, value in counted(GIVEN))
    assert found == Counter({
        (POST, "event", "given"): 1, (POST, "agent", "uzi|900000001"): 1,
        (HOSPITAL, "event", "given"): 1, (HOSPITAL, "agent", "uzi|900000001"): 1, (HOSPITAL, "source", "hospital|answered"): 1,
        (GP, "event", "failed"): 1, (GP, "agent", "uzi|900000001"): 1, (GP, "source", "gp|failed"): 1,
    })  # fmt: skip
    assert list(counted(deviating(kind="intent"))) == []
    assert list(counted(deviating(kind="fragment"))) == []
    own = Counter(measure for party, measure, _ in counted(deviating(organization=HOSPITAL)) if party == HOSPITAL)
    assert own == Counter(event=1, agent=1, source=1), "who asks oneself asks once"


def test_a2_a_silent_custodian_changes_no_sum_of_who_asked() -> None:
    silent = Asked(MENTAL, "mental", {"Condition": "refused:consent-objection"})
    with_it = deviating(custodians=(*GIVEN.custodians, silent))

    def of_post(record: Record) -> list[tuple[str, str, str]]:
        return [one for one in counted(record) if one[0] == POST]

    assert of_post(with_it) == of_post(GIVEN)
    assert [one for one in marks(with_it) if POST in one] == [one for one in marks(GIVEN) if POST in one]
    assert (MENTAL, "refused", "consent-objection") in set(counted(with_it)), "its own reasons are its to know"


def test_marks_lead_to_what_was_denied_and_to_emergencies() -> None:
    assert marks(GIVEN) == [f"denied/{GP}"], "the GP could not; the post got an answer"
    assert marks(deviating(kind="refusal", status=403, error="role-refused", custodians=())) == [f"denied/{POST}"]
    assert f"emergency/{HOSPITAL}" in marks(deviating(purpose="spoed-noodtoegang"))
    assert marks(deviating(kind="intent", purpose="spoed-noodtoegang")) == []


def test_a_period_is_whole_days_here() -> None:
    usual = Period.read("", "", NOON, 7)
    assert (usual.first, usual.last, usual.days) == (date(2026, 2, 24), date(2026, 3, 2), 7)
    query = Period.read("2026-03-29", "2026-03-29", NOON).query()
    assert query.end - query.start == timedelta(hours=23), "the day on which summer begins"
    assert "intent" not in KINDS
    for first, last, why in (("x", "", "date"), ("2026-03-03", "", "order"), ("1999-01-01", "", "long")):
        with pytest.raises(ValueError, match=why):
            Period.read(first, last, NOON)


def test_an_overview_narrows_the_question() -> None:
    query = Period.read("", "", NOON).query()
    assert narrowed(query, "denied").mark == "denied"
    assert narrowed(query, "all", ("p1-x",), " uzi|900000001 ") == replace(query, patients=("p1-x",), agent="900000001")


def test_a_row_and_an_account_tell_no_more_than_may_be_seen() -> None:
    by_post, by_hospital = (viewer(ura, "", WORLD.policy, WORLD.keys) for ura in (POST, HOSPITAL))
    whole, part = seen(GIVEN, by_post), seen(GIVEN, by_hospital)
    assert whole is not None
    assert part is not None
    told = row("1.1.1", whole)
    assert [(one.organization, one.facility, one.fate) for one in told.sources] == [
        ("", "V4", "answered"),
        ("", "Z3", "failed"),
    ]
    own = account("1.1.1", part)
    assert [(one.organization, one.given) for one in own.sources] == [(HOSPITAL, (("Condition", 1),))]
    assert (own.side, own.items, own.given) == ("custodian", 1, True)
    refused = replace(part, record=deviating(custodians=(Asked(HOSPITAL, "hospital", {"Condition": "refused:a,b"}),)))
    assert row("1", refused).ended == "refused"
    assert account("1", refused).sources[0].states[0].reasons == ("a", "b")
    assert row("1", Seen(deviating(kind="push"), "custodian")).ended == "push"


def test_plots_are_drawings_with_words_and_nothing_that_acts() -> None:
    drawn = [
        days({date(2026, 3, 1): 3}, date(2026, 2, 1), date(2026, 3, 2), "drie vragen"),
        days({}, date(2025, 1, 1), date(2026, 3, 2), "niets"),
        bars([("<script>x</script>" * 5, 3), ('"', 0)], 'twee "redenen"'),
        bars([], "geen"),
    ]
    for one in drawn:
        tree = ET.fromstring(str(one))
        assert tree.attrib["role"] == "img"
        assert tree.attrib["aria-label"]
        assert "style" not in str(one)
        assert {element.tag for element in tree.iter()} <= {"svg", "rect", "title", "line", "text"}
    assert "3" in "".join(ET.fromstring(str(drawn[0])).itertext())
    assert [nice(one) for one in (0, 1, 3, 7, 11, 99, 501)] == [1, 1, 5, 10, 20, 100, 1000]


def test_latency_is_said_by_the_bound_most_answers_kept() -> None:
    assert SourceState().within(0.5) is None
    state = SourceState(answered=10, latencies={20: 5, 500: 4, 0: 1})
    assert [state.within(share) for share in (0.5, 0.9, 0.95)] == [20, 500, 0]
