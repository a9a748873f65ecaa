"""Extensions: each known one is what its definition says, and stands where it may.

Spec: FHIR R4 2.4.0 'Extensibility', StructureDefinition.context.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from profiles.definitions import definitions
from profiles.exact import Json
from profiles.fhirpath import FhirPathError, Node, compile_expression
from profiles.references import Scope
from profiles.review import Check, Review, Whole
from profiles.schema import surely_valid as accepts_base
from profiles.walk import Path, rendered

if TYPE_CHECKING:
    from profiles.library import Library

_ABSTRACT: Final[dict[str, Callable[[str], bool]]] = {
    "Element": lambda _: True,
    "BackboneElement": lambda kind: "." in kind,
    "Resource": lambda kind: kind in definitions().resources,
    "DomainResource": lambda kind: kind in definitions().resources and kind not in ("Bundle", "Binary", "Parameters"),
}
_INDEX: Final = re.compile(r"\[\d+\]")
_OF_TYPE: Final = re.compile(r"\.ofType\(\w+\)")


@dataclass(frozen=True, slots=True)
class Definition:
    """One extension as defined."""

    url: str
    check: Check
    contexts: tuple[tuple[str, str], ...]
    invariants: tuple[str, ...]
    modifier: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where extensions stand: in an element of a type, which is `name` of its owner, in the extension `inside`."""

    kind: str
    owner: str = ""
    name: str = ""
    inside: str = ""


def check_extensions(found: list[Json], name: str, at: Path, place: Place, holder: Json, review: Review) -> None:
    """Check the extensions or modifier extensions of one element."""
    here: Path = (at, "." + name)
    for n, extension in enumerate(found):
        url = extension.get("url", "")
        definition = review.whole.library.extension(url)
        if definition is None:
            if review.walk is not None:
                _unknown(url, name, (here, n), place, review)
            continue
        if definition.modifier is not (name == "modifierExtension"):
            review.add("extension-modifier", (here, n), name, definition.url)
        if not _fits(definition, place, at, review):
            shown = ", ".join(expression for _, expression in definition.contexts)
            review.add("extension-context", (here, n), shown, definition.url)
        for expression in definition.invariants:
            if _holds(expression, extension, holder, place.kind, review) is False:
                review.add("extension-invariant", (here, n), expression, definition.url)
        definition.check((extension, None, (here, n), "Extension"), review)


def _unknown(url: str, name: str, at: Path, place: Place, review: Review) -> None:
    if name == "modifierExtension":
        review.remark("modifier-unknown", at)
    elif ":" not in url:
        # The parts of a complex extension have short names; its definition says which.
        if not place.inside:
            review.remark("extension-relative", at)
    else:
        review.remark("extension-unknown", at, severity="information")


def _fits(definition: Definition, place: Place, at: Path, review: Review) -> bool:
    """Claim that an extension may stand here; one without a stated context may stand anywhere."""
    if not definition.contexts:
        return True
    memo = review.whole.library.contexts
    key = (definition.url, place)
    if key not in memo:
        memo[key] = any(_static(kind, expression, place) for kind, expression in definition.contexts)
    if memo[key]:
        return True
    path = _INDEX.sub("", _OF_TYPE.sub("", rendered(at)))
    return any(
        (kind == "element" and (path == expression.removesuffix("[x]") or path.endswith("." + expression)))
        or (kind == "fhirpath" and _in_context(expression, review))
        for kind, expression in definition.contexts
    )


def _static(kind: str, expression: str, place: Place) -> bool:
    if kind == "extension":
        return expression.partition("#")[0] == place.inside
    if kind != "element":
        return False
    if expression in _ABSTRACT:
        return _ABSTRACT[expression](place.kind)
    own = f"{place.owner}.{place.name}" if place.owner else place.kind
    wanted = expression.removesuffix("[x]")
    return wanted in (own, place.kind) or (wanted == "Quantity" and place.kind in _QUANTITIES)


_QUANTITIES: Final = ("SimpleQuantity", "MoneyQuantity", "Age", "Count", "Distance", "Duration")


def _in_context(expression: str, review: Review) -> bool:
    """Claim that a FHIRPath context selects something in this resource; which element it is, is not told apart."""
    resource = review.scope.resource
    try:
        return bool(
            compile_expression(expression, resource["resourceType"]).evaluate(resource, resource, review.scope.root)
        )
    except FhirPathError:
        return True


def _holds(expression: str, extension: Json, holder: Json, kind: str, review: Review) -> bool | None:
    try:
        compiled = compile_expression(expression, kind, variables=("extension",))
        if compiled.doubts:
            return None  # the definition names an element that does not exist
        around = replace(review.environment(), variables={"extension": Node(extension, "Extension", None)})
        return compiled.holds(holder, review.scope.resource, review.scope.root, around)
    except FhirPathError:
        return None


def stands_anywhere(definition: Definition, place: Place) -> bool:
    """Claim that the place alone, without the rest of the resource, shows that an extension may stand there."""
    return not definition.contexts or any(_static(kind, expression, place) for kind, expression in definition.contexts)


def known_extension(extension: Any, place: Place, library: Library) -> bool:  # noqa: ANN401 - JSON is any value
    """Claim that one extension has no errors, as far as that shows without what is around it."""
    if type(extension) is not dict or type(extension.get("url")) is not str:
        return False
    definition = library.extension(extension["url"])
    if definition is None:
        return False
    if definition.modifier or definition.invariants or not stands_anywhere(definition, place):
        return False
    holder: Json = {"resourceType": "Basic", "extension": [extension]}
    if not accepts_base({"resourceType": "Basic", "code": {"text": "x"}, "extension": [extension]}):
        return False
    review = Review(Whole(library, {}, errors_only=True), Scope(holder, holder), None)
    definition.check((extension, None, (None, ""), "Extension"), review)
    library.duties[True].visit(extension, (None, ""), "Extension", review)
    return not review.failed
