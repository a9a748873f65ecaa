"""Documents over HTTP: who may post where, what becomes of them, and a trip that is updated and cancelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.intake.letters import TOO_LONG
from gateway.model import Caller
from tests.fakes import BrokenTranslators
from tests.gateway.charts import BSN, OTHER_BSN, allergy, person
from tests.gateway.intake.desk import NURSING, DeskWorld, penicillin, resident
from tests.gateway.test_push import arrival
from tests.gateway.world import AMBULANCE, HOSPITAL, Reply, bundle, custodian

PUSHER = frozenset({"system/DocumentReference.c", "system/DocumentReference.d"})
XML = "application/xml"

CDA = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="2.16.840.1.113883.2.4.6.6.90000003.1" extension="{document}"/>
  <code code="18761-7" codeSystem="2.16.840.1.113883.6.1" displayName="Transfer summary"/>
  <title>Overdracht ambulance</title>
  <effectiveTime value="{written}"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <recordTarget><patientRole>
    <id root="2.16.840.1.113883.2.4.6.3" extension="{bsn}"/>
    <patient><name><given>Jan</given><family>de Vries</family></name>
      <administrativeGenderCode code="M" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19800229"/></patient>
  </patientRole></recordTarget>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="2.16.528.1.1007.3.3" extension="90000002"/><name>Wie dan ook</name>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <componentOf><encompassingEncounter>
    <id root="2.16.840.1.113883.2.4.3.32.5" extension="{trip}"/>
    <effectiveTime><low value="20260302100000+0100"/>{end}</effectiveTime>
  </encompassingEncounter></componentOf>
  <component><structuredBody><component><section>
    <code code="8716-3" codeSystem="2.16.840.1.113883.6.1"/><title>Vitale functies</title><text>.</text>
    {entries}
  </section></component></structuredBody></component>
</ClinicalDocument>"""
ENTRY = """<entry><observation classCode="OBS" moodCode="EVN">
  <id root="2.16.840.1.113883.2.4.6.6.90000003.2" extension="{id}"/>
  <code code="{code}" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>
  <effectiveTime value="20260302101500+0100"/><value xsi:type="PQ" value="{value}" unit="/min"/>
</observation></entry>"""


def entry(value: str = "88", id_: str = "m1", code: str = "8867-4") -> str:
    return ENTRY.format(id=id_, code=code, value=value)


def transfer(*entries: str, document: str = "D1", written: str = "20260302110000+0100", trip: str = "T-2026-1", bsn: str = BSN,
             end: str = "") -> bytes:  # fmt: skip
    """The transfer document of a trip."""
    return CDA.format(
        document=document, written=written, trip=trip, bsn=bsn, end=end, entries="".join(entries)
    ).encode()


def sender(ura: str = AMBULANCE) -> Caller:
    """The system of a custodian that pushes: no person, no purpose."""
    who = custodian(ura)
    return replace(who, requester=replace(who.requester, person=None, role=None), purpose="", scopes=PUSHER)


def posted(
    world: DeskWorld, body: bytes, source: str = "transfer", media: str = XML, who: Caller | None = None, **headers: str
) -> Reply:
    caller = who or sender(world.table(source).custodian)
    return world.over_http("POST", f"/inbox/{source}", body, caller, content_type=media, **headers)


def told(reply: Reply) -> list[str]:
    return [one["details"]["coding"][0]["code"] for one in reply.json["issue"]]


def test_a_document_is_kept_shown_and_known_the_second_time(world: DeskWorld) -> None:
    first, second = posted(world, transfer(entry())), posted(world, transfer(entry()))
    assert (first.status, told(first)) == (201, ["accepted"])
    assert (second.status, told(second)) == (200, ["again"])
    assert first.json["issue"][0]["diagnostics"] == second.json["issue"][0]["diagnostics"]
    assert world.codes("Observation") == ["8867-4"]
    item = world.search("Observation").items[0]
    assert item["meta"]["tag"][-1]["code"] == AMBULANCE, "D1: the token says whose it is, not the document"


def test_the_author_two_patients_share_stands_with_each_of_them(world: DeskWorld) -> None:
    author = (
        b'<author><time value="20260302101500+0100"/><assignedAuthor><id root="2.16.840.1.113883.2.4.6.1" extension="01234567"/>'
        b"<assignedPerson><name><given>Bo</given><family>Bakker</family></name></assignedPerson></assignedAuthor></author><value xsi"
    )
    for bsn, document, hour in ((BSN, "D1", "11"), (OTHER_BSN, "D2", "12")):
        body = transfer(entry(), document=document, trip=document, bsn=bsn, written=f"20260302{hour}0000+0100")
        body = body.replace(b"<value xsi", author).replace(b"101500", hour.encode() + b"1500")
        reply = posted(world, body)
        assert (reply.status, told(reply)) == (201, ["accepted"])
    found = world.search("Observation", more="&_include=Observation:performer").json["entry"]
    assert [one["resource"]["resourceType"] for one in found if one["search"]["mode"] != "outcome"] == [
        "Observation",
        "Practitioner",
    ], "another patient of the same author takes nothing away"


