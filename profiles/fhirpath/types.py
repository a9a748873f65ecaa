"""Types in expressions: what a name stands for, and what is of it."""

from __future__ import annotations

from dataclasses import dataclass

from profiles.fhirpath.errors import InvalidExpression
from profiles.fhirpath.model import SYSTEM, Model
from profiles.fhirpath.node import Item, Node, system_type


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type as an expression names it; without namespace it may be of FHIR or of System."""

    namespace: str
    name: str
    # The primitive that `Boolean` without a namespace also stands for after the operator `is` (que-7 needs it).
    primitive: str = ""

    def covers(self, item: Item, model: Model) -> bool:
        """Claim that an item is of this type or of one derived from it.

        Spec: FHIRPath N1 6.3 'Types'; FHIR R4 fhirpath.html, the namespaces FHIR and System.
        """
        if type(item) is Node and not item.type.startswith("System."):
            if self.namespace == "System":
                return bool(self.primitive) and self.primitive in model.line(item.type)
            return item.type == self.name or self.name in model.line(item.type)
        kind = item.type.removeprefix("System.") if type(item) is Node else system_type(item)
        return self.namespace != "FHIR" and (self.name in (kind, "Any"))


def type_name(text: str, model: Model, position: int, *, operator: bool = False) -> TypeName:
    """Read the name of a type.

    Raises:
        InvalidExpression: no type has it.
    """
    namespace, dot, name = text.partition(".")
    if dot and namespace in ("FHIR", "System"):
        if (namespace == "FHIR" and model.knows(name)) or (
            namespace == "System" and (name in SYSTEM or model.knows(name))
        ):
            # A type of FHIR is none of System, but asking whether it is one is no error.
            return TypeName(namespace, name)
    elif model.knows(text):
        return TypeName("" if text in SYSTEM else "FHIR", text)
    elif text in SYSTEM:
        primitive = text[0].lower() + text[1:]
        return TypeName("System", text, primitive if operator and primitive in model.primitives else "")
    message = f"there is no type {text}"
    raise InvalidExpression(message, position)
