"""Claim the nl-core profile a resource certainly has when its source claimed none."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from mappings.model import Json
from mappings.tables import table


def claim(resource: Json) -> None:
    """Set meta.profile when type, code or category leave no doubt and no profile is claimed.

    Spec: nl-360-ig 1.0.0 vol3 'Queries per zib': a source fills meta.profile.
    """
    meta = resource.get("meta")
    if meta is not None and meta.get("profile"):
        return
    canonical = _certain(resource)
    if canonical is not None:
        if meta is None:
            meta = resource["meta"] = {}
        meta["profile"] = [canonical]


def _certain(resource: Json) -> str | None:
    kind = resource["resourceType"]
    types, codes, categories = _claims()
    canonical = types.get(kind)
    if canonical is not None:
        return canonical
    by_code = codes.get(kind)
    if by_code is not None:
        for token in _tokens(resource.get("code")):
            canonical = by_code.get(token)
            if canonical is not None:
                return canonical
    by_category = categories.get(kind)
    if by_category is not None:
        category = resource.get("category")
        for concept in category if isinstance(category, list) else (category,):
            for token in _tokens(concept):
                canonical = by_category.get(token)
                if canonical is not None:
                    return canonical
    return None


def _tokens(concept: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - unchecked source JSON
    codings = concept.get("coding") if isinstance(concept, dict) else None
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict):
            system, code = coding.get("system"), coding.get("code")
            if isinstance(system, str) and isinstance(code, str):
                yield system, code


_Claims = dict[str, dict[tuple[str, str], str]]


@cache
def _claims() -> tuple[dict[str, str], _Claims, _Claims]:
    claims = table("maps/fhir-r4/profiles.yaml")
    base = claims["base"]

    def compiled(section: str) -> _Claims:
        return {
            kind: {(token.partition("|")[0], token.partition("|")[2]): base + name for token, name in tokens.items()}
            for kind, tokens in claims[section].items()
        }

    return {kind: base + name for kind, name in claims["types"].items()}, compiled("codes"), compiled("categories")
