"""Roles of professionals and systems: what each may see, write and ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from consent.model import ANY
from consent.tables import table


@dataclass(frozen=True, slots=True)
class Role:
    """One role, from the UZI register or of the region."""

    code: str
    nl: str
    en: str
    view: frozenset[str]  # national data categories the role may see (B7)
    writes: frozenset[str]  # resource types it may write; ANY = all
    purposes: frozenset[str]

    def may_write(self, type: str) -> bool:  # noqa: A002 - the FHIR word
        """Claim that the role may create, update or delete this resource type."""
        return type in self.writes or ANY in self.writes


_TABLE: Final = table("roles.toml")
VIEWS: Final[dict[str, frozenset[str]]] = {name: frozenset(row) for name, row in _TABLE["views"].items()}
# What a case shows at most, by its origin; None = no less than the role.
ORIGINS: Final[dict[str, frozenset[str] | None]] = {
    name: VIEWS[view] if view else None for name, view in _TABLE["origins"].items()
}


def _role(code: str, names: dict[str, str], kind: dict[str, Any]) -> Role:
    return Role(
        code, names["nl"], names["en"], VIEWS[kind["view"]], frozenset(kind["writes"]), frozenset(kind["purposes"])
    )


ROLES: Final[dict[str, Role]] = {
    code: _role(code, row, _TABLE["kind"][row["kind"]]) for code, row in _TABLE["role"].items()
}
SYSTEM: Final = _role("", {"nl": "systeem", "en": "system"}, _TABLE["system"])


def role_of(code: str) -> Role | None:
    """Find a role by its UZI code or its regional name; None when nobody knows it."""
    return ROLES.get(code)
