"""Purposes of use: Dutch situations, the codes of each dialect, and the purposes nobody can open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from consent.tables import table


@dataclass(frozen=True, slots=True)
class Purpose:
    """One situation in which data is asked for."""

    name: str
    nl: str
    en: str
    codes: frozenset[str]
    person: bool  # only a person may have it
    emergency: bool  # it breaks the glass
    categories: frozenset[str] | None  # what it can open at all; None = any


def _purpose(name: str, row: dict[str, Any]) -> Purpose:
    categories = frozenset(row["categories"]) if "categories" in row else None
    return Purpose(
        name,
        row["nl"],
        row["en"],
        frozenset(row["codes"]),
        row.get("person", False),
        row.get("emergency", False),
        categories,
    )


_TABLE: Final = table("purposes.toml")
_SYSTEMS: Final[frozenset[str]] = frozenset(_TABLE["systems"])
PURPOSES: Final[dict[str, Purpose]] = {name: _purpose(name, row) for name, row in _TABLE["situation"].items()}
BARRED: Final[dict[str, str]] = {code: row["why"] for row in _TABLE["barred"] for code in row["codes"]}
_BY_CODE: Final = {code: row.name for row in PURPOSES.values() for code in (row.name, *row.codes)}
_SPOKEN: Final = {code: frozenset(names) for code, names in _TABLE["spoken"].items()}


def purpose_of(code: str) -> str | None:
    """Translate a code of any dialect, bare or as `system|code`, to the Dutch situation; None when unknown."""
    bare = _bare(code)
    return _BY_CODE.get(bare) if bare not in BARRED else None


def is_barred(code: str) -> bool:
    """Claim that no agreement can ever open data for this purpose."""
    return _bare(code) in BARRED


def situations_of(code: str) -> frozenset[str]:
    """Say which situations a patient means who names this code in a Consent; empty when unknown or barred."""
    bare = _bare(code)
    if bare in BARRED:
        return frozenset()
    known = _BY_CODE.get(bare)
    return _SPOKEN.get(bare, frozenset() if known is None else frozenset({known}))


def _bare(code: str) -> str:
    system, bar, bare = code.rpartition("|")
    # A code of a system nobody agreed on keeps its system, and so matches nothing.
    return bare if not bar or system in _SYSTEMS else code
