"""One source that answers HL7 v3 over HTTP: a question as XML, an answer as XML, under one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from gateway.adapters import searchset, source_auth, v3_answer, v3_query
from gateway.adapters.breaker import Breaker
from gateway.adapters.dialects import Query
from gateway.adapters.http import HttpAnswer, HttpClient, HttpError, tls_context
from gateway.adapters.kinds import spoken
from gateway.adapters.source_auth import Asking, Signer
from gateway.model import Context, Failure, Payload, SourceQuestion
from gateway.ports import Clock
from gateway.settings import SourceTable

ANSWER_BYTES: Final = 8 * 1024 * 1024
CONCURRENT: Final = 24  # questions to one source at the same time
_LARGE_BYTES: Final = 32_768  # longer ones are read beside the event loop
_ZONE: Final = ZoneInfo("Europe/Amsterdam")
_MEDIA: Final = "application/xml; charset=utf-8"
# What says that the source is in trouble, as against a source that answered something we cannot use.
_TROUBLE: Final = frozenset({"timeout", "connection", "tls", "truncated"})


class V3Source:
    """A source of kind "hl7v3" (port `Source`): the interactions of its dialect, posted to its one address."""

    def __init__(self, table: SourceTable, http: HttpClient, keys: Signer, base: str, clock: Clock) -> None:
        """Check what the configuration says of this source.

        Raises:
            StartError: dialect, kind, URL, TLS files or authorization cannot work. Exit code 1.
        """
        self._dialect = spoken(table)
        self._table, self._http, self._clock = table, http, clock
        tls = tls_context(table.ca_file, table.client_certificate, table.client_key)
        self._asking = Asking(table, http, keys, base, clock, tls)
        self._authorization = source_auth.authorization(self._asking)
        self._gate = asyncio.Semaphore(CONCURRENT)
        self._asked = lru_cache(maxsize=256)(self._dialect.asking)
        held = frozenset(table.categories) or self._dialect.categories
        self.categories = (self._dialect.categories & held) | {"Patient"}  # every answer says who it is about
        self.breaker = Breaker()

    async def fetch(self, question: SourceQuestion) -> AsyncGenerator[Payload | Failure]:
        """Ask for the categories of the question; what does not come costs its own categories only."""
        queries = self._queries(question)
        if not queries:
            return
        wanted = _all(queries) | (question.categories & {"Patient"})
        kind = v3_query.root_of(question.patient)
        if not kind:
            yield Failure("no-identifier", "*", wanted)
            return
        loop = asyncio.get_running_loop()
        if not self.breaker.admits(loop.time()):
            yield Failure("circuit-open", "*", wanted)
            return
        deadline = question.deadline
        if self._table.deadline is not None:
            deadline = min(deadline, loop.time() + self._table.deadline.total_seconds())
        batch, context = self._dialect.batch, question.context
        now = self._clock.now().astimezone(_ZONE)
        written = v3_query.write(queries, batch, question.patient, context, self._table.custodian, now)
        try:
            answer = await self._exchange(context, written.body, deadline)
            asked = (answer, written, batch, queries, (kind, question.patient.value))
            large = len(answer.body) > _LARGE_BYTES
            read = await asyncio.to_thread(v3_answer.read, *asked) if large else v3_answer.read(*asked)
        except HttpError as failure:
            yield Failure(failure.code, "*", wanted)
            return
        for part in self._parts(answer.body, read, question.categories & {"Patient"}):
            yield part

    def _queries(self, question: SourceQuestion) -> tuple[Query, ...]:
        """The interactions that serve what is asked; for a person alone the shortest one."""
        held = question.categories & self.categories
        queries = self._asked(held, question.types)
        return queries or ((self._dialect.patient_query,) if "Patient" in held else ())

    def _parts(self, body: bytes, read: v3_answer.Read, patient: frozenset[str]) -> Iterable[Payload | Failure]:
        """The answer for the parts that were answered, and a failure for each that was not."""
        if read.found:
            yield self._payload(self._dialect.format, body, _all((*read.found, *read.nothing)) | patient)
        elif read.nothing:
            # The person is not known there. That is an answer: an empty one.
            yield self._payload("fhir-r4", searchset.EMPTY, _all(read.nothing) | patient)
        for code, queries in (("status", read.failed), ("incomplete", read.missing)):
            for query in queries:
                yield Failure(code, query.name, query.categories)

    async def _exchange(self, context: Context, body: bytes, deadline: float) -> HttpAnswer:
        """Make the call; a token the source no longer takes is renewed once.

        Raises:
            HttpError: no usable answer.
        """
        answer = await self._send(context, body, deadline)
        if answer.status == 401 and self._table.auth.kind != "context":
            self._authorization.forget(context)
            answer = await self._send(context, body, deadline)
        if answer.status != 200:
            raise HttpError("refused" if answer.status in (401, 403, 404) else "status")
        return answer

    async def _send(self, context: Context, body: bytes, deadline: float) -> HttpAnswer:
        """INVARIANT: the person's number stands in the body, never in the URL."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._gate.acquire()
        except TimeoutError:
            raise HttpError("timeout") from None
        try:
            answer = await self._http.request(
                "POST",
                self._table.url,
                headers=await self._headers(context, deadline),
                body=body,
                deadline=deadline,
                limit_bytes=ANSWER_BYTES,
                tls=self._asking.tls,
            )
        except HttpError as failure:
            self._judge(failure.code in _TROUBLE)
            raise
        finally:
            self._gate.release()
        self._judge(answer.status >= 500)
        return answer

    async def _headers(self, context: Context, deadline: float) -> dict[str, str]:
        headers = {
            "Accept": "application/xml",
            "Content-Type": _MEDIA,
            "X-Request-Id": context.request_id,
            "X-ZV-Context": source_auth.context_header(self._asking, context),
        }
        if authorization := await self._authorization.header(context, deadline):
            headers["Authorization"] = authorization
        return headers

    def _judge(self, in_trouble: bool) -> None:
        if in_trouble:
            self.breaker.failed(asyncio.get_running_loop().time())
        else:
            self.breaker.succeeded()

    def _payload(self, format_: str, body: bytes, categories: frozenset[str]) -> Payload:
        fetched = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Payload(format_, body, self._table.dialect, categories, fetched)


def _all(queries: Iterable[Query]) -> frozenset[str]:
    return frozenset[str]().union(*(query.categories for query in queries))
