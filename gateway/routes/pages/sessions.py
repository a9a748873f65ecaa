"""Who is logged in: sessions of people, kept in this process only, bounded in number and time."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from gateway.model import Caller
from gateway.oauth.login import FRESH, Errand, Identity
from gateway.settings import LoginTable

MAXIMUM_SESSIONS: Final = 10_000
MAXIMUM_TOKENS: Final = 64
MAXIMUM_KEPT: Final = 128
WARNING_SECONDS: Final = 120
ABOUT_TO_END_SECONDS: Final = 30
_CSRF_BYTES: Final = 16
T = TypeVar("T")


@dataclass(slots=True)
class Session:
    """One person at one browser; the cookie holds the key and nothing else."""

    key: str = field(repr=False)
    identity: Identity
    role: str  # one of the identity's
    opened: datetime
    used: datetime
    ends: datetime  # whatever is done
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(_CSRF_BYTES), repr=False)
    tokens: OrderedDict[str, tuple[str, Caller]] = field(default_factory=OrderedDict, repr=False)
    kept: OrderedDict[tuple[str, str], Any] = field(default_factory=OrderedDict, repr=False)

    def csrf(self) -> str:
        """The secret of the forms of this session, another text each time: what repeats could be guessed from sizes.

        Spec: BREACH mitigation by masking (attack 176).
        """
        pad = secrets.token_bytes(_CSRF_BYTES)
        return (pad + bytes(a ^ b for a, b in zip(pad, self.secret, strict=True))).hex()

    def owns(self, token: str) -> bool:
        """Claim that a form came from a page of this session."""
        try:
            raw = bytes.fromhex(token)
        except ValueError:
            return False
        pad, masked = raw[:_CSRF_BYTES], raw[_CSRF_BYTES:]
        if len(masked) != _CSRF_BYTES:
            return False
        return hmac.compare_digest(bytes(a ^ b for a, b in zip(pad, masked, strict=True)), self.secret)

    def fresh(self, now: datetime) -> bool:
        """Claim that the person proved who they are in the last minutes (attack 184)."""
        return now - self.identity.authenticated <= FRESH

    def keep(self, kind: str, name: str, value: object) -> None:
        """Remember something between two pages; the oldest goes when there is too much."""
        self.kept[kind, name] = value
        self.kept.move_to_end((kind, name))
        while len(self.kept) > MAXIMUM_KEPT:
            self.kept.popitem(last=False)

    def recall(self, kind: str, name: str, type_: type[T]) -> T | None:
        """What was remembered, if it still is."""
        found = self.kept.get((kind, name))
        return found if isinstance(found, type_) else None

    def token(self, errand: Errand, now: datetime) -> tuple[str, Caller] | None:
        """The access token this person has for one errand, unless it is about to end."""
        found = None if errand.fresh else self.tokens.get(errand_key(errand))
        if found is None or found[1].expires - now.timestamp() < ABOUT_TO_END_SECONDS:
            return None
        self.tokens.move_to_end(errand_key(errand))
        return found

    def remember(self, errand: Errand, token: str, caller: Caller) -> tuple[str, Caller]:
        """Keep a token for its errand; the one that was used longest ago goes when there are too many."""
        made = self.tokens[errand_key(errand)] = (token, caller)
        while len(self.tokens) > MAXIMUM_TOKENS:
            self.tokens.popitem(last=False)
        return made


def errand_key(errand: Errand) -> str:
    """One text for one errand; freshness is judged at each use and is no part of it."""
    return repr((errand.purpose, errand.role, errand.case, errand.patient, errand.emergency, errand.scope))


class Sessions:
    """All sessions of this process."""

    def __init__(self, table: LoginTable) -> None:
        self.table = table
        self._live: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def open(self, identity: Identity, role: str, now: datetime, before: Session | None = None) -> Session:
        """Start a session under a new key; what the same person had before goes on under it.

        INVARIANT: a key that was known before the login is never that of a session (fixation).
        """
        made = Session(secrets.token_urlsafe(32), identity, role, now, now, now + self.table.lifetime)
        if before is not None:
            self.close(before)
            if (before.identity.person, before.identity.organization) == (identity.person, identity.organization):
                made.kept, made.role = before.kept, before.role if before.role in identity.roles else role
        while len(self._live) >= MAXIMUM_SESSIONS:
            self._live.popitem(last=False)
        self._live[made.key] = made
        return made

    def find(self, key: str, now: datetime, *, use: bool = True) -> Session | None:
        """The session of a cookie, None when it ended; looking it up is using it."""
        found = self._live.get(key)
        if found is None:
            return None
        if now >= self.ends(found):
            self.close(found)
            return None
        if use:
            found.used = now
            self._live.move_to_end(key)
        return found

    def ends(self, session: Session) -> datetime:
        """When a session ends if nothing more is done."""
        return min(session.ends, session.used + self.table.idle)

    def close(self, session: Session) -> None:
        """End a session."""
        self._live.pop(session.key, None)
