"""Rule C4: for whom a message is, who else reads it, and that what came for a case ends with the case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.intake.addressees import addressees
from gateway.metrics import Metrics
from gateway.oauth.registered import ClientKeys
from gateway.routes.fhir import FhirApp
from gateway.routes.web import application
from gateway.storage import open_stores
from tests.gateway.intake.desk import AGREEMENTS, DeskWorld
from tests.gateway.intake.test_documents import entry, posted, transfer
from tests.gateway.test_cases import task
from tests.gateway.test_push import arrival
from tests.gateway.world import AMBULANCE, CENTER, COORDINATOR, POST, run

URA = "2.16.528.1.1007.3.3"


def document(*organizations: str, **more: str) -> bytes:
    """A transfer document that names for whom it is."""
    named = "".join(
        '<informationRecipient typeCode="PRCP"><intendedRecipient><receivedOrganization>'
        f'<id root="{URA}" extension="{one}"/></receivedOrganization></intendedRecipient></informationRecipient>'
        for one in organizations
    )
    return transfer(entry(), **more).replace(b"<componentOf>", named.encode() + b"<componentOf>")


def message(facility: str = "ROAZ", *segments: str) -> bytes:
    return (
        arrival().replace(b"|GW|ROAZ|", f"|GW|{facility}|".encode()) + "".join(f"{one}\r" for one in segments).encode()
    )


@pytest.mark.parametrize(
    ("body", "format_", "expected"),
    [
        (document(POST), "cda", {POST}),
        (document(POST, CENTER), "cda", {POST, CENTER}),
        (document(), "cda", set()),  # the custodian's URA in the header is nobody's address
        (document("12"), "cda", set()),
        (document(*(f"9{number:07d}" for number in range(21))), "cda", set()),
        (b"<ClinicalDocument", "cda", set()),
        (message(), "hl7v2", set()),
        (message(f"POST^{URA}.{POST}^ISO"), "hl7v2", {POST}),
        (message(f"{POST}^{URA}^ISO"), "hl7v2", {POST}),
        (message(POST), "hl7v2", set()),  # eight digits alone are no URA
        (message("ROAZ", f"PRD|RT^Referred to|Post|||||{POST}^URA~{CENTER}^URA"), "hl7v2", {POST, CENTER}),
        (message("ROAZ", f"PRD|RP^Referring|Ambulance|||||{AMBULANCE}^URA"), "hl7v2", set()),
        (b"MSH|", "hl7v2", set()),
        (b"", "hl7v2", set()),
        (document(POST), "csv", set()),
    ],
)  # fmt: skip
def test_a_message_says_itself_for_whom_it_is(body: bytes, format_: str, expected: set[str]) -> None:
    assert addressees(body, format_) == expected


@pytest.mark.slow
def test_an_addressee_reads_it_and_anybody_else_needs_what_a_live_source_needs(tmp_path: Path) -> None:
    pull, *push = AGREEMENTS
    world = DeskWorld(tmp_path, agreements=[{**pull, "custodians": [*pull["custodians"], AMBULANCE]}, *push])
    assert posted(world, document(POST)).status == 201
    assert world.codes("Observation") == ["8867-4"]
    world.opens_case()
    assert world.codes("Observation", caller=COORDINATOR) == [], "sent to the post, not to the center"
    world.says("permit", AMBULANCE)
    assert world.codes("Observation", caller=COORDINATOR) == ["8867-4"]
    world.close()


def test_a_message_for_nobody_by_name_is_for_whom_the_agreement_names(world: DeskWorld) -> None:
    posted(world, document())
    world.opens_case()
    assert world.codes("Observation", caller=COORDINATOR) == world.codes("Observation") == ["8867-4"]


def test_an_objection_binds_the_addressee_too(world: DeskWorld) -> None:
    posted(world, document(POST))
    world.says("deny", AMBULANCE)
    assert world.codes("Observation") == []


class CaseWorld(DeskWorld):
    """The same world, with the cases in its database."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        stores = open_stores(self.database, self.keys.seal, self.keys.unseal, self.clock)
        self.ports = replace(self.ports, cases=stores.cases)
        self.app = FhirApp(self.ports, Metrics())
        self.web = application(self.ports, ClientKeys(directory))

    def opened(self) -> str:
        reply = self.post("Task", task(), COORDINATOR)
        assert reply.status == 201
        return str(reply.json["id"])

    def closes(self, case: str) -> None:
        found = self.get(f"Task/{case}", COORDINATOR).json
        assert self.request("PUT", f"Task/{case}", COORDINATOR, body=found | {"status": "completed"}).status == 200

    def ends(self) -> list[datetime | None]:
        return [slip.expires for slip in self.slips()]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CaseWorld]:
    made = CaseWorld(tmp_path)
    yield made
    made.close()


DAY, TERM = timedelta(hours=24), timedelta(hours=72)


def test_what_came_for_a_case_ends_with_it(office: CaseWorld) -> None:
    began = office.clock.now()
    case = office.opened()
    posted(office, document(CENTER))
    assert office.ends() == [began + DAY + TERM], "a case nobody closes is over after a day"
    office.clock.advance(timedelta(hours=2))
    office.closes(case)
    assert office.ends() == [began + timedelta(hours=2) + TERM]
    office.clock.advance(TERM)
    assert run(office.desk.items(office.patient, "transfer")) == []
    assert run(office.ports.index.entries(office.patient, office.clock.now())) == ()


def test_what_came_before_the_case_was_opened_is_for_it_too(office: CaseWorld) -> None:
    posted(office, document(CENTER))
    (open_ended,) = office.ends()
    office.clock.advance(timedelta(minutes=5))
    office.opened()
    (ends,) = office.ends()
    assert ends == office.clock.now() + DAY + TERM
    assert open_ended is not None
    assert ends < open_ended


@pytest.mark.parametrize("named", [(), (POST,), (CENTER, POST)])
def test_what_others_still_need_stays(office: CaseWorld, named: tuple[str, ...]) -> None:
    case = office.opened()
    posted(office, document(*named))
    before = office.ends()
    office.closes(case)
    assert office.ends() == before


def test_nothing_ends_while_another_case_is_open(office: CaseWorld) -> None:
    first = office.opened()
    office.clock.advance(timedelta(hours=1))
    office.opened()
    began = office.clock.now()
    posted(office, document(CENTER))
    assert office.ends() == [began + DAY + TERM]
    office.closes(first)
    assert office.ends() == [began + DAY + TERM]


def test_a_case_never_lengthens_a_term(office: CaseWorld) -> None:
    ended = '<high value="20260302103000+0100"/>'
    posted(office, document(CENTER, end=ended))
    (before,) = office.ends()
    office.closes(office.opened())
    (after,) = office.ends()
    assert before is not None
    assert after is not None
    assert after <= before


def test_whom_it_was_for_goes_when_it_is_erased(world: DeskWorld) -> None:
    posted(world, document(POST))
    assert world.query("SELECT addressees FROM delivery") == [(POST,)]
    run(world.desk.erase([world.slips()[0].receipt], world.clock.now()))
    assert world.query("SELECT addressees FROM delivery") == [("",)]
