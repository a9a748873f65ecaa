"""What may be read of an HL7 v3 answer before it is translated: is it ours, about whom, and which parts of the question it answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.adapters.dialects import Query
from gateway.adapters.http import HttpAnswer, HttpError
from gateway.adapters.v3_query import BSN_ROOT, Written
from mappings.formats import xml_tree
from mappings.model import NotMappable

Node = dict[str, Any]
_XML: Final = frozenset({"application/xml", "text/xml", "application/hl7-v3+xml"})
_FAILED: Final = frozenset({"AE", "AR", "CE", "CR", "QE"})
_PATIENTS: Final = frozenset({"patientRole", "patient", "Patient"})


@dataclass(frozen=True, slots=True)
class Read:
    """Which queries of a question were answered, by what they are called in the dialect."""

    found: tuple[Query, ...]  # with content
    nothing: tuple[Query, ...]  # answered: nothing is there
    failed: tuple[Query, ...]  # answered with an error
    missing: tuple[Query, ...]  # not answered at all


def read(answer: HttpAnswer, written: Written, batch: str, queries: Sequence[Query], patient: tuple[str, str]) -> Read:
    """Hold an answer against its question; `patient` is the root and the number that was asked for.

    Raises:
        HttpError: `malformed` when it is not XML of the answering interaction or answers another question;
            `wrong-patient` when it names somebody else.
    """
    root = _root(answer, {batch} if batch else {query.answer for query in queries})
    _is_ours(root, set(written.ids.values()))
    parts = {name: nodes for name, nodes in root.items() if isinstance(nodes, list)} if batch else {}
    sorted_: dict[str, list[Query]] = {"found": [], "nothing": [], "failed": [], "missing": []}
    for query in queries:
        nodes = _of(parts, query.answer) if batch else [root]
        sorted_[_outcome(nodes)].append(query)
        for node in nodes:
            _is_ours(node, {written.ids[query.interaction]})
    _of_one(root, patient)
    return Read(**{name: tuple(found) for name, found in sorted_.items()})


def _root(answer: HttpAnswer, expected: set[str]) -> Node:
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() not in _XML:
        raise HttpError("malformed")
    try:
        tree = xml_tree.read(answer.body)
    except NotMappable:
        raise HttpError("malformed") from None
    name = next(iter(tree))
    if not any(_is_version(name, one) for one in expected):
        raise HttpError("malformed")
    root: Node = tree[name][0]
    return root


def _of(parts: dict[str, list[Node]], answer: str) -> list[Node]:
    return [node for name, nodes in parts.items() if _is_version(name, answer) for node in nodes]


def _is_version(name: str, interaction: str) -> bool:
    """Claim that an element is this interaction: its name, perhaps with the number of a version, as in …NL03."""
    rest = name.removeprefix(interaction)
    return name.startswith(interaction) and (not rest or (rest.isdigit() and len(rest) <= 2))


def _is_ours(node: Node, ids: set[str]) -> None:
    """Refuse an answer that says it belongs to another question; one that says nothing came on our own connection."""
    for acknowledgement in node.get("acknowledgement", []):
        for target in (*acknowledgement.get("targetMessage", []), *acknowledgement.get("targetTransmission", [])):
            for id_ in target.get("id", []):
                if id_.get("root", "").upper() not in ids:
                    raise HttpError("malformed")


def _outcome(nodes: Sequence[Node]) -> str:
    if not nodes:
        return "missing"
    acts = [act for node in nodes for act in node.get("ControlActProcess", [])]
    said = {one.get("typeCode") for node in nodes for one in node.get("acknowledgement", [])}
    told = {
        code.get("code") for act in acts for ack in act.get("queryAck", []) for code in ack.get("queryResponseCode", [])
    }
    if (said | told) & _FAILED or not acts:
        return "failed"
    # An answer without content that does not say "not found" is half an answer.
    return "found" if any("subject" in act for act in acts) else "nothing" if "NF" in told else "failed"


def _of_one(root: Node, patient: tuple[str, str]) -> None:
    """Refuse an answer in which any patient carries another number of the kind that was asked for."""
    kind, number = patient
    for node in _patients(root):
        for id_ in node.get("id", []):
            named = id_.get("extension", "")
            if id_.get("root") == kind and named and _plain(kind, named) != _plain(kind, number):
                raise HttpError("wrong-patient")


def _patients(root: Node) -> Iterator[Node]:
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        for name, value in node.items():
            if not isinstance(value, list):
                continue
            children: Iterable[Node] = [child for child in value if isinstance(child, dict)]
            if name in _PATIENTS:
                yield from children
            stack.extend(children)


def _plain(kind: str, number: str) -> str:
    return number.zfill(9) if kind == BSN_ROOT else number
