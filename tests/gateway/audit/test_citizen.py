"""The citizen's overview equals what happened: who, when, whose data, and who made it available (rule F3, attack 143)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from functools import cache
from html.parser import HTMLParser
from random import Random
from typing import Any

import pytest

from gateway.audit.citizen import Report, Telling, registrations, report, words
from gateway.audit.page import Frame, html
from gateway.audit.record import Kind, Record
from tests.fakes import NOON
from tests.gateway.audit.driving import AUDITOR, TODAY, driven, failed
from tests.gateway.audit.memory import LogWorld
from tests.gateway.charts import BSN, privacy
from tests.gateway.test_answers import identified
from tests.gateway.test_writes import registration
from tests.gateway.world import COORDINATOR, GP, HOSPITAL, MENTAL, OUTSIDER, PHYSICIAN, custodian

FRAME = Frame("Regio Oost", NOON - timedelta(days=1), NOON, NOON)


def told(world: LogWorld, *, names: bool = False, places: bool = True) -> Report:
    """The report of the patient of a world."""
    mine = [record for record in world.records if record.patient == world.patient]
    ids = registrations(mine)
    ended = [
        one for one in world.records if one.object.partition("/_history")[0] in ids and one.interaction == "delete"
    ]
    return report(mine, ended, Telling(world.policy, names, places))


# What each question of `driving` is to the patient it is about.
DID = {
    "search": "seen", "search by POST": "seen", "find": "seen", "read a person": "seen", "read an item": "seen",
    "summary": "seen", "summary by POST": "seen", "summary as a page": "seen", "summary by a system": "seen",
    "summary as XML": "seen", "match": "seen", "match of nobody": "nothing", "no agreement": "refused", "no case": "refused",
    "case opened": "case-opened", "consent recorded": "consent-recorded", "consent refused": "written",
    "log of the patient": "log", "case read": "case-read", "case closed": "case-closed", "consent changed": "consent-changed",
    "search of several types": "seen", "everything": "seen", "everything by POST": "seen", "newest": "seen", "documents": "nothing", "document": "seen",
    "version of a case": "case-read", "may look": "preflight", "may look by POST": "preflight",
}  # fmt: skip


@pytest.mark.slow
def test_143_what_was_driven_is_what_is_told() -> None:
    for world, one in driven():
        made = told(world)
        requests = [record for record in world.records if record.request == one.reply.header("x-request-id")]
        about = [record for record in requests if record.patient == world.patient and record.kind != "intent"]
        assert bool(about) is one.patient, one.name
        if not one.patient:
            continue
        if one.name == "registered":
            assert [(line.how, line.who.ura, line.basis) for line in made.available] == [("registered", GP, "explicit")]
            continue
        line = made.events[-1]
        assert one.caller is not None
        assert (line.did, line.who.ura, line.when) == (DID[one.name], one.caller.requester.organization, about[-1].at)
        assert bool(line.gave) is one.shows


@pytest.mark.slow
def test_143_failures_are_told_as_they_were() -> None:
    for world, one in failed():
        (line,) = told(world).events
        assert bool(line.gave) is (one.shows and one.reply.status == 200), one.name
        assert line.did != "seen" or "refusal" not in one.name


@pytest.mark.proof
def test_143_random_histories_are_told_whole() -> None:
    """Whatever happens in whatever order: one line for every request about the patient, with who, when and whose data."""
    chance = Random(143)
    for _ in range(60):
        world = LogWorld()
        world.opens_case()
        truth: list[tuple[str, str, str]] = []
        for _ in range(chance.randrange(1, 12)):
            world.clock.advance(timedelta(minutes=chance.randrange(1, 300)))
            caller = chance.choice([PHYSICIAN, COORDINATOR, OUTSIDER])
            if world.clock.now() > NOON + timedelta(hours=23) and caller is COORDINATOR:
                caller = PHYSICIAN
            reply = world.search(caller=caller) if chance.random() < 0.5 else world.summary(caller)
            when = world.records[-1].at
            did = "refused" if reply.status == 403 else "seen"
            truth.append((when, caller.requester.organization, did))
        seen = {"partly": "seen"}  # a role may see less than everything
        assert [(one.when, one.who.ura, seen.get(one.did, one.did)) for one in told(world).events] == truth
        assert told(world).events == sorted(told(world).events, key=lambda one: one.when)


def lived() -> LogWorld:
    """Somebody registered, looked, was refused, withdrew, recorded a consent and supervised."""
    world = LogWorld()
    made = world.post("List", registration(), custodian(GP))
    world.search()
    world.search()
    world.summary(OUTSIDER)
    world.clock.advance(timedelta(hours=1))
    world.request("DELETE", f"List/{made.json['id']}", custodian(GP))
    world.post("Consent", privacy(HOSPITAL, effect="deny"), PHYSICIAN)
    world.get(f"AuditEvent?{TODAY}&patient={world.patient}", AUDITOR)
    world.post("Patient/$summary", identified("999990160"))
    return world


@cache
def shown() -> LogWorld:
    return lived()


def test_f3_who_made_available_and_until_when() -> None:
    (line,) = told(shown()).available
    assert (line.who.organization, line.how, line.basis) == ("Huisarts De Linde", "registered", "explicit")
    assert (line.since, line.until) == ("2026-03-02T12:00:00.000Z", "2026-03-02T13:00:00.000Z")


def test_f3_everything_that_was_done_oldest_first() -> None:
    events = told(shown()).events
    assert [one.did for one in events] == ["seen", "seen", "refused", "consent-recorded", "log"]
    first = events[0]
    assert first.gave == ("Huisarts De Linde", "Ziekenhuis Oost"), "the third had nothing to show"
    assert first.categories == ("AllergyIntolerance",)
    assert first.consents == ("consent-0/1", "consent-1/1", "consent-2/1")
    assert first.protocol == (shown().policy.revision, "pull")


def test_f3_a_citizen_learns_what_a_silent_custodian_withheld() -> None:
    world = LogWorld(permits=(GP,))
    world.summary()
    (line,) = told(world).events
    assert (line.gave, set(line.withheld)) == (("Huisarts De Linde",), {"Ziekenhuis Oost", "GGZ De Stilte"})


def test_names_of_employees_only_where_the_region_says_so() -> None:
    assert "de Vries" not in str(told(shown()).as_json())
    assert "A. de Vries" in str(told(shown(), names=True).as_json())


def test_safe_home_mode_names_no_place() -> None:
    text = str(told(shown(), places=False).as_json()) + html(told(shown(), places=False), FRAME)
    for word in ("De Linde", "Oost", "De Stilte", GP, HOSPITAL, MENTAL):
        assert word not in text.replace("Regio Oost", ""), word
    assert "huisartsenpraktijk" in text


class Reader(HTMLParser):
    """The texts of a page, and its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_says_it_in_plain_dutch() -> None:
    reader = read(html(told(shown()), FRAME))
    text = " ".join(reader.texts)
    assert "Wie keek in uw gegevens?" in text
    assert "Keek in uw gegevens" in text
    assert "Huisartsenpost Oost: huisarts" in text
    assert "2 keer" in text, "the same on one day is one line"
    assert "2 maart 2026, 13:00" in text
    assert "Mocht uw gegevens niet zien" in text
    assert "Meldde aan dat er gegevens over u zijn" in text
    assert "uw toestemming" in text
    assert not re.search(r"\b(refused|seen|behandeling_|AllergyIntolerance|None|True)\b", text)


