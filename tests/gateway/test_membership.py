"""Whose resource it is: also where the patient is one of several who take part."""

from __future__ import annotations

from gateway.membership import owners
from tests.gateway.charts import BSN
from tests.gateway.test_push import PID, arrival, message, sent
from tests.gateway.world import World

SLOT = "SCH|AP1|AP2||||^controle|CHECKUP|Normal|20|min|^^^20260501093000+0200^20260501095000+0200|0110^Balie^E||||0110^Balie^E||||0110^Balie^E|||||Booked"
STAFF = ("RGS|1|A", "AIP|1|A|0101^Jansen^K^^^dr.^^^VEKTIS|^cardioloog")


def test_an_appointment_belongs_to_the_patients_who_take_part() -> None:
    patient = {"reference": "Patient/p"}
    others = [{"actor": {"reference": "Practitioner/d"}}, {"actor": {"type": "Location", "display": "poli"}}, {}]
    assert owners({"resourceType": "Appointment", "participant": [{"actor": patient}, *others]}) == [patient]
    assert owners({"resourceType": "Appointment", "participant": others}) == []
    both = [{"actor": patient}, {"actor": {"reference": "https://h.example/fhir/Patient/q"}}]
    assert [one["reference"] for one in owners({"resourceType": "Appointment", "participant": both})] == [
        "Patient/p",
        "https://h.example/fhir/Patient/q",
    ]
    logical = {"type": "Patient", "identifier": {"value": "1"}}
    assert owners({"resourceType": "Appointment", "participant": [{"actor": logical}]}) == [logical]
    for broken in ({"participant": "x"}, {"participant": ["x"]}, {"participant": [{"actor": "x"}]}, {}):
        assert owners({"resourceType": "Appointment", **broken}) == []


def test_an_appointment_that_was_pushed_is_shown() -> None:
    world = World(known_at=())
    assert sent(world, arrival()) == "AA"
    assert sent(world, message("SIU^S12^SIU_S12", "S1", SLOT, PID.format(bsn=BSN), *STAFF)) == "AA"
    kept = [item for item in world.inbox.held if item.type == "Appointment"]
    assert len(kept) == 1
    assert kept[0].patient == world.patient
    assert kept[0].category == "Encounter"