def test_the_answer_names_a_receipt_also_of_what_cannot_be_read(world: DeskWorld) -> None:
    reply = posted(world, b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>")
    assert (reply.status, told(reply)) == (422, ["dead"])
    receipt = reply.json["issue"][0]["diagnostics"].removeprefix("receipt ")
    assert [slip.receipt for slip in world.slips()] == [receipt]
    assert reply.json["issue"][0]["expression"]


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 1000 + b'">]><a>' + b"&b;" * 1000 + b"</a>",
        b"<a>" * 5000 + b"</a>" * 5000,
        transfer(entry()).replace(b'encoding="UTF-8"', b'encoding="UTF-16"'),
        transfer(entry()).replace(b"Jan", b"J\xff\xfen"),
        transfer(entry())[:400],
    ],
)
def test_bombs_and_lies_are_dead_letters(world: DeskWorld, body: bytes) -> None:
    reply = posted(world, body)
    assert (reply.status, told(reply)) == (422, ["dead"])
    assert b"passwd" not in reply.body
    assert world.codes("Observation") == []


@pytest.mark.parametrize("media", ["application/json", "application/fhir+json; charset=utf-8"])
def test_json_and_hl7v2_come_by_the_same_door(world: DeskWorld, media: str) -> None:
    assert posted(world, resident(BSN, penicillin()), "nursing", media).status == 201
    assert posted(world, arrival(), "transfer", "x-application/hl7-v2+er7").status == 201
    assert world.codes() == ["764146007"]


def test_what_waits_for_a_human_says_so(world: DeskWorld) -> None:
    body = bundle([person("one", BSN), allergy("a", "one")])
    reply = posted(world, body, "nursing", "application/fhir+json", accept_language="nl")
    assert (reply.status, told(reply)) == (201, ["quarantined"])
    assert "bewaard" in reply.json["issue"][0]["details"]["text"]


def test_who_may_not_post(world: DeskWorld) -> None:
    body = transfer(entry())
    without = replace(sender(), scopes=frozenset({"system/*.rs"}))
    assert world.over_http("POST", "/inbox/transfer", body, None, content_type=XML).status == 401
    assert posted(world, body, who=without).code == "scope-insufficient"
    assert posted(world, body, who=sender(NURSING)).code == "write-refused"
    assert world.over_http("POST", "/inbox/nowhere", body, sender(), content_type=XML).status == 404
    assert world.over_http("POST", "/inbox/hospital", body, sender(HOSPITAL), content_type=XML).status == 404
    assert posted(world, body, media="application/pdf").status == 415
    assert posted(world, b"").status == 400
    assert posted(world, b"x" * 100_001).status == 413
    assert world.slips() == []


def test_131_with_the_log_down_the_sender_must_send_again(world: DeskWorld) -> None:
    world.audit.broken = True
    reply = posted(world, transfer(entry()))
    assert reply.status == 503
    assert reply.header("retry-after")
    world.audit.broken = False
    assert posted(world, transfer(entry())).status == 200
    assert world.codes("Observation") == ["8867-4"]


def test_a_newer_document_of_the_trip_replaces_the_older(world: DeskWorld) -> None:
    posted(world, transfer(entry("88"), entry("14", "m2", "9279-1")))
    update = transfer(entry("99"), document="D2", written="20260302120000+0100")
    assert posted(world, update).status == 201
    found = world.search("Observation").items
    assert [item["valueQuantity"]["value"] for item in found] == [99]
    late = transfer(entry("77"), document="D0", written="20260302103000+0100")
    assert posted(world, late).status == 201
    assert [item["valueQuantity"]["value"] for item in world.search("Observation").items] == [99]


