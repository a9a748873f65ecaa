"""What repeats from message to message, wards, professionals and codes, is read once and copied after that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappings.definition import Line, MapError, lines
from mappings.er7_reading import Er7Reading, is_read
from mappings.formats.er7_tree import NULL, Node, Segment
from mappings.model import Json

_MOST: Final = 512  # values of one line of a map; then it is forgotten and learned anew
_LONGEST: Final = 160  # what is longer is a text somebody wrote, not a code or a name of a list
# What stands in lists of an organization. Nothing of a patient: no names, addresses, numbers, dates or results.
_LISTED: Final = frozenset({"XCN", "PL"})
_TRANSFORMS: Final = frozenset({"er7-concept", "er7-coded", "er7-location"})
_UNREAD: Final[Any] = object()
_COMPOUND: Final = (dict, list)
Rule = Callable[[Er7Reading, Any, Json], None]
Known = tuple[
    Callable[[], Any] | None, bool
]  # what makes the value, if there is one; whether all of the field was read


def repeats(line: Line, declared: dict[str, Any]) -> bool:
    """Claim that a line reads only what stands in lists of an organization, and nothing but its own field."""
    if line.link or any(not step.name.isdigit() for one in line.sources for step in one.steps):
        return False
    if any(one.rooted for one in line.sources) or any(claim.path.rooted for claim in line.when):
        return False
    if not line.sources:
        return line.value is not None
    if line.elements:
        return all(repeats(one, declared) for one in line.elements)
    if line.transform:
        return line.transform in _TRANSFORMS
    return bool(line.concept) or (
        len(line.types) == 1 and line.types[0] in _LISTED and _is_closed(line.types[0], declared)
    )


def _is_closed(name: str, declared: dict[str, Any]) -> bool:
    """Claim that a type reads nothing around its own node."""
    content = declared.get(name)
    if not isinstance(content, dict):
        return False
    try:
        found = lines(content["elements"] if "resource" in content else content)
    except (MapError, KeyError):
        return False
    return all(not one.link and not any(place.rooted for place in one.sources) for one in found)


def remembered(rule: Rule, target: str, field: int, *, many: bool) -> Rule:
    """Give what the same text of the same organization gave before.

    INVARIANT: the result and the losses are those of reading it again.
    """
    known: dict[tuple[str, str, str], Known | None] = {}

    def remembering(reading: Er7Reading, source: Segment, out: Json) -> None:
        raw = source.raw[field]
        if reading.whole or len(raw) > _LONGEST or NULL in raw:  # whole: persons and places are resources of their own
            rule(reading, source, out)
            return
        key = (raw, reading.scope, reading.origin.custodian)
        found = known.get(key, _UNREAD)
        if found is _UNREAD:
            found = _learned(rule, reading, source, target, field)
            if len(known) >= _MOST:  # by one step: another thread may look at the same time
                known.clear()
            known[key] = found
        if found is None:
            rule(reading, source, out)
        elif many or target not in out:
            make, is_whole = found
            if is_whole:
                source.mask |= 1 << field
            if make is None:
                return
            if target not in out:
                out[target] = make()
            else:
                out[target].extend(one for one in make() if one.__class__ is not dict or one not in out[target])

    return remembering


def _learned(rule: Rule, reading: Er7Reading, source: Segment, target: str, field: int) -> Known | None:
    """Let a line read its field by itself; none where it leaves a remark, or reads a part and not the rest."""
    others, notes = source.fields.pop(field, None), reading.notes
    made: Json = {}
    reading.notes = {}
    rule(reading, source, made)
    nodes, remarks = source.fields.pop(field, []), reading.notes
    reading.notes = notes
    if others is not None:
        source.fields[field] = others
    is_whole = is_read(nodes)
    if remarks or not (is_whole or _is_untouched(nodes)):
        return None
    return again(made[target]) if target in made else None, is_whole


def _is_untouched(nodes: list[Node]) -> bool:
    """Claim that nothing was read."""
    return all(not one.mask and _is_untouched([part for part in one.parts if isinstance(part, Node)]) for one in nodes)


def again(value: Any) -> Callable[[], Any]:  # noqa: ANN401 - any JSON value
    """Give what makes a value anew each time, so that what is done to one resource is not done to another."""
    inner: list[tuple[Any, Callable[[], Any]]]
    if value.__class__ is dict:
        inner = [(name, again(child)) for name, child in value.items() if child.__class__ in _COMPOUND]
    elif value.__class__ is list:
        inner = [(at, again(child)) for at, child in enumerate(value) if child.__class__ in _COMPOUND]
    else:
        return lambda: value
    copy: Callable[[], Any] = value.copy
    if not inner:
        return copy

    def make() -> Any:  # noqa: ANN401 - as the value
        made = copy()
        for name, child in inner:
            made[name] = child()
        return made

    return make
