"""A merge inside the namespace of one sender: later questions for the patient who stays give what came under both numbers (D1, E3)."""

from __future__ import annotations

import pytest

from gateway.intake.desk import release
from gateway.intake.letters import NO_CONTACT, NO_PATIENT
from gateway.intake.merges import MERGED
from tests.gateway.charts import BSN, OTHER_BSN
from tests.gateway.intake.desk import DeskWorld
from tests.gateway.intake.test_messages import sent
from tests.gateway.world import NUMBER_SYSTEM, run

NAME = "||Voorbeeld^Willemijn||19540312|F"


def number(value: str, authority: str = "RAV") -> str:
    return f"{value}^^^{authority}^PI"


def national(bsn: str = BSN) -> str:
    return f"{bsn}^^^NLMINBIZA^NNNLD"


def message(kind: str, control: str, *segments: str) -> bytes:
    head = f"MSH|^~\\&|RIT|RAV|GW|ROAZ|20260302101500||{kind}|{control}|P|2.5||||||UNICODE UTF-8"
    return "\r".join((head, *segments, "")).encode()


def arrived(control: str, *numbers: str) -> bytes:
    return message("ADT^A04", control, f"PID|1||{'~'.join(numbers)}{NAME}", f"PV1|1|E|||||||||||||||||{control}")


def measured(control: str, *numbers: str, value: str = "88") -> bytes:
    pid = f"PID|1||{'~'.join(numbers)}{NAME}"
    return message("ORU^R01", control, pid, f"OBR|1||{control}|8867-4^Hartfrequentie^LN|||20260302101500",
                   f"OBX|1|NM|8867-4^Hartfrequentie^LN||{value}|/min^/min^UCUM|||||F|||20260302101500")  # fmt: skip


def merged(control: str, gone: str, *stays: str, trigger: str = "A40") -> bytes:
    return message(f"ADT^{trigger}", control, f"PID|1||{'~'.join(stays)}{NAME}", f"MRG|{gone}")


def states(world: DeskWorld) -> dict[str, tuple[str, str]]:
    return {slip.key: (slip.state, slip.reason) for slip in world.slips()}


def test_what_waited_under_the_number_that_is_gone_is_of_the_patient_who_stays(world: DeskWorld) -> None:
    assert [sent(world, one) for one in (arrived("A1", national(), number("P1")), measured("R2", number("P2")))] == [
        "AA",
        "AA",
    ]
    assert world.codes("Observation") == []
    assert states(world)["R2"] == ("quarantined", NO_PATIENT)
    assert sent(world, merged("M1", number("P2"), national(), number("P1"))) == "AA"
    assert world.codes("Observation") == ["8867-4"]
    assert states(world)["R2"] == ("accepted", MERGED)
    assert len(world.slips()) == 3, "it takes the place it had"
    assert [one.reasons for one in world.records if one.reasons[-1:] == (MERGED,)] == [("accepted", "new", MERGED)]


@pytest.mark.parametrize(
    ("gone", "stays", "trigger"),
    [
        (number("P3"), (national(), number("P1")), "A40"),
        (number("P2", "HIS"), (national(), number("P1", "HIS")), "A40"),
        (number("P2"), (national(), number("P1")), "A45"),
        (number("P2", "HIS"), (national(), number("P1")), "A40"),
    ],
    ids=["another number", "another authority", "a visit that moves", "across namespaces"],
)
def test_what_is_of_somebody_else_keeps_waiting(
    world: DeskWorld, gone: str, stays: tuple[str, ...], trigger: str
) -> None:
    sent(world, arrived("A1", national(), number("P1")))
    sent(world, measured("R2", number("P2")))
    sent(world, merged("M1", gone, *stays, trigger=trigger))
    assert world.codes("Observation") == []
    assert states(world)["R2"] == ("quarantined", NO_PATIENT)


def test_a_number_without_an_authority_is_of_that_of_the_patient_who_stays(world: DeskWorld) -> None:
    sent(world, arrived("A1", national(), number("P1")))
    sent(world, measured("R2", number("P2")))
    sent(world, merged("M1", "P2", national(), number("P1")))
    assert world.codes("Observation") == ["8867-4"]


def test_nothing_goes_from_one_national_number_to_another(world: DeskWorld) -> None:
    sent(world, arrived("A1", national(), number("P1")))
    sent(world, arrived("A2", national(OTHER_BSN), number("P2")))
    sent(world, measured("R2", national(OTHER_BSN), number("P2")))
    assert sent(world, merged("M1", number("P2"), national(), number("P1"))) == "AA"
    assert world.codes("Observation") == []
    assert world.codes("Observation", OTHER_BSN) == ["8867-4"]
    sent(world, merged("M2", national(OTHER_BSN), national(), number("P1")))
    assert states(world)["M2"] == ("quarantined", "merge-bsn")
    assert world.codes("Observation") == []


def test_what_stood_under_a_number_this_region_knows_moves_with_it(world: DeskWorld) -> None:
    """A system of the region identifies patients without a BSN; a merge brings what stood there to the one who stays."""
    stays, gone = (f"{value}^^^&{NUMBER_SYSTEM}&URI^PI" for value in ("L1", "L2"))
    assert [
        sent(world, one) for one in (arrived("A1", national(), stays), arrived("A2", gone), measured("R2", gone))
    ] == ["AA"] * 3
    assert states(world)["R2"] == ("accepted", "")
    assert world.codes("Observation") == []
    assert sent(world, merged("M1", gone, national(), stays)) == "AA"
    assert world.codes("Observation") == ["8867-4"]
    assert states(world)["R2"] == ("accepted", MERGED)
    assert run(world.desk.items(world.keys.patient_id(NUMBER_SYSTEM, "L2"), "ambulance")) == []


def test_a_merge_a_human_released_joins_as_well(world: DeskWorld) -> None:
    sent(world, measured("R2", number("P2")))
    sent(world, merged("M1", number("P2"), national(), number("P1")))
    assert states(world)["M1"] == ("quarantined", NO_CONTACT)
    assert states(world)["R2"] == ("quarantined", NO_PATIENT)
    (waiting,) = [slip.receipt for slip in world.slips() if slip.key == "M1"]
    run(release(waiting, world.ports))
    assert states(world)["R2"] == ("accepted", MERGED)
    assert world.codes("Observation") == ["8867-4"]
