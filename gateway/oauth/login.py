"""Who logged in at an OpenID provider, as the same caller and the same access token that a client's assertion gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from gateway.errors import GatewayError, Refused, Unavailable
from gateway.model import Caller
from gateway.oauth import assertions, claims, endpoint
from gateway.oauth.tokens import new_id
from gateway.ports import Ports
from gateway.settings import ClientTable

Json = dict[str, Any]

INTERACTION: Final = "login"
SKEW: Final = timedelta(seconds=assertions.SKEW_SECONDS)
FRESH: Final = timedelta(minutes=5)  # what nobody may do on a session that somebody left open (attack 184)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a verified ID token says about one person; nothing of it is more than the client's registration allows."""

    issuer: str  # `iss` of the provider, exactly
    organization: str  # URA for which the person works
    person: str  # "<system>|<number>" as it will stand in the log; never a BSN
    roles: tuple[str, ...]  # those the provider vouches for
    assurance: str  # "low" | "substantial" | "high", or the eIDAS URL of one
    authenticated: datetime  # when the person last proved who they are (`auth_time`)
    name: str = ""
    responsible: str = ""  # identifier of the responsible professional


@dataclass(frozen=True, slots=True)
class Errand:
    """What the person is about to do; a token is for one errand."""

    purpose: str = ""  # situation or code; empty = the client's only one
    role: str = ""  # one of the identity's; empty = its only one
    case: str = ""  # id of the Task
    patient: str = ""  # id of the patient; needed to break the glass
    emergency: Json | None = None  # {"cannot_consent", "threats", "text"}: breaks the glass (B2)
    scope: str = ""  # empty = all that is registered
    fresh: bool = False  # asks a login of the last five minutes, whatever the errand


def enter(identity: Identity, errand: Errand, ports: Ports) -> endpoint.TokenAnswer:
    """The access token of a person for one errand, or what stands in the way; write it on the record before using it.

    INVARIANT: the token says no more than one of an assertion could: the same claims are judged by the same code.
    """
    client: ClientTable | None = None
    try:
        client = client_of(identity, ports)
        answer = _entered(identity, errand, client, ports)
    except GatewayError as error:
        answer = endpoint.refusal(error, client)
    return replace(answer, interaction=INTERACTION)


async def leave(caller: Caller, ports: Ports) -> None:
    """Take a person's token back at log-out; refused everywhere within a second.

    Raises:
        Unavailable: the token could not be taken back and lives until it expires.
    """
    if ports.revocations is None or ports.tokens is None:
        raise Unavailable("internal")
    now, expires = ports.now(), datetime.fromtimestamp(caller.expires, UTC)
    await ports.revocations.revoke(caller.token_id, caller.requester.client, expires, now)
    await ports.tokens.refresh(ports.revocations, now.timestamp())


def client_of(identity: Identity, ports: Ports) -> ClientTable:
    """The one client that this provider's people of this organization come in as.

    Raises:
        Refused: `oauth-client`, none or several are registered.
    """
    rows = ports.policy.clients.values()
    found = [row for row in rows if row.issuer and (row.issuer, row.organization) == _from(identity)]
    if len(found) != 1:
        raise Refused(
            "oauth-client", why=f"{len(found)} clients are registered for this issuer and organization; register one"
        )
    return found[0]


def _entered(identity: Identity, errand: Errand, client: ClientTable, ports: Ports) -> endpoint.TokenAnswer:
    now, age = ports.now(), ports.now() - identity.authenticated
    if (errand.fresh or errand.emergency is not None) and not -SKEW <= age <= FRESH:
        raise Refused("login-again")
    if not identity.person:
        raise Refused("person-required")
    said = {"extensions": {claims.EXTENSION: _said(identity, errand)}}
    scopes = endpoint.scopes(errand.scope, client)
    speaking = msgspec.structs.replace(client, claims=claims.EXTENSION)  # we say it ourselves, in our own words
    caller = claims.caller(said, speaking, ports.policy, scopes, now.timestamp())
    return endpoint.given(replace(caller, token_id=new_id()), client, now.timestamp(), ports)


def _said(identity: Identity, errand: Errand) -> Json:
    role = errand.role or (identity.roles[0] if len(identity.roles) == 1 else "")
    if role not in identity.roles:
        raise Refused("role-refused", role=role or "?", why="it is not a role of the person who logged in")
    said: Json = {
        "organization_id": identity.organization,
        "subject_id": identity.person,
        "subject_name": identity.name,
        "subject_role": role,
        "loa": identity.assurance,
        "responsible": identity.responsible,
        "purpose_of_use": [errand.purpose] if errand.purpose else [],
        "case": errand.case,
        "patient": errand.patient,
    }
    return said if errand.emergency is None else said | {"emergency": errand.emergency}


def _from(identity: Identity) -> tuple[str, str]:
    return identity.issuer, identity.organization
