"""What an ambulance reports becomes the referral a GP post can take: whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from mappings.model import NotMappable, Origin, Translation
from mappings.referral import findings, referral
from mappings.translation import translate

NOW = "2026-01-05T10:16:00+01:00"
TRIP = "urn:oid:2.16.840.1.113883.2.4.3.32.5"
BODY = (Path(__file__).parent / "data" / "cda" / "ambulance-transfer.input.xml").read_bytes()
POST = (
    b'<informationRecipient><intendedRecipient><receivedOrganization><id root="2.16.528.1.1007.3.3" extension="90000102"/>'
    b"<name>HAP Noord</name></receivedOrganization></intendedRecipient></informationRecipient>"
)
ADDRESSED = BODY.replace(b"<relatedDocument", POST + b"<relatedDocument", 1)
PICTURE = b'<entry><observationMedia classCode="OBS" moodCode="EVN"><id root="1.2.9" extension="ecg"/><value mediaType="image/png" representation="B64">iVBORw0KGgo=</value></observationMedia></entry>'


def translated(body: bytes = ADDRESSED) -> Translation:
    return translate(body, "cda", Origin("90000001", "region", NOW))


def entries(bundle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in bundle["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry)
    return found


def broken(bundle: dict[str, Any]) -> list[str]:
    return [one.text for one in findings(bundle) if one.severity == "error"]


def test_a_report_to_a_gp_post_is_one_transaction_by_the_number_of_its_trip() -> None:
    bundle = referral(translated(), NOW)
    assert findings(bundle) == []
    assert (bundle["type"], bundle["timestamp"]) == ("transaction", NOW)
    found = entries(bundle)
    (request,) = found["ServiceRequest"]
    assert request["request"] == {"method": "PUT", "url": f"ServiceRequest?identifier={TRIP}|09-2026-1234567-1"}
    order = request["resource"]
    assert (order["status"], order["intent"]) == ("completed", "order")
    assert order["reasonCode"] == [{"text": "Pijn op de borst\nsinds 9 uur"}]
    urls = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert [urls[order[name]["reference"]] for name in ("subject", "encounter", "requester")] == [
        "Patient",
        "Encounter",
        "PractitionerRole",
    ]
    service, post = (one["resource"] for one in found["Organization"])
    assert (service["name"], service["identifier"][-1]["value"]) == ("RAV Voorbeeld", "09")
    assert (post["name"], post["type"][0]["coding"][0]["code"]) == ("HAP Noord", "N6")


def test_the_guides_sections_come_first_and_no_other_is_lost() -> None:
    (report,) = entries(referral(translated(), NOW))["Composition"]
    codes = [one["code"]["coding"][0]["code"] for one in report["resource"]["section"]]
    assert codes == ["46239-0", "8716-3", "48765-2"]
    assert all(one["text"]["status"] == "additional" for one in report["resource"]["section"])


def test_the_same_trip_gives_the_same_names_and_a_cancelled_one_revokes() -> None:
    first, again = referral(translated(), NOW), referral(translated(), "2026-01-05T11:00:00+01:00")
    assert [one["fullUrl"] for one in first["entry"]] == [one["fullUrl"] for one in again["entry"]]
    cancelled = ADDRESSED.replace(b"<setId", b'<sdtc:statusCode code="cancelled"/><setId', 1)
    (request,) = entries(referral(translated(cancelled), NOW))["ServiceRequest"]
    assert request["resource"]["status"] == "revoked"


def test_no_number_of_a_person_stands_in_a_search() -> None:
    bundle = referral(translated(), NOW)
    asked = [part for one in bundle["entry"] for part in (one["request"]["url"], one["request"].get("ifNoneExist", ""))]
    assert not any("999990019" in part for part in asked)


def test_an_attachment_has_two_numbers_a_kind_and_its_bytes() -> None:
    body = ADDRESSED.replace(b"</section>", PICTURE + b"</section>", 1)
    bundle = referral(translated(body), NOW)
    assert findings(bundle) == []
    (picture,) = entries(bundle)["DocumentReference"]
    assert picture["resource"]["content"][0]["attachment"]["data"] == "iVBORw0KGgo="
    (request,) = entries(bundle)["ServiceRequest"]
    assert picture["fullUrl"] in [one["reference"] for one in request["resource"]["supportingInfo"]]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'extension="09-2026-1234567-1"', b'extension="trip 7"', "a trip number of organization"),
        (b'root="2.16.840.1.113883.2.4.3.32.5"', b'root="1.2.3"', "an emergency with one trip number"),
        (b'code="46239-0"', b'code="99999-9"', "one reason, in words"),
    ],
)
def test_what_the_guide_asks_and_is_not_there_is_named(old: bytes, new: bytes, why: str) -> None:
    assert any(one.startswith(why) for one in broken(referral(translated(ADDRESSED.replace(old, new)), NOW)))


def test_without_a_gp_post_there_is_no_referral() -> None:
    with pytest.raises(NotMappable) as caught:
        referral(translated(BODY), NOW)
    assert caught.value.path == "informationRecipient"


def test_the_command_writes_a_whole_referral_or_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.xml"
    file.write_bytes(BODY)
    words = ["map", str(file), "--as", "az-referral", "--receiver", "90000102"]
    assert main([*words, "--receiver-name", "HAP Noord"], {}) == 0
    assert json.loads(capfd.readouterr().out)["type"] == "transaction"
    assert main(words, {}) == 1
    told = capfd.readouterr()
    assert (told.out, "a number and a name" in told.err) == ("", True)
