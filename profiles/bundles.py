"""What holds between the entries of a Bundle: identities, and that a document holds what it speaks of.

Spec: FHIR R4 2.36 Bundle, 3.3 'FHIR Documents'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from profiles.exact import Json
from profiles.references import ID, Scope, resolved
from profiles.review import Review
from profiles.walk import Path

_REST: Final = re.compile(rf"https?://.*/([A-Z][A-Za-z]+)/({ID})", re.DOTALL)
_URN: Final = {
    "urn:uuid:": re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "urn:oid:": re.compile(r"urn:oid:[012](?:\.(?:0|[1-9][0-9]*))+"),
}
_ANY: Final = re.compile(r"(?s:.*)")
# In these an entry may be named by its request only.
_NAMELESS: Final = ("transaction", "batch", "transaction-response", "batch-response")
# Spec: FHIR R4 3.3.1: what the Composition of a document refers to is in the document.
_INCLUDED: Final = ("subject", "encounter", "author", "custodian")


def check_bundle(bundle: Json, at: Path, scopes: dict[str, Scope], review: Review) -> None:
    """Check the entries of one Bundle against each other."""
    kind = bundle.get("type")
    for n, entry in enumerate(bundle.get("entry", ())):
        _identity(entry, ((at, ".entry"), n), kind, review)
    if kind == "document":
        _document(bundle, at, scopes, review)


def _identity(entry: Json, at: Path, kind: Any, review: Review) -> None:  # noqa: ANN401 - JSON is any value
    url, resource = entry.get("fullUrl"), entry.get("resource")
    if url is None:
        if resource is not None and kind not in _NAMELESS and "_fullUrl" not in entry:
            review.add("bundle-full-url", at)
        return
    if not _URN.get(url[:8], _URN.get(url[:9], _ANY)).fullmatch(url):
        review.add("bundle-uuid", (at, ".fullUrl"))
    elif ":" not in url:
        review.add("bundle-absolute", (at, ".fullUrl"))
    elif resource is not None and "id" in resource:
        rest = _REST.fullmatch(url)
        if rest and rest.groups() != (resource["resourceType"], resource["id"]):
            review.add("bundle-identity", (at, ".fullUrl"))


def _document(bundle: Json, at: Path, scopes: dict[str, Scope], review: Review) -> None:
    entries = bundle.get("entry", ())
    first = entries[0].get("resource") if entries else None
    if not first or first["resourceType"] != "Composition":
        return
    scope = Scope(first, first, entries[0].get("fullUrl", ""), scopes)
    start: Path = ((((at, ".entry"), 0)), ".resource")
    for here, reference in _spoken_of(first, start):
        if "reference" in reference and resolved(reference, scope) is None:
            review.add("document-includes", (here, ".reference"))
    if not review.whole.errors_only:
        _reachable(bundle, at, scopes, review)


def _spoken_of(composition: Json, at: Path) -> Iterator[tuple[Path, Json]]:
    for name in _INCLUDED:
        found = composition.get(name, ())
        yield from _numbered(found, (at, "." + name))
    for n, row in enumerate(composition.get("attester", ())):
        yield from _numbered(row.get("party", ()), (((at, ".attester"), n), ".party"))
    for n, row in enumerate(composition.get("event", ())):
        yield from _numbered(row.get("detail", ()), (((at, ".event"), n), ".detail"))
    stack: list[tuple[Path, list[Json]]] = [((at, ".section"), composition.get("section", []))]
    while stack:
        here, sections = stack.pop()
        for n, section in enumerate(sections):
            for name in ("author", "focus", "entry"):
                yield from _numbered(section.get(name, ()), ((here, n), "." + name))
            if "section" in section:
                stack.append((((here, n), ".section"), section["section"]))


def _numbered(found: Any, at: Path) -> Iterator[tuple[Path, Json]]:  # noqa: ANN401 - a reference or a list of them
    if type(found) is dict:
        yield at, found
    else:
        for n, reference in enumerate(found):
            yield (at, n), reference


def _reachable(bundle: Json, at: Path, scopes: dict[str, Scope], review: Review) -> None:
    """Remark the entries no link leads to, forward or backward from the Composition."""
    resources = [entry.get("resource") for entry in bundle["entry"]]
    places = {id(resource): n for n, resource in enumerate(resources) if resource is not None}
    links: dict[int, set[int]] = {n: set() for n in places.values()}
    for n, (entry, resource) in enumerate(zip(bundle["entry"], resources, strict=True)):
        if resource is None:
            continue
        scope = Scope(resource, resource, entry.get("fullUrl", ""), scopes)
        for reference in _references(resource):
            target = resolved(reference, scope)
            other = places.get(id(target.resource)) if target is not None else None
            if other is not None:
                links[n].add(other)
                links[other].add(n)
    seen, wave = {0}, {0}
    while wave:
        wave = {m for n in wave for m in links.get(n, ())} - seen
        seen |= wave
    for n in links:
        if n not in seen:
            review.remark("document-reachable", ((at, ".entry"), n))


def _references(resource: Json) -> Iterator[Json]:
    stack: list[Any] = [resource]
    while stack:
        node = stack.pop()
        if type(node) is dict:
            if type(node.get("reference")) is str:
                yield node
            stack.extend(node.values())
        elif type(node) is list:
            stack.extend(node)
