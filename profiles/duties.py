"""What every element of a type must be beyond its structure: invariants, bindings of the base specification, extensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from profiles.attachments import check_attachment
from profiles.definitions import Member, definitions
from profiles.elements import Compiler
from profiles.exact import Json
from profiles.extensions import Place, check_extensions
from profiles.review import Check, Review
from profiles.rules import rule_check
from profiles.safety import check_identifier, check_quantity
from profiles.walk import Path

if TYPE_CHECKING:
    from profiles.library import Library

# Checked by the structural tier, in the schema as well as in the closures.
NATIVE: Final = frozenset(
    (
        *("ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "txt-1", "txt-2", "per-1", "qty-3", "cpt-2", "att-1"),
        *("tim-1", "tim-2", "tim-6", "tim-7", "tim-8", "tim-10", "pat-1", "obs-3", "ref-1"),
        *(f"bdl-{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12)),
    )
)
_OWN: Final[dict[str, Check]] = {
    "Attachment": check_attachment,
    "Identifier": check_identifier,
    "Quantity": check_quantity,
    "SimpleQuantity": check_quantity,
}
Visit = Callable[[Any, Json, Path, Review], None]


@dataclass(frozen=True, slots=True)
class Duty:
    """What is done at each object of a type."""

    rules: tuple[Check, ...]
    members: dict[str, Visit]


class Duties:
    """The visits of all types, compiled when first met; `nested` takes over where another resource begins."""

    def __init__(self, library: Library, facts: Json, *, errors_only: bool) -> None:
        self._library = library
        self._facts = facts
        self._errors_only = errors_only
        self._made: dict[str, Duty] = {}

    def visit(self, value: Json, at: Path, kind: str, review: Review, place: Place | None = None) -> None:
        """Check one object and all that is in it, up to where another resource begins."""
        duty = self._made.get(kind)
        if duty is None:
            duty = self._made[kind] = self._duty(kind)
        for rule in duty.rules:
            rule((value, None, at, kind), review)
        members = duty.members
        for name in value:
            if name in members:
                members[name](value[name], value, at, review)
        for name in ("extension", "modifierExtension"):
            if name in value:
                self._extensions(name, value, at, place or Place(kind), review)

    def _duty(self, kind: str) -> Duty:
        facts = self._facts.get(kind, {})
        members: dict[str, Visit] = {}
        type_ = definitions().types[kind]
        for element in type_.elements:
            for member in element.members:
                label = element.name if len(element.members) == 1 else element.name + "[x]"
                asked = self._asked(kind, label, member, facts)
                if (visit := self._member(kind, member, asked)) is not None:
                    members[member.name] = visit
                if member.type in definitions().primitives and member.type != "xhtml":
                    members["_" + member.name] = self._beside(kind, member)
        return Duty(self._rules(facts, kind), members)

    def _rules(self, facts: Json, kind: str) -> tuple[Check, ...]:
        own = (_OWN[kind],) if kind in _OWN else ()
        return own + tuple(
            rule_check(key, severity, expression, kind)
            for key, severity, expression in facts.get("rules", ())
            if key not in NATIVE and (severity == "error" or not self._errors_only)
        )

    def _asked(self, kind: str, label: str, member: Member, facts: Json) -> Check | None:
        """Give what the base specification asks of one element beyond what the structural tier checks."""
        row = dict(facts.get("children", {}).get(label, {}))
        row["rules"] = [
            r for r in row.get("rules", ()) if r[0] not in NATIVE and not (self._errors_only and r[1] != "error")
        ]
        if member.codes or (self._errors_only and row.get("bind", ["required"])[0] != "required"):
            row.pop("bind", None)
        return Compiler(self._library, f"{kind}").check(row, f"{kind}.{label}")

    def _member(self, owner: str, member: Member, asked: Check | None) -> Visit | None:
        if member.type in ("Resource", "Extension"):
            return None
        if member.type in definitions().primitives:
            return _primitive(member, asked) if asked is not None else None
        return self._complex(owner, member, asked)

    def _extensions(self, name: str, holder: Json, at: Path, place: Place, review: Review) -> None:
        if place.kind == "Extension":
            place = Place("Extension", inside=holder["url"])
        check_extensions(holder[name], name, at, place, holder, review)
        here: Path = (at, "." + name)
        for n, extension in enumerate(holder[name]):
            self.visit(extension, (here, n), "Extension", review)

    def _complex(self, owner: str, member: Member, asked: Check | None) -> Visit:
        step, kind, place = "." + member.expression, member.type, Place(member.type, owner, member.name)
        visit_value = self.visit

        def one(value: Json, _: Json, at: Path, review: Review) -> None:
            here: Path = (at, step)
            if asked is not None:
                asked((value, None, here, kind), review)
            visit_value(value, here, kind, review, place)

        def many(values: list[Json], _: Json, at: Path, review: Review) -> None:
            here: Path = (at, step)
            for n, value in enumerate(values):
                if asked is not None:
                    asked((value, None, (here, n), kind), review)
                visit_value(value, (here, n), kind, review, place)

        return many if member.many else one

    def _beside(self, owner: str, member: Member) -> Visit:
        """Visit `_name`: the extensions of a primitive."""
        step, place = "." + member.expression, Place(member.type, owner, member.name)

        def one(beside: Json, at: Path, review: Review) -> None:
            if "extension" in beside:
                self._extensions("extension", beside, at, place, review)

        def visit(beside: Any, _: Json, at: Path, review: Review) -> None:  # noqa: ANN401 - JSON is any value
            here: Path = (at, step)
            if type(beside) is dict:
                one(beside, here, review)
                return
            for n, row in enumerate(beside):
                if row is not None:
                    one(row, (here, n), review)

        return visit


def _primitive(member: Member, asked: Check) -> Visit:
    name, step, kind = "_" + member.name, "." + member.expression, member.type

    def visit(value: Any, holder: Json, at: Path, review: Review) -> None:  # noqa: ANN401 - JSON is any value
        here: Path = (at, step)
        if type(value) is not list:
            asked((value, holder.get(name), here, kind), review)
            return
        for n, one in enumerate(value):
            if one is not None:
                asked((one, None, (here, n), kind), review)

    return visit


def visits(
    kind: str, wanted: Callable[[str], bool], visit: Callable[[Json, Path, str, Review], None]
) -> dict[str, Visit]:
    """Give the members of a type whose own types are wanted, each with what visits its values."""
    type_ = definitions().types[kind]
    members = (member for element in type_.elements for member in element.members)
    return {
        member.name: _walking(member, visit)
        for member in members
        if member.type in definitions().types and member.type != "Extension" and wanted(member.type)
    }


def _walking(member: Member, visit: Callable[[Json, Path, str, Review], None]) -> Visit:
    step, kind = "." + member.expression, member.type

    def walk(value: Any, _: Json, at: Path, review: Review) -> None:  # noqa: ANN401 - JSON is any value
        here: Path = (at, step)
        if type(value) is dict:
            visit(value, here, kind, review)
            return
        for n, one in enumerate(value):
            visit(one, (here, n), kind, review)

    return walk
