"""The grounds of breaking the glass: as a person states them in an assertion, and as a token carries them (rule B2)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from consent.emergency import CANNOT_CONSENT, THREATS
from consent.model import Emergency
from gateway.errors import Refused

Json = dict[str, Any]

MAXIMUM_TEXT: Final = 500
_TEXT: Final = f"text says why in your own words, at most {MAXIMUM_TEXT} characters"


def stated(said: Any, now: float) -> Emergency:  # noqa: ANN401 - a claim is any value until checked
    """Read the grounds a client asserts; they count from now.

    Raises:
        Refused: `oauth-claims`, naming what is missing and what could be said.
    """
    if not isinstance(said, dict):
        raise _refusal("give an object with cannot_consent, threats and text")
    code, threats, text = said.get("cannot_consent"), said.get("threats"), said.get("text")
    if code not in CANNOT_CONSENT:
        raise _refusal("cannot_consent is one of " + ", ".join(CANNOT_CONSENT))
    threats = [threats] if isinstance(threats, str) else threats
    if not isinstance(threats, list) or not threats or any(one not in THREATS for one in threats):
        raise _refusal("threats is a list of one or more of " + ", ".join(THREATS))
    if not isinstance(text, str) or not text.strip() or len(text) > MAXIMUM_TEXT:
        raise _refusal(_TEXT)
    return Emergency(code, frozenset(threats), text, datetime.fromtimestamp(int(now), UTC))


def written(emergency: Emergency) -> Json:
    """The grounds as a claim of an access token."""
    since = int(emergency.since.timestamp()) if emergency.since else 0
    return {
        "cannot_consent": emergency.cannot_consent,
        "threats": sorted(emergency.threats),
        "text": emergency.text,
        "since": since,
    }


def read(claim: Json) -> Emergency:
    """The grounds of an access token that was verified."""
    since = datetime.fromtimestamp(claim["since"], UTC)
    return Emergency(claim["cannot_consent"], frozenset(claim["threats"]), claim["text"], since)


def _refusal(why: str) -> Refused:
    return Refused("oauth-claims", why=f"emergency: {why}; put it in the client assertion, extensions.hl7-b2b")
