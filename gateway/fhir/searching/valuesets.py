"""Codes by what they belong to: in a value set, above or below another code, as far as both are known whole here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.errors import Invalid
from gateway.fhir.searching.escaping import plain, split
from gateway.fhir.searching.table import Parameter
from gateway.fhir.searching.tokens import pairs

ValueTest = Callable[[Any], bool]


def build_in(parameter: Parameter, modifier: str, text: str) -> ValueTest:
    """`:in`, and what `:not-in` leaves out: a code of a value set, by its canonical.

    A value set is known when it is published with the profiles of this release; one that takes from a code system that
    is not published whole, as all of SNOMED CT that means a disease, cannot be answered without a terminology server.

    Raises:
        Invalid: `invalid-parameter`, naming the value set.

    Spec: FHIR R4 3.1.1.4.4 'Modifiers', :in and :not-in.
    """
    from profiles import published, terminology  # noqa: PLC0415 - read when somebody asks, not at the start

    value_set = published.value_set(plain(text).partition("|")[0])
    if value_set.open - terminology.GRAMMARS.keys():
        why = f"the members of {plain(text)[:200]} are not known whole here; give the codes themselves"
        raise Invalid("invalid-parameter", name=f"{parameter.name}:{modifier}", why=why)

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        return any(value_set.has(system, code, {}) is True for system, code in pairs(value))

    return test


def build_place(parameter: Parameter, modifier: str, text: str) -> ValueTest:
    """`:below`: this code or one under it; `:above`: this code or one it stands under.

    Raises:
        Invalid: `invalid-parameter`, naming the code system of which the hierarchy is not known.

    Spec: FHIR R4 3.1.1.4.4 'Modifiers', :above and :below.
    """
    from profiles.published import ancestors, descendants  # noqa: PLC0415 - read when somebody asks, not at the start

    parts = [plain(part) for part in split(text, "|")]
    systems = {parts[0]} if len(parts) == 2 else parameter.systems
    if len(parts) > 2 or not parts[-1] or not systems:
        raise Invalid("invalid-parameter", name=f"{parameter.name}:{modifier}", why="give system|code")
    reach = descendants if modifier == "below" else ancestors
    found = {system: codes for system in sorted(systems) if (codes := reach(system, parts[-1])) is not None}
    if not found:
        why = (
            f"the place of this code in {', '.join(sorted(systems))[:200]} is not known here; give the codes themselves"
        )
        raise Invalid("invalid-parameter", name=f"{parameter.name}:{modifier}", why=why)
    implied = frozenset[str]().union(*(found[system] for system in found if system in parameter.systems))

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        return any(code in (implied if system is None else found.get(system, ())) for system, code in pairs(value))

    return test
