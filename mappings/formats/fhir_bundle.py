"""Take a FHIR Bundle, or one resource, apart into resources with their native keys."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from mappings.model import Json, Kind, Loss, NotMappable

_BUNDLES: Final = frozenset({"searchset", "collection", "document", "message", "transaction", "batch"})
_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}\Z")
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
_CODE: Final = re.compile(r"[a-z][a-z\-]{0,31}\Z")
_FOREIGN: Final = (b'"http:', b'"https:', b'"urn:')
_ABSOLUTE: Final = re.compile(r"https?://.+/([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?\Z")
_sorted: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


@dataclass(slots=True)
class Parts:
    """What a Bundle held: resources and native keys side by side, and what could not be taken."""

    resources: list[Json] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)  # where in the source each resource stood
    losses: list[Loss] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    next: str | None = None
    _index: dict[str, int] = field(default_factory=dict)
    _aliases: dict[str, str] = field(default_factory=dict)  # fullUrl or bad id → the relative reference it becomes

    def lose(self, path: str, kind: Kind, reason: str) -> None:
        """Note what is not in the result."""
        self.losses.append(Loss(path, kind, reason))

    def add(self, resource: Any, path: str, full_url: str = "") -> None:  # noqa: ANN401 - unchecked source JSON
        """Take one resource, or say why not."""
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(kind, str) or not _TYPE.match(kind):
            self.lose(path, "invalid", "resource without a resourceType")
        elif kind == "OperationOutcome":
            self._outcome(resource, path)
        elif kind == "Bundle":
            self.lose(path, "dropped", "a Bundle inside a Bundle is not read")
        elif not isinstance(native := resource.get("id"), str | None):
            self.lose(path, "invalid", "the id is not a string")
        elif not isinstance(resource.get("meta"), dict | None):
            self.lose(path, "invalid", "meta is not an object")
        else:
            self._take(kind, native, resource, path, full_url)

    def _take(self, kind: str, native: str | None, resource: Json, path: str, full_url: str) -> None:
        identity = native
        if identity is None or not _ID.match(identity):
            identity = resource["id"] = self._identity(kind, native, resource, path, full_url)
        key = f"{kind}/{identity}"
        if full_url and full_url != key:
            self._aliases[full_url] = key
        position = self._index.setdefault(key, len(self.keys))
        if position == len(self.keys):
            self.resources.append(resource)
            self.keys.append(key)
            self.paths.append(path)
        elif self.resources[position] != resource:
            self.lose(path, "dropped", "a second, different resource with the same id; the first is kept")

    def _identity(self, kind: str, native: str | None, resource: Json, path: str, full_url: str) -> str:
        if native is not None:
            identity = digest(native.encode())
            self._aliases[f"{kind}/{native}"] = f"{kind}/{identity}"
            self.lose(path, "note", "the id is not a FHIR id; a digest of it stands in its place")
            return identity
        tail = full_url.rpartition("/" if "/" in full_url else ":")[2]
        if tail and _ID.match(tail):
            return tail
        content = {name: value for name, value in resource.items() if name != "meta"}
        return digest(_sorted.encode(content))

    def _outcome(self, outcome: Json, path: str) -> None:
        issues = outcome.get("issue")
        for issue in issues if isinstance(issues, list) else []:
            severity, code = (
                (str(issue.get(name, "")) for name in ("severity", "code")) if isinstance(issue, dict) else ("", "")
            )
            wrong = severity in {"error", "fatal"}
            said = code if _CODE.match(code) else "unknown"
            self.lose(
                path,
                "dropped" if wrong else "note",
                f"the source reports {severity if wrong else 'information'}: {said}",
            )
            if wrong:
                self.facts["outcome"] = said

    def relink(self, body: bytes) -> None:
        """Make references to what is in this Bundle relative ("Patient/<native id>").

        Absolute and urn:uuid references are rare, so the tree is walked only when the bytes hold one.
        """
        if any(":" not in alias for alias in self._aliases) or _leads_elsewhere(body):
            for resource in self.resources:
                self._relink(resource)

    def _relink(self, node: Any) -> None:  # noqa: ANN401 - any JSON value
        stack = [node]
        while stack:
            value = stack.pop()
            if isinstance(value, list):
                stack.extend(value)
            elif isinstance(value, dict):
                target = value.get("reference")
                if isinstance(target, str):
                    value["reference"] = self._relative(target)
                stack.extend(child for child in value.values() if isinstance(child, (dict, list)))

    def _relative(self, target: str) -> str:
        known = self._aliases.get(target)
        if known is not None:
            return known
        absolute = _ABSOLUTE.match(target)
        if absolute is not None:
            key = f"{absolute[1]}/{absolute[2]}"
            if key in self._index:
                return key
        return target


def split(root: Json, body: bytes) -> Parts:
    """Take apart what a FHIR source sent, entry by entry: one broken entry costs only itself.

    Raises:
        NotMappable: not a resource, a Bundle of a kind that holds no content, or entries that are no list.
    """
    kind = root.get("resourceType")
    if not isinstance(kind, str):
        raise NotMappable("resourceType is missing: this is not a FHIR resource", "resourceType")
    parts = Parts()
    if kind != "Bundle":
        parts.add(root, kind)
    else:
        _entries(root, parts)
    parts.relink(body)
    return parts


def _entries(bundle: Json, parts: Parts) -> None:
    if bundle.get("type") not in _BUNDLES:
        message = f"Bundle.type must be one of {', '.join(sorted(_BUNDLES))}"
        raise NotMappable(message, "Bundle.type")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise NotMappable("Bundle.entry must be a list", "Bundle.entry")
    for number, entry in enumerate(entries):
        path = f"entry[{number}]"
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if resource is None:
            parts.lose(path, "invalid", "entry without a resource")
            continue
        full_url = entry.get("fullUrl", "")
        parts.add(resource, path, full_url if isinstance(full_url, str) else "")
    links = bundle.get("link", [])
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            parts.next = link["url"]


def digest(content: bytes) -> str:
    """Give bytes a name that is the same at every arrival and says nothing about them."""
    return "d" + hashlib.sha256(content).hexdigest()[:40]


def _leads_elsewhere(body: bytes) -> bool:
    """Claim that a reference is an absolute address; a regular expression over all bytes takes four times as long."""
    pieces = body.split(b'"reference"')[1:]
    return any(piece.lstrip(b" \t\r\n:").startswith(_FOREIGN) for piece in pieces)
