"""One intake for every format: the same guarantees, whatever it was and whichever door it came through."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.errors import Unavailable
from gateway.intake.messages import push
from tests.gateway.charts import BSN, OTHER_BSN, THIRD_BSN, allergy, observation, person
from tests.gateway.intake.desk import DeskWorld, latex, nightly, penicillin, resident
from tests.gateway.test_push import arrival, measured
from tests.gateway.world import AMBULANCE, CENTER, PHYSICIAN, bundle, custodian, run

PENICILLIN, LATEX = "764146007", "1003755004"


def sent(world: DeskWorld, body: bytes) -> str:
    answer = run(push("ambulance", body, "10.1.1.1", world.ports))
    return next(line for line in answer.split(b"\r") if line.startswith(b"MSA|")).split(b"|")[1].decode()


def test_a_message_goes_all_the_way_down_and_is_shown(world: DeskWorld) -> None:
    assert [sent(world, arrival()), sent(world, measured())] == ["AA", "AA"]
    assert world.codes("Observation") == ["8867-4"]
    assert [slip.state for slip in world.slips()] == ["accepted", "accepted"]
    assert [one.kind for one in world.records[:2]] == ["push", "push"]
    assert world.records[1].custodians[0].consent == "observation"


def test_a_document_of_any_format_has_the_same_guarantees(world: DeskWorld) -> None:
    body = resident(BSN, penicillin())
    assert world.takes(body) == ["accepted new"]
    assert world.takes(body) == ["accepted again"]
    assert world.codes() == [PENICILLIN]
    assert len(world.slips()) == 1
    assert world.records[0].organization == world.table().custodian


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe{\x00", b'{"resourceType":"Bundle"}' * 2, b"<xml/>", b"a;b;c\n1;2;3\n", b"\x00" * 50],
)
def test_what_cannot_be_read_is_kept_as_it_came(world: DeskWorld, body: bytes) -> None:
    taken = world.taken(body)
    assert [one.state for one in taken] == ["dead"]
    kept = run(world.desk.kept(taken[0].message.receipt))
    assert kept is not None
    assert kept.message.raw == body
    assert kept.message.delivery.expires, "what cannot be read may not stay for ever either"
    assert BSN not in str(world.records)


def test_two_patients_in_one_message_are_a_dead_letter(world: DeskWorld) -> None:
    body = bundle([person("one", BSN), person("two", OTHER_BSN), allergy("a", "one")])
    taken = world.taken(body)
    assert [(one.state, one.message.reason) for one in taken] == [("dead", "Patient one patient a message: 2 found")]
    assert world.codes() == world.codes(bsn=OTHER_BSN) == []


def test_d1_without_contact_it_waits_and_a_release_shows_it(world: DeskWorld) -> None:
    from gateway.intake import desk

    body = bundle([person("one", BSN), allergy("a", "one")])
    taken = world.taken(body)
    receipt = taken[0].message.receipt
    assert taken[0].state == "quarantined"
    assert world.codes() == []
    run(desk.release(receipt, world.ports))
    assert world.codes() == [PENICILLIN]
    assert any(one.interaction == "inbox-release" for one in world.records)
    assert world.takes(body) == ["accepted again"]


def test_a_message_nobody_can_place_is_not_released(world: DeskWorld) -> None:
    from gateway.errors import Invalid
    from gateway.intake import desk

    unknown = person("one", BSN) | {"identifier": [{"system": "http://elsewhere", "value": "7"}]}
    taken = world.taken(bundle([unknown, allergy("a", "one")]))
    with pytest.raises(Invalid, match="conflict"):
        run(desk.release(taken[0].message.receipt, world.ports))
    with pytest.raises(Invalid, match="not-found"):
        run(desk.release("nothing", world.ports))


def test_166_a_replayed_older_file_does_not_overwrite(world: DeskWorld) -> None:
    day = world.clock.now()
    old, new = resident(BSN, penicillin()), resident(BSN, penicillin(criticality="low"))
    world.takes(old, dated=day - timedelta(days=2))
    world.takes(new, dated=day - timedelta(days=1))
    world.takes(old, dated=day - timedelta(days=2))
    world.takes(resident(BSN, penicillin(note=[{"text": "x"}])), dated=day - timedelta(days=3))
    found = world.search("AllergyIntolerance").items
    assert [item["criticality"] for item in found] == ["low"]
    assert len(world.slips()) == 3


def test_131_with_the_log_down_nothing_is_acknowledged_and_the_second_time_it_is_known(world: DeskWorld) -> None:
    world.audit.broken = True
    with pytest.raises(Unavailable):
        world.takes(resident(BSN, penicillin()))
    world.audit.broken = False
    assert world.takes(resident(BSN, penicillin())) == ["accepted again"]
    assert len(world.records) == 1


def test_a_control_id_with_other_bytes_is_a_new_message_and_said_so(world: DeskWorld) -> None:
    sent(world, arrival())
    sent(world, measured())
    sent(world, measured(value="99"))
    assert world.records[-1].reasons == ("accepted", "changed")


def test_a_visit_that_is_cancelled_is_no_longer_shown(world: DeskWorld) -> None:
    sent(world, arrival())
    sent(world, measured())
    assert world.codes("Observation") == ["8867-4"]
    world.clock.advance(timedelta(minutes=1))
    cancel = arrival("A2").replace(b"ADT^A04^ADT_A01", b"ADT^A11^ADT_A09").replace(b"EVN|A04", b"EVN|A11")
    assert sent(world, cancel) == "AA"
    assert world.codes("Observation") == []
    assert world.get(f"Encounter?patient={world.patient}").items == []
    entries = run(world.ports.index.entries(world.patient, world.clock.now()))
    assert entries == (), "an index entry ends with what it rests on (C3)"


def test_c4_only_whom_it_was_sent_to_reads_it_on_the_ground_of_the_push(world: DeskWorld) -> None:
    from dataclasses import replace

    from gateway.intake.letters import letters_of

    letters, snapshot = run(letters_of(world.posting(resident(BSN, penicillin())), world.ports))
    message = letters[0].message
    addressed = replace(message, delivery=replace(message.delivery, addressees=frozenset({CENTER})))
    run(world.desk.deliver([replace(letters[0], message=addressed)], snapshot))
    assert world.codes() == [], "the agreement is on the ground of a push, and it was sent to another"
    other = custodian(CENTER)
    assert world.codes(caller=other) == [PENICILLIN]
    item = world.search("AllergyIntolerance", other).items[0]
    assert world.get(f"AllergyIntolerance/{item['id']}").code == "item-expired"
    assert world.get(f"AllergyIntolerance/{item['id']}", other).status == 200


@pytest.mark.usefixtures("by_line")
def test_a_file_of_many_patients_is_one_message_each(world: DeskWorld) -> None:
    body = nightly(resident(BSN, penicillin()), b"{nonsense", resident(OTHER_BSN, latex()))
    assert world.takes(body) == ["accepted new", "dead new", "accepted new"]
    assert world.takes(body) == ["accepted again", "dead again", "accepted again"]
    assert (world.codes(), world.codes(bsn=OTHER_BSN)) == ([PENICILLIN], [LATEX])


@pytest.mark.usefixtures("by_line")
def test_what_is_missing_from_a_full_file_is_no_longer_current(world: DeskWorld) -> None:
    monday = nightly(resident(BSN, penicillin(), latex()), resident(OTHER_BSN, latex()))
    tuesday = nightly(resident(BSN, latex()))
    world.takes(monday, coverage="full")
    assert world.codes() == [LATEX, PENICILLIN]
    world.clock.advance(timedelta(days=1))
    world.takes(tuesday, coverage="full")
    assert (world.codes(), world.codes(bsn=OTHER_BSN)) == ([LATEX], [])
    assert world.query("SELECT COUNT(*) FROM held_item WHERE shown = 0")[0][0] > 0, "kept in history"


@pytest.mark.usefixtures("by_line")
def test_an_older_full_file_that_comes_late_takes_nothing_away(world: DeskWorld) -> None:
    day = world.clock.now()
    world.takes(nightly(resident(BSN, penicillin(), latex())), coverage="full", dated=day)
    world.takes(nightly(resident(BSN, penicillin())), coverage="full", dated=day - timedelta(days=1))
    assert world.codes() == [LATEX, PENICILLIN]


@pytest.mark.usefixtures("by_line")
def test_nobody_is_concluded_to_be_gone_from_a_file_with_unreadable_lines(world: DeskWorld) -> None:
    world.takes(nightly(resident(BSN, penicillin()), resident(OTHER_BSN, latex())), coverage="full")
    world.clock.advance(timedelta(days=1))
    world.takes(nightly(resident(BSN, latex()), b"{broken"), coverage="full")
    assert (world.codes(), world.codes(bsn=OTHER_BSN)) == ([LATEX], [LATEX])


@pytest.mark.usefixtures("by_line")
def test_a_delta_file_adds(world: DeskWorld) -> None:
    world.takes(nightly(resident(BSN, penicillin())))
    world.clock.advance(timedelta(days=1))
    world.takes(nightly(resident(BSN, latex())))
    assert world.codes() == [LATEX, PENICILLIN]


def test_e7_a_late_feed_is_said_to_be_late(world: DeskWorld) -> None:
    world.takes(resident(BSN, penicillin()))
    assert world.search().remarks == []
    world.clock.advance(timedelta(hours=26))
    assert "source-stale" in world.search().remarks


def test_an_objection_blocks_what_was_pushed(world: DeskWorld) -> None:
    world.takes(resident(BSN, penicillin()))
    world.says("deny", world.table().custodian)
    assert world.codes() == []


def test_165_the_custodian_is_the_source_whatever_the_content_says(world: DeskWorld) -> None:
    body = resident(
        BSN, penicillin(meta={"tag": [{"system": "http://fhir.nl/fhir/NamingSystem/ura", "code": AMBULANCE}]})
    )
    world.takes(body)
    tags = [tag["code"] for item in world.search().items for tag in item["meta"]["tag"]]
    assert tags == [world.table().custodian]


def test_a_summary_shows_what_was_dropped(world: DeskWorld) -> None:
    world.takes(resident(BSN, penicillin(), observation("o1")))
    assert b"Penicilline" in world.summary(PHYSICIAN).body


@pytest.mark.usefixtures("by_line")
def test_read_anew_history_stays_history(world: DeskWorld) -> None:
    from gateway.intake import desk

    world.takes(nightly(resident(BSN, penicillin(), latex()), resident(OTHER_BSN, latex())), coverage="full")
    world.clock.advance(timedelta(days=1))
    world.takes(nightly(resident(BSN, latex()), resident(THIRD_BSN, latex())), coverage="full")
    waiting = world.taken(bundle([person("one", "999990044"), allergy("a", "one")]), format_="fhir-stu3")
    for slip in world.slips():
        run(desk.read_anew(slip.receipt, world.ports))
    assert (world.codes(), world.codes(bsn=OTHER_BSN), world.codes(bsn=THIRD_BSN)) == ([LATEX], [], [LATEX])
    assert [slip.state for slip in world.slips()].count("quarantined") == 1
    assert waiting[0].state == "quarantined"


@pytest.mark.usefixtures("by_line")
def test_166_a_replayed_full_file_without_a_date_changes_nothing(world: DeskWorld) -> None:
    monday = nightly(resident(BSN, penicillin()), resident(OTHER_BSN, latex()))
    tuesday = nightly(resident(BSN, latex()), resident(THIRD_BSN, latex()))
    for body in (monday, tuesday, monday, monday):
        world.takes(body, coverage="full")
        world.clock.advance(timedelta(days=1))
    assert (world.codes(), world.codes(bsn=OTHER_BSN), world.codes(bsn=THIRD_BSN)) == ([LATEX], [], [LATEX])
