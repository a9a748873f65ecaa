"""Codes and identifiers: a system and a code, or one of them, held against what a resource writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.errors import Invalid
from gateway.fhir.searching.escaping import plain, split
from gateway.fhir.searching.folding import variants
from gateway.fhir.searching.table import Parameter

ValueTest = Callable[[Any], bool]

# In these one letter in another case is another code: a milliampere is no megaampere.
_CASED: Final = frozenset({"http://unitsofmeasure.org"})
_CASED_PARAMETERS: Final = frozenset({"_id"})
_TRUTH: Final = "http://terminology.hl7.org/CodeSystem/special-values"


def build(parameter: Parameter, text: str) -> ValueTest:
    """What one value of a token parameter asks: `code`, `system|code`, `|code` (of no system) or `system|`.

    Case does not count, unless the code system says so: too much is safer than too little.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 3.1.1.4.10 'token'.
    """
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise Invalid("invalid-parameter", name=parameter.name, why="give code, system|code, |code or system|")
    system, code = parts if len(parts) == 2 else (None, parts[0])
    exact = parameter.name in _CASED_PARAMETERS
    wanted = code if exact else code.casefold()
    implied = parameter.systems

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        for own_system, own in pairs(value):
            if code and (own if exact else own.casefold()) != wanted:
                continue
            if code and own_system in _CASED and own != code:
                continue
            if system is None or own_system == (system or None):
                return True
            if own_system is None and system in (implied or (_TRUTH if value.__class__ is bool else "",)):
                return True
        return False

    return test


def build_text(name: str, text: str) -> ValueTest:
    """`:text`: the words of a code or of the type of an identifier begin with this.

    Raises:
        Invalid: `invalid-parameter`.
    """
    wanted = variants(plain(text))
    if not wanted[0]:
        raise Invalid("invalid-parameter", name=f"{name}:text", why="give words")
    return lambda value: any(begins(found, wanted) for found in _words(value))


def build_of_type(name: str, text: str) -> ValueTest:
    """`:of-type`: an identifier of a type, as `system|code|value`.

    Raises:
        Invalid: `invalid-parameter`.
    """
    parts = [plain(part) for part in split(text, "|")]
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise Invalid("invalid-parameter", name=f"{name}:of-type", why="give system|code|value")
    system, code, number = parts

    def test(value: Any) -> bool:  # noqa: ANN401 - an element of a resource
        if value.__class__ is not dict or str(value.get("value", "")).casefold() != number.casefold():
            return False
        kinds = pairs(value.get("type"))
        return any(own == code and (not system or own_system == system) for own_system, own in kinds)

    return test


def begins(found: str, wanted: tuple[str, ...]) -> bool:
    """Claim that a text begins with one of the folded forms."""
    forms = variants(found)
    return any(form.startswith(one) for form in forms for one in wanted)


def pairs(value: Any) -> Iterator[tuple[str | None, str]]:  # noqa: ANN401 - an element of a resource
    """Every system and code an element carries: no system where it does not say one."""
    if value.__class__ is bool:
        yield None, "true" if value else "false"
    elif value.__class__ is str:
        yield None, value
    elif value.__class__ is dict:
        if "coding" in value:
            for coding in value["coding"]:
                if isinstance(coding, dict):
                    yield coding.get("system") or None, str(coding.get("code", ""))
        elif "code" in value:
            yield value.get("system") or None, str(value["code"])
        elif "value" in value:  # an Identifier, or a ContactPoint, of which the system is no system of codes
            contact = str(value.get("system", "")).isalpha()
            yield None if contact else value.get("system") or None, str(value["value"])


def _words(value: Any) -> Iterator[str]:  # noqa: ANN401 - an element of a resource
    if value.__class__ is str:
        yield value
    elif value.__class__ is dict:
        yield from (value[name] for name in ("text", "display") if isinstance(value.get(name), str))
        for coding in value.get("coding") or ():
            if isinstance(coding, dict) and isinstance(coding.get("display"), str):
                yield coding["display"]
        if isinstance(value.get("type"), dict) and isinstance(value["type"].get("text"), str):
            yield value["type"]["text"]
