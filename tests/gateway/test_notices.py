"""Custodians and privacy officers are told of a broken glass: durable, signed, tried again until taken (rule B2)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from gateway.adapters.http import HttpAnswer, HttpError
from gateway.adapters.notices import LONGEST, TYPE, Messenger
from gateway.audit.notices import KIND
from gateway.crypto import jose
from profiles import exact
from profiles.validation import validate
from tests.gateway.charts import BSN, Json
from tests.gateway.test_emergency import AGREEMENTS, admin, breaking
from tests.gateway.test_preflight import auditor
from tests.gateway.world import GP, HOSPITAL, POST, SETTINGS, World, run

pytestmark = pytest.mark.slow

ADDRESSES = {
    GP: {"notices": "https://gp.example/fhir/", "privacy_officer": "https://officer.example/fhir"},
    HOSPITAL: {"notices": "https://hospital.example/fhir"},
    POST: {"privacy_officer": "https://post.example/fhir"},
}


@dataclass
class Wire:
    """What is sent, and what the other side says to it."""

    says: int | str = 201
    sent: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, **_: Any) -> HttpAnswer:
        assert method == "POST"
        self.sent.append((url, headers, body))
        if isinstance(self.says, str):
            raise HttpError(self.says)  # type: ignore[arg-type]
        return HttpAnswer(self.says, {}, b"")


def region(**more: Any) -> World:
    rows = [row | ADDRESSES.get(row["ura"], {}) for row in SETTINGS["organizations"]]
    return World(settings={"agreements": AGREEMENTS, "organizations": rows}, permits=(), **more)


def broken() -> World:
    world = region()
    assert world.search("Condition", breaking(world)).items
    return world


def send(world: World, wire: Wire) -> int:
    return run(Messenger(world.ports, wire, world.keys).send_due())  # type: ignore[arg-type]


def test_who_must_hear_of_it_hears_of_it_once() -> None:
    world, wire = broken(), Wire()
    assert world.search("MedicationStatement", breaking(world)).items, "the same hour of grounds"
    assert send(world, wire) == len(wire.sent)
    assert sorted(url for url, _, _ in wire.sent) == [
        "https://gp.example/fhir/Communication",  # the custodian
        "https://hospital.example/fhir/Communication",
        "https://hospital.example/fhir/Communication",  # its privacy officer, at the same address
        "https://officer.example/fhir/Communication",
        "https://post.example/fhir/Communication",  # the officer of who looked, about each custodian
        "https://post.example/fhir/Communication",
    ]
    assert send(world, wire) == 0, "taken is taken"


def communications(wire: Wire) -> list[tuple[str, Json]]:
    return [(url, exact.decode(body)) for url, _, body in wire.sent]


def test_a_notice_says_what_happened_and_nothing_of_care() -> None:
    world, wire = broken(), Wire()
    send(world, wire)
    for url, notice in communications(wire):
        assert not [one for one in validate(notice) if one.is_error]
        assert notice["category"][0]["coding"] == [{"system": KIND, "code": "emergency-access"}]
        assert [one["coding"][0]["code"] for one in notice["reasonCode"]] == ["unconscious", "life"]
        assert notice["identifier"][0]["value"] in {one.id for one in world.reviews.kept.values()}
        text = exact.encode(notice).decode()
        assert "found unconscious" not in text, "the words of the person are for the review"
        assert "900000001" not in text, "nobody is named by a number"
        assert "44054006" not in text
        holder = not url.startswith("https://post.")
        assert (BSN in text) is holder, "the patient is named to who holds the record, and to nobody else"


def test_a_notice_is_signed_for_its_bytes_and_its_receiver() -> None:
    world, wire = broken(), Wire()
    send(world, wire)
    keys = jose.public_keys(world.keys.jwks())
    for url, headers, body in wire.sent:
        token = jose.parse(headers["authorization"].removeprefix("Bearer "))
        claims = jose.verify(token, keys, algorithms=("ES256",), types=(TYPE,))
        assert (claims["aud"], claims["body_sha256"]) == (url, hashlib.sha256(body).hexdigest())
        assert claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize("says", [500, 404, 302, "connection", "timeout"])
def test_what_is_not_taken_is_tried_again_with_growing_pauses(says: int | str) -> None:
    world, wire = broken(), Wire(says)
    assert send(world, wire) == 0
    count = len(wire.sent)
    assert send(world, wire) == 0
    assert len(wire.sent) == count, "not at once"
    for _ in range(14):
        world.clock.advance(LONGEST)
        send(world, wire)
    assert len(wire.sent) == 15 * count
    wire.says = 200
    world.clock.advance(timedelta(minutes=59))
    assert send(world, wire) == 0, "an hour at most, and an hour by now"
    world.clock.advance(timedelta(minutes=1))
    assert send(world, wire) == count


def test_the_queue_tells_who_was_told() -> None:
    world, wire = broken(), Wire("connection")
    send(world, wire)
    (one,) = admin(world, "GET", "reviews", auditor(GP)).json["reviews"]
    assert {(row["organization"], row["desk"], row["state"]) for row in one["notices"]} == {
        (GP, "custodian", "waiting"), (GP, "privacy-officer", "waiting"), (POST, "privacy-officer", "waiting"),
    }  # fmt: skip
    assert {row["failure"] for row in one["notices"]} == {"connection"}
    wire.says = 201
    world.clock.advance(LONGEST)
    send(world, wire)
    (one,) = admin(world, "GET", "reviews", auditor(GP)).json["reviews"]
    assert {row["state"] for row in one["notices"]} == {"delivered"}


def test_that_somebody_was_told_is_on_the_record() -> None:
    world, wire = broken(), Wire()
    send(world, wire)
    told = [record for record in world.records if record.interaction == "notice"]
    assert len(told) == len(wire.sent)
    assert {one.patient for one in told} == {world.patient}
    assert GP in {asked.custodian for one in told for asked in one.custodians}


def test_without_an_outbox_nothing_is_shown() -> None:
    world = region()
    world.reviews.broken = True
    assert world.search("Condition", breaking(world)).status == 503


def test_who_wants_no_notices_gets_none() -> None:
    world = World(settings={"agreements": AGREEMENTS}, permits=())
    assert world.search("Condition", breaking(world)).items
    assert world.reviews.kept
    assert not world.reviews.outbox.kept


def test_an_address_that_was_taken_away_costs_no_notice() -> None:
    world, wire = broken(), Wire()
    rows = world.policy.organizations
    kept, rows[HOSPITAL] = (
        rows[HOSPITAL],
        next(one for one in World().policy.organizations.values() if one.ura == HOSPITAL),
    )
    send(world, wire)
    assert not [url for url, _, _ in wire.sent if "hospital" in url]
    rows[HOSPITAL] = kept
    world.clock.advance(LONGEST)
    assert send(world, wire) == 2


def test_two_senders_send_what_waits_without_waiting_for_each_other() -> None:
    world, wire = broken(), Wire()
    messenger = Messenger(world.ports, wire, world.keys)  # type: ignore[arg-type]

    async def both() -> tuple[int, int]:
        return await asyncio.gather(messenger.send_due(), messenger.send_due())

    assert sum(run(both())) >= len(world.reviews.outbox.kept)
    assert all(one.delivered for one, _ in world.reviews.outbox.kept.values())
