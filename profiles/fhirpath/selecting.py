"""Functions on collections: existence, filtering, subsetting, combining and aggregates."""

from __future__ import annotations

from profiles.fhirpath.equality import Distinct, distinct, equal_items, single, truth
from profiles.fhirpath.errors import EvaluationError
from profiles.fhirpath.node import Item, Items, system
from profiles.fhirpath.registry import EMPTY, FALSE, TRUE, Run, function, yes_or_no
from profiles.fhirpath.state import State


@function("empty")
def empty(items: Items, _: State) -> Items:
    """N1 5.1.1."""
    return FALSE if items else TRUE


@function("exists", 0, 1, reading="expressions")
def exists(items: Items, x: State, criteria: Run | None = None) -> Items:
    """N1 5.1.2."""
    if criteria is None:
        return TRUE if items else FALSE
    return TRUE if where(items, x, criteria) else FALSE


@function("all", 1, reading="expressions")
def every(items: Items, x: State, criteria: Run) -> Items:
    """N1 5.1.3."""
    return TRUE if len(where(items, x, criteria)) == len(items) else FALSE


def _truths(items: Items) -> list[bool]:
    found = [system(item) for item in items]
    if any(value is not True and value is not False for value in found):
        message = "only booleans are expected here"
        raise EvaluationError(message)
    return found


@function("allTrue")
def all_true(items: Items, _: State) -> Items:
    """N1 5.1.4."""
    return yes_or_no(all(_truths(items)))


@function("anyTrue")
def any_true(items: Items, _: State) -> Items:
    """N1 5.1.5."""
    return yes_or_no(any(_truths(items)))


@function("allFalse")
def all_false(items: Items, _: State) -> Items:
    """N1 5.1.6."""
    return yes_or_no(not any(_truths(items)))


@function("anyFalse")
def any_false(items: Items, _: State) -> Items:
    """N1 5.1.7."""
    return yes_or_no(not all(_truths(items)))


@function("subsetOf", 1)
def subset_of(items: Items, x: State, other: Items) -> Items:
    """N1 5.1.8."""
    whole = distinct(other, x)
    return yes_or_no(all(whole.holds(item) for item in items))


@function("supersetOf", 1)
def superset_of(items: Items, x: State, other: Items) -> Items:
    """N1 5.1.9."""
    return subset_of(other, x, items)


@function("count")
def count(items: Items, _: State) -> Items:
    """N1 5.1.10."""
    return [len(items)]


@function("distinct")
def distinct_items(items: Items, x: State) -> Items:
    """N1 5.1.11."""
    return distinct(items, x).items


@function("isDistinct")
def is_distinct(items: Items, x: State) -> Items:
    """N1 5.1.12."""
    return yes_or_no(len(distinct(items, x).items) == len(items))


@function("where", 1, reading="expressions")
def where(items: Items, x: State, criteria: Run) -> Items:
    """N1 5.2.1."""
    if not items:
        return EMPTY
    x.spend(len(items))
    this, index = x.this, x.index
    found = []
    for place, item in enumerate(items):
        x.this = one = [item]
        x.index = place
        if truth(criteria(one, x)):
            found.append(item)
    x.this, x.index = this, index
    return found


@function("select", 1, reading="expressions")
def select(items: Items, x: State, projection: Run) -> Items:
    """N1 5.2.2."""
    x.spend(len(items))
    this, index = x.this, x.index
    found: Items = []
    for place, item in enumerate(items):
        x.this = one = [item]
        x.index = place
        found.extend(projection(one, x))
    x.spend(len(found))
    x.this, x.index = this, index
    return found


@function("repeat", 1, reading="expressions")
def repeat(items: Items, x: State, projection: Run) -> Items:
    """N1 5.2.3: what the projection gives, and what it gives of that, each item once."""
    found = Distinct(x)
    queue = items
    while queue:
        queue = [item for item in select(queue, x, projection) if found.add(item)]
    return found.items


