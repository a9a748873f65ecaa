"""What a token may ask: the grammar of SMART scopes, their intersection and what they cover."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, Final

LETTERS: Final = "cruds"
_VERSION_1: Final = {"read": "rs", "write": "cud", "*": LETTERS}
_GRAMMAR: Final = re.compile(
    r"(?P<context>system|user|patient)/(?P<type>\*|[A-Z][A-Za-z]{1,63})"
    r"\.(?P<letters>read|write|\*|c?r?u?d?s?)(?:\?(?P<query>[!-~]{1,512}))?",
    re.ASCII,
)
# No percent sign, no plus: a value that needs decoding could mean one thing here and another at the door.
_CLAUSE: Final = re.compile(r"category=(?P<tokens>[A-Za-z0-9:/._|,-]+)", re.ASCII)

Clauses = frozenset[frozenset[str]]  # every clause must hold; one token of a clause is enough


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope, understood. INVARIANT: `letters` is a non-empty subsequence of "cruds"."""

    context: str
    type: str
    letters: str
    clauses: Clauses = frozenset()

    def __str__(self) -> str:
        query = "&".join(sorted("category=" + ",".join(sorted(clause)) for clause in self.clauses))
        return f"{self.context}/{self.type}.{self.letters}" + (f"?{query}" if query else "")


@lru_cache(maxsize=4096)
def parse(text: str) -> Scope | None:
    """Read one scope of SMART v1 or v2; None when it is not understood completely, and so unusable.

    Spec: SMART App Launch 2.2.0, 'Scopes for requesting FHIR Resources'.
    """
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        return None
    letters = _VERSION_1.get(found["letters"], found["letters"])
    if not letters:
        return None
    clauses: set[frozenset[str]] = set()
    for part in found["query"].split("&") if found["query"] is not None else ():
        clause = _CLAUSE.fullmatch(part)
        if clause is None:
            return None
        tokens = frozenset(clause["tokens"].split(","))
        if "" in tokens or not all(_is_token(token) for token in tokens):
            return None
        clauses.add(tokens)
    return Scope(found["context"], found["type"], letters, frozenset(clauses))


def covers(
    scopes: frozenset[str], kind: str, action: str, *, person: bool = True, launch_patient: bool = False
) -> bool:
    """Claim that one of the scopes lets the token do `action` ("c", "r", "u", "d" or "s") on a resource type.

    A `user/` scope counts only with a person, a `patient/` scope only with a patient of the launch.
    """
    return bool(_usable(scopes, kind, action, person, launch_patient))


def constraints(
    scopes: frozenset[str],
    kind: str,
    action: str,
    *,
    person: bool = True,
    launch_patient: bool = False,
) -> tuple[Clauses, ...] | None:
    """Say what an item must satisfy: None = nothing more; else one of the alternatives; empty = not covered.

    INVARIANT: each alternative is ANDed with everything else on every path, also include, read and history.
    """
    usable = _usable(scopes, kind, action, person, launch_patient)
    if frozenset() in usable:
        return None
    return usable


def satisfies(resource: dict[str, Any], alternatives: tuple[Clauses, ...] | None) -> bool:
    """Claim that an item lies within the query of at least one scope, see `constraints`."""
    if alternatives is None:
        return True
    tokens = _category_tokens(resource)
    return any(all(clause & tokens for clause in clauses) for clauses in alternatives)


def granted(requested: frozenset[str], registered: frozenset[str]) -> frozenset[str]:
    """Give what is asked for and registered; never more than either, empty when nothing is left."""
    result = set()
    for wish, entry in product(requested, registered):
        asked, allowed = parse(wish), parse(entry)
        if asked is None or allowed is None:
            continue
        both = _intersection(asked, allowed)
        if both is not None:
            # The client reads back its own spelling where nothing was taken away.
            result.add(wish if both == asked else str(both))
    return frozenset(result)


def _intersection(one: Scope, other: Scope) -> Scope | None:
    letters = "".join(letter for letter in LETTERS if letter in one.letters and letter in other.letters)
    if one.context != other.context or not letters or (one.type != other.type and "*" not in (one.type, other.type)):
        return None
    narrowest = other.type if one.type == "*" else one.type
    return Scope(one.context, narrowest, letters, one.clauses | other.clauses)


@lru_cache(maxsize=4096)
def _usable(scopes: frozenset[str], kind: str, action: str, person: bool, launch_patient: bool) -> tuple[Clauses, ...]:
    """Collect the queries of the scopes that cover a type and an action."""
    found = set()
    for text in scopes:
        scope = parse(text)
        if scope is None or len(action) != 1 or action not in scope.letters or scope.type not in ("*", kind):
            continue
        if (scope.context == "user" and not person) or (scope.context == "patient" and not launch_patient):
            continue
        found.add(scope.clauses)
    return tuple(sorted(found, key=lambda clauses: sorted(sorted(clause) for clause in clauses)))


def _is_token(token: str) -> bool:
    system, bar, code = token.rpartition("|")
    return bool(code) and "|" not in system and bool(system or not bar)


def _category_tokens(resource: dict[str, Any]) -> frozenset[str]:
    """Give each category of an item as `code` and as `system|code`."""
    concepts = resource.get("category", ())
    found = set()
    for concept in concepts if isinstance(concepts, list) else [concepts]:
        for coding in concept.get("coding", ()) if isinstance(concept, dict) else ():
            code = coding.get("code", "")
            if code:
                found |= {code, f"{coding.get('system', '')}|{code}"}
    return frozenset(found)
