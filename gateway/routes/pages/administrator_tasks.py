"""What an administrator does, with a second person where rule C8 asks for one: agreements, clients, dead letters."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any, Final

from consent.agreement import in_force
from consent.basis import BASES
from consent.categories import CATEGORIES
from consent.differences import Difference, differences
from consent.model import Agreement
from consent.purposes import PURPOSES
from consent.roles import ROLES
from gateway.errors import Invalid, StartError, Unavailable
from gateway.fhir.contract import IDENTIFIER, TERMS, agreement_in
from gateway.intake import desk
from gateway.intake.submission import submit
from gateway.model import Json
from gateway.oauth.registered import ClientKeys
from gateway.office import EXECUTED, OFFERED, ClientOffer
from gateway.ports import KeptContract, Ports
from gateway.routes.pages.administrator import SOON, saying
from gateway.routes.pages.frame import Pages
from gateway.routes.pages.looking import keeping
from gateway.routes.pages.visit import Reply, Visit, go
from gateway.settings import ClientTable
from profiles import exact
from profiles.identifiers import URA_SYSTEM

pages: Final = Pages("/pages/admin", "administrator")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_SCOPE: Final = re.compile(r"(system|user|patient)/[A-Za-z*]+\.[a-z*]+")
_NUMBER: Final = re.compile(r"\d{8,9}")
_PERSONS: Final = ("claim", "system", "none")
_EMERGENCY: Final = ("none", "absent_only", "override_objection")
_LEAST_REASON: Final = 10
_MOST_REASON: Final = 300


# --- agreements ------------------------------------------------------------------------------------


@pages.get("/agreements")
async def agreements(visit: Visit, wrong: str = "") -> Reply:
    """Every agreement and whom it lets in, and what waits for a second person."""
    ports = visit.ports
    async with keeping(visit, "agreements") as look:
        kept = await ports.contracts.all() if ports.contracts is not None else ()
        person = look.person
    decided = {one.id: one for one in kept if one.status == EXECUTED}
    rows = [
        (one, "", "file", in_force(one, visit.now), one.end - visit.now < SOON) for one in ports.policy.filed
    ] + [
        (one, id_, "database", in_force(one, visit.now), one.end - visit.now < SOON)
        for id_, one in _read(decided.values(), ports)
    ]  # fmt: skip
    waiting = [
        (by_id, one, _opened(one, ports), next(kept_one for kept_one in kept if kept_one.id == by_id))
        for by_id, one in _read((one for one in kept if one.status == OFFERED), ports)
    ]
    return visit.page(
        "administrator_agreements.html.j2", visit.words["agreements_title"], status=400 if wrong else 200,
        say=saying(visit), rows=rows, waiting=waiting, versions={id_: one.version for id_, one in decided.items()}, me=person, wrong=wrong, fields=visit.fields,
        organizations=sorted(ports.policy.organizations.values(), key=lambda one: one.name), purposes=_purposes(visit),
        categories=sorted(CATEGORIES), bases=sorted(BASES), emergencies=_EMERGENCY,
        done=visit.fields.get("done", ""), here="agreements",
    )  # fmt: skip


def _read(kept: Any, ports: Ports) -> list[tuple[str, Agreement]]:  # noqa: ANN401 - kept contracts
    found = []
    for one in kept:
        try:
            found.append((one.id, agreement_in(exact.decode(one.raw), ports.policy)))
        except Invalid:  # of an organization that is no longer declared
            continue
    return found


def _opened(one: Agreement, ports: Ports) -> tuple[Difference, ...]:
    """Who could newly see what, were it in force (rule C8)."""
    before = {each.id: each for each in ports.policy.agreements}
    return differences(before.values(), (before | {one.id: one}).values(), ports.policy.name)


@pages.post("/agreements")
async def propose(visit: Visit) -> Reply:
    """Propose an agreement; it opens nothing until another person decides."""
    body = exact.encode(_contract(visit))
    try:
        incoming = await visit.to_the_line("POST", "Contract", body=body)
        await submit(incoming, "create", "Contract", "", visit.ports)
    except Invalid as error:
        return await agreements(visit, error.text(visit.language))
    return go("/pages/admin/agreements?done=proposed")


def _contract(visit: Visit) -> Json:
    """The proposal of the form as a FHIR Contract."""
    fields = visit.fields

    def many(name: str) -> list[str]:
        return [one for one in fields.get(name, "").split("\n") if one]

    def party(role: str, name: str) -> Json:
        named = [{"identifier": {"system": URA_SYSTEM, "value": ura}} for ura in many(name)]
        return {"role": {"coding": [{"code": role}]}, "reference": named}

    terms = [{"url": "purpose", "valueCode": one} for one in many("purposes")]
    terms += [{"url": "category", "valueCode": one} for one in many("categories") or ["*"]]
    terms += [{"url": name, "valueCode": fields.get(name, "")} for name in ("basis", "emergency")]
    return {
        "resourceType": "Contract",
        "status": OFFERED,
        "identifier": [{"system": IDENTIFIER, "value": fields.get("name", "").strip()}],
        "applies": {"start": fields.get("start", ""), "end": fields.get("end", "")},
        "term": [{"offer": {"party": [party("grantee", "requesters"), party("grantor", "custodians")]}}],
        "extension": [{"url": TERMS, "extension": terms}],
    }


@pages.post("/agreements/decide")
async def decide(visit: Visit) -> Reply:
    """Decide on what another person proposed, take back what one proposed, or end what is in force."""
    kept = await _kept(visit.fields.get("id", ""), visit.ports)
    status = {"accept": EXECUTED, "end": "terminated"}.get(visit.fields.get("do", ""), "rejected")
    body = exact.encode(exact.decode(kept.raw) | {"status": status})
    # What was on the screen is what is decided on: another version in between is a conflict.
    shown = visit.fields.get("version", "0")
    version = shown if shown.isdigit() else "0"
    incoming = await visit.to_the_line("PUT", f"Contract/{kept.id}", body=body, if_match=f'W/"{version}"')
    await submit(incoming, "update", "Contract", kept.id, visit.ports)
    return go(f"/pages/admin/agreements?done={status}")


async def _kept(id_: str, ports: Ports) -> KeptContract:
    found = await ports.contracts.get(id_) if ports.contracts is not None else None
    if found is None:
        raise Invalid("not-found", what="this agreement")
    return found


# --- clients ---------------------------------------------------------------------------------------


@pages.get("/clients")
async def clients(visit: Visit, wrong: str = "") -> Reply:
    """Every client, and those that wait for a second person."""
    async with keeping(visit, "clients") as look:
        kept, offers, person = await look.office.clients.list(), await look.office.clients.offers(), look.person
    return visit.page(
        "administrator_clients.html.j2", visit.words["clients_title"], status=400 if wrong else 200, say=saying(visit),
        filed=sorted(visit.ports.policy.clients.values(), key=lambda one: one.id), kept=kept,
        waiting=[one for one in offers if one.state == OFFERED],
        decided=[one for one in offers if one.state != OFFERED][:20], me=person, wrong=wrong, fields=visit.fields,
        organizations=sorted(visit.ports.policy.organizations.values(), key=lambda one: one.name),
        purposes=_purposes(visit), persons=_PERSONS, done=visit.fields.get("done", ""), here="clients",
    )  # fmt: skip


@pages.post("/clients")
async def offer(visit: Visit) -> Reply:
    """Offer a client; it may not call until another person decides."""
    try:
        client, reason = _client(visit)
    except Invalid as error:
        return await clients(visit, error.text(visit.language))
    async with keeping(visit, "clients", done="client-offer") as look:
        offered = ClientOffer(f"offer-{secrets.token_hex(8)}", client, reason, look.person, visit.now)
        look.record.reasons = (f"client={client.id}", f"offer={offered.id}")
        await look.office.clients.offer(offered)
    return go("/pages/admin/clients?done=offered")


def _client(visit: Visit) -> tuple[ClientTable, str]:
    """The client of the form, and why.

    Raises:
        Invalid: `bad-request`, in words for who filled it in.
    """
    fields, policy = visit.fields, visit.ports.policy
    name, organization = fields.get("name", "").strip(), fields.get("organization", "")
    scopes, roles = tuple(fields.get("scopes", "").split()), tuple(fields.get("roles", "").split())
    purposes = tuple(one for one in fields.get("purposes", "").split("\n") if one)
    if not _NAME.fullmatch(name) or name in policy.clients:
        raise Invalid("bad-request", why=visit.words["client_name_wrong"])
    if organization not in policy.organizations:
        raise Invalid("bad-request", why=visit.words["client_organization_wrong"])
    if not scopes or not all(_SCOPE.fullmatch(one) for one in scopes):
        raise Invalid("bad-request", why=visit.words["client_scopes_wrong"])
    if not all(one in ROLES for one in roles) or not all(one in PURPOSES for one in purposes):
        raise Invalid("bad-request", why=visit.words["client_roles_wrong"])
    if fields.get("person") not in _PERSONS:
        raise Invalid("bad-request", why=visit.words["client_person_wrong"])
    made = ClientTable(id=name, organization=organization, jwks=_jwks(visit), jwks_uri=fields.get("jwks_uri", "").strip(),
                       scopes=scopes, roles=roles, purposes=purposes, person=fields["person"])  # fmt: skip
    try:
        ClientKeys(Path()).load([made])
    except StartError as error:
        raise Invalid("bad-request", why=str(error)) from None
    return made, _reason(visit)


def _jwks(visit: Visit) -> Json | None:
    text = visit.fields.get("jwks", "").strip()
    if not text:
        return None
    try:
        found = exact.decode(text.encode())
    except exact.NotExact:
        raise Invalid("bad-request", why=visit.words["client_keys_wrong"]) from None
    return found if "keys" in found else {"keys": [found]}


def _reason(visit: Visit) -> str:
    """Why something is done: enough to judge it by, and nobody's number.

    Raises:
        Invalid: `bad-request`.
    """
    text = " ".join(visit.fields.get("reason", "").split())
    if not _LEAST_REASON <= len(text) <= _MOST_REASON or _NUMBER.search(text):
        raise Invalid("bad-request", why=visit.words["reason_wrong"])
    return text


@pages.post("/clients/decide")
async def decide_client(visit: Visit) -> Reply:
    """Decide on a client another person offered, or take one's own back."""
    accept = visit.fields.get("do") == "accept"
    async with keeping(visit, "clients", done="client-decide") as look:
        number = visit.fields.get("id", "")[:80]
        look.record.reasons = (f"offer={number}", "accepted" if accept else "rejected")
        decided = await look.office.clients.decide(number, look.person, accept=accept)
        if decided is None:
            raise Invalid("not-found", what="this offer, or it was decided, or it is your own: it")
        look.record.reasons = (*look.record.reasons, f"client={decided.client.id}", f"offered-by={decided.person}")
    return go(f"/pages/admin/clients?done={decided.state}")


