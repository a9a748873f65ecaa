"""What the engine knows while it reads one source tree: which nodes were read and what was lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from mappings.definition import Condition, Path, Step
from mappings.model import Json, Kind, Loss, Origin

_CLIMBS: Final[dict[int, tuple[Path, int, Path]]] = {}  # paths that lead up, taken apart
Slot = tuple[Any, Any]  # a container of the source and the key or index of the node in it

SKIPPED: Final = frozenset({"resourceType", "url", "^", "within", "order"})  # names and back links, not content


@dataclass(slots=True)
class Reading:
    """One pass over one source tree. Nodes are known by container and key, so values may repeat."""

    root: Json
    origin: Origin
    xml: bool = False  # an HL7 v3 tree: children are always lists, attributes always text
    skipped: frozenset[str] = SKIPPED  # names that say nothing of their own
    links: dict[str, str] = field(default_factory=dict)  # map or target name → reference made in this pass
    facts: dict[str, str] = field(default_factory=dict)
    above: dict[tuple[int, int], list[Slot]] = field(default_factory=dict)  # ancestor and path → what is there
    memo: dict[tuple[str, int], Any] = field(default_factory=dict)  # what many elements refer to, made of its node once
    taken: set[tuple[int, Any]] = field(default_factory=set)
    notes: dict[tuple[int, Any], list[tuple[Kind, str]]] = field(default_factory=dict)

    def take(self, container: Any, key: Any) -> None:  # noqa: ANN401 - a node of any shape
        """Count a node, with all in it, as read."""
        self.taken.add((id(container), key))

    def note(self, slot: Slot, kind: Kind, reason: str) -> None:
        """Report a loss at a node; the path is found when the pass is over."""
        container, key = slot
        self.notes.setdefault((id(container), key), []).append((kind, reason))

    @staticmethod
    def many(value: Any) -> list[Any]:  # noqa: ANN401 - a node of any shape
        """See a node that may or may not repeat as a list (XML does not tell one from many)."""
        return value if isinstance(value, list) else [] if value is None else [value]

    def slots(self, node: Any, place: Path, *, looking: bool = False) -> list[Slot]:  # noqa: ANN401
        """Find the nodes of a path, repetitions one by one; `looking` counts nothing as read."""
        start: Any = self.root if place.rooted else node
        if not place.steps:
            return [({"": start}, "")]
        if self.xml and place.steps[0].name == "^" and place.steps[-1].name != "^":
            return self._above(start, place, looking=looking)
        found = self._children(start, place.steps[0], looking)
        for step in place.steps[1:]:
            if not found:
                return []
            found = [child for container, key in found for child in self._children(container[key], step, looking)]
        return found

    def _above(self, node: Any, place: Path, *, looking: bool) -> list[Slot]:  # noqa: ANN401 - a node of any shape
        """Find what hangs under an ancestor, once for all its descendants: else many siblings cost their square."""
        _, climbed, rest = _CLIMBS.get(id(place)) or _climb(place)
        for _ in range(climbed):
            node = node.get("^") if node.__class__ is dict else None
        if node is None:
            return []
        key = (id(node), id(place))
        found = self.above.get(key)
        if found is None:
            found = self.above[key] = self.slots(node, rest, looking=looking)
        return found

    def _children(self, node: Any, step: Step, looking: bool) -> list[Slot]:  # noqa: ANN401
        value = node.get(step.name) if node.__class__ is dict else None
        if value is None:
            return []
        slots: list[Slot] = (
            [(value, index) for index in range(len(value))] if value.__class__ is list else [(node, step.name)]
        )
        if not step.filter_key:
            return slots
        found = []
        for container, key in slots:
            child = container[key]
            if isinstance(child, dict) and _matches(child.get(step.filter_key), step.filter_value):
                found.append((container, key))
                if not looking:
                    self.take(child, step.filter_key)
        return found

    def holds(self, condition: Condition, node: Any) -> bool:  # noqa: ANN401 - a node of any shape
        """Check a condition without counting anything as read."""
        values = [container[key] for container, key in self.slots(node, condition.path, looking=True)]
        if condition.part:
            found = any(one in value for value in values if isinstance(value, str) for one in condition.values)
            return found != condition.negated
        if condition.values:
            return any(_text(value) in condition.values for value in values) != condition.negated
        return (len(values) > condition.several) != condition.negated

    def losses(self, prefix: str = "", ignored: frozenset[str] = frozenset()) -> list[Loss]:
        """List every note, and what was not read: as high in the tree as nothing below it was."""
        found: list[Loss] = []
        self._walk(self.root, prefix, "", ignored, found)
        return found

    def _walk(self, node: Any, where: str, plain: str, ignored: frozenset[str], found: list[Loss]) -> bool:  # noqa: ANN401
        """Report below `node`; claim whether anything in it was read."""
        touched, unread = False, []
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            slot = (id(node), key)
            if self._is_settled(slot, value):
                touched = touched or key not in self.skipped
                continue
            path, bare = self._named(node, key, where, plain)
            for kind, reason in self.notes.get(slot, ()):
                found.append(Loss(path, kind, reason))
            if slot in self.taken or slot in self.notes or bare in ignored:
                touched = True
            elif isinstance(value, (dict, list)):
                before = len(found)
                if self._walk(value, path, bare, ignored, found):
                    touched = True
                elif value:
                    del found[before:]
                    unread.append(path)
            elif value not in ("", None):
                unread.append(path)
        if touched or not where:
            found.extend(Loss(path, "unmapped", "no line of the map reads this") for path in unread)
        return touched

    def _is_settled(self, slot: tuple[int, Any], value: Any) -> bool:  # noqa: ANN401 - a node of any shape
        """Claim that one node was read as a whole, or everything in it was."""
        if slot[1] in self.skipped:
            return True
        return slot not in self.notes and (
            slot in self.taken or (isinstance(value, (dict, list)) and self._is_read(value))
        )

    def _is_read(self, node: Any) -> bool:  # noqa: ANN401 - a node of any shape
        """Claim that nothing below is worth a report: the usual case, so no names are made for it."""
        identity, taken, notes, skipped = id(node), self.taken, self.notes, self.skipped
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if not notes and key in skipped:
                continue
            slot = (identity, key)
            if notes and slot in notes:
                return False
            if slot in taken or key in skipped or value is None or value == "":
                continue
            if not isinstance(value, (dict, list)) or not self._is_read(value):
                return False
        return True

    def _named(self, node: Any, key: Any, where: str, plain: str) -> tuple[str, str]:  # noqa: ANN401
        """Name a child for people ("code.coding[0]") and plainly, for `ignored` entries."""
        if isinstance(node, list):
            return (where if self.xml and len(node) == 1 else f"{where}[{key}]"), plain
        if not (key.isascii() and key.replace("_", "").isalnum()):
            key = "?"  # a name no FHIR element has may be anything, also content
        return (f"{where}.{key}" if where else key), (f"{plain}.{key}" if plain else key)


def _climb(place: Path) -> tuple[Path, int, Path]:
    """Take apart a path that leads up: how far, and what it looks for there; the path is kept, so that its id stays its own."""
    climbed = next(number for number, step in enumerate(place.steps) if step.name != "^")
    made = _CLIMBS[id(place)] = (place, climbed, Path(place.steps[climbed:]))
    return made


def _text(value: Any) -> str:  # noqa: ANN401 - a node of any shape
    return str(value).lower() if isinstance(value, bool) else str(value)


def _matches(value: Any, wanted: str) -> bool:  # noqa: ANN401 - a node of any shape
    """Claim that a child is the wanted text, a concept of that code, or an element of HL7 v3 with that code or root."""
    if isinstance(value, dict):
        value = value.get("coding")
    if isinstance(value, list):
        return any(isinstance(one, dict) and wanted in (one.get("code"), one.get("root")) for one in value)
    return bool(value == wanted)