def test_the_page_can_be_read_by_everybody() -> None:
    reader = read(html(told(shown()), FRAME))
    tags = [tag for tag, _ in reader.tags]
    assert ("html", {"lang": "nl"}) in reader.tags
    assert tags.count("h1") == 1
    assert "main" in tags
    assert "script" not in tags
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in reader.tags if tag == "th")
    assert BSN not in html(told(shown()), FRAME)


def test_what_others_wrote_is_escaped() -> None:
    world = LogWorld()
    world.search(caller=replace(PHYSICIAN, person_name="<script>alert(1)</script>"))
    page = html(told(world, names=True), FRAME)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_period_without_events_says_so() -> None:
    assert html(Report(), FRAME).count("In deze periode is hier niets gebeurd.") == 3


def test_every_code_has_its_words() -> None:
    from consent.categories import categories_of_type
    from consent.purposes import PURPOSES
    from gateway.audit.citizen import _CONSENTS, _TASKS
    from gateway.intake.registrations import BASES

    texts: dict[str, Any] = words()
    assert set(PURPOSES) <= texts["purpose"].keys()
    assert set(BASES) == texts["basis"].keys()
    assert {*_TASKS.values(), *_CONSENTS.values(), *DID.values()} <= texts["did"].keys()
    for type_ in ("Observation", "Patient", "Condition", "MedicationRequest", "Consent"):
        assert categories_of_type(type_) <= texts["category"].keys()


def test_every_record_of_the_patient_is_one_line() -> None:
    kinds: list[Kind] = ["outcome", "refusal", "push", "command", "emergency"]
    records = [
        Record(kind=kind, at=f"2026-03-02T12:00:0{number}.000Z", request=str(number), interaction=interaction, type=type_,
               patient="p1-x", status=200, organization=GP)
        for number, (kind, interaction, type_) in enumerate([
            (kinds[0], "read", "Condition"), (kinds[1], "unknown", ""), (kinds[2], "push", ""), (kinds[2], "inbox-erase", ""),
            (kinds[3], "command", "audit report"), (kinds[0], "create", "List"), (kinds[0], "delete", "List"),
            (kinds[0], "inbox-cancel", "DocumentReference"), (kinds[4], "emergency-access", "Patient")])
    ]  # fmt: skip
    made = report(records, [], Telling(shown().policy))
    assert len(made.events) + len(made.available) == len(records)
    assert "emergency" in {one.did for one in made.events}
    assert html(made, FRAME)
