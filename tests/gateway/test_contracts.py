"""Agreements over the FHIR API: one proposes, another decides, ending is easy, and no change goes unsaid (rule C8)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consent.differences import differences
from consent.model import Agreement
from gateway import policy, settings
from gateway.cli import main
from gateway.errors import Invalid, StartError
from gateway.fhir.contract import TERMS, agreement_in
from gateway.intake.contracts import refresh
from gateway.model import Caller
from profiles import exact
from profiles.identifiers import URA_SYSTEM
from tests.consent.worlds import agreement as made
from tests.fakes import NOON
from tests.gateway.world import CENTER, GP, HOSPITAL, OUTSIDER, PHYSICIAN, SETTINGS, STRANGER, Reply, World, run

Json = dict[str, Any]
pytestmark = pytest.mark.slow

SOMEBODY = replace(
    PHYSICIAN, purpose="beheer", scopes=frozenset({"system/Contract.cruds"}), token_id="office-1",
    requester=replace(PHYSICIAN.requester, client="office", organization=CENTER, role="administrator", person="uzi|1"),
)  # fmt: skip
ANOTHER = replace(SOMEBODY, requester=replace(SOMEBODY.requester, person="uzi|2"), token_id="office-2")

AGREEMENT = made()


def party(role: str, *uras: str) -> Json:
    references = [{"identifier": {"system": URA_SYSTEM, "value": ura}} for ura in uras]
    return {"role": {"coding": [{"code": role}]}, "reference": references}


def contract(**changes: Any) -> Json:
    terms = [{"url": "purpose", "valueCode": "behandeling"}, {"url": "basis", "valueCode": "care-team"}]
    return {
        "resourceType": "Contract", "status": "offered", "issued": "2026-01-15T10:00:00Z",
        "applies": {"start": "2026-02-01", "end": "2026-12-31"},
        "term": [{"offer": {"party": [party("grantee", STRANGER), party("grantor", GP)]}}],
        "extension": [{"url": TERMS, "extension": terms}],
        **changes,
    }  # fmt: skip


def offered(world: World, body: Json | None = None, caller: Caller = SOMEBODY) -> Reply:
    return world.post("Contract", contract() if body is None else body, caller)


def put(world: World, reply: Reply, caller: Caller, version: int = 1, **changes: Any) -> Reply:
    body = {**reply.json, **changes}
    return world.request(
        "PUT", f"Contract/{reply.json['id']}", caller, body=body, headers={"if-match": f'W/"{version}"'}
    )


def opens(world: World) -> bool:
    return world.search("Condition", OUTSIDER).status == 200


def test_two_people_open_and_one_closes() -> None:
    world = World()
    assert not opens(world)
    reply = offered(world)
    assert (reply.status, reply.header("etag")) == (201, 'W/"1"')
    assert not opens(world), "what is offered opens nothing"
    before = world.policy.revision
    alone = put(world, reply, SOMEBODY, status="executed")
    assert (alone.status, alone.code) == (403, "write-refused")
    decided = put(world, reply, ANOTHER, status="executed")
    assert (decided.status, decided.header("etag")) == (200, 'W/"2"')
    assert opens(world)
    assert world.policy.revision != before
    assert world.records[-1].policy == world.policy.revision
    ended = put(world, reply, SOMEBODY, version=2, status="terminated")
    assert ended.status == 200
    assert not opens(world)
    assert world.policy.revision == before


def test_what_is_decided_is_what_was_offered() -> None:
    world = World()
    reply = offered(world)
    wider = put(world, reply, ANOTHER, status="executed", applies={"start": "2026-02-01", "end": "2029-12-31"})
    assert (wider.status, wider.code) == (409, "conflict")
    changed = put(world, reply, ANOTHER, applies={"start": "2026-02-01", "end": "2029-12-31"})
    assert changed.status == 200
    assert put(world, changed, ANOTHER, 2, status="executed").code == "write-refused", "now it is ANOTHER who proposes"
    assert put(world, changed, SOMEBODY, 2, status="executed").status == 200


def test_another_process_takes_it_up() -> None:
    world = World()
    other = policy.build(world.settings)
    reply = offered(world)
    put(world, reply, ANOTHER, status="executed")
    assert run(refresh(replace(world.ports, policy=other)))
    assert other.agreements == world.policy.agreements
    assert other.revision == world.policy.revision
    assert not run(refresh(replace(world.ports, policy=other))), "nothing changed since"


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (PHYSICIAN, "purpose-refused"),
        (replace(SOMEBODY, purpose="behandeling", token_id="x1"), "purpose-refused"),
        (replace(SOMEBODY, requester=replace(SOMEBODY.requester, role="01.015"), token_id="x2"), "role-refused"),
        (replace(SOMEBODY, requester=replace(SOMEBODY.requester, assurance="low"), token_id="x3"), "assurance-insufficient"),
        (replace(SOMEBODY, requester=replace(SOMEBODY.requester, person=None, system=True), token_id="x4"), "person-required"),
        (replace(SOMEBODY, scopes=frozenset({"system/Contract.r"}), token_id="x5"), "scope-insufficient"),
    ],
)  # fmt: skip
def test_178_only_the_office_keeps_agreements(caller: Caller, code: str) -> None:
    world = World()
    reply = offered(world, caller=caller)
    assert (reply.status, reply.code) == (403, code)
    assert world.contracts.kept == {}


def test_the_version_that_was_read() -> None:
    world = World()
    reply = offered(world)
    path = f"Contract/{reply.json['id']}"
    assert world.request("PUT", path, ANOTHER, body=reply.json).code == "conflict"
    assert put(world, reply, ANOTHER, version=7, status="executed").code == "conflict"
    assert world.get(path, ANOTHER).json["status"] == "offered"
    assert world.get("Contract/unknown", ANOTHER).code == "not-found"


def test_what_ended_stays_ended_and_what_is_in_force_is_not_changed() -> None:
    world = World()
    reply = offered(world)
    put(world, reply, ANOTHER, status="executed")
    assert put(world, reply, SOMEBODY, 2, applies={"start": "2026-02-01", "end": "2030-01-01"}).code == "conflict"
    put(world, reply, SOMEBODY, 2, status="terminated")
    assert put(world, reply, ANOTHER, 3, status="executed").code == "conflict"
    assert put(world, reply, ANOTHER, 3, status="offered").code == "conflict"


def test_one_id_one_agreement() -> None:
    world = World()
    named = contract(
        identifier=[{"system": "https://roaz-gateway.example/fhir/NamingSystem/agreement", "value": "pull"}]
    )
    assert offered(world, named).code == "conflict", "that id is in the file"
    named["identifier"][0]["value"] = "new-one"
    assert offered(world, named).status == 201
    assert offered(world, named).code == "conflict"


def _without(**terms: Any) -> Json:
    made = contract()
    made["extension"][0]["extension"] = [
        {"url": name, "valueCode": value} if isinstance(value, str) else {"url": name, "valueBoolean": value}
        for name, value in terms.items()
    ]
    return made


@pytest.mark.parametrize(
    "body",
    [
        contract(status="executed"),
        contract(applies={"start": "2026-02-01"}),
        contract(applies={"start": "2026-02-01", "end": "2025-12-31"}),
        contract(applies={"start": "soon", "end": "2025-12-31"}),
        contract(extension=[]),
        contract(extension=[*contract()["extension"], *contract()["extension"]]),
        contract(term=[]),
        contract(term=[{"offer": {"party": [party("grantee", STRANGER)]}}]),
        contract(term=[{"offer": {"party": [party("grantee", "99999999"), party("grantor", GP)]}}]),
        _without(basis="care-team"),
        _without(purpose="nonsense"),
        _without(purpose="behandeling", basis="nonsense"),
        _without(purpose="behandeling", category="Nonsense"),
        _without(purpose="behandeling", excluded="Nonsense"),
        _without(purpose="behandeling", role="nonsense"),
        _without(purpose="behandeling", emergency="always"),
        _without(purpose="behandeling", relation="friend"),
        _without(purpose="behandeling", nonsense="x"),
        _without(purpose="behandeling", systemAccess="yes"),
    ],
)
def test_what_is_no_agreement_is_refused_with_the_element(body: Json) -> None:
    world = World()
    reply = offered(world, body)
    assert (reply.status, reply.code) == (422, "invalid-resource")
    assert world.contracts.kept == {}


def test_every_term_is_read() -> None:
    made = contract(
        identifier=[{"system": "https://roaz-gateway.example/fhir/NamingSystem/agreement", "value": "whole"}]
    )
    made["extension"][0]["extension"] = [
        {"url": "purpose", "valueCode": "TREAT"}, {"url": "purpose", "valueCode": "spoed"},
        {"url": "category", "valueCode": "Condition"}, {"url": "role", "valueCode": "01.015"},
        {"url": "relation", "valueCode": "contact"}, {"url": "facilityType", "valueCode": "V4"},
        {"url": "excluded", "valueCode": "AdvanceDirective"}, {"url": "emergency", "valueCode": "none"},
        {"url": "disclosure", "valueCode": "silent"}, {"url": "systemAccess", "valueBoolean": True},
        {"url": "patientAsked", "valueBoolean": True},
    ]  # fmt: skip
    found = agreement_in(made, World().policy)
    assert found.id == "whole"
    assert (found.requesters, found.custodians) == (frozenset({STRANGER}), frozenset({GP}))
    assert found.purposes == {"behandeling", "spoed"}
    sets = (found.categories, found.roles, found.relations, found.facility_types, found.excluded)
    assert [sorted(one) for one in sets] == [["Condition"], ["01.015"], ["contact"], ["V4"], ["AdvanceDirective"]]
    assert (found.emergency, found.disclosure, found.system_access, found.patient_asked) == (
        "none",
        "silent",
        True,
        True,
    )


def test_an_agreement_begins_when_it_is_signed() -> None:
    late = agreement_in(contract(issued="2026-06-01T10:00:00Z"), World().policy)
    assert late.start > agreement_in(contract(), World().policy).start


def test_a_contract_that_cannot_be_read_changes_nothing() -> None:
    with pytest.raises(Invalid):
        agreement_in({"resourceType": "Contract"}, World().policy)


# --- before a change is active -------------------------------------------------------------------


def texts(old: Agreement, new: Agreement) -> list[tuple[str, str]]:
    return [(one.effect, one.text) for one in differences([old], [new])]


def test_equal_agreements_say_nothing() -> None:
    assert differences([AGREEMENT], [replace(AGREEMENT)]) == ()


def test_a_new_and_a_gone_agreement() -> None:
    (one,) = differences([], [AGREEMENT])
    assert one.effect == "opens"
    assert "could see" in one.text
    (one,) = differences([AGREEMENT], [])
    assert (one.effect, one.text[:9]) == ("closes", "no longer")


@pytest.mark.parametrize(
    ("change", "effect", "word"),
    [
        ({"requesters": AGREEMENT.requesters | {"77"}}, "opens", "77 could newly see"),
        ({"custodians": frozenset({"88"})}, "opens", "data of 88"),
        ({"purposes": AGREEMENT.purposes | {"waarneming2"}}, "opens", "waarneming2"),
        ({"categories": frozenset({"Condition"})}, "closes", "no longer"),
        ({"roles": frozenset({"01.015"})}, "closes", "role"),
        ({"end": NOON.replace(year=2030)}, "opens", "until 2030"),
        ({"start": NOON.replace(year=2020)}, "opens", "from 2020"),
        ({"emergency": "override_objection"}, "opens", "emergency access override_objection"),
        ({"emergency": "none"}, "closes", "emergency access none"),
        ({"system_access": True}, "opens", "systems without a person"),
        ({"patient_asked": True}, "opens", "spoken yes"),
        ({"excluded": frozenset({"Condition"})}, "closes", "left out"),
        ({"relations": frozenset({"case"})}, "closes", "treatment relation"),
        ({"basis": "care-team"}, "changes", "basis care-team"),
        ({"disclosure": "silent"}, "closes", "silent"),
        ({"facility_types": frozenset({"V4"})}, "closes", "type"),
    ],
)
def test_each_field_of_an_agreement_that_changes_is_said(change: Json, effect: str, word: str) -> None:
    said = texts(
        replace(AGREEMENT, emergency="absent_only"), replace(AGREEMENT, **{"emergency": "absent_only", **change})
    )
    assert any(one == effect and word in text for one, text in said), said


def test_every_field_is_known_to_the_differences() -> None:
    from dataclasses import fields

    spoken = {"requesters", "custodians", "purposes", "categories", "roles", "facility_types", "excluded", "relations",
              "start", "end", "basis", "emergency", "system_access", "patient_asked", "disclosure", "id"}  # fmt: skip
    assert {field.name for field in fields(Agreement)} == spoken


def region(tmp_path: Path, name: str, **agreement: Any) -> Path:
    tree = deepcopy(SETTINGS)
    tree["agreements"][0] |= agreement
    lines = ["[gateway]", 'base = "http://gateway.test"']
    for table in ("organizations", "identifier_systems", "sources", "agreements"):
        for row in tree[table]:
            lines.append(f"[[{table}]]")
            lines += [f"{key} = {_toml(key, value)}" for key, value in row.items()]
    path = tmp_path / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _toml(key: str, value: Any) -> str:
    if key in ("start", "end"):
        return str(value)
    return exact.encode({"v": value}).decode()[5:-1]


def test_the_command_says_what_a_change_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = region(tmp_path, "before.toml")
    assert main(["agreement", "diff", str(before), str(before)], {}) == 0
    assert capsys.readouterr().out == ""
    after = region(tmp_path, "after.toml", requesters=[*SETTINGS["agreements"][0]["requesters"], STRANGER])
    assert main(["agreement", "diff", str(before), str(after)], {}) == 1
    assert "Ver Weg could newly see" in capsys.readouterr().out
    assert main(["agreement", "diff", str(after), str(before), "--json"], {}) == 0, "closing is easy"
    (line,) = capsys.readouterr().out.splitlines()
    assert exact.decode(line.encode())["effect"] == "closes"


@pytest.mark.parametrize(
    "wrong",
    [
        {"basis": "explict"},
        {"categories": ["Alergy"]},
        {"emergency": "yes"},
        {"roles": ["nurse"]},
        {"relations": ["x"]},
    ],
)
def test_a_word_nobody_knows_is_an_error_at_start(tmp_path: Path, wrong: Json) -> None:
    with pytest.raises(StartError, match="is not known") as caught:
        policy.build(settings.load(region(tmp_path, "wrong.toml", **wrong)))
    assert caught.value.exit_code == 1
    assert HOSPITAL
