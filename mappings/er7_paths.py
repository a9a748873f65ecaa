"""Paths and conditions of HL7 v2 maps as closures: which nodes a line reads, and whether it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mappings.definition import Condition, MapError, Path
from mappings.er7_reading import Er7Reading, Place
from mappings.formats.er7_tree import Node, Segment

Source = Segment | Node
Select = Callable[[Er7Reading, Any], list[Place]]
Claim = Callable[[Er7Reading, Any], bool]


def ends_on_segment(place: Path, *, on_segment: bool) -> bool:
    """Claim that a path leads to a whole segment, not into one."""
    return not place.steps[-1].name.isdigit() if place.steps else on_segment


def selector(place: Path, *, on_segment: bool) -> Select:
    """Find the nodes of a path: from a segment or a node, in its parent, its children or the whole message."""
    names = [step.name for step in place.steps]
    if place.rooted:
        inner, name = selector(Path(place.steps[1:]), on_segment=True), names[0]
        return lambda reading, source: [  # noqa: ARG005 - one signature a selector
            found for segment in reading.root.get(name, ()) for found in inner(reading, segment)
        ]
    if not names:
        return lambda reading, source: [(source, 0)]  # noqa: ARG005 - one signature a selector
    if on_segment and not names[0].isdigit():
        return _relative(names[0], selector(Path(place.steps[1:]), on_segment=True))
    numbers = [int(name) for name in names]
    return _in_segment(numbers) if on_segment else _in_node(numbers)


def _relative(name: str, inner: Select) -> Select:
    def above(reading: Er7Reading, source: Segment) -> list[Place]:
        return inner(reading, source.parent) if source.parent is not None else []

    def below(reading: Er7Reading, source: Segment) -> list[Place]:
        return [found for child in source.children.get(name, ()) for found in inner(reading, child)]

    return above if name == "^" else below


def _in_segment(numbers: list[int]) -> Select:
    field = numbers[0]
    if len(numbers) == 1:
        return lambda reading, source: [(node, 0) for node in source.field(field)]  # noqa: ARG005 - one signature
    component = numbers[1]
    if len(numbers) == 2:
        return lambda reading, source: [  # noqa: ARG005 - one signature a selector
            (node, component)
            for node in source.field(field)
            if component <= len(node.parts) and node.parts[component - 1]
        ]
    part = numbers[2]
    return lambda reading, source: [  # noqa: ARG005 - one signature a selector
        (child, part)
        for node in source.field(field)
        if (child := node.child(component)) is not None and part <= len(child.parts) and child.parts[part - 1]
    ]


def _in_node(numbers: list[int]) -> Select:
    at = numbers[0]
    if len(numbers) == 1:
        return lambda reading, source: [(source, at)] if at <= len(source.parts) and source.parts[at - 1] else []  # noqa: ARG005
    part = numbers[1]

    def below(reading: Er7Reading, source: Node) -> list[Place]:  # noqa: ARG001 - one signature a selector
        child = source.child(at)
        return [(child, part)] if child is not None and part <= len(child.parts) and child.parts[part - 1] else []

    return below


def claim_of(condition: Condition, *, on_segment: bool) -> Claim:
    """Check a condition without counting anything as read."""
    if condition.part or condition.several:
        raise MapError("'contains' and 'several' are no conditions of an HL7 v2 map")
    wanted, negated = frozenset(condition.values), condition.negated
    names = [step.name for step in condition.path.steps]
    if names == ["whole"]:
        return lambda reading, source: reading.whole != negated  # noqa: ARG005 - one signature a claim
    if len(names) == 1 and names[0].isdigit() and not condition.path.rooted:
        return _claim_here(int(names[0]), wanted, on_segment=on_segment, negated=negated)
    select = selector(condition.path, on_segment=on_segment)

    def values(reading: Er7Reading, source: Source) -> bool:
        for node, at in select(reading, source):
            if (node.peek(at or 1) if node.__class__ is Node else "") in wanted:
                return not negated
        return negated

    def present(reading: Er7Reading, source: Source) -> bool:
        for node, at in select(reading, source):
            if node.__class__ is Segment or node.peek(at or 1):
                return not negated
        return negated

    return values if wanted else present


def _claim_here(number: int, wanted: frozenset[str], *, on_segment: bool, negated: bool) -> Claim:
    """Check a field of a segment, or a part of a node, by itself."""

    def field(reading: Er7Reading, source: Any) -> bool:  # noqa: ANN401, ARG001 - one signature a claim
        raw = source.raw
        if number < len(raw) and raw[number]:
            for node in source.fields.get(number) or source.field(number):
                text = node.peek(1)
                if (text in wanted) if wanted else text:
                    return not negated
        return negated

    def part(reading: Er7Reading, source: Any) -> bool:  # noqa: ANN401, ARG001 - one signature a claim
        text = source.peek(number)
        return ((text in wanted) if wanted else bool(text)) != negated

    return field if on_segment else part
