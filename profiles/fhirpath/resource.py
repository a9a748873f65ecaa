"""Functions on the tree of a resource, on types, and those that FHIR adds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from profiles.fhirpath.equality import single
from profiles.fhirpath.errors import NOT_JUDGED, EvaluationError, NotJudged
from profiles.fhirpath.node import Items, Node, children, named, node_of, system, system_type
from profiles.fhirpath.registry import EMPTY, FALSE, TRUE, function, yes_or_no
from profiles.fhirpath.state import State
from profiles.fhirpath.temporal import Temporal, date_time, day, time
from profiles.fhirpath.text import text
from profiles.fhirpath.types import TypeName

_NARRATIVE_RULES: Final = frozenset(("txt-1", "txt-2", "narrative-form"))
_DEFINITION: Final = "http://hl7.org/fhir/StructureDefinition/"


@function("children")
def children_of(items: Items, x: State) -> Items:
    """N1 5.8.1."""
    found: Items = []
    for item in items:
        if type(item) is Node:
            children(item, x.model, found)
    x.spend(len(found))
    return found


@function("descendants")
def descendants(items: Items, x: State) -> Items:
    """N1 5.8.2: all levels below, not the items themselves."""
    found: Items = []
    level = children_of(items, x)
    while level:
        found.extend(level)
        level = children_of(level, x)
    return found


@function("ofType", 1, reading="type")
def of_type(items: Items, x: State, wanted: TypeName) -> Items:
    """N1 5.2.4; also `as`, which in the expressions of R4 filters collections."""
    model = x.model
    return [item for item in items if wanted.covers(item, model)]


function("as", 1, reading="type")(of_type)


@function("is", 1, reading="type")
def is_type(items: Items, x: State, wanted: TypeName) -> Items:
    """N1 6.3.1."""
    item = single(items)
    return EMPTY if item is None else yes_or_no(wanted.covers(item, x.model))


@function("type")
def type_of(items: Items, x: State) -> Items:
    """N1 10.2 'Reflection'."""
    found: Items = []
    for item in items:
        if type(item) is Node:
            line = x.model.line(item.type)
            namespace, name, base = "FHIR", item.type, "FHIR." + line[1] if len(line) > 1 else "System.Any"
        else:
            namespace, name, base = "System", system_type(item), "System.Any"
        found.append(Node({"namespace": namespace, "name": name, "baseType": base}, "System.SimpleTypeInfo"))
    return found


@function("extension", 1)
def extension(items: Items, x: State, url: Items) -> Items:
    """FHIR R4: the extensions with a url."""
    wanted = text(url)
    every: Items = []
    for item in items:
        if type(item) is Node:
            named(item, "extension", x.model, every)
    return [one for one in every if one.value.get("url") == wanted]


@function("hasValue")
def has_value(items: Items, x: State) -> Items:
    """FHIR R4: one primitive with a value, not only with extensions."""
    return TRUE if get_value(items, x) else FALSE


@function("getValue")
def get_value(items: Items, x: State) -> Items:
    """FHIR R4: the System value of one primitive."""
    if len(items) != 1:
        return EMPTY
    item = items[0]
    if type(item) is not Node:
        return items
    if type(item.value) is dict or (item.type and item.type not in x.model.primitives):
        return EMPTY
    value = system(item)
    return EMPTY if value is None else [value]


@function("resolve")
def resolve(items: Items, x: State) -> Items:
    """FHIR R4: the resource a Reference, uri or canonical points to; what is not found is left out.

    Raises:
        NotJudged: nobody can say whether it is there.
    """
    found: Items = []
    for item in items:
        if type(item) is not Node:
            address = item if type(item) is str else None
        else:
            address = item.value.get("reference") if type(item.value) is dict else item.value
        if type(address) is str:
            x.spend(1)
            resource = _resolved(address, x)
            if type(resource) is dict:
                found.append(node_of(resource, "Resource", x.model))
    return found


def _resolved(address: str, x: State) -> Any:  # noqa: ANN401 - JSON is any value
    root = single(x.root)
    container = root.value if type(root) is Node else None
    if address.startswith("#") and type(container) is dict:
        if address == "#":
            return container
        contained = container.get("contained")
        held = contained if type(contained) is list else []
        return next((one for one in held if type(one) is dict and one.get("id") == address[1:]), None)
    ask = x.environment.resolve
    answer = NOT_JUDGED if ask is None else ask(address, container if type(container) is dict else {})
    if answer is NOT_JUDGED:
        message = "a reference leads outside what is at hand"
        raise NotJudged(message)
    return answer


@function("memberOf", 1)
def member_of(items: Items, x: State, value_set: Items) -> Items:
    """FHIR R4: the code is in a value set, as far as somebody can say."""
    item, url = single(items), text(value_set)
    if item is None or url is None:
        return EMPTY
    node = item if type(item) is Node else Node(item, "System." + system_type(item))
    return _asked(x.environment.member_of, node, url, x)


@function("conformsTo", 1)
def conforms_to(items: Items, x: State, profile: Items) -> Items:
    """FHIR R4: the item is valid against a profile, as far as somebody can say; of another type it is not."""
    item, url = single(items), text(profile)
    if item is None or url is None:
        return EMPTY
    if type(item) is not Node:
        return FALSE
    name = url.removeprefix(_DEFINITION)
    if name != url and x.model.knows(name) and name not in x.model.line(item.type):
        return FALSE
    return _asked(x.environment.conforms, item, url, x)


def _asked(ask: Callable[[Node, str], Any] | None, node: Node, url: str, x: State) -> Items:
    """Ask the caller; an open question is noted, and answered as assumed."""
    answer = NOT_JUDGED if ask is None else ask(node, url)
    if answer is not NOT_JUDGED:
        return TRUE if answer is True else FALSE
    key = (repr(node.value), url)
    if key not in x.open:
        x.open.append(key)
    return TRUE if x.assumed is not None and x.assumed.get(key) else FALSE


@function("htmlChecks")
def html_checks(items: Items, _: State) -> Items:
    """FHIR R4: the narrative holds what is allowed and something to read (txt-1, txt-2)."""
    from profiles.narrative import problems  # noqa: PLC0415 - the XML reader is loaded when a narrative comes by

    value = text(items)
    return EMPTY if value is None else yes_or_no(_NARRATIVE_RULES.isdisjoint(problems(value)))


def _now(x: State) -> datetime:
    now = x.environment.now
    if now is None or now.tzinfo is None:
        message = "the time is asked and was not given"
        raise EvaluationError(message)
    return now


@function("now")
def now(_: Items, x: State) -> Items:
    """N1 5.9.2."""
    return _read(date_time(_now(x).isoformat(timespec="milliseconds").replace("+00:00", "Z")))


@function("timeOfDay")
def time_of_day(_: Items, x: State) -> Items:
    """N1 5.9.2."""
    return _read(time(_now(x).time().isoformat(timespec="milliseconds")))


@function("today")
def today(_: Items, x: State) -> Items:
    """N1 5.9.2."""
    return _read(day(_now(x).date().isoformat()))


def _read(value: Temporal | None) -> Items:
    return EMPTY if value is None else [value]
