"""Tokens that are refused to unknown callers are counted beyond a bound, and the count is written: none is forgotten."""

from __future__ import annotations

from datetime import timedelta

from gateway.audit.record import Record
from gateway.oauth.endpoint import TokenAnswer
from gateway.routes.tokens import recorder
from tests.gateway.audit.memory import LogWorld
from tests.gateway.world import PHYSICIAN, run

REFUSED = TokenAnswer(401, {"error": "invalid_client"}, client="who", error="oauth-client")


def after(count: int) -> tuple[LogWorld, list[Record]]:
    """A world in which an address was refused so often, and once again a minute later."""
    world = LogWorld()
    record = recorder(world.ports)

    async def main() -> None:
        for number in range(count):
            await record(REFUSED, "10.0.0.9", f"r{number}")
        world.clock.advance(timedelta(minutes=2))
        await record(REFUSED, "10.0.0.9", "last")

    run(main())
    return world, world.records


def test_refusals_beyond_the_bound_are_summed_once() -> None:
    _, records = after(100)
    assert [record.kind for record in records] == ["token"] * 30 + ["sum", "token"]
    assert (records[-2].count, records[-2].address, records[-2].status) == (70, "10.0.0.9", 401)


def test_within_the_bound_nothing_is_summed() -> None:
    assert [record.kind for record in after(3)[1]] == ["token"] * 4


def test_an_issued_token_is_always_written() -> None:
    world, before = after(100)
    issued = TokenAnswer(200, {"access_token": "secret"}, client="post-app", caller=PHYSICIAN)

    async def main() -> None:
        await recorder(world.ports)(issued, "10.0.0.9", "issued")

    run(main())
    (made,) = world.records[len(before) :]
    assert (made.token, made.person, made.organization) == (
        "t1",
        PHYSICIAN.requester.person,
        PHYSICIAN.requester.organization,
    )
    assert b"secret" not in b"".join(world.audit.records)


def test_a_refused_token_says_why() -> None:
    (first, *_) = after(1)[1]
    assert (first.error, first.reasons, first.client) == ("invalid_client", ("oauth-client",), "who")
