"""What a feed pushes: acknowledged when it is durable, shown under the same gates as a live source."""

from __future__ import annotations

import pytest

from gateway.intake.messages import push
from tests.gateway.charts import BSN, OTHER_BSN
from tests.gateway.world import AMBULANCE, HOSPITAL, PHYSICIAN, World, run

HEAD = r"MSH|^~\&|EAMBU|{application}|GW|ROAZ|{at}||{kind}|{control}|P|2.5|||AL|NE|NLD|UNICODE UTF-8"
PID = "PID|1||{bsn}^^^NLMINBIZA^NNNLD||de Vries&de&Vries^Jan^^^^^L||19800229|M"
VISIT = "PV1|1|E|||||||||||||||||T-1|||||||||||||||||||||||||20260302100000+0100"


def message(
    kind: str, control: str, *segments: str, at: str = "20260302120000+0100", application: str = "RAV"
) -> bytes:
    lines = [HEAD.format(kind=kind, control=control, at=at, application=application), *segments]
    return "".join(f"{line}\r" for line in lines).encode()


def arrival(control: str = "A1", bsn: str = BSN, **other: str) -> bytes:
    return message("ADT^A04^ADT_A01", control, "EVN|A04|20260302100000+0100", PID.format(bsn=bsn), VISIT, **other)


def measured(
    control: str = "R1", bsn: str = BSN, value: str = "88", at: str = "20260302101500+0100", **other: str
) -> bytes:
    return message(
        "ORU^R01^ORU_R01", control, PID.format(bsn=bsn), VISIT, f"OBR|1||F1|8716-3^Vitale functies^LN|||{at}||||||||||||||||||F",
        f"OBX|1|NM|8867-4^Hartfrequentie^LN||{value}|/min^/min^UCUM|||||F|||{at}", **other,
    )  # fmt: skip


def sent(world: World, body: bytes, source: str = "ambulance") -> str:
    """The acknowledgment code."""
    answer = run(push(source, body, "10.1.1.1", world.ports))
    found = [line for line in answer.split(b"\r") if line.startswith(b"MSA|")]
    return found[0].split(b"|")[1].decode()


def states(world: World) -> list[str]:
    return [one.state for one in world.inbox.messages]


def test_a_message_is_kept_recorded_acknowledged_and_shown() -> None:
    world = World(known_at=())
    assert [sent(world, arrival()), sent(world, measured())] == ["AA", "AA"]
    assert states(world) == ["accepted", "accepted"]
    assert [(one.kind, one.organization, one.patient) for one in world.records] == [
        ("push", AMBULANCE, world.patient)
    ] * 2
    reply = world.search("Observation")
    assert [item["valueQuantity"]["value"] for item in reply.items] == [88]
    assert reply.items[0]["meta"]["source"].startswith("urn:roaz:ambulance#")
    assert reply.items[0]["meta"]["tag"][-1]["code"] == AMBULANCE
    assert world.asked() == []
    assert world.events[-1] == "outcome"
    again = world.get(f"Observation/{reply.items[0]['id']}")
    assert again.json == reply.items[0], "what is held is read as it was shown"


def test_held_items_survive_a_day() -> None:
    from datetime import timedelta

    world = World(known_at=())
    sent(world, arrival())
    sent(world, measured())
    item = world.search("Observation").items[0]
    world.clock.advance(timedelta(days=2))
    assert world.get(f"Observation/{item['id']}").status == 200
    assert "source-stale" in world.search("Observation").remarks


def test_the_same_message_again_changes_nothing() -> None:
    world = World(known_at=())
    assert [sent(world, one) for one in (arrival(), measured(), measured())] == ["AA", "AA", "AA"]
    assert len(world.inbox.messages) == 2
    assert world.records[-1].reasons == ("accepted", "again")
    assert len(world.search("Observation").items) == 1


def test_166_a_control_id_with_other_bytes_is_a_new_message_and_said_so() -> None:
    world = World(known_at=())
    sent(world, arrival())
    assert [sent(world, measured()), sent(world, measured(value="99"))] == ["AA", "AA"]
    assert world.records[-1].reasons == ("accepted", "changed")
    assert [item["valueQuantity"]["value"] for item in world.search("Observation").items] in ([99], [88, 99], [99, 88])


