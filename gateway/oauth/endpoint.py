"""The token endpoint, without a framework: one form in, one answer out, with what the record must say about it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from consent.scopes import granted
from gateway.errors import GatewayError, Invalid, Refused, Unavailable
from gateway.model import Caller
from gateway.oauth import assertions, claims
from gateway.oauth.registered import ClientKeys
from gateway.oauth.tokens import new_id
from gateway.ports import Ports
from gateway.settings import ClientTable

log: Final = logging.getLogger("gateway.oauth")

FORM: Final = "application/x-www-form-urlencoded"
MAXIMUM_FORM_BYTES: Final = 16_384
_MAXIMUM_FIELDS: Final = 20
_MAXIMUM_SCOPES: Final = 100


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the client gets, and beside it what the record says; the record never holds the token."""

    status: int
    body: dict[str, Any] = field(repr=False)
    client: str = ""  # registered client id; named, but proven only when `caller` is there
    caller: Caller | None = None
    error: str = ""  # code of `gateway.errors`, empty when a token was issued
    why: str = ""  # the sentence of the error
    retry_after: int | None = None


@dataclass(slots=True)
class _Named:
    """The registered client a request names, as soon as that is known."""

    client: ClientTable | None = None


async def token(form: bytes, content_type: str, ports: Ports, keys: ClientKeys) -> TokenAnswer:
    """Give a token to a client that proves who it is and says who asks and why; else say what to mend.

    Spec: RFC 6749 sections 4.4, 5.1, 5.2; SMART App Launch 2.2.0, 'Backend Services'.
    """
    named = _Named()
    try:
        return await _issued(_fields(form, content_type), named, ports, keys)
    except GatewayError as error:
        return refusal(error, named.client)
    except Exception:
        log.exception("token endpoint failed")
        return refusal(Unavailable("internal"), named.client)


def refusal(error: GatewayError, client: ClientTable | None = None) -> TokenAnswer:
    """The answer that carries an error, as RFC 6749 section 5.2 asks."""
    text = error.text()
    body = {"error": error.row.oauth, "error_description": _quotable(text)}
    return TokenAnswer(
        error.row.status,
        body,
        client=client.id if client else "",
        error=error.code,
        why=text,
        retry_after=error.retry_after,
    )


def unrecorded(answer: TokenAnswer) -> TokenAnswer:
    """The answer when the record could not be written: no record, no token."""
    return replace(refusal(Unavailable("audit-unavailable")), client=answer.client)


async def _issued(fields: dict[str, str], named: _Named, ports: Ports, keys: ClientKeys) -> TokenAnswer:
    if ports.tokens is None:
        raise Unavailable("internal")
    if _required(fields, "grant_type") != "client_credentials":
        raise Invalid("oauth-grant")
    if fields.get("client_assertion_type") != assertions.ASSERTION_TYPE:
        why = f"clients prove themselves by private_key_jwt: send client_assertion_type={assertions.ASSERTION_TYPE}"
        raise Refused("oauth-client", why=why)
    assertion = assertions.read(_required(fields, "client_assertion"))
    client = named.client = await assertions.registered(assertion, fields.get("client_id"), ports)
    said = await assertions.prove(assertion, client, keys, ports)
    scopes = _scopes(fields.get("scope", ""), client)
    now = ports.now().timestamp()
    caller = replace(claims.caller(said, client, ports.policy, scopes), token_id=new_id())
    access_token, seconds = ports.tokens.issue(caller, now)
    body = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": " ".join(sorted(scopes)),
    }
    return TokenAnswer(200, body, client=client.id, caller=replace(caller, expires=int(now) + seconds))


def _scopes(wanted: str, client: ClientTable) -> frozenset[str]:
    """What is asked for and registered; asking for nothing is asking for all that is registered."""
    registered = frozenset(client.scopes)
    asked = frozenset(wanted.split(" ")) if wanted else registered
    if len(asked) > _MAXIMUM_SCOPES:
        raise Invalid("oauth-request", why=f"more than {_MAXIMUM_SCOPES} scopes; ask fewer")
    scopes = granted(asked, registered)
    if not scopes:
        raise Invalid("oauth-scope")
    return scopes


def _fields(form: bytes, content_type: str) -> dict[str, str]:
    """The parameters of the form, each at most once."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise Invalid("oauth-request", why=f"send the parameters as Content-Type {FORM}")
    try:
        pairs = parse_qsl(
            form.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(form),
            errors="strict",
            max_num_fields=_MAXIMUM_FIELDS,
        )
    except ValueError:
        raise Invalid("oauth-request", why="the form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("oauth-request", why="a parameter was sent more than once")
    return fields


def _required(fields: dict[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise Invalid("oauth-request", why=f"parameter {name} is missing")
    return value


def _quotable(text: str) -> str:
    """The text in the characters RFC 6749 section 5.2 allows."""
    return "".join("'" if letter in '"\\' else letter if " " <= letter <= "~" else "?" for letter in text)
