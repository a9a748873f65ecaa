"""A terminology server is asked once for each coding, within one deadline, and its silence is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.adapters.http import HttpAnswer, HttpError
from gateway.adapters.terminology import MOST_ASKED, TerminologyServer
from profiles import exact
from profiles.terminology import Question


class Http:
    """Answers like a server that knows codes of even numbers, or fails."""

    def __init__(self, *, fails: bool = False, body: bytes = b"", seconds: float = 0.0) -> None:
        self.fails, self.body, self.seconds = fails, body, seconds
        self.asked: list[dict[str, Any]] = []

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", **bounds: Any
    ) -> HttpAnswer:
        assert (method, url) == ("POST", "https://tx.example/fhir/ValueSet/$validate-code")
        assert headers["accept"] == "application/fhir+json"
        assert bounds["limit_bytes"]
        given = {one["name"]: one.get("valueCode") or one.get("valueUri") for one in exact.decode(body)["parameter"]}
        self.asked.append(given)
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise HttpError("timeout")
        result = {"name": "result", "valueBoolean": int(given["code"]) % 2 == 0}
        return HttpAnswer(200, {}, self.body or exact.encode({"resourceType": "Parameters", "parameter": [result]}))


def server(http: Http) -> TerminologyServer:
    return TerminologyServer(http, "https://tx.example/fhir/", 1.0)  # type: ignore[arg-type] # the one method that is used


def questions(count: int) -> list[Question]:
    return [Question("urn:s", str(n), "urn:v") for n in range(count)]


def test_each_coding_is_asked_once() -> None:
    http = Http()
    asked = server(http)
    two = questions(2)
    assert asyncio.run(asked.members(two)) == {two[0]: True, two[1]: False}
    assert asyncio.run(asked.members(two)) == {two[0]: True, two[1]: False}
    assert [one["code"] for one in http.asked] == ["0", "1"]
    assert http.asked[0] == {"url": "urn:v", "code": "0", "system": "urn:s"}


def test_a_server_that_fails_answers_nothing_and_is_left_alone_for_a_while() -> None:
    http = Http(fails=True)
    asked = server(http)

    async def twice() -> None:
        assert await asked.members(questions(1)) == {}
        assert await asked.members(questions(3)) == {}

    asyncio.run(twice())
    assert len(http.asked) == 1


def test_nonsense_is_no_answer_and_a_flood_is_bounded() -> None:
    for body in (b"{", b"[]", b'{"parameter":5}', b'{"parameter":[{"name":"result","valueBoolean":"yes"}]}'):
        assert asyncio.run(server(Http(body=body)).members(questions(1))) == {}
    http = Http()
    assert len(asyncio.run(server(http).members(questions(500)))) == MOST_ASKED
    assert len(http.asked) == MOST_ASKED
