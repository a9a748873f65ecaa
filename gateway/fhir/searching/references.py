"""References: to an id, a type and id, an address, or an identifier."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from gateway.errors import Invalid
from gateway.fhir.searching import tokens
from gateway.fhir.searching.escaping import plain
from gateway.fhir.searching.records import Records, references
from gateway.fhir.searching.table import Parameter

ReferenceTest = Callable[[Any, Records], bool]

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def build(parameter: Parameter, type_: str, text: str) -> ReferenceTest:
    """What one value of a reference parameter asks: `id`, `Type/id`, a whole address, or a canonical.

    Raises:
        Invalid: `invalid-parameter`.

    Spec: FHIR R4 3.1.1.4.13 'reference'.
    """
    value = plain(text)
    if not value or (type_ and "/" not in value and not _ID.fullmatch(value)):
        raise Invalid("invalid-parameter", name=parameter.name, why="give an id, Type/id or an address")
    by_id = "/" not in value and _ID.fullmatch(value) is not None
    wanted = f"{type_}/{value}" if type_ and by_id else value

    def test(found: Any, records: Records) -> bool:  # noqa: ANN401 - an element of a resource
        for reference in references((found,)):
            held = records.relative(reference)
            if type_ and held.partition("/")[0] != type_:
                continue
            if parameter.targets and "/" in held and ":" not in held and not parameter.leads_to(held.partition("/")[0]):
                continue
            if held == records.relative(wanted) or (by_id and not type_ and held.rpartition("/")[2] == value):
                return True
            if "|" not in value and held.partition("|")[0] == value:
                return True
        return False

    return test


def build_identifier(parameter: Parameter, text: str) -> ReferenceTest:
    """`:identifier`: the identifier a reference carries itself.

    Raises:
        Invalid: `invalid-parameter`.
    """
    identifier = tokens.build(parameter, text)

    def test(found: Any, _: Records) -> bool:  # noqa: ANN401 - an element of a resource
        return found.__class__ is dict and identifier(found.get("identifier"))

    return test
