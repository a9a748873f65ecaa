"""The token endpoint, without a framework: one form in, one answer out, with what the record must say about it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from consent.scopes import granted
from gateway.errors import GatewayError, Invalid, Refused, Unavailable
from gateway.model import Caller, Incoming
from gateway.oauth import assertions, binding, certificates, claims
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
    interaction: str = "token"  # "token" | "login" | "introspection" | "revocation"
    retry_after: int | None = None
    nonce: str = ""  # to be put in the next proof of possession


@dataclass(slots=True)
class Named:
    """The registered client a request names, as soon as that is known."""

    client: ClientTable | None = None


async def token(
    form: bytes, content_type: str, ports: Ports, keys: ClientKeys, asked: Incoming | None = None
) -> TokenAnswer:
    """Give a token to a client that proves who it is and says who asks and why; else say what to mend.

    `asked` is the request around the form: the certificate or key a token is bound to is there.

    Spec: RFC 6749 sections 4.4, 5.1, 5.2; SMART App Launch 2.2.0, 'Backend Services'.
    """
    named = Named()
    try:
        return await _issued(fields(form, content_type), named, ports, keys, asked)
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
        400 if "dpop" in error.row.oauth else error.row.status,  # RFC 9449 section 5: no 401 here
        body,
        client=client.id if client else "",
        error=error.code,
        why=text,
        retry_after=error.retry_after,
        nonce=error.words.get("nonce", ""),
    )


def unrecorded(answer: TokenAnswer) -> TokenAnswer:
    """The answer when the record could not be written: no record, no token."""
    return replace(refusal(Unavailable("audit-unavailable")), client=answer.client)


async def proven_client(
    form: dict[str, str],
    named: Named,
    ports: Ports,
    keys: ClientKeys,
    here: str = "",
    asked: Incoming | None = None,
) -> tuple[ClientTable, dict[str, Any]]:
    """The client that proves itself by its assertion, with the claims of it; `here` may be its audience too.

    A client that is registered with a certificate may show that instead, and then claims nothing.

    Raises:
        Refused: `oauth-client`, what to mend.
        Invalid: `oauth-request`.
        Unavailable: single use cannot be checked.
    """
    if not {"client_assertion", "client_assertion_type"} & form.keys():
        shown = certificates.presented(asked, ports.settings)
        if shown is not None:
            client = named.client = await assertions.by_id(_required(form, "client_id"), ports)
            if not certificates.is_of(shown, client) or not certificates.valid(shown, ports.now()):
                raise Refused("oauth-client", why=assertions.UNPROVEN)
            return client, {}
    if form.get("client_assertion_type") != assertions.ASSERTION_TYPE:
        why = f"clients prove themselves by private_key_jwt: send client_assertion_type={assertions.ASSERTION_TYPE}"
        raise Refused("oauth-client", why=why)
    assertion = assertions.read(_required(form, "client_assertion"))
    client = named.client = await assertions.registered(assertion, form.get("client_id"), ports)
    return client, await assertions.prove(assertion, client, keys, ports, here)


async def _issued(
    form: dict[str, str], named: Named, ports: Ports, keys: ClientKeys, asked: Incoming | None
) -> TokenAnswer:
    if ports.tokens is None:
        raise Unavailable("internal")
    if _required(form, "grant_type") != "client_credentials":
        raise Invalid("oauth-grant")
    client, said = await proven_client(form, named, ports, keys, asked=asked)
    bound = await binding.bound_to(client, asked, ports)
    wanted = scopes(form.get("scope", ""), client)
    now = ports.now().timestamp()
    caller = replace(claims.caller(said, client, ports.policy, wanted, now), token_id=new_id(), bound=bound)
    return given(caller, client, now, ports)


def given(caller: Caller, client: ClientTable, now: float, ports: Ports) -> TokenAnswer:
    """The answer that carries a fresh access token of this caller.

    Raises:
        Invalid: `oauth-request`, it would be too large.
    """
    if ports.tokens is None:
        raise Unavailable("internal")
    access_token, seconds = ports.tokens.issue(caller, now)
    body = {
        "access_token": access_token,
        "token_type": "DPoP" if caller.bound.startswith(binding.KEY) else "Bearer",
        "expires_in": seconds,
        "scope": " ".join(sorted(caller.scopes)),
    }
    if caller.launch:
        body["patient"] = caller.launch
    return TokenAnswer(200, body, client=client.id, caller=replace(caller, expires=int(now) + seconds))


def scopes(wanted: str, client: ClientTable) -> frozenset[str]:
    """What is asked for and registered; asking for nothing is asking for all that is registered.

    Raises:
        Invalid: `oauth-scope`, nothing of it is registered.
    """
    registered = frozenset(client.scopes)
    asked = frozenset(wanted.split(" ")) if wanted else registered
    if len(asked) > _MAXIMUM_SCOPES:
        raise Invalid("oauth-request", why=f"more than {_MAXIMUM_SCOPES} scopes; ask fewer")
    found = granted(asked, registered)
    if not found:
        raise Invalid("oauth-scope")
    return found


def fields(form: bytes, content_type: str) -> dict[str, str]:
    """The parameters of the form, each at most once.

    Raises:
        Invalid: `oauth-request`.
    """
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
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("oauth-request", why="a parameter was sent more than once")
    return found


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        raise Invalid("oauth-request", why=f"parameter {name} is missing")
    return value


def _quotable(text: str) -> str:
    """The text in the characters RFC 6749 section 5.2 allows."""
    return "".join("'" if letter in '"\\' else letter if " " <= letter <= "~" else "?" for letter in text)
