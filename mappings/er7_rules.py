"""The kinds of lines an HL7 v2 map has, as closures: one value, several, or the elements of the object itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mappings.er7_paths import Select
from mappings.er7_primitives import Convert
from mappings.er7_reading import Er7Reading
from mappings.formats.er7_tree import NULL, Node, Segment
from mappings.model import Json

Rule = Callable[[Er7Reading, Any, Json], None]  # (reading, segment or node, target object)


def many(target: str, selects: tuple[Select, ...], convert: Convert) -> Rule:
    """Gather what every place of a line gives."""

    def rule(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
        made: list[Any] = []
        for select in selects:
            for node, at in select(reading, source):
                value = convert(reading, node, at)
                if value is not None:
                    if value.__class__ is list:
                        made.extend(value)
                    else:
                        made.append(value)
        if made:
            if target in out:
                out[target].extend(one for one in made if one.__class__ is not dict or one not in out[target])
            else:
                out[target] = made

    return rule


def single(target: str, selects: tuple[Select, ...], convert: Convert, default: Callable[[], Any]) -> Rule:
    """Take the first place of a line that gives something, else its default."""

    def rule(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
        if target in out:
            return
        for select in selects:
            for node, at in select(reading, source):
                value = convert(reading, node, at)
                if value is not None:
                    out[target] = value
                    return
        value = default()
        if value is not None:
            out[target] = value

    return rule


def many_of_parts(target: str, parts: tuple[int, ...], convert: Convert) -> Rule:
    """Gather what certain parts of a node give, or the node itself; what is said twice is said once."""

    def rule(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
        made: list[Any] = []
        for at in parts:
            if at and (at > len(source.parts) or not source.parts[at - 1]):
                continue
            value = convert(reading, source, at)
            if value.__class__ is list:
                made.extend(value)
            elif value is not None:
                made.append(value)
        if not made:
            return
        if target not in out:
            out[target] = made
        else:
            out[target].extend(one for one in made if one.__class__ is not dict or one not in out[target])

    return rule


def text_of_part(target: str, at: int) -> Rule:
    """Take the text of one part of a node, as most lines of a type do; the part is there, or the rule would not run."""
    bit = 1 << at

    def rule(reading: Er7Reading, source: Node, out: Json) -> None:  # noqa: ARG001 - one signature a rule
        if target in out:
            return
        part = source.parts[at - 1]
        if part.__class__ is str and part != NULL:
            source.mask |= bit
            value = part.strip()
        else:
            value = source.text(at)
        if value:
            out[target] = value

    return rule


def single_of_part(target: str, at: int, convert: Convert) -> Rule:
    """Take what one part of a node gives, or the node itself; the part is there, or the rule would not run."""

    def rule(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
        if target in out:
            return
        value = convert(reading, source, at)
        if value is not None:
            out[target] = value

    return rule


def many_of_field(target: str, field: int, convert: Convert) -> Rule:
    """Gather what every repetition of one field gives; what is said twice is said once."""

    def rule(reading: Er7Reading, source: Segment, out: Json) -> None:
        for node in source.field(field):
            value = convert(reading, node, 0)
            if value is None:
                continue
            if target not in out:
                out[target] = value if value.__class__ is list else [value]
            elif value.__class__ is list:
                out[target].extend(value)
            elif value.__class__ is not dict or value not in out[target]:  # said twice is said once
                out[target].append(value)

    return rule


def single_of_field(target: str, field: int, convert: Convert) -> Rule:
    """Take the first repetition of one field that gives something."""

    def rule(reading: Er7Reading, source: Segment, out: Json) -> None:
        if target in out:
            return
        for node in source.field(field):
            value = convert(reading, node, 0)
            if value is not None:
                out[target] = value
                return

    return rule


def spread(selects: tuple[Select, ...], convert: Convert) -> Rule:
    """A target "*": what is made are elements of the object itself."""

    def rule(reading: Er7Reading, source: Any, out: Json) -> None:  # noqa: ANN401 - segment or node
        for select in selects:
            for node, at in select(reading, source):
                value = convert(reading, node, at)
                if value is not None:
                    out.update((name, one) for name, one in value.items() if name not in out)
                    return

    return rule
