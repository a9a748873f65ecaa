"""The OpenID provider of the simulated region: pick a person, tick a second factor, and come back with a code."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.crypto import jose
from gateway.ports import Clock

Json = dict[str, Any]

CLIENT: Final = "roaz-gateway"
_CODE_SECONDS: Final = 60
_TOKEN_SECONDS: Final = 300
_ALGORITHM: Final = "ES256"
_LEVELS: Final = {"substantial": "http://eidas.europa.eu/LoA/substantial", "low": "http://eidas.europa.eu/LoA/low"}
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_PAGE: Final = """<!doctype html>
<html lang="nl"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Inlogdienst van de demonstratie</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:1rem auto;padding:0 1rem;color:#1b2430}}
fieldset{{border:1px solid #47525f;margin:1rem 0}}input{{width:1.25rem;height:1.25rem;vertical-align:middle}}
p{{margin:.4rem 0}}button,select{{font:inherit;min-height:2rem;padding:.3rem 1rem}}</style></head>
<body><main><h1>Inlogdienst van de demonstratie</h1>
<p>Alle personen zijn verzonnen. Kies wie u bent.</p>
<form method="post" action="{action}">{hidden}
<fieldset><legend>Persoon</legend>{people}</fieldset>
<p><label for="level">Betrouwbaarheid van het inlogmiddel</label>
<select id="level" name="level"><option value="substantial">substantieel</option><option value="low">laag</option></select></p>
<p><input type="checkbox" id="second" name="second_factor" value="yes" checked> <label for="second">Met tweede factor</label></p>
<p><button>Inloggen</button></p></form></main></body></html>"""


@dataclass(frozen=True, slots=True)
class Someone:
    """One person of the region who can log in."""

    key: str  # "coordinator", "physician", …
    person: str  # "<system>|<number>"
    name: str
    organization: str  # URA
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Grant:
    someone: Someone
    nonce: str
    challenge: str
    redirect_uri: str
    level: str
    second_factor: bool
    at: float


@dataclass(slots=True)
class IdentityProvider:
    """Authorization code with PKCE for one client, on a port of its own.

    Spec: OpenID Connect Core 1.0 sections 2 and 3.1; RFC 7636.
    """

    issuer: str
    redirect_uri: str
    people: tuple[Someone, ...]
    clock: Clock
    _key: jose.Key = field(default_factory=lambda: jose.new_key(_ALGORITHM), repr=False)
    _grants: dict[str, _Grant] = field(default_factory=dict, repr=False)

    def application(self) -> Starlette:
        """Everything it answers."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.metadata),
                Route("/jwks", self.jwks),
                Route("/authorize", self.ask, methods=["GET"]),
                Route("/authorize", self.grant, methods=["POST"]),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    async def metadata(self, _: Request) -> JSONResponse:
        """What it says about itself."""
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [_ALGORITHM],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "acr_values_supported": list(_LEVELS.values()),
            }
        )

    async def jwks(self, _: Request) -> JSONResponse:
        """The key it signs with."""
        return JSONResponse({"keys": [jose.public_jwk(self._key, self._key.thumbprint(), _ALGORITHM)]})

    async def ask(self, request: Request) -> Response:
        """The form on which a person says who they are."""
        asked = dict(request.query_params)
        if (asked.get("client_id"), asked.get("redirect_uri")) != (CLIENT, self.redirect_uri):
            return HTMLResponse("unknown client or redirect_uri", 400)
        if asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256":
            return self._back(asked, {"error": "invalid_request"})
        people = "".join(
            f'<p><input type="radio" name="person" id="{one.key}" value="{one.key}"{" checked" * (not number)}> '
            f'<label for="{one.key}">{escape(one.name)} ({escape(", ".join(one.roles))})</label></p>'
            for number, one in enumerate(self.people)
        )
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(asked.get(name, ""))}">'
            for name in ("client_id", "redirect_uri", "state", "nonce", "code_challenge")
        )
        html = _PAGE.format(action=f"{self.issuer}/authorize", people=people, hidden=hidden)
        return HTMLResponse(html, headers={"content-security-policy": _POLICY, "cache-control": "no-store"})

    async def grant(self, request: Request) -> Response:
        """Send the person back with a code."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if (form.get("client_id"), form.get("redirect_uri")) != (CLIENT, self.redirect_uri):
            return HTMLResponse("unknown client or redirect_uri", 400)
        someone = next((one for one in self.people if one.key == form.get("person")), None)
        if someone is None:
            return self._back(form, {"error": "access_denied"})
        code, now = secrets.token_urlsafe(24), self.clock.now().timestamp()
        self._grants = {old: grant for old, grant in self._grants.items() if now - grant.at < _CODE_SECONDS}
        self._grants[code] = _Grant(
            someone,
            form.get("nonce", ""),
            form.get("code_challenge", ""),
            self.redirect_uri,
            _LEVELS.get(form.get("level", "substantial"), _LEVELS["low"]),
            form.get("second_factor") == "yes",
            now,
        )
        return self._back(form, {"code": code})

    async def token(self, request: Request) -> JSONResponse:
        """`POST /token`: a code, once, from who knows the verifier."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        grant, now = self._grants.pop(form.get("code", ""), None), self.clock.now().timestamp()
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if (
            grant is None
            or now - grant.at > _CODE_SECONDS
            or not secrets.compare_digest(proof, grant.challenge.encode())
            or (form.get("client_id"), form.get("redirect_uri")) != (CLIENT, grant.redirect_uri)
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = secrets.token_urlsafe(24)
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": _TOKEN_SECONDS,
                  "id_token": self._id_token(grant, access, int(now))}  # fmt: skip
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    def _id_token(self, grant: _Grant, access: str, now: int) -> str:
        someone = grant.someone
        half = hashlib.sha256(access.encode()).digest()[:16]
        claims: Json = {
            "iss": self.issuer,
            "sub": someone.key,
            "aud": CLIENT,
            "iat": now,
            "exp": now + _TOKEN_SECONDS,
            "auth_time": int(grant.at),
            "nonce": grant.nonce,
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
            "acr": grant.level,
            "amr": ["pwd", "otp", "mfa"] if grant.second_factor else ["pwd"],
            "name": someone.name,
            "organization_id": someone.organization,
            "subject_id": someone.person,
            "roles": list(someone.roles),
        }
        return jose.sign(claims, self._key, algorithm=_ALGORITHM, typ="JWT", kid=self._key.thumbprint())

    def _back(self, asked: Json, said: Json) -> RedirectResponse:
        more = {"state": asked["state"]} if asked.get("state") else {}
        return RedirectResponse(f"{self.redirect_uri}?{urlencode(said | more)}", 303)
