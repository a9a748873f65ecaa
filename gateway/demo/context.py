"""What a simulated organization does at its door: find out who asks, check it, and write it down (rule B6)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx2

from gateway.crypto import jose
from gateway.ports import Clock
from profiles import exact

HEADER: Final = "X-ZV-Context"
_ALGORITHMS: Final = ("ES256", "ES384")
_LEEWAY: Final = 5  # seconds two clocks may differ


class Unproven(Exception):
    """Who asks was not proven; the text names the rule."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks and why, as proven by the gateway's signature."""

    organization: str  # URA
    person: str
    role: str
    purpose: str
    case: str


@dataclass(frozen=True, slots=True)
class AccessLogEntry:
    """One line in the log of an organization: who asked what, when and why; no patient."""

    at: datetime
    source: str
    method: str
    path: str  # without query
    asker: Asker
    organization_name: str
    facility_type: str
    person_name: str
    responsible: str
    request_id: str
    jti: str


def asker(claims: dict[str, Any], *, organization: str, person: str, role: str) -> Asker:
    """Read who asks from claims under the names one token uses.

    Raises:
        Unproven: no URA or no purpose of use.
    """
    ura = re.search(r"(\d{8})$", str(claims.get(organization, "")))
    purpose = claims.get("purpose_of_use", "")
    if isinstance(purpose, list):
        purpose = purpose[0] if len(purpose) == 1 else ""
    if ura is None or not purpose:
        message = f"{organization} (URA) and exactly one purpose_of_use are required"
        raise Unproven(message)
    return Asker(
        ura[1], str(claims.get(person) or ""), str(claims.get(role) or ""), str(purpose), str(claims.get("case") or "")
    )


class Door:
    """Checks what the gateway signs for one audience; keys are fetched from the gateway when first needed."""

    def __init__(self, gateway_base: str, clock: Clock) -> None:
        self.gateway_base = gateway_base
        self.clock = clock
        self._keys: jose.PublicKeys | None = None
        self._fetching = asyncio.Lock()
        self._used: dict[tuple[str, str], float] = {}

    async def claims(
        self, token: str, *, kind: str, issuer: str, audience: str, seconds: int, used: str = ""
    ) -> dict[str, Any]:
        """The claims of a token that the gateway signed for us, once, and not long ago.

        `used` says what the token is used for: one token may carry the parallel queries of one question,
        and none of these twice.

        Raises:
            Unproven: not signed by a key of the gateway, not for us, too old, too long-lived, or used before.
        """
        claims = await self._opened(token, kind)
        if claims.get("iss") != issuer or claims.get("aud") not in (audience, [audience]):
            raise Unproven("iss or aud is not what it must be")
        self._in_time(claims, seconds)
        self._once(str(claims.get("jti") or ""), used, float(claims["exp"]))
        return claims

    async def _opened(self, token: str, kind: str) -> dict[str, Any]:
        try:
            parsed = jose.parse(token)
            return jose.verify(parsed, await self._keys_with(parsed.kid), algorithms=_ALGORITHMS, types=(kind,))
        except (ValueError, httpx2.HTTPError) as error:
            message = f"the signature cannot be verified ({type(error).__name__})"
            raise Unproven(message) from None

    async def _keys_with(self, kid: str | None) -> jose.PublicKeys:
        """The keys of the gateway; asked for again when it signs with one we have not seen."""
        async with self._fetching:
            if self._keys is None or self._keys.find(kid) is None:
                async with httpx2.AsyncClient(timeout=5) as client:
                    answer = (await client.get(f"{self.gateway_base}/oauth/jwks")).raise_for_status()
                self._keys = jose.public_keys(exact.decode(answer.content))
            return self._keys

    def _in_time(self, claims: dict[str, Any], seconds: int) -> None:
        now, issued, expires = self.clock.now().timestamp(), claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float):
            raise Unproven("iat and exp are required")
        if expires - issued > seconds or issued > now + _LEEWAY or expires < now - _LEEWAY:
            message = f"must be in force now and live at most {seconds} s"
            raise Unproven(message)

    def _once(self, jti: str, used: str, expires: float) -> None:
        now = self.clock.now().timestamp()
        self._used = {old: until for old, until in self._used.items() if until > now - _LEEWAY}
        if not jti or (jti, used) in self._used:
            raise Unproven("jti is missing or was used before")
        self._used[jti, used] = expires


class AccessLog:
    """The door of one source and the book beside it."""

    def __init__(self, source: str, door: Door) -> None:
        self.source = source
        self.door = door
        self.entries: list[AccessLogEntry] = []

    async def admit(self, token: str, method: str, path: str, question: bytes) -> AccessLogEntry:
        """Check the context of a request and write it down; `question` is the query or form, never kept.

        Raises:
            Unproven: the context is missing or not valid; nothing is written down.
        """
        if not token:
            message = f"header {HEADER} is required"
            raise Unproven(message)
        door = self.door
        used = f"{method} {path} {hashlib.sha256(question).hexdigest()}"
        claims = await door.claims(
            token, kind="context+jwt", issuer=door.gateway_base, audience=self.source, seconds=60, used=used
        )
        if not claims.get("request_id"):
            raise Unproven("request_id is required")
        who = asker(claims, organization="subject_organization_id", person="subject_id", role="subject_role")
        words = {
            name: str(claims.get(name) or "")
            for name in (
                "subject_organization",
                "subject_facility_type",
                "subject_name",
                "responsible",
                "request_id",
                "jti",
            )
        }
        entry = AccessLogEntry(
            datetime.fromtimestamp(door.clock.now().timestamp(), UTC),
            self.source,
            method,
            path,
            who,
            words["subject_organization"],
            words["subject_facility_type"],
            words["subject_name"],
            words["responsible"],
            words["request_id"],
            words["jti"],
        )
        self.entries.append(entry)
        return entry
