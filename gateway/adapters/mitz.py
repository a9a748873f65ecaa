"""The national consent register (Mitz), asked the closed question for one custodian at a time; nothing is remembered."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Mapping
from typing import Final

from gateway.adapters.http import HttpClient, HttpError
from gateway.ports import NationalQuestion
from mappings.formats.xacml import ClosedQuestion, NotXacml, closed_question, read_answer, read_question
from mappings.formats.xacml import Decision as Said
from mappings.formats.xacml import closed_answer as written_answer

PATH: Final = "/geslotenautorisatievraag/xacml3"
ANSWER_BYTES: Final = 262_144
CONTENT_TYPE: Final = "application/soap+xml; charset=UTF-8"


class MitzRegister:
    """Asks over HTTP. INVARIANT: whatever goes wrong is no answer; only Permit is a yes."""

    def __init__(self, http: HttpClient, base: str, tls: ssl.SSLContext | None = None, seconds: float = 2.0) -> None:
        self._http = http
        self._address = base.rstrip("/") + PATH
        self._tls = tls
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"MitzRegister({self._address!r})"

    async def decisions(self, question: NationalQuestion) -> Mapping[str, str] | None:
        """What the register decides about each category; None when it gave no answer."""
        asked = closed(question)
        try:
            answer = await self._http.request(
                "POST",
                self._address,
                headers={"content-type": CONTENT_TYPE, "accept": "application/soap+xml, text/xml"},
                body=closed_question(asked, str(uuid.uuid4()), self._address),
                deadline=asyncio.get_running_loop().time() + self._seconds,
                limit_bytes=ANSWER_BYTES,
                tls=self._tls,
            )
            return read_answer(answer.body, asked) if answer.status == 200 else None
        except (HttpError, NotXacml):
            return None


class SimulatedRegister:
    """A register in memory that reads and writes the same messages: for demonstrations and tests."""

    def __init__(
        self, said: Mapping[tuple[str, str, str], Said] | None = None, otherwise: Said = "NotApplicable"
    ) -> None:
        self.said = dict(said or {})  # (BSN, URA of the holder, category) -> decision
        self.otherwise: Said = otherwise
        self.asked: list[ClosedQuestion] = []
        self.down = False

    async def decisions(self, question: NationalQuestion) -> Mapping[str, str] | None:
        """Answer a question through the codec, as the real register would."""
        if self.down:
            return None
        sent = closed(question)
        received = read_question(closed_question(sent, str(uuid.uuid4()), "simulated"))
        self.asked.append(received)
        decisions = [
            self.said.get((received.bsn, received.holder, category), self.otherwise) for category in received.categories
        ]
        return read_answer(written_answer(received, decisions, str(uuid.uuid4())), sent)


def closed(question: NationalQuestion) -> ClosedQuestion:
    """The question in the words of the register: who is responsible asks, whoever acts for them."""
    requester = question.requester
    mandated = bool(requester.mandated_by)
    return ClosedQuestion(
        bsn=question.bsn,
        holder=question.custodian.organization,
        holder_type=question.custodian.facility_type,
        categories=question.categories,
        role=(requester.mandated_role if mandated else requester.role) or "",
        user=_bare(requester.mandated_by if mandated else requester.person or ""),
        organization=requester.organization,
        organization_type=requester.facility_type,
        purpose=question.purpose,
        mandated=_bare(requester.person or "") if mandated else "",
    )


def _bare(person: str) -> str:
    return person.rpartition("|")[2]