@function("aggregate", 1, 2, reading="expressions")
def aggregate(items: Items, x: State, aggregator: Run, initial: Run | None = None) -> Items:
    """N1 7.1."""
    x.spend(len(items))
    this, index, total = x.this, x.index, x.total
    found = EMPTY if initial is None else initial(this, x)
    for place, item in enumerate(items):
        x.this = one = [item]
        x.index = place
        x.total = found
        found = aggregator(one, x)
    x.this, x.index, x.total = this, index, total
    return found


@function("single")
def single_item(items: Items, _: State) -> Items:
    """N1 5.3.2."""
    single(items)
    return items


@function("first")
def first(items: Items, _: State) -> Items:
    """N1 5.3.3."""
    return items[:1]


@function("last")
def last(items: Items, _: State) -> Items:
    """N1 5.3.4."""
    return items[-1:]


@function("tail")
def tail(items: Items, _: State) -> Items:
    """N1 5.3.5."""
    return items[1:]


def whole(items: Items) -> int | None:
    """Read an argument that must be one Integer; None for empty.

    Raises:
        EvaluationError: it is something else.
    """
    value = system(single(items))
    if value is None or type(value) is int:
        return value
    message = "a whole number is needed here"
    raise EvaluationError(message)


@function("skip", 1)
def skip(items: Items, _: State, number: Items) -> Items:
    """N1 5.3.6."""
    return items[max(whole(number) or 0, 0) :]


@function("take", 1)
def take(items: Items, _: State, number: Items) -> Items:
    """N1 5.3.7."""
    return items[: max(whole(number) or 0, 0)]


@function("intersect", 1)
def intersect(items: Items, x: State, other: Items) -> Items:
    """N1 5.3.8: without duplicates."""
    whole_ = distinct(other, x)
    return distinct([item for item in items if whole_.holds(item)], x).items


@function("exclude", 1)
def exclude(items: Items, x: State, other: Items) -> Items:
    """N1 5.3.9: keeps order and duplicates."""
    without = distinct(other, x)
    return [item for item in items if not without.holds(item)]


@function("union", 1)
def union(items: Items, x: State, other: Items) -> Items:
    """N1 5.4.1, and the operator `|`."""
    return distinct([*items, *other], x).items


@function("combine", 1)
def combine(items: Items, x: State, other: Items) -> Items:
    """N1 5.4.2: keeps duplicates."""
    x.spend(len(items) + len(other))
    return [*items, *other]


def within(items: Items, whole_: Items, x: State) -> bool | None:
    """Claim that every item is in a collection, as `in` and `contains` ask.

    More than one item is allowed on the side of the items: the published invariant tim-9 needs it.

    Spec: FHIRPath N1 6.4 'Collections'.
    """
    if not items:
        return None
    x.spend(len(whole_))
    return all(_has(item, whole_, x) for item in items)


def _has(item: Item, whole_: Items, x: State) -> bool:
    return any(equal_items(item, other, x) is True for other in whole_)


@function("not")
def negation(items: Items, _: State) -> Items:
    """N1 6.5.3 (as a function)."""
    value = truth(items)
    return EMPTY if value is None else FALSE if value else TRUE


@function("iif", 2, 3, reading="expressions")
def iif(items: Items, x: State, criterion: Run, true_result: Run, otherwise: Run | None = None) -> Items:
    """N1 5.5.1: only the branch that counts is evaluated; the focus is the collection."""
    this = x.this
    x.this = items
    value = truth(criterion(items, x))
    branch = true_result if value else otherwise
    found = EMPTY if branch is None else branch(items, x)
    x.this = this
    return found


@function("trace", 1, 2, reading="expressions")
def trace(items: Items, x: State, label: Run, projection: Run | None = None) -> Items:
    """N1 5.9.1: gives its input; what is shown goes to the caller, if it listens."""
    listen = x.environment.trace
    if listen is not None:
        shown = items if projection is None else select(items, x, projection)
        listen(str(system(single(label(x.this, x)))), shown)
    return items
