"""Is this resource what its profiles ask? The public face of profile validation: a full answer and a fast claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from profiles.bundles import check_bundle
from profiles.claims import asked_profiles
from profiles.exact import Json
from profiles.issue import Issue
from profiles.library import Library
from profiles.quick import Quick
from profiles.references import Scope, bundle_scopes
from profiles.review import Review, Whole
from profiles.safety import check_safety
from profiles.terminology import Question
from profiles.validation import accepts as accepts_base
from profiles.validation import validate as validate_base
from profiles.walk import Path, Walk

# A resource whose JSON has not the form of its type cannot be read any further.
_FORMLESS: Final = frozenset(
    (
        *(
            "not-a-resource",
            "unknown-resource-type",
            "too-deep",
            "expected-object",
            "expected-array",
            "expected-scalar",
        ),
        *(
            "primitive-type",
            "null-value",
            "too-many-issues",
            "empty-array",
            "array-lengths",
            "unknown-element",
            "one-choice",
        ),
        *("not-unicode", "required-url"),
    )
)
_NOTHING: Final[Mapping[Question, bool]] = {}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What profiles have against a resource, and the codings nobody here can judge."""

    issues: tuple[Issue, ...]
    questions: tuple[Question, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Claim that nothing is known to be wrong."""
        return not any(issue.is_error for issue in self.issues)


def judge(
    resource: Json,
    library: Library,
    profiles: Iterable[str] = (),
    known: Mapping[Question, bool] = _NOTHING,
    now: datetime | None = None,
) -> Verdict:
    """Give everything FHIR R4, the claimed profiles and the asked profiles have against a resource.

    What it cannot judge offline comes back as `questions`: ask a terminology server, and call again with `known`.
    INVARIANT: never raises; depth, time and the number of issues are bounded by the input.
    """
    walk = Walk(list(validate_base(resource)))
    walk.counts[0] = sum(found.is_error for found in walk.issues)
    if any(issue.rule in _FORMLESS for issue in walk.issues):
        return Verdict(tuple(walk.issues))
    whole = Whole(library, known, errors_only=False, now=now)
    review = Review(whole, Scope(resource, resource), walk)
    _resource(resource, (None, resource["resourceType"]), review, tuple(profiles))
    return Verdict(tuple(walk.issues), tuple(whole.questions))


def accepts(
    resource: Json, library: Library, profiles: Iterable[str] = (), known: Mapping[Question, bool] = _NOTHING
) -> bool:
    """Claim that `judge` finds no error, quickly when that is so.

    INVARIANT: `accepts(r, …) == judge(r, …).is_valid`; never raises.
    """
    asked = tuple(profiles)
    if quick_of(library).surely(resource, asked, known):
        return True
    if not accepts_base(resource):
        return False
    whole = Whole(library, known, errors_only=True)
    review = Review(whole, Scope(resource, resource), None)
    _resource(resource, (None, resource["resourceType"]), review, asked)
    return not review.failed


@lru_cache(maxsize=16)
def quick_of(library: Library) -> Quick:
    """Give the fast tier of a profile set; a set lives as long as it is used."""
    return Quick(library)


def _resource(value: Json, at: Path, review: Review, profiles: tuple[str, ...]) -> None:
    kind = value["resourceType"]
    library = review.whole.library
    library.duties[review.whole.errors_only].visit(value, at, kind, review)
    for profile in asked_profiles(value, at, profiles, review):
        check = library.profile_check(profile)
        if check is not None:
            check((value, None, at, kind), review)
    check_safety(value, at, kind, review)
    if kind == "Bundle":
        scopes = bundle_scopes(value)
        check_bundle(value, at, scopes, review)
        _entries(value, at, review, scopes)
        return
    for here, inner in _nested(value, at):
        root = value if "contained" in value and value is review.scope.root else inner
        _inner(inner, here, review, Scope(inner, root, review.scope.full_url, review.scope.bundle))


def _entries(bundle: Json, at: Path, review: Review, scopes: dict[str, Scope]) -> None:
    for n, entry in enumerate(bundle.get("entry", ())):
        here: Path = ((at, ".entry"), n)
        if "resource" in entry:
            inner = entry["resource"]
            _inner(inner, (here, ".resource"), review, Scope(inner, inner, entry.get("fullUrl", ""), scopes))
        outcome = entry.get("response", {}).get("outcome")
        if outcome is not None:
            _inner(outcome, ((here, ".response"), ".outcome"), review, Scope(outcome, outcome))


def _inner(value: Json, at: Path, review: Review, scope: Scope) -> None:
    inner = review.within(scope)
    _resource(value, at, inner, ())
    review.failed = review.failed or inner.failed


def _nested(value: Json, at: Path) -> Iterator[tuple[Path, Json]]:
    """Give the resources in a resource: contained, and those of Parameters."""
    for n, inner in enumerate(value.get("contained", ())):
        yield ((at, ".contained"), n), inner
    if value["resourceType"] == "Parameters":
        stack: list[tuple[Path, Any]] = [((at, ".parameter"), value.get("parameter", ()))]
        while stack:
            here, parameters = stack.pop()
            for n, parameter in enumerate(parameters):
                if "resource" in parameter:
                    yield ((here, n), ".resource"), parameter["resource"]
                if "part" in parameter:
                    stack.append((((here, n), ".part"), parameter["part"]))
