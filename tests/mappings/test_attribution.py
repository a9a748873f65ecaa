"""What was lost is said of the resource it was lost of, and of no other."""

from __future__ import annotations

from typing import Any

from mappings.attribution import labels, losses_of
from mappings.model import Loss, Origin, Translation
from mappings.translation import translate
from profiles.exact import encode

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:16:00+01:00")
MESSAGE = (
    "MSH|^~\\&|A|B|C|D|20260105101500||ORU^R01|R1|P|2.5\r"
    "PID|1||999990019^^^NLMINBIZA^NNNLD||Test^Jan||19560312|M\r"
    "OBR|1||F1|718-7^hemoglobine^LN|||20260105\r"
    "OBX|1|NM|718-7^hemoglobine^LN||7.9|mmol/L|||||F||secret\r"
    "OBX|2|NM|14682-9^kreatinine^LN||80|umol/L|||||F\r"
    "ZZZ|not read by any map\r"
)


def by_type(translation: Translation) -> list[tuple[str, int | None]]:
    counted = losses_of(translation)
    return [(key.partition("/")[0], counted.get(key)) for key in translation.keys]


def test_a_loss_in_a_segment_is_of_what_was_made_of_it() -> None:
    result = translate(MESSAGE.encode(), "hl7v2", ORIGIN)
    assert [loss.path for loss in result.losses] == ["OBX[1]-13", "ZZZ"]
    found = by_type(result)
    assert [count for kind, count in found if kind == "Observation"] == [1, 0]
    assert sum(count or 0 for _, count in found) == 1, "what nobody reads is of no resource"


def test_of_a_message_without_losses_each_resource_has_none() -> None:
    whole = MESSAGE.replace("|secret", "").replace("ZZZ|not read by any map\r", "")
    result = translate(whole.encode(), "hl7v2", ORIGIN)
    assert result.losses == ()
    assert {count for kind, count in by_type(result) if kind in {"Patient", "Observation"}} == {0}


def test_a_loss_in_an_entry_is_of_that_entry() -> None:
    def observation(id_: str, **more: Any) -> dict[str, Any]:
        return {
            "resource": {"resourceType": "Observation", "id": id_, "status": "final", "code": {"text": "t"}, **more}
        }

    entries = [observation("a", unknownElement="x", other="y"), observation("b")]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    result = translate(encode(bundle), "fhir-stu3", ORIGIN)
    assert losses_of(result) == {"Observation/a": 2, "Observation/b": 0}


def test_notes_are_no_losses_and_the_nearest_place_counts() -> None:
    losses = (Loss("OBX[12]-3.1", "unmapped", ""), Loss("OBX[1]-3", "note", ""), Loss("OBXX-1", "unmapped", ""))
    places = {"O/1": "OBX[1]", "O/12": "OBX[12]", "D/12": "OBX[12]"}
    assert losses_of(Translation(losses=losses, places=places)) == {"O/1": 0, "O/12": 1, "D/12": 1}
    assert losses_of(Translation(losses=losses)) == {}, "where places are not known nothing is said"


def test_segments_are_named_as_their_losses_are() -> None:
    assert labels(["PID", "OBX", "OBX"]) == ["PID", "OBX[1]", "OBX[2]"]
