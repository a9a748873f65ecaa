"""What a translation takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["unmapped", "unknown-code", "approximate", "invalid", "dropped", "note"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bytes came from; the gateway fills it from the authenticated connection (D1)."""

    custodian: str  # URA
    source: str  # source id of region.toml
    received: str  # FHIR instant the bytes arrived
    zone: str = "Europe/Amsterdam"  # for times without an offset


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing of the source that is not, or not exactly, in the result. Never holds clinical content."""

    path: str  # where in the source: "PID-8", "entry[3].resource.code"
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Translation:
    """Resources in nl-core R4 with their native keys, and every loss.

    `resources[n]["id"]` is the source's own id when it had one; `keys[n]` is the native key that is
    unique at the custodian (stable over time: it makes the item id). References between the
    resources are relative ("Patient/<native id>").
    """

    resources: tuple[Json, ...] = ()
    keys: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    map: str = ""  # name of the map that did it
    version: str = ""
    facts: dict[str, str] = field(default_factory=dict)  # message type, control id, trigger event …
    next: str | None = None  # the next page a FHIR searchset names
    places: Mapping[str, str] = field(
        default_factory=dict
    )  # where in the source each key stood; what is not known is not in it


class NotMappable(ValueError):
    """The bytes cannot be read as the format they claim; names element and rule, never content."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.path = path
