"""One FHIR source that can be asked: the queries of its dialect, at the same time, under one deadline."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import quote_plus, unquote, urlencode, urljoin, urlsplit, urlunsplit

from gateway.adapters import searchset, source_auth
from gateway.adapters.address import same_origin
from gateway.adapters.breaker import Breaker
from gateway.adapters.dialects import Parameters, Query
from gateway.adapters.http import HttpAnswer, HttpClient, HttpError, tls_context
from gateway.adapters.kinds import spoken
from gateway.adapters.source_auth import Asking, Signer
from gateway.model import Failure, Payload, SourceQuestion
from gateway.ports import Clock
from gateway.settings import SourceTable

PAGES: Final = 20
PAGE_BYTES: Final = 8 * 1024 * 1024
QUESTION_BYTES: Final = 32 * 1024 * 1024
CONCURRENT: Final = 24  # calls to one source at the same time
PATIENTS: Final = 4  # records of one person at one source that are followed
REMEMBERED_SECONDS: Final = 300
REMEMBERED: Final = 4096
_FORM: Final = "application/x-www-form-urlencoded"
# What says that the source is in trouble, as against a source that answered something we cannot use.
_TROUBLE: Final = frozenset({"timeout", "connection", "tls", "truncated"})


@dataclass(frozen=True, slots=True)
class Step:
    """One HTTP call of a query."""

    method: str
    url: str
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class Call:
    """One question on its way through one source."""

    question: SourceQuestion
    deadline: float
    emit: Callable[[Payload | Failure], None]
    headers: dict[str, str]
    room: int = QUESTION_BYTES

    @property
    def secret(self) -> str:
        """What may never stand in a URL."""
        return self.question.patient.value


class FhirSource:
    """A source of kind "fhir-r4" or "fhir-stu3" (port `Source`)."""

    def __init__(self, table: SourceTable, http: HttpClient, keys: Signer, base: str, clock: Clock) -> None:
        """Check what the configuration says of this source.

        Raises:
            StartError: dialect, kind, URL, TLS files or authorization cannot work. Exit code 1.
        """
        self._dialect = spoken(table)
        # The same few questions come all day: what they make of the dialect is worked out once.
        self._asked = lru_cache(maxsize=256)(self._dialect.asking)
        self._table = table
        self._url = table.url.rstrip("/")
        self._http = http
        self._clock = clock
        tls = tls_context(table.ca_file, table.client_certificate, table.client_key)
        self._asking = Asking(table, http, keys, base, clock, tls)
        self._authorization = source_auth.authorization(self._asking)
        self._gate = asyncio.Semaphore(CONCURRENT)
        self._known: OrderedDict[str, tuple[tuple[str, ...], float]] = OrderedDict()
        held = frozenset(table.categories) or self._dialect.categories
        self.categories = self._dialect.categories & held  # what this source can be asked for
        self.breaker = Breaker()

    async def fetch(self, question: SourceQuestion) -> AsyncGenerator[Payload | Failure]:
        """Ask for the categories of the question; a query that fails costs its own categories only."""
        parts: asyncio.Queue[Payload | Failure | None] = asyncio.Queue()
        asking = asyncio.create_task(self._ask(question, parts.put_nowait))
        asking.add_done_callback(lambda _: parts.put_nowait(None))
        try:
            while (part := await parts.get()) is not None:
                yield part
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self, question: SourceQuestion, emit: Callable[[Payload | Failure], None]) -> None:
        queries = self._asked(question.categories & self.categories, question.types)
        loop = asyncio.get_running_loop()
        wanted = question.types - {"Patient"}
        if wanted and not any(query.gives & wanted for query in queries):
            emit(Failure("not-asked", "", question.categories))  # no query gives it: not the same as having none
        if not queries:
            return
        if not self.breaker.admits(loop.time()):
            emit(Failure("circuit-open", "*", _all(queries)))
            return
        deadline = question.deadline
        if self._table.deadline is not None:
            deadline = min(deadline, loop.time() + self._table.deadline.total_seconds())
        call = Call(question, deadline, emit, self._headers(question))
        try:
            await self._authorize(call)
            who = await self._who(call, queries) if self._dialect.first_patient else (self._identifier(question),)
        except HttpError as failure:
            emit(Failure(failure.code, "patient", _all(queries)))
            return
        if not who:
            # The person is not known there. That is an answer: an empty one.
            emit(self._payload(searchset.EMPTY, "patient", _all(queries)))
            return
        if self._dialect.first_patient:
            queries = tuple(query for query in queries if query.type != "Patient")
        await self._run_all(call, [(query, each) for query in queries for each in who])

    async def _run_all(self, call: Call, runs: list[tuple[Query, str]]) -> None:
        """Run the queries at the same time; a probe goes alone, and the others only when it came back."""
        if self.breaker.is_doubtful and runs:
            first, *runs = runs
            await self._run(call, *first)
            if self.breaker.is_doubtful:
                if runs:
                    call.emit(Failure("circuit-open", "*", _all(query for query, _ in runs)))
                return
        async with asyncio.TaskGroup() as group:
            for query, who in runs:
                group.create_task(self._run(call, query, who))

    async def _run(self, call: Call, query: Query, who: str) -> None:
        """Run one query and emit its pages as they come."""
        came = False
        try:
            async with aclosing(self._pages(call, query, who)) as pages:
                async for page, body in pages:
                    if query.type == "Patient":
                        searchset.patients(page, call.question.patient.system, call.secret)
                    call.emit(self._payload(body, query.name, query.categories))
                    came = True
        except HttpError as failure:
            if failure.code == "wrong-patient":
                # A source that mixes up persons is not believed about anything else either.
                call.emit(Failure("wrong-patient", query.name, call.question.categories & self.categories))
            else:
                call.emit(Failure("incomplete" if came else failure.code, query.name, query.categories))

    async def _pages(
        self, call: Call, query: Query, who: str, more: Parameters = ()
    ) -> AsyncGenerator[tuple[searchset.Page, bytes]]:
        """Walk the pages of one query.

        Raises:
            HttpError: a page did not come; `incomplete` when the source says so, the pages go round in a
                circle, lead elsewhere, or do not end.
        """
        step = self._step(call, query, who, more)
        seen: set[Step] = set()
        for _ in range(PAGES):
            seen.add(step)
            answer = await self._exchange(call, step)
            page = searchset.read(answer)
            yield page, answer.body
            if page.troubled:
                raise HttpError("incomplete")
            if page.next is None or not query.pages:
                return
            step = self._following(call, step, page.next)
            if step in seen:
                break
        raise HttpError("incomplete")

    async def _who(self, call: Call, queries: tuple[Query, ...]) -> tuple[str, ...]:
        """The references of this person's records here, asked once and remembered for some minutes."""
        asked = next((query for query in queries if query.type == "Patient"), None)
        kept = self._known.get(call.question.patient.id)
        if asked is None and kept is not None and self._clock.now().timestamp() < kept[1]:
            return kept[0]
        more = () if asked else (("_elements", "identifier"),)
        found: dict[str, None] = {}
        bodies: list[bytes] = []
        patient = call.question.patient
        asking = self._pages(call, self._dialect.patient_query, self._identifier(call.question), more)
        async with aclosing(asking) as pages:
            async for page, body in pages:
                found |= dict.fromkeys(searchset.patients(page, patient.system, patient.value))
                bodies.append(body)
        if len(found) > PATIENTS:
            raise HttpError("too-large")
        if asked and found:
            for body in bodies:
                call.emit(self._payload(body, asked.name, asked.categories))
        return self._remember(patient.id, tuple(f"Patient/{each}" for each in found))

    def _remember(self, patient: str, who: tuple[str, ...]) -> tuple[str, ...]:
        self._known.pop(patient, None)
        if who:
            self._known[patient] = (who, self._clock.now().timestamp() + REMEMBERED_SECONDS)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return who

    async def _exchange(self, call: Call, step: Step) -> HttpAnswer:
        """Make one call; a token the source no longer takes is renewed once."""
        sent = call.headers.get("Authorization")
        answer = await self._send(call, step)
        if answer.status == 401 and sent:
            if call.headers["Authorization"] == sent:
                self._authorization.forget(call.question.context)
                await self._authorize(call)
            answer = await self._send(call, step)
        if answer.status != 200:
            raise HttpError("refused" if answer.status in (401, 403, 404) else "status")
        call.room -= len(answer.body)
        return answer

    async def _send(self, call: Call, step: Step) -> HttpAnswer:
        await self._turn(call)
        try:
            answer = await self._http.request(
                step.method,
                step.url,
                headers={**call.headers, "Content-Type": _FORM} if step.body else call.headers,
                body=step.body,
                deadline=call.deadline,
                limit_bytes=max(0, min(PAGE_BYTES, call.room)),
                tls=self._asking.tls,
            )
        except HttpError as failure:
            self._judge(failure.code in _TROUBLE)
            raise
        finally:
            self._gate.release()
        self._judge(answer.status >= 500)
        return answer

    async def _turn(self, call: Call) -> None:
        """Wait until fewer than `CONCURRENT` calls to this source are on their way."""
        if not self._gate.locked():
            await self._gate.acquire()
            return
        try:
            async with asyncio.timeout_at(call.deadline):
                await self._gate.acquire()
        except TimeoutError:
            raise HttpError("timeout") from None

    def _judge(self, in_trouble: bool) -> None:
        if in_trouble:
            self.breaker.failed(asyncio.get_running_loop().time())
        else:
            self.breaker.succeeded()

    async def _authorize(self, call: Call) -> None:
        try:
            header = await self._authorization.header(call.question.context, call.deadline)
        except HttpError as failure:
            self._judge(failure.code in _TROUBLE)
            raise
        if header:
            call.headers["Authorization"] = header

    def _headers(self, question: SourceQuestion) -> dict[str, str]:
        return {
            "Accept": "application/fhir+json",
            "X-Request-Id": question.context.request_id,
            "X-ZV-Context": source_auth.context_header(self._asking, question.context),
        }

    def _payload(self, body: bytes, query: str, categories: frozenset[str]) -> Payload:
        fetched = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Payload(self._dialect.format, body, query, categories, fetched)

    def _step(self, call: Call, query: Query, who: str, more: Parameters) -> Step:
        """The first call of a query. INVARIANT: the person's identifier stands in a body, never in a URL."""
        form = f"{query.patient}={quote_plus(who)}"
        sent = _sent(query, call.question.filters) if query.sends else ()
        if fixed := _encoded((*query.parameters, *sent, *more)):
            form = f"{form}&{fixed}"
        if query.method == "POST" or call.secret in who:
            return Step("POST", f"{self._url}/{query.type}/_search", form.encode())
        return Step("GET", f"{self._url}/{query.type}?{form}")

    def _following(self, call: Call, step: Step, link: str) -> Step:
        """The call for the next page; a link that repeats the identifier goes into a body, as it should have been.

        Raises:
            HttpError: `incomplete` when the link leads to another origin, or hides the identifier in its path.
        """
        url = urljoin(step.url, link)
        if not same_origin(url, self._url):
            raise HttpError("incomplete")
        parts = urlsplit(url)
        if call.secret not in unquote(url):
            return Step("GET", url)
        if call.secret in unquote(parts.path):
            raise HttpError("incomplete")
        path = parts.path if parts.path.endswith("/_search") else parts.path.rstrip("/") + "/_search"
        return Step("POST", urlunsplit((parts.scheme, parts.netloc, path, "", "")), parts.query.encode())

    @staticmethod
    def _identifier(question: SourceQuestion) -> str:
        """System and value as a token; characters with a meaning in search are escaped.

        Spec: FHIR R4 3.1.1.4.0.1 'Escaping search parameters'.
        """
        value = question.patient.value
        for special in "\\,$|":
            value = value.replace(special, "\\" + special)
        return f"{question.patient.system}|{value}"


def _sent(query: Query, filters: Iterable[tuple[str, str, str]]) -> Parameters:
    """The filters of a caller that this query takes, written anew; the rest is applied when the items are here."""
    return tuple((name, value) for type_, name, value in filters if type_ == query.type and name in query.sends)


@lru_cache(maxsize=1024)
def _encoded(parameters: Parameters) -> str:
    return urlencode(parameters)


def _all(queries: Iterable[Query]) -> frozenset[str]:
    return frozenset().union(*(query.categories for query in queries))
