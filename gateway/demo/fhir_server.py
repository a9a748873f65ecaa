"""The FHIR server of one simulated organization: checks who asks, then answers search, paging, $lastn and read."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.demo.context import HEADER, AccessLog, AccessLogEntry, Unproven
from gateway.demo.elements import Json
from gateway.demo.search import BadSearch, Found, Pairs, Records, conformance, holds_bsn
from profiles import exact
from profiles.identifiers import passes_elfproef

PAGE: Final = 10  # entries, when the asker does not say
MAXIMUM_PAGE: Final = 100
_KEPT_PAGES: Final = 2000
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Manner:
    """How well a server behaves."""

    delay: float = 0.0  # seconds, when one of its own patients is asked for
    fail_every: int = 0  # every n-th answer about its own patients is a 500; 0 = never


class Tokens(Protocol):
    """What a server with its own token endpoint checks besides the context."""

    def check(self, authorization: str, entry: AccessLogEntry | None) -> None:
        """Check the bearer token, and that it was given to whom the context names.

        Raises:
            Unproven: no token, an unknown or expired one, or one of somebody else.
        """
        ...


@dataclass(slots=True)
class _Page:
    rest: tuple[Json, ...]
    found: Found
    size: int
    total: int
    organization: str


@dataclass(slots=True)
class FhirServer:
    """The answers of one organization; `base` is its FHIR base URL."""

    base: str
    records: Records
    log: AccessLog
    manner: Manner = Manner()
    tokens: Tokens | None = None
    asked: int = 0  # answers about its own patients so far
    _pages: OrderedDict[str, _Page] = field(default_factory=OrderedDict)

    def application(self, *more: Route) -> Starlette:
        """The routes; `more` are those of its token endpoint."""
        return Starlette(
            routes=[
                Route("/fhir/metadata", self._metadata, methods=["GET"]),
                Route("/fhir/{type}/_search", self._guarded, methods=["POST"]),
                Route("/fhir/{type}/$lastn", self._guarded, methods=["GET", "POST"]),
                Route("/fhir/{type}/{id}", self._guarded, methods=["GET"]),
                Route("/fhir/{type}", self._guarded, methods=["GET"]),
                *more,
            ]
        )

    async def _guarded(self, request: Request) -> Response:
        """Who asks first, what is asked after; nothing is said to whom did not prove who they are."""
        query = parse_qsl(request.url.query, keep_blank_values=True)
        if holds_bsn(query) or any(map(passes_elfproef, request.url.path.split("/"))):
            return outcome(400, "security", "a BSN may not stand in a URL; use POST _search")
        body = await request.body()
        try:
            if self.tokens is not None:
                self.tokens.check(request.headers.get("authorization", ""), None)
            entry = await self.log.admit(
                request.headers.get(HEADER, ""),
                request.method,
                request.url.path,
                request.url.query.encode() + b"\n" + body,
            )
            if self.tokens is not None:
                self.tokens.check(request.headers.get("authorization", ""), entry)
        except Unproven as error:
            return outcome(401, "login", str(error))
        try:
            return await self._answer(request, [*query, *self._form(request, body)], entry.asker.organization)
        except BadSearch as error:
            return outcome(400, "not-supported", str(error))

    @staticmethod
    def _form(request: Request, body: bytes) -> Pairs:
        if request.method != "POST":
            return []
        if request.headers.get("content-type", "").partition(";")[0].strip() != _FORM:
            message = f"the body of a search is {_FORM}"
            raise BadSearch(message)
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)

    async def _answer(self, request: Request, pairs: Pairs, organization: str) -> Response:
        kind = request.path_params["type"]
        if "id" in request.path_params:
            resource = self.records.read(kind, request.path_params["id"])
            return fhir(resource) if resource else outcome(404, "not-found", "not known here")
        token = dict(pairs).get("_page")
        if token is not None:
            return self._next_page(kind, token, organization)
        search = self.records.last if request.url.path.endswith("/$lastn") else self.records.search
        found = search(kind, pairs)
        if self.records.patients(kind, pairs) and not await self._in_good_health():
            return outcome(500, "exception", "internal error")
        counts = dict(pairs)
        if counts.get("_summary") == "count" or counts.get("_count") == "0":
            return fhir({"resourceType": "Bundle", "type": "searchset", "total": len(found.matches)})
        size = min(int(counts["_count"]), MAXIMUM_PAGE) if counts.get("_count", "").isdecimal() else PAGE
        # The self link of a POST leaves out what stood in the body.
        itself = f"{self.base}/{kind}" + (f"?{urlencode(pairs)}" if request.method == "GET" else "")
        return self._bundle(kind, itself, _Page(found.matches, found, size, len(found.matches), organization))

    async def _in_good_health(self) -> bool:
        """Be as slow as configured; false when it is the turn of a failure."""
        self.asked += 1
        failing = self.manner.fail_every and self.asked % self.manner.fail_every == 0
        await asyncio.sleep(self.manner.delay)
        return not failing

    def _next_page(self, kind: str, token: str, organization: str) -> Response:
        page = self._pages.get(token)
        if page is None or page.organization != organization:
            return outcome(410, "expired", "this page is no longer kept; search again")
        return self._bundle(kind, f"{self.base}/{kind}?_page={token}", page)

    def _bundle(self, kind: str, itself: str, page: _Page) -> Response:
        now, rest = page.rest[: page.size], page.rest[page.size :]
        links = [{"relation": "self", "url": itself}]
        if rest:
            token = secrets.token_urlsafe(16)
            self._pages[token] = _Page(rest, page.found, page.size, page.total, page.organization)
            while len(self._pages) > _KEPT_PAGES:
                self._pages.popitem(last=False)
            links.append({"relation": "next", "url": f"{self.base}/{kind}?_page={token}"})
        included = self.records.included(now, page.found.includes)
        bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links}
        entries = [*((one, "match") for one in now), *((one, "include") for one in included)]
        if entries:  # FHIR has no empty lists
            bundle["entry"] = [
                {"fullUrl": f"{self.base}/{one['resourceType']}/{one['id']}", "resource": one, "search": {"mode": mode}}
                for one, mode in entries
            ]
        return fhir(bundle)

    async def _metadata(self, request: Request) -> Response:
        """The capability statement, for everybody."""
        del request
        version = self.records.version
        types = [
            {
                "type": kind,
                "interaction": [{"code": "read"}, {"code": "search-type"}],
                "searchParam": [{"name": name, "type": _kind_of(name)} for name in ("_id", "_profile", *names)],
            }
            for kind, names in self.records.types.items()
        ]
        statement: Json = {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-01-01",
            "kind": "instance",
            "fhirVersion": conformance(version)["fhirVersion"],
            "format": ["json"],
            "software": {"name": f"Simulated {self.log.source}"},
            "implementation": {"description": "Simulated organization with synthetic persons", "url": self.base},
            "rest": [{"mode": "server", "resource": types}],
        }
        if version == "stu3":
            statement["acceptUnknown"] = "no"
        return fhir(statement)


def fhir(resource: Json, status: int = 200) -> Response:
    """A FHIR answer, digits kept."""
    return Response(exact.encode(resource), status, media_type="application/fhir+json")


def outcome(status: int, code: str, text: str) -> Response:
    """Why not."""
    issue = {"severity": "error", "code": code, "diagnostics": text}
    answer = fhir({"resourceType": "OperationOutcome", "issue": [issue]}, status)
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _kind_of(name: str) -> str:
    kinds = {
        "patient": "reference",
        "beneficiary": "reference",
        "practitioner": "reference",
        "_profile": "uri",
        "date": "date",
        "birthdate": "date",
    }
    return kinds.get(name, "token")
