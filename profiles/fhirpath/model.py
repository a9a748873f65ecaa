"""The definitions as FHIRPath needs them: the elements of a type by name, by JSON property, and what derives from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from profiles.definitions import Definitions, definitions

# What a type derives from where the definitions do not say it; types not named derive from their kind.
_BASES: Final = {
    "code": "string", "id": "string", "markdown": "string", "url": "uri", "canonical": "uri", "uuid": "uri", "oid": "uri",
    "positiveInt": "integer", "unsignedInt": "integer", "Age": "Quantity", "Count": "Quantity", "Distance": "Quantity",
    "Duration": "Quantity", "SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity", "Resource": "",
    "DomainResource": "Resource", "Bundle": "Resource", "Binary": "Resource", "Parameters": "Resource",
    "BackboneElement": "Element", "Element": "", "Timing": "BackboneElement", "Dosage": "BackboneElement",
    "ElementDefinition": "BackboneElement",
}  # fmt: skip
_CHOICE_NAME: Final = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}
_PRIMITIVE_CHILDREN: Final = {"id": (("id", "string"),), "extension": (("extension", "Extension"),)}
SYSTEM: Final = frozenset(("Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity", "Any"))

Property = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one type: name to its JSON properties with their types, and property to its type.

    `choices` holds the properties of elements with more than one type.
    INVARIANT: a choice element is in `by_name` under the name without its type; `properties` holds no `_` siblings.
    """

    by_name: dict[str, tuple[Property, ...]]
    properties: dict[str, str]
    choices: dict[str, dict[str, str]]


class Model:
    """All types of one set of definitions."""

    def __init__(self, source: Definitions) -> None:
        self.primitives = frozenset(source.primitives)
        self.resources = source.resources
        self._source = source
        self._elements: dict[str, Elements | None] = {}
        self._lines: dict[str, tuple[str, ...]] = {}

    def elements(self, kind: str) -> Elements | None:
        """Give the elements of a type; nothing for a type that is not known."""
        try:
            return self._elements[kind]
        except KeyError:
            found = self._elements[kind] = self._read(kind)
            return found

    def _read(self, kind: str) -> Elements | None:
        if kind in self.primitives:
            return Elements(dict(_PRIMITIVE_CHILDREN), {}, {})
        row = self._source.types.get(_CHOICE_NAME.get(kind, kind))
        if row is None:
            return None
        by_name = {e.name: tuple((m.name, _CHOICE_NAME.get(m.type, m.type)) for m in e.members) for e in row.elements}
        properties = {m.name: _CHOICE_NAME.get(m.type, m.type) for e in row.elements for m in e.members}
        choices = {name: dict(found) for name, found in by_name.items() if len(found) > 1}
        return Elements(by_name, properties, choices)

    def line(self, kind: str) -> tuple[str, ...]:
        """Give a type with everything it derives from, itself first."""
        found = self._lines.get(kind)
        if found is None:
            found = self._lines[kind] = tuple(self._climb(kind))
        return found

    def _climb(self, kind: str) -> list[str]:
        found = []
        while kind:
            found.append(kind)
            kind = _BASES[kind] if kind in _BASES else self._default_base(kind)
        return found

    def _default_base(self, kind: str) -> str:
        if kind in self.resources:
            return "DomainResource"
        row = self._source.types.get(kind)
        if row is None and kind not in self.primitives:
            return ""
        has_modifiers = row is not None and any(e.name == "modifierExtension" for e in row.elements)
        return "BackboneElement" if has_modifiers and "." in kind else "Element"

    def knows(self, kind: str) -> bool:
        """Claim that a type exists, abstract ones included."""
        return kind in self._source.types or kind in self.primitives or kind in self.resources or kind in _BASES


def model_of(source: Definitions | None = None) -> Model:
    """Give the model of definitions, those of the project by default; made once for each."""
    source = definitions() if source is None else source
    found = _MODELS.get(id(source))
    if found is None:
        # The definitions are kept with their model, so that no other value can get the same identity.
        found = _MODELS[id(source)] = (source, Model(source))
    return found[1]


_MODELS: Final[dict[int, tuple[Definitions, Model]]] = {}
