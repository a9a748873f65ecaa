"""The HL7 v3 server of the simulated GP post and pharmacy: checks who asks, reads the question, answers each interaction of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.demo.context import HEADER, AccessLog, AccessLogEntry, Unproven
from gateway.demo.elements import Record
from gateway.demo.fhir_server import Tokens
from gateway.demo.v3_elements import BSN, URA, UZI
from gateway.demo.v3_messages import Asked, alone, answer, batch
from gateway.policy import ZONE
from mappings.formats import xml_tree
from mappings.model import NotMappable

PATH: Final = "/hl7v3"
_MEDIA: Final = frozenset({"application/xml", "text/xml", "application/hl7-v3+xml"})
_LONGEST: Final = 1_000_000
_BATCH: Final = "MCCI_IN200101"

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Question:
    id: str
    sender: str
    asked: tuple[Asked, ...]
    authors: frozenset[tuple[str, str]]  # organization, person
    in_batch: bool


class _NotUnderstood(Exception):
    """The question is not one; the text says what is missing."""


@dataclass(slots=True)
class V3Server:
    """The answers of one organization; `records` by BSN, `fails` the interactions whose system is down."""

    base: str
    ura: str
    records: Mapping[str, Record]
    log: AccessLog
    tokens: Tokens | None = None
    fails: frozenset[str] = frozenset()

    def application(self, *more: Route) -> Starlette:
        """The routes; `more` are those of its token endpoint."""
        return Starlette(routes=[Route(PATH, self._asked, methods=["POST"]), *more])

    async def _asked(self, request: Request) -> Response:
        """Who asks first, what is asked after; the message may not name another asker than the signature."""
        body = await request.body()
        try:
            if self.tokens is not None:
                self.tokens.check(request.headers.get("authorization", ""), None)
            entry = await self.log.admit(request.headers.get(HEADER, ""), "POST", PATH, body)
            if self.tokens is not None:
                self.tokens.check(request.headers.get("authorization", ""), entry)
        except Unproven as error:
            return Response(str(error), 401, media_type="text/plain")
        if request.headers.get("content-type", "").partition(";")[0] not in _MEDIA or len(body) > _LONGEST:
            return Response("an HL7 v3 message in XML is expected", 415, media_type="text/plain")
        try:
            question = _read(body)
            _same(question, entry)
        except _NotUnderstood as error:
            return Response(str(error), 400, media_type="text/plain")
        now = self.log.door.clock.now().astimezone(ZONE)
        answers = [
            answer(one, self.records.get(one.bsn), self.ura, question.sender, now, fails=one.interaction in self.fails)
            for one in question.asked
        ]
        made = batch(answers, self.ura, question.sender, question.id, now) if question.in_batch else alone(answers[0])
        return Response(made, media_type="application/xml")


def _read(body: bytes) -> _Question:
    """Read a batch of queries, or one that stands alone.

    Raises:
        _NotUnderstood: not XML, no query, or a query without a patient.
    """
    try:
        tree = xml_tree.read(body)
    except NotMappable as error:
        raise _NotUnderstood(str(error)) from None
    in_batch = _BATCH in tree
    root: Node = tree[next(iter(tree))][0]
    found, authors = [], set()
    for name, nodes in (root if in_batch else tree).items():
        for node in nodes if isinstance(nodes, list) else ():
            for act in node.get("ControlActProcess", []):
                found.append(Asked(name, _id(node), _bsn(act)))
                authors.add(_author(act))
    if not found:
        message = f"a query, or a {_BATCH} with queries, is expected"
        raise _NotUnderstood(message)
    sender = "".join(_below(root, "sender", "device", "id", "extension")[:1])
    return _Question(_id(root), sender, tuple(found), frozenset(authors), in_batch)


def _same(question: _Question, entry: AccessLogEntry) -> None:
    if question.authors != {(entry.asker.organization, entry.asker.person)}:
        raise _NotUnderstood("authorOrPerformer is not who the signed context names")


def _id(node: Node) -> str:
    return "".join(str(one.get("root", "")) for one in node.get("id", [])[:1])


def _bsn(act: Node) -> str:
    for query in act.get("queryByParameter", []):
        for named in query.get("patientID", []):
            for value in named.get("value", []):
                if value.get("root") == BSN and value.get("extension"):
                    return str(value["extension"]).zfill(9)
    raise _NotUnderstood("queryByParameter.patientID with a BSN is expected")


def _author(act: Node) -> tuple[str, str]:
    found = {URA: "", UZI: ""}
    for author in act.get("authorOrPerformer", []):
        for part in author.get("participant", []):
            for person in part.get("AssignedPerson", []):
                for id_ in (*person.get("id", []), *(one for of in person.get("Organization", []) for one in of.get("id", []))):  # fmt: skip
                    if id_.get("root") in found:
                        found[id_["root"]] = str(id_.get("extension", ""))
    return found[URA], found[UZI]


def _below(node: Node, *names: str) -> list[str]:
    nodes: list[Any] = [node]
    for name in names[:-1]:
        nodes = [child for one in nodes for child in one.get(name, [])]
    return [str(one[names[-1]]) for one in nodes if names[-1] in one]