@pages.post("/clients/disable")
async def disable(visit: Visit) -> Reply:
    """Refuse a client from now on; closing needs one person (rule C6)."""
    async with keeping(visit, "clients", done="client-disable") as look:
        name = visit.fields.get("id", "")[:80]
        look.record.reasons = (f"client={name}",)
        if not await look.office.clients.disable(name):
            raise Invalid("not-found", what="this client in the database: it")
    return go("/pages/admin/clients?done=disabled")


def _purposes(visit: Visit) -> list[tuple[str, str]]:
    nl = visit.language == "nl"
    return [(name, one.nl if nl else one.en) for name, one in sorted(PURPOSES.items())]


# --- dead letters ----------------------------------------------------------------------------------


@pages.get("/letters")
async def dead_letters(visit: Visit, wrong: str = "") -> Reply:
    """Messages nobody could read, without their content."""
    ports = visit.ports
    if ports.desk is None:
        raise Unavailable("store-unavailable")
    async with keeping(visit, "letters"):
        dead = [slip async for slip in desk.slips(ports, state="dead")]
        quarantined = [slip async for slip in desk.slips(ports, state="quarantined")]
    return visit.page(
        "administrator_letters.html.j2", visit.words["letters_title"], status=400 if wrong else 200, say=saying(visit),
        dead=dead[-200:], quarantined=quarantined[-200:], wrong=wrong, done=visit.fields.get("done", ""), here="letters",
    )  # fmt: skip


