"""What is known while one HL7 v2 message is read: what was made, what was lost, and where that stood."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final

from mappings.formats.er7_tree import ALL, NULL, Node, Segment
from mappings.formats.fhir_bundle import digest
from mappings.model import Json, Kind, Loss, Origin

_ALWAYS: Final = frozenset({"Medication"})  # a product with its form is more than a name

Place = tuple[Any, int]  # a segment or node, and the number of the field or part in it; 0 = all of it


@dataclass(slots=True)
class Er7Reading:
    """One pass over the segments of one patient. What was read is marked in the nodes themselves."""

    root: dict[str, list[Segment]]
    origin: Origin
    links: dict[str, str] = field(default_factory=dict)  # type of resource → reference to the first one made
    made: dict[tuple[int, str], list[str]] = field(default_factory=dict)  # segment and type → references
    whole: bool = False  # persons, places and organizations become resources, not only named in place
    supporting: dict[str, Json] = field(default_factory=dict)  # reference → resource that only supports others
    facts: dict[str, str] = field(default_factory=dict)
    notes: dict[tuple[int, int], list[tuple[Kind, str]]] = field(default_factory=dict)
    scope: str = ""  # what else than its text the meaning of a field depends on: separators, character set, time zone

    def note(self, node: Segment | Node, at: int, kind: Kind, reason: str) -> None:
        """Report a loss at a node; the path is found when the pass is over."""
        self.notes.setdefault((id(node), at), []).append((kind, reason))

    def support(self, resource: Json, name: str) -> Json:
        """Refer to a resource that supports others: by itself in a whole translation, else by what identifies it."""
        kind = resource["resourceType"]
        if not self.whole and kind not in _ALWAYS:
            return _named(resource, name)
        identity = digest("\x1f".join((self.origin.source, kind, repr(resource))).encode())
        reference = f"{kind}/{identity}"
        resource["id"] = identity
        self.supporting.setdefault(reference, resource)
        return {"reference": reference, "display": name} if name else {"reference": reference}


def _named(resource: Json, name: str) -> Json:
    """Name a person, place or organization in place: its first identifier and its words."""
    if resource["resourceType"] == "PractitionerRole":
        inner: Json = next((resource[one] for one in ("practitioner", "organization") if one in resource), {})
        return inner or resource.get("location", [{}])[0]
    identifiers = [one for one in resource.get("identifier", ()) if "value" in one]
    made: Json = {"identifier": identifiers[0]} if identifiers else {}
    if name:
        made["display"] = name
    return {"type": resource["resourceType"], **made} if made else {}


def losses(reading: Er7Reading, segments: tuple[Segment, ...], ignored: frozenset[str], *, nulls: bool) -> list[Loss]:
    """List every note, and what has content and was not read: as high in the tree as nothing below it was."""
    totals: dict[str, int] = {}
    for one in segments:
        totals[one.name] = totals.get(one.name, 0) + 1
    seen: dict[str, int] = {}
    walk = _Walk(reading.notes, ignored, nulls)
    silent = _bits_of(ignored)
    for one in segments:
        name = one.name
        number = seen[name] = seen.get(name, 0) + 1
        if name in ignored:
            continue
        known = one.mask | silent.get(name, 0)
        for at, nodes in one.fields.items():
            if is_read(nodes):
                known |= 1 << at
        if nulls or reading.notes or _content(one.form[0]) & ~known & ~1:
            walk.segment(one, name if totals[name] == 1 else f"{name}[{number}]", known)
    return walk.found


@cache
def _bits_of(ignored: frozenset[str]) -> dict[str, int]:
    """Give the fields of each segment that are ignored as a mask."""
    found: dict[str, int] = {}
    for one in ignored:
        name, _, number = one.partition("-")
        if number.isdigit():
            found[name] = found.get(name, 0) | 1 << int(number)
    return found


@lru_cache(maxsize=1024)
def _content(form: tuple[bool, ...]) -> int:
    """Give what has content as a mask."""
    return sum(1 << number for number, there in enumerate(form) if there)


class _Walk:
    """The walk over what was read. Most nodes were read as a whole and cost one look."""

    def __init__(
        self, notes: dict[tuple[int, int], list[tuple[Kind, str]]], ignored: frozenset[str], nulls: bool
    ) -> None:
        self.found: list[Loss] = []
        self._notes = notes
        self._ignored = ignored
        self._nulls = nulls

    def segment(self, one: Segment, where: str, known: int) -> None:
        """Report what a segment holds besides the fields that are known."""
        unread: list[str] = []
        self._say((id(one), 0), where)
        content = _content(one.form[0]) & ~1  # its name is no content
        plain = not self._notes and not self._nulls  # the usual case: no names are made for what was read
        touched = plain and content & known != 0
        left = content & ~known if plain else content
        for number in range(1, left.bit_length()):
            if not left >> number & 1:
                continue
            path, bare = f"{where}-{number}", f"{one.name}-{number}"
            self._say((id(one), number), path)
            if one.mask >> number & 1 or bare in self._ignored:
                touched = True
                if one.mask >> number & 1 and one.opened(number):  # what another line remarked on it stays
                    self._field(one.field(number), path, bare, [])
            elif not one.opened(number):
                unread.append(path)
            else:
                touched = self._field(one.field(number), path, bare, unread) or touched
        self._unmapped(unread if touched else [where] if unread else [])

    def _field(self, nodes: list[Node], path: str, bare: str, unread: list[str]) -> bool:
        rest: list[str] = []
        touched = False
        for index, node in enumerate(nodes, 1):
            here = f"{path}[{index}]" if len(nodes) > 1 else path
            if self._node(node, here, bare, rest):
                touched = True
        if touched:
            unread.extend(rest)
        elif rest:
            unread.append(path)
        return touched

    def _node(self, node: Node, path: str, bare: str, unread: list[str]) -> bool:
        """Report below a node; claim whether anything in it was read."""
        self._say((id(node), 0), path)
        single = len(node.parts) == 1
        rest: list[str] = []
        touched = node.mask == ALL
        for at, part in enumerate(node.parts, 1):
            if part != "":
                here, plain = (path if single else f"{path}.{at}"), f"{bare}.{at}"
                self._say((id(node), at), here)
                known = bool(node.mask >> at & 1) or plain in self._ignored
                touched = self._part(part, here, plain, rest, known=known) or touched
        if touched:
            unread.extend(rest)
        elif rest:
            unread.append(path)
        return touched

    def _part(self, part: str | Node, path: str, bare: str, rest: list[str], *, known: bool) -> bool:
        if part == NULL and self._nulls:
            self.found.append(Loss(path, "note", "explicitly emptied by the sender"))
        if known or part == NULL:
            return True
        if isinstance(part, Node):
            return self._node(part, path, bare, rest)
        rest.append(path)
        return False

    def _say(self, place: tuple[int, int], path: str) -> None:
        for kind, reason in self._notes.get(place, ()) if self._notes else ():
            self.found.append(Loss(path, kind, reason))

    def _unmapped(self, paths: list[str]) -> None:
        self.found.extend(Loss(path, "unmapped", "no line of the map reads this") for path in paths)


def is_read(nodes: list[Node]) -> bool:
    """Claim that every part with content was read."""
    for node in nodes:
        parts = node.parts
        left = _content(tuple(map(bool, parts))) & ~(node.mask >> 1)
        while left:
            part = parts[left.bit_length() - 1]
            if isinstance(part, str) or not is_read([part]):
                return False
            left ^= 1 << left.bit_length() - 1
    return True
