"""What fhir.resources knows of FHIR STU3, as the compact table in `mappings/sources/fhir-stu3.json`."""

from __future__ import annotations

import importlib
import json
import pkgutil
import typing
from pathlib import Path
from typing import Any, Final

from fhir.resources import STU3 as package  # noqa: N811 - a package, not a constant

TABLE: Final = Path(__file__).parents[2] / "mappings" / "sources" / "fhir-stu3.json"
_SHARED: Final = frozenset({"fhir_comments", "resourceType", "resource_type"})
_EVERYWHERE: Final = frozenset(
    {"id", "extension", "modifierExtension", "implicitRules", "language", "meta", "contained", "text"}
)
_OF_ELEMENTS: Final = frozenset({"id", "extension", "modifierExtension"})
_PRIMITIVES: Final = {
    "bool": "boolean",
    "int": "integer",
    "str": "string",
    "Decimal": "decimal",
    "encodedBytes": "base64Binary",
}


def known() -> dict[str, Any]:
    """Make the table: per type the elements (`*` repeats, `!` is required), and the codes where STU3 fixes them."""
    classes: dict[str, Any] = {}
    for one in pkgutil.iter_modules(package.__path__):
        if one.ispkg or one.name in {"fhirtypes", "fhirtypesvalidators"}:
            continue
        module = importlib.import_module(f"{package.__name__}.{one.name}")
        classes.update(
            {name: found for name, found in vars(module).items() if isinstance(found, type) and hasattr(found, "model_fields")
             and found.__module__ == module.__name__}
        )  # fmt: skip
    types: dict[str, Any] = {}
    codes: dict[str, list[str]] = {}
    paths: dict[str, str] = {}
    resources = sorted(
        name for name, one in classes.items() if _is_resource(one) and name not in {"Resource", "DomainResource"}
    )
    plain = sorted(
        name
        for name, one in classes.items()
        if not _is_resource(one) and not _is_part(one) and not name.startswith("FHIR")
    )
    for name in (*resources, *plain):
        _read(name, classes[name], classes, types, codes, paths)
    return {
        "version": "3.0.2",
        "resources": resources,
        "types": dict(sorted(types.items())),
        "codes": dict(sorted(codes.items())),
    }


def _is_resource(found: Any) -> bool:
    return any(base.__name__ == "Resource" for base in found.__mro__)


def _is_everywhere(found: Any, name: str) -> bool:
    """Claim that an element is one every resource or element has; most are also names of parts, such as a language."""
    return name in _EVERYWHERE and (name in _OF_ELEMENTS or _is_resource(found))


def _is_part(found: Any) -> bool:
    """Claim that a class is a part of the type its module is named after."""
    return not _is_resource(found) and found.__module__.rpartition(".")[2] != found.__name__.lower()


def _read(
    path: str,
    found: Any,
    classes: dict[str, Any],
    types: dict[str, Any],
    codes: dict[str, list[str]],
    paths: dict[str, str],
) -> None:
    elements: dict[str, str] = {}
    types[path] = elements
    for field in found.model_fields.values():
        name, extra = field.alias, field.json_schema_extra or {}
        if name in _SHARED or name.startswith("_") or not extra.get("element_property") or _is_everywhere(found, name):
            continue
        kind, many = _type(field)
        part = classes.get(kind)
        if part is not None and _is_part(part):
            known_at = paths.get(kind)
            if known_at is None:
                known_at = paths[kind] = f"{path}.{name}"
                _read(known_at, part, classes, types, codes, paths)
            kind = known_at
        required = field.is_required() or extra.get("element_required") or extra.get("one_of_many_required")
        one_of = extra.get("one_of_many")
        if one_of:
            key = f"{one_of}[x]"
            before = elements.get(key, "").rstrip("!")
            elements[key] = (f"{before}|{kind}" if before else kind) + ("!" if required else "")
        else:
            elements[name] = kind + ("*" if many else "") + ("!" if required else "")
        listed = extra.get("enum_values") or ()
        if kind == "code" and listed and all(one.replace("-", "").isalnum() for one in listed):  # "+": there are more
            codes[f"{path}.{name}"] = list(listed)


def _type(field: Any) -> tuple[str, bool]:
    annotation, many = field.annotation, False
    metadata = list(field.metadata)
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            metadata = list(annotation.__metadata__)
            annotation = typing.get_args(annotation)[0]
        elif origin is list:
            many, annotation = True, typing.get_args(annotation)[0]
        elif origin is typing.Union or type(annotation).__name__ == "UnionType":
            rest = [one for one in typing.get_args(annotation) if one is not type(None)]
            lists = [one for one in rest if typing.get_origin(one) is list]
            annotation = (lists or rest)[0]
        else:
            break
    for one in metadata:
        name = type(one).__name__
        if name != "FieldInfo" and name[0].isupper():
            name = name[0].lower() + name[1:]
            return _PRIMITIVES.get(name, name), many
    name = getattr(annotation, "__name__", str(annotation))
    return _PRIMITIVES.get(name, name.removesuffix("Type")), many


if __name__ == "__main__":
    TABLE.write_text(
        json.dumps(known(), indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8"
    )
