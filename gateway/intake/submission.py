"""A FHIR write: recorded( authenticate → authorize → check → keep ), refused as a whole or kept as a whole."""

from __future__ import annotations

from typing import Final

from consent.scopes import covers
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.errors import Invalid, Refused
from gateway.intake import cases, consents, contracts, registrations, relations
from gateway.intake.write import Keeper, Write
from gateway.model import Incoming, Outgoing
from gateway.ports import Ports
from profiles import exact

# interaction and type -> action of the record, scope letter, keeper
_KEEPERS: Final[dict[tuple[str, str], tuple[str, str, Keeper]]] = {
    ("create", "Task"): ("C", "c", cases.open_case),
    ("read-owned", "Task"): ("R", "r", cases.read),
    ("update", "Task"): ("U", "u", cases.close),
    ("vread", "Task"): ("R", "r", cases.read),
    ("vread", "Consent"): ("R", "r", consents.read),
    ("vread", "Contract"): ("R", "r", contracts.read),
    **{("vread", one): ("R", "r", relations.read) for one in relations.TYPES},
    ("create", "Consent"): ("C", "c", consents.create),
    ("read-owned", "Consent"): ("R", "r", consents.read),
    ("update", "Consent"): ("U", "u", consents.update),
    ("create", "Contract"): ("C", "c", contracts.create),
    ("read-owned", "Contract"): ("R", "r", contracts.read),
    ("update", "Contract"): ("U", "u", contracts.update),
    **{("create", one): ("C", "c", relations.create) for one in relations.TYPES},
    **{("read-owned", one): ("R", "r", relations.read) for one in relations.TYPES},
    **{("update", one): ("U", "u", relations.update) for one in relations.TYPES},
    ("create", "List"): ("C", "c", registrations.register),
    ("delete", "List"): ("D", "d", registrations.withdraw),
}


async def submit(
    incoming: Incoming, interaction: str, type_: str, id_: str, ports: Ports, version: str = ""
) -> Outgoing:
    """Keep what is sent in, or refuse it; of what is kept the newest version can be read by its number.

    Raises:
        GatewayError: scope, content or right to write; see the keepers.
    """
    action, letter, keep = _KEEPERS[interaction, type_]
    async with recorded(incoming, ports, interaction, action, type_) as record:
        record.caller = caller = await authenticate(incoming, ports)
        if not covers(caller.scopes, type_, letter):
            raise Refused("scope-insufficient", needed=f"system/{type_}.{letter}")
        if interaction == "create" and b"if-none-exist" in incoming.headers:
            why = "send it once, and read it back by the id in Location"
            raise Invalid("not-supported", what="a conditional create (If-None-Exist)", why=why)
        outgoing = await keep(Write(incoming, id_, caller, record, ports))
        if version and _version(outgoing) != version:
            raise Invalid("not-found", what="this version; only the newest can be read, so it")
        record.status, record.object = outgoing.status, _written(outgoing, type_, id_)
        return outgoing


def _version(outgoing: Outgoing) -> str:
    """The version of what was read: as its tag says it, else as it stands in it."""
    tag = dict(outgoing.headers).get("etag", "").strip('W/"')
    return tag or str((exact.decode(outgoing.body).get("meta") or {}).get("versionId", ""))


def _written(outgoing: Outgoing, type_: str, id_: str) -> str:
    """What was read or written, with its version where it has one."""
    headers = dict(outgoing.headers)
    if "location" in headers:
        return headers["location"].partition("/fhir/")[2]
    version = headers.get("etag", "").strip('W/"')
    return f"{type_}/{id_}/_history/{version}" if version else f"{type_}/{id_}"