def test_d1_the_first_word_about_a_patient_needs_contact() -> None:
    world = World(known_at=())
    assert sent(world, measured()) == "AA"
    assert states(world) == ["quarantined"]
    assert world.search("Observation").items == []
    sent(world, arrival())
    assert sent(world, measured("R2")) == "AA"
    assert len(world.search("Observation").items) == 1


def test_165_the_custodian_is_the_connection_whatever_the_message_says() -> None:
    world = World(known_at=())
    sent(world, arrival(application=HOSPITAL))
    sent(world, measured(application="Ziekenhuis Oost"))
    assert {item["meta"]["tag"][-1]["code"] for item in world.search("Observation").items} == {AMBULANCE}
    assert {message.custodian for message in world.inbox.messages} == {AMBULANCE}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"MSH|^~\\&|", b"hello", b"\x00" * 100, arrival()[:40],
        message("ZZZ^Z01", "Z1", PID.format(bsn=BSN)),
        message("ORU^R01^ORU_R01", "Z2"),
        arrival() + PID.format(bsn=OTHER_BSN).encode() + b"\r",
        arrival().replace(b"UNICODE UTF-8", b"8859/1").replace(b"Jan", b"J\xffn"),
        arrival().replace(b"Jan", b"J\xffn"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_kept_and_answered(body: bytes) -> None:
    world = World(known_at=())
    code = sent(world, body)
    assert code in {"AE", "AR", "AA"}
    assert len(world.inbox.messages) == 1
    assert world.inbox.messages[0].raw == body, "nothing is lost"
    assert (states(world) == ["dead"]) is (code == "AE")
    assert BSN not in str(world.records)
    assert world.search("Observation").items == []


def test_a_patient_nobody_can_identify_is_quarantined() -> None:
    world = World(known_at=())
    unknown = arrival().replace(f"{BSN}^^^NLMINBIZA^NNNLD".encode(), b"77^^^RAV^PI")
    assert sent(world, unknown) == "AA"
    assert states(world) == ["quarantined"]
    invalid = arrival("A2", "999990018")
    assert sent(world, invalid) in {"AA", "AE"}
    assert world.inbox.messages[-1].state != "accepted"


def test_131_with_the_log_down_the_sender_must_send_again() -> None:
    world = World(known_at=())
    world.audit.broken = True
    assert sent(world, arrival()) == "AR"
    world.audit.broken = False
    assert sent(world, arrival()) == "AA"
    assert len(world.records) == 1


@pytest.mark.parametrize("store", ["inbox", "index"])
def test_with_a_store_down_the_sender_must_send_again(store: str) -> None:
    world = World(known_at=())
    getattr(world, store).broken = True
    assert sent(world, arrival()) == "AR"
    getattr(world, store).broken = False
    assert sent(world, arrival()) == "AA"
    assert states(world) == ["accepted"]


def test_c4_what_was_pushed_stands_under_the_same_gates() -> None:
    world = World(known_at=())
    sent(world, arrival())
    sent(world, measured())
    item = world.search("Observation").items[0]
    world.says("deny", AMBULANCE)
    assert world.search("Observation").items == []
    assert world.get(f"Observation/{item['id']}").code == "item-expired"
    assert world.search("Observation", PHYSICIAN).remarks == ["consent-refused"]


def test_a_message_about_one_patient_is_not_found_under_another() -> None:
    world = World(known_at=())
    sent(world, arrival())
    sent(world, measured())
    other = world.get(f"Observation?patient={world.patient_id(OTHER_BSN)}")
    assert other.items == []
    assert world.find().items[0]["birthDate"] == "1980-02-29"


def test_166_an_older_file_does_not_overwrite_a_newer() -> None:
    world = World(known_at=())
    sent(world, arrival())
    sent(world, measured("R2", value="99", at="20260302113000+0100"))
    sent(world, measured("R1", value="55", at="20260302101500+0100"))
    values = {item["valueQuantity"]["value"] for item in world.search("Observation").items}
    assert 99 in values


def test_a_summary_shows_what_was_pushed() -> None:
    world = World()
    sent(world, arrival())
    sent(world, measured(value="133"))
    body = world.summary().body
    assert b"133" in body
    assert b"Ambulance Oost" in body
