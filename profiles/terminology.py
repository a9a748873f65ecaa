"""Is a code in a value set? Yes, no, or not known here: then it is a question for a terminology server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from profiles.exact import Json
from profiles.expansion import ANY

_LANGUAGE: Final = re.compile(
    r"(?:[a-zA-Z]{2,3}(?:-[a-zA-Z]{3}){0,3}|[a-zA-Z]{4,8})(?:-[a-zA-Z0-9]{1,8})*|[xi](?:-[a-zA-Z0-9]{1,8})+"
)
_MIME: Final = re.compile(r"xml|json|ttl|[a-zA-Z0-9!#$&^_.+\-]{1,127}/[a-zA-Z0-9!#$&^_.+\-*]{1,127}(?:\s*;.*)?")
UCUM: Final = "http://unitsofmeasure.org"
# Systems without a list, whose grammar says what is a code. Spec: FHIR R4 4.3 'Using Codes', special systems.
GRAMMARS: Final = {"urn:ietf:bcp:47": _LANGUAGE, "urn:ietf:bcp:13": _MIME}


@dataclass(frozen=True, slots=True)
class Question:
    """A coding that could not be judged here: is `code` of `system` in `value_set`? No system: a plain code."""

    system: str
    code: str
    value_set: str


# Yes, no, or the questions that must be answered first.
Answer = bool | tuple[Question, ...]
Known = Mapping[Question, bool]


@dataclass(frozen=True, slots=True)
class ValueSet:
    """One value set as far as it is known offline."""

    url: str
    codes: dict[str, frozenset[str]]
    open: frozenset[str]
    every: frozenset[str]
    units: bool = False  # all of it are units: then it speaks of quantities only

    @classmethod
    def of(cls, url: str, expansion: Json) -> ValueSet:
        """Make a value set of what the build found."""
        codes = {system: frozenset(members) for system, members in expansion["codes"].items()}
        return cls(url, codes, frozenset(expansion["open"]), frozenset().union(*codes.values()), codes.keys() == {UCUM})

    def has(self, system: str | None, code: str, known: Known) -> Answer:
        """Say whether a code is in; a question when nobody here knows."""
        if system is None:
            if code in self.every:
                return True
            systems = tuple(self.open)
        elif code in self.codes.get(system, ()):
            return True
        else:
            systems = (system,) if system in self.open or ANY in self.open else ()
        if not systems:
            return False
        grammars = [GRAMMARS.get(name) for name in systems]
        if all(grammars):
            return any(grammar.fullmatch(code) for grammar in grammars if grammar)
        question = Question(system or "", code, self.url)
        answer = known.get(question)
        return (question,) if answer is None else answer


Member = Callable[[Any, ValueSet, Known], Answer]


def _plain(value: Any, value_set: ValueSet, known: Known) -> Answer:  # noqa: ANN401 - JSON is any value
    # Without a value there is an extension that says why, or the structure is wrong.
    return value_set.has(None, value, known) if type(value) is str and not value_set.units else True


def _coding(value: Json, value_set: ValueSet, known: Known) -> Answer:
    code = value.get("code")
    if code is None:
        return "extension" in value or "_code" in value
    return value_set.has(value.get("system"), code, known) if "system" in value else False


def _concept(value: Json, value_set: ValueSet, known: Known) -> Answer:
    """One coding that is in suffices; what has no coding but says so in an extension is left to that."""
    if value_set.units:
        # The units of vital signs are bound on value[x] as a whole; a finding in words has no unit.
        return True
    codings = value.get("coding")
    if not codings:
        return "extension" in value
    questions: tuple[Question, ...] = ()
    for coding in codings:
        found = _coding(coding, value_set, known)
        if found is True:
            return True
        if found is not False:
            questions += found
    return questions or False


def _quantity(value: Json, value_set: ValueSet, known: Known) -> Answer:
    return value_set.has(value.get("system"), value["code"], known) if "code" in value else True


def _money(value: Json, value_set: ValueSet, known: Known) -> Answer:
    return value_set.has(None, value["currency"], known) if "currency" in value else True


_FORMS: Final[dict[str, Member]] = {
    **dict.fromkeys(("code", "string", "uri"), _plain),
    **dict.fromkeys(("Quantity", "SimpleQuantity", "Age", "Duration", "Distance", "Count"), _quantity),
    "Coding": _coding,
    "CodeableConcept": _concept,
    "Money": _money,
}


def membership(kind: str) -> Member | None:
    """Give the check of one type that can carry codes; nothing for others."""
    return _FORMS.get(kind)