@pages.post("/letters")
async def treat_letter(visit: Visit) -> Reply:
    """Read one anew, or drop it with a reason."""
    receipt = visit.fields.get("receipt", "")[:80]
    if visit.fields.get("do") == "replay":
        return await _replay(visit, receipt)
    try:
        reason = _reason(visit)
    except Invalid as error:
        return await dead_letters(visit, error.text(visit.language))
    ports = visit.ports
    async with keeping(visit, "letters", done="inbox-drop") as look:
        look.record.reasons = (f"receipt={receipt}", reason)
        kept = await ports.desk.kept(receipt) if ports.desk is not None else None
        if kept is None or kept.message.state != "dead":
            raise Invalid("not-found", what="this dead letter")
        # The custodian's part of the log says it too: it is about what that custodian sent.
        await desk.note("erase", "D", ports, kept.message, reasons=(reason,))
        await look.office.eraser.erase([receipt], visit.now)
    return go("/pages/admin/letters?done=dropped")


async def _replay(visit: Visit, receipt: str) -> Reply:
    async with keeping(visit, "letters", done="inbox-replay") as look:
        look.record.reasons = (f"receipt={receipt}",)
        await desk.note("replay", "U", visit.ports, reasons=(receipt,))
        taken = await desk.read_anew(receipt, visit.ports)
        dead = any(one.state == "dead" for one in taken)
        look.record.reasons = (*look.record.reasons, "still unreadable" if dead else "readable now")
    return go(f"/pages/admin/letters?done={'still' if dead else 'read'}")
