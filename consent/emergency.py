"""Breaking the glass: which grounds count, how long it lasts, and when it must have been looked at (rule B2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from consent.model import Emergency
from consent.tables import table

_TABLE: Final = table("basis.toml")["emergency"]
CANNOT_CONSENT: Final[tuple[str, ...]] = tuple(_TABLE["cannot_consent"])
THREATS: Final[tuple[str, ...]] = tuple(_TABLE["threats"])
NEVER: Final[frozenset[str]] = frozenset(_TABLE["never"])
OBLIGATIONS: Final[frozenset[str]] = frozenset(_TABLE["obligations"])
LASTS: Final = timedelta(minutes=_TABLE["minutes"])
REVIEW_WITHIN: Final = timedelta(days=_TABLE["review_days"])


def fault(grounds: Emergency | None, now: datetime) -> str:
    """Say why the glass cannot be broken on these grounds; empty when it can."""
    if grounds is None:
        return "state why the patient cannot consent and what threatens them"
    if grounds.cannot_consent not in CANNOT_CONSENT:
        return "why the patient cannot consent is one of " + ", ".join(CANNOT_CONSENT)
    if not grounds.threats or not grounds.threats <= set(THREATS):
        return "what threatens the patient is one or more of " + ", ".join(THREATS)
    if not grounds.text.strip():
        return "say why in your own words"
    if grounds.since is not None and not grounds.since <= now < grounds.since + LASTS:
        return f"it lasts {int(LASTS.total_seconds()) // 60} minutes and these are over; state the grounds again"
    return ""
