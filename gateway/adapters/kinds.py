"""Which adapter asks a source of each kind: a kind that is asked is a row here, and is loaded when a region has one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from gateway.adapters.address import is_protected
from gateway.adapters.dialects import Dialect, dialect
from gateway.errors import StartError
from gateway.model import HELD_KINDS

if TYPE_CHECKING:
    from gateway.adapters.http import HttpClient
    from gateway.adapters.source_auth import Signer
    from gateway.ports import Clock, Source
    from gateway.settings import SourceTable

# kind -> module and class of its adapter; `[[sources]]` kind and the `format` of its dialects are this word.
ASKED: Final = {
    "fhir-r4": ("gateway.adapters.fhir", "FhirSource"),
    "fhir-stu3": ("gateway.adapters.fhir", "FhirSource"),
    "hl7v3": ("gateway.adapters.v3", "V3Source"),
}


def source_of(table: SourceTable, http: HttpClient, keys: Signer, base: str, clock: Clock) -> Source | None:
    """The adapter that asks this source; None for one that pushes.

    Raises:
        StartError: a kind nobody knows, or a table that cannot work. Exit code 1.
    """
    if table.kind in HELD_KINDS:
        return None
    if table.kind not in ASKED:
        known = ", ".join(sorted({*ASKED, *HELD_KINDS}))
        message = f"source '{table.id}': kind '{table.kind}' is not known; known are: {known}"
        raise StartError(message, 1)
    module, name = ASKED[table.kind]
    return cast("Source", getattr(import_module(module), name)(table, http, keys, base, clock))


def spoken(table: SourceTable) -> Dialect:
    """The dialect a source is asked in.

    Raises:
        StartError: there is no such dialect, it is for another kind, or the address is not protected. Exit code 1.
    """
    found = dialect(table.dialect)
    if table.kind != found.format:
        message = f"source '{table.id}': dialect '{table.dialect}' is for kind '{found.format}'"
        raise StartError(message, 1)
    if not is_protected(table.url):
        message = f"source '{table.id}': url must be https (plain http only on this machine itself)"
        raise StartError(message, 1)
    return found
