"""A FHIR terminology server behind the port `Terminology`: `ValueSet/$validate-code`, cached, bounded, never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.adapters.http import HttpClient, HttpError
from profiles import exact
from profiles.terminology import Question

MOST_ASKED: Final = 64  # codings of one resource; the rest stays not judged
AT_ONCE: Final = 8
MOST_KEPT: Final = 20_000
_LIMIT_BYTES: Final = 262_144
_PAUSE_SECONDS: Final = 30.0  # after a failure nobody waits for a dead server again


@dataclass(slots=True)
class TerminologyServer:
    """One server, below `base`; what it said once is kept for as long as the process lives."""

    http: HttpClient
    base: str
    seconds: float = 2.0
    headers: Mapping[str, str] = field(default_factory=dict)
    _kept: dict[Question, bool] = field(default_factory=dict)
    _silent_until: float = 0.0

    async def members(self, questions: Sequence[Question]) -> Mapping[Question, bool]:
        """Ask about each coding that is not known yet, at the same time, within one deadline."""
        loop = asyncio.get_running_loop()
        unknown = [question for question in questions if question not in self._kept][:MOST_ASKED]
        if unknown and loop.time() >= self._silent_until:
            deadline = loop.time() + self.seconds
            turns = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._ask(question, turns, deadline) for question in unknown))
        return {question: self._kept[question] for question in questions if question in self._kept}

    async def _ask(self, question: Question, turns: asyncio.Semaphore, deadline: float) -> None:
        async with turns:
            answer = await self._answer(question, deadline)
        if answer is None:
            return
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[question] = answer

    async def _answer(self, question: Question, deadline: float) -> bool | None:
        """What the server says; nothing when it fails or does not know the value set.

        Spec: FHIR R4 ValueSet-validate-code.
        """
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline or loop.time() < self._silent_until:
            return None
        kind = "application/fhir+json"
        try:
            answer = await self.http.request(
                "POST",
                f"{self.base.rstrip('/')}/ValueSet/$validate-code",
                headers={**self.headers, "content-type": kind, "accept": kind},
                body=exact.encode(_parameters(question)),
                deadline=deadline,
                limit_bytes=_LIMIT_BYTES,
            )
        except HttpError:
            self._silent_until = loop.time() + _PAUSE_SECONDS
            return None
        return _result(answer.body) if answer.status == 200 else None


def _parameters(question: Question) -> dict[str, object]:
    given: list[dict[str, object]] = [{"name": "url", "valueUri": question.value_set}]
    given.append({"name": "code", "valueCode": question.code})
    if question.system:
        given.append({"name": "system", "valueUri": question.system})
    else:
        given.append({"name": "inferSystem", "valueBoolean": True})
    return {"resourceType": "Parameters", "parameter": given}


def _result(body: bytes) -> bool | None:
    try:
        parameters = exact.decode(body).get("parameter")
    except exact.NotExact:
        return None
    for one in parameters if isinstance(parameters, list) else ():
        if isinstance(one, dict) and one.get("name") == "result" and isinstance(one.get("valueBoolean"), bool):
            return bool(one["valueBoolean"])
    return None
