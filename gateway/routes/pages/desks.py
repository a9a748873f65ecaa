"""Which desk a person works at, and for which purpose: from the role, within the registration of the client."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from consent.purposes import purpose_of
from consent.roles import role_of
from gateway.oauth.login import Identity, client_of
from gateway.ports import Ports

BREAKING: Final = "spoed-noodtoegang"


@dataclass(frozen=True, slots=True)
class Desk:
    """The pages of one kind of work."""

    key: str
    home: str
    purposes: tuple[str, ...]
    treating: tuple[str, ...] = ()


@cache
def desks() -> tuple[Desk, ...]:
    """Every desk, in the order in which they are tried."""
    tree = tomllib.loads(files("gateway.routes.pages").joinpath("desks.toml").read_text(encoding="utf-8"))
    return tuple(
        Desk(row["key"], row["home"], tuple(row["purposes"]), tuple(row.get("treating", ()))) for row in tree["desks"]
    )


def desk_of(identity: Identity, role: str, ports: Ports) -> tuple[Desk | None, str]:
    """The desk of a person in a role and the purpose they come for; None when the pages have nothing for them.

    Raises:
        Refused: `oauth-client`, no client is registered for people of this organization.
    """
    open_ = purposes(identity, role, ports)
    for desk in desks():
        order = desk.purposes if role in ports.policy.case_roles else desk.treating or desk.purposes
        for purpose in order:
            if purpose in open_:
                return desk, purpose
    return None, ""


def purposes(identity: Identity, role: str, ports: Ports) -> Collection[str]:
    """What a person in a role may come for, as far as the client of their organization registered it.

    Raises:
        Refused: `oauth-client`.
    """
    known, client = role_of(role), client_of(identity, ports)
    if known is None or role not in client.roles:
        return frozenset()
    return known.purposes.intersection(purpose_of(one) or one for one in client.purposes)
