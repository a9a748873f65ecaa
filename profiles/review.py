"""The state of one validation against profiles: where it is, what it found, and what it could not judge itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from profiles.exact import Json
from profiles.fhirpath import NOT_JUDGED, Environment, Node
from profiles.instances import Instance
from profiles.references import Scope, literal_type, resolved
from profiles.terminology import Answer, Known, Question, membership
from profiles.walk import Path, Walk

if TYPE_CHECKING:
    from profiles.library import Library

DEEPEST: Final = 24


@dataclass(slots=True)
class Whole:
    """What all parts of one validation share."""

    library: Library
    known: Known
    errors_only: bool
    now: datetime | None = None
    questions: dict[Question, None] = field(default_factory=dict)
    # Whether a value conforms to a profile, by the identity of the value, which lives as long as this.
    verdicts: dict[tuple[int, str], bool | None] = field(default_factory=dict)
    depth: int = 0


@dataclass(slots=True)
class Review:
    """One validation of one resource; `walk` is None when only the verdict counts."""

    whole: Whole
    scope: Scope
    walk: Walk | None
    failed: bool = False
    _environment: Environment | None = None

    def add(self, rule: str, at: Path, expected: str = "", definition: str = "", severity: str = "error") -> None:
        """Record a finding; warnings do not fail."""
        if severity == "error":
            self.failed = True
        if self.walk is not None:
            self.walk.add(rule, at, expected, definition, severity)

    def remark(self, rule: str, at: Path, expected: str = "", definition: str = "", severity: str = "warning") -> None:
        """Record what is worth knowing and breaks no rule."""
        if self.walk is not None:
            self.walk.add(rule, at, expected, definition, severity)

    def ask(self, answer: Answer) -> bool | None:
        """Turn an answer about a code into yes, no or not known; what is not known is asked."""
        if answer is True or answer is False:
            return answer
        for question in answer:
            self.whole.questions[question] = None
        return None

    def silent(self) -> Review:
        """Give a review of the same resource of which only the verdict counts."""
        return Review(self.whole, self.scope, None)

    def within(self, scope: Scope) -> Review:
        """Start on another resource, with the same findings."""
        return Review(self.whole, scope, self.walk)

    def conforms(self, value: Any, kind: str, profile: str, scope: Scope | None = None) -> bool | None:  # noqa: ANN401 - JSON is any value
        """Say whether a value is what a profile asks; None when the profile is not known.

        INVARIANT: a value that refers back to itself is taken to conform while it is being judged.
        """
        key = (id(value), profile)
        if key in self.whole.verdicts:
            return self.whole.verdicts[key]
        check = self.whole.library.profile_check(profile)
        if check is None or self.whole.depth > DEEPEST:
            return None
        self.whole.verdicts[key] = True
        self.whole.depth += 1
        inner = Review(self.whole, scope or self.scope, None)
        if kind == self.whole.library.type_of(profile):
            check((value, None, (None, ""), kind), inner)
        else:
            inner.failed = True
        self.whole.depth -= 1
        self.whole.verdicts[key] = not inner.failed
        return not inner.failed

    def environment(self) -> Environment:
        """Give what the invariants of this resource may ask: other resources, value sets, profiles."""
        if self._environment is None:
            self._environment = Environment(
                resolve=self._resolve, member_of=self._member_of, conforms=self._conforms, now=self.whole.now
            )
        return self._environment

    def _resolve(self, reference: str, _: Json) -> Any:  # noqa: ANN401 - a resource or the answer that there is none
        found = resolved(reference, self.scope)
        if found is not None:
            return found.resource
        kind = literal_type(reference)
        # Of a resource elsewhere only the type is known.
        return {"resourceType": kind} if kind else NOT_JUDGED

    def _member_of(self, value: Node, value_set: str) -> Any:  # noqa: ANN401 - as above
        member = membership(value.type)
        if member is None or value.value is None:
            return NOT_JUDGED
        answer = self.ask(member(value.value, self.whole.library.value_set(value_set), self.whole.known))
        return NOT_JUDGED if answer is None else answer

    def _conforms(self, value: Node, profile: str) -> Any:  # noqa: ANN401 - as above
        answer = self.conforms(value.value, value.type, profile) if type(value.value) is dict else None
        return NOT_JUDGED if answer is None else answer


Check = Callable[[Instance, Review], None]
