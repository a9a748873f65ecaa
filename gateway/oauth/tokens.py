"""Access tokens: what the gateway signs for a caller, and who a token that comes back proves."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any, Final

from consent.model import Requester
from gateway.crypto import jose
from gateway.crypto.ring import KeyRing
from gateway.errors import Invalid, Refused
from gateway.model import Caller
from gateway.oauth import discovery, grounds
from gateway.policy import Policy
from gateway.ports import Revocations, Withdrawn
from gateway.settings import Settings

Json = dict[str, Any]

TYPE: Final = "at+jwt"
EXTENSION: Final = "ihe_iua"
MAXIMUM_REMEMBERED: Final = 8192
LOOK_SECONDS: Final = 0.5  # what another process revoked is refused here after at most this long
EMERGENCY_SECONDS: Final = 3600  # how long the glass stays broken (rule B2)
_SCHEMES: Final = re.compile(rb"(bearer|dpop) ([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)


class AccessTokens:
    """Issues and verifies access tokens (RFC 9068 with `extensions.ihe_iua`).

    A token that was verified once is remembered by its exact bytes until it expires, until the keys or the
    policy change, or until it is revoked. What was revoked is looked up by `refresh`.
    """

    def __init__(self, keys: KeyRing, settings: Settings, policy: Policy) -> None:
        if settings.gateway.client_certificate_header:
            from gateway.oauth import certificates  # noqa: PLC0415 - loads what reads certificates

            certificates.known_header(settings)
        self._keys = keys
        self._policy = policy
        self._issuer = discovery.issuer(settings)
        self._audience = discovery.audience(settings)
        self._lifetime_seconds = int(settings.gateway.token_lifetime.total_seconds())
        self._proven: dict[bytes, tuple[float, int, Caller]] = {}
        self._withdrawn = Withdrawn()
        self._looked = -LOOK_SECONDS

    def __repr__(self) -> str:
        return f"AccessTokens({self._issuer!r})"

    def issue(self, caller: Caller, now: float) -> tuple[str, int]:
        """A signed access token that names this caller, and the seconds it lives.

        Raises:
            Invalid: `oauth-request`, the token would be too large to be sent back.

        Spec: RFC 9068 section 2.2; IHE ITI IUA, ITI-71 'JSON Web Token Option'.
        """
        issued = int(now)
        seconds = min(self._lifetime_seconds, EMERGENCY_SECONDS) if caller.emergency else self._lifetime_seconds
        claims = {
            "iss": self._issuer,
            "sub": caller.requester.client,
            "client_id": caller.requester.client,
            "aud": self._audience,
            "iat": issued,
            "exp": issued + seconds,
            "jti": caller.token_id or new_id(),
            "scope": " ".join(sorted(caller.scopes)),
            "extensions": {EXTENSION: _said(caller)},
        }
        if caller.bound:
            kind, _, thumbprint = caller.bound.partition(":")
            claims["cnf"] = {kind: thumbprint}
        token = self._keys.sign_jwt(claims, typ=TYPE)
        if len(token) > jose.MAXIMUM_TOKEN_BYTES:
            raise Invalid("oauth-request", why="scopes and claims do not fit in one token; ask fewer scopes")
        return token, seconds

    def caller(self, authorization: bytes, now: float) -> Caller:
        """Who an Authorization header proves.

        Raises:
            Refused: `token-missing` or `token-invalid`.
        """
        known = self._proven.get(authorization)
        if known is not None and now < known[0] and known[1] == self._keys.generation:
            return known[2]
        caller = self._verified(authorization, now)
        self._remember(authorization, caller)
        return caller

    def adopt(self, policy: Policy) -> None:
        """Use a new policy revision from now on."""
        self._policy = policy
        self.forget()

    def forget(self) -> None:
        """Verify every token anew."""
        self._proven.clear()

    def stale(self, now: float) -> bool:
        """Claim that it is time to look again what was revoked; a clock that was set back counts as stale."""
        return not 0 <= now - self._looked < LOOK_SECONDS

    async def refresh(self, revocations: Revocations, now: float) -> None:
        """Look what was revoked or disabled since the last time.

        Raises:
            Unavailable: `store-unavailable`; no token may be accepted.
        """
        found = await revocations.withdrawn(datetime.fromtimestamp(now, UTC))
        self._looked = now
        if found != self._withdrawn:
            self._withdrawn = found
            for header, (_, _, caller) in list(self._proven.items()):
                if caller.token_id in found.tokens or caller.requester.client in found.clients:
                    self._proven.pop(header, None)

    def inspect(self, token: str, now: float) -> tuple[Json, Caller]:
        """The claims of an access token of this gateway that is valid now, and the caller they name.

        Raises:
            Refused: `token-invalid`.
        """
        try:
            parsed = jose.parse(token)
            claims = jose.verify(parsed, self._keys.token_keys(parsed.kid), algorithms=("ES256",), types=(TYPE,))
            return claims, self._caller(claims, now)
        except jose.TokenError as error:
            raise _refusal(str(error)) from None

    def _remember(self, authorization: bytes, caller: Caller) -> None:
        while len(self._proven) >= MAXIMUM_REMEMBERED:
            del self._proven[next(iter(self._proven))]
        self._proven[authorization] = (caller.expires, self._keys.generation, caller)

    def _verified(self, authorization: bytes, now: float) -> Caller:
        if not authorization:
            raise Refused("token-missing")
        found = _SCHEMES.fullmatch(authorization)
        if found is None:
            raise _refusal("send exactly one header 'Authorization: Bearer' with the access token")
        caller = self.inspect(found[2].decode(), now)[1]
        if (found[1].lower() == b"dpop") is not caller.bound.startswith("jkt:"):
            raise _refusal("a token that is bound to a key goes with 'Authorization: DPoP', any other with Bearer")
        return caller

    def _caller(self, claims: Json, now: float) -> Caller:
        expires, issued = jose.date(claims, "exp"), jose.date(claims, "iat")
        client = jose.text(claims, "client_id")
        if expires is None or expires <= now:
            raise _refusal("it has expired; get a new one")
        if issued is None or issued > now + 10 or client != claims.get("sub"):
            raise _refusal("its claims do not fit together")
        if claims.get("iss") != self._issuer or claims.get("aud") != self._audience:
            raise _refusal("it was issued by or for another server")
        token_id = jose.text(claims, "jti")
        if token_id in self._withdrawn.tokens or client in self._withdrawn.clients:
            raise _refusal("it was revoked; get a new one")
        said = claims["extensions"][EXTENSION]
        organization = said["organization_id"]
        requester = Requester(
            client=client,
            organization=organization,
            facility_type=self._policy.facility_type(organization),
            role=said.get("subject_role"),
            person=said.get("subject_id"),
            assurance=said.get("loa"),
            system=said.get("system", False),
            mandated_by=said.get("delegation_registered_by", ""),
            mandated_role=said.get("delegation_role_code", ""),
        )
        return Caller(
            requester=requester,
            purpose=next(iter(said.get("purpose_of_use", ())), ""),
            scopes=frozenset(claims["scope"].split()),
            organization_name=said.get("organization_name", ""),
            person_name=said.get("subject_name", ""),
            responsible=said.get("responsible", ""),
            case=said.get("case", ""),
            token_id=token_id,
            expires=expires,
            launch=said.get("person_id", ""),
            emergency=grounds.read(said["emergency"]) if "emergency" in said else None,
            bound=next((f"{kind}:{thumbprint}" for kind, thumbprint in claims.get("cnf", {}).items()), ""),
        )


def new_id() -> str:
    """An identifier nobody can guess."""
    return secrets.token_urlsafe(16)


def _said(caller: Caller) -> Json:
    """The extension, without what there is nothing to say about."""
    requester = caller.requester
    said: Json = {
        "organization_id": requester.organization,
        "organization_name": caller.organization_name,
        "subject_id": requester.person,
        "subject_name": caller.person_name,
        "subject_role": requester.role,
        "purpose_of_use": [caller.purpose] if caller.purpose else [],
        "case": caller.case,
        "loa": requester.assurance,
        "responsible": caller.responsible,
        "system": requester.system,
        "delegation_registered_by": requester.mandated_by,
        "delegation_role_code": requester.mandated_role,
        "person_id": caller.launch,
        "emergency": grounds.written(caller.emergency) if caller.emergency else None,
    }
    return {name: value for name, value in said.items() if value}


def _refusal(why: str) -> Refused:
    return Refused("token-invalid", why=why)