def test_a_cancelled_trip_is_not_shown_any_more(world: DeskWorld) -> None:
    posted(world, transfer(entry()))
    other = custodian(HOSPITAL)
    assert world.over_http("DELETE", "/inbox/transfer/T-2026-1", b"", sender(NURSING)).code == "write-refused"
    assert world.over_http("DELETE", "/inbox/transfer/T-2026-1", b"", replace(other, scopes=PUSHER)).status == 403
    assert world.over_http("DELETE", "/inbox/transfer/T-unknown", b"", sender()).status == 404
    assert world.over_http("DELETE", f"/inbox/transfer/{BSN}", b"", sender()).code == "bsn-in-url"
    world.clock.advance(timedelta(minutes=1))
    gone = world.over_http("DELETE", "/inbox/transfer/T-2026-1", b"", sender())
    assert (gone.status, told(gone)) == (200, ["cancelled"])
    assert world.codes("Observation") == []
    assert world.over_http("DELETE", "/inbox/transfer/T-2026-1", b"", sender()).status == 404
    late = transfer(entry("77"), document="D0", written="20260302103000+0100")
    posted(world, late)
    assert world.codes("Observation") == [], "what was written before the cancellation stays away"


def test_a_trip_cancelled_by_a_later_document_is_not_shown_any_more(world: DeskWorld) -> None:
    posted(world, transfer(entry()))
    trip = '<id root="2.16.840.1.113883.2.4.3.32.5" extension="T-2026-1"/>'
    gone = f'<entry><act classCode="ACT" moodCode="EVN">{trip}<statusCode code="cancelled"/></act></entry>'
    assert posted(world, transfer(gone, document="D2", written="20260302120000+0100")).status == 201
    assert world.codes("Observation") == []


def test_a_cancelled_visit_a_document_tells_of_does_not_cancel_the_document(world: DeskWorld) -> None:
    visit = '<entry><encounter classCode="ENC" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.49"/><id root="1.2.3" extension="v1"/><statusCode code="cancelled"/></encounter></entry>'
    body = transfer(entry(), visit)
    start, end = body.index(b"<componentOf>"), body.index(b"</componentOf>") + len(b"</componentOf>")
    world.over_http("POST", "/inbox/transfer", body[:start] + body[end:], sender(), content_type=XML)
    assert world.codes("Observation") == ["8867-4"]


def test_a_cancelled_trip_does_not_touch_another(world: DeskWorld) -> None:
    posted(world, transfer(entry()))
    posted(world, transfer(entry("60", "m9"), document="D9", trip="T-2", bsn=OTHER_BSN))
    world.over_http("DELETE", "/inbox/transfer/T-2026-1", b"", sender())
    assert world.codes("Observation", OTHER_BSN) == ["8867-4"]


def test_a_set_that_two_persons_share_replaces_for_each_only_their_own(world: DeskWorld) -> None:
    in_set = b'<setId root="2.16.840.1.113883.2.4.6.6.90000003.3" extension="1"/><recordTarget>'

    def sent(value: str, bsn: str, document: str, written: str) -> None:
        body = transfer(entry(value), document=document, written=written, trip=f"T-{bsn[-2:]}", bsn=bsn)
        assert posted(world, body.replace(b"<recordTarget>", in_set)).status == 201

    sent("60", BSN, "D1", "20260302110000+0100")
    sent("70", OTHER_BSN, "D2", "20260302120000+0100")
    sent("80", OTHER_BSN, "D3", "20260302130000+0100")
    found = {bsn: world.get(f"Observation?patient={world.patient_id(bsn)}").items for bsn in (BSN, OTHER_BSN)}
    assert {bsn: [str(one["valueQuantity"]["value"]) for one in items] for bsn, items in found.items()} == {
        BSN: ["60"],
        OTHER_BSN: ["80"],
    }
    assert found[BSN][0]["id"] != found[OTHER_BSN][0]["id"]


def test_a_document_that_takes_too_long_is_kept_as_it_came_and_read_again_later(world: DeskWorld) -> None:
    fine, world.ports = world.ports, replace(world.ports, translators=BrokenTranslators(TimeoutError()))
    assert world.takes(transfer(entry()), "transfer", "cda") == ["dead new"]
    (slip,) = world.slips()
    assert slip.reason == TOO_LONG
    world.ports = fine
    assert world.takes(transfer(entry()), "transfer", "cda") == ["accepted new"]


def test_the_end_of_the_trip_starts_the_term(world: DeskWorld) -> None:
    posted(world, transfer(entry(), end='<high value="20260302113000+0100"/>'))
    assert [slip.expires for slip in world.slips()] == [world.clock.now() + timedelta(hours=72)]


def test_no_trip_number_and_no_bsn_in_the_records_or_plain_in_the_store(world: DeskWorld) -> None:
    posted(world, transfer(entry()))
    world.over_http("DELETE", "/inbox/transfer/T-2026-1", b"", sender())
    assert BSN not in str(world.records)
    assert "T-2026-1" not in str(world.records)
    assert b"T-2026-1" not in world.bytes_on_disk()
