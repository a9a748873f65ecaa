"""The region as the gateway's configuration tells it: organizations, sources, agreements and clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.demo.identity_provider import Someone
from gateway.demo.organizations import region_tables
from gateway.oauth.client import new_client_key

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """One client of the region with its keys, and what it says about who asks."""

    id: str
    role: str  # the name under which its token is printed; empty = registers only
    organization: str
    public_key: Json
    private_key: Json
    key_file: Path
    token: Mapping[str, str]

    @property
    def who(self) -> Json:
        """The claims of `extensions.hl7-b2b`."""
        claims: Json = dict(self.token)
        if "purpose_of_use" in claims:
            claims["purpose_of_use"] = [claims["purpose_of_use"]]
        return claims


def new_clients(directory: Path) -> tuple[Client, ...]:
    """Make a key for every client and write the private ones, readable by their owner only."""
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for row in region_tables()["clients"]:
        if "pages" in row:
            continue
        private, public = new_client_key()
        path = directory / f"{row['id']}.jwk.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(private), encoding="utf-8")
        made.append(
            Client(row["id"], row.get("role", ""), row["organization"], public, private, path, row.get("token", {}))
        )
    return tuple(made)


def settings_tree(
    gateway_base: str, sources: Mapping[str, str], clients: tuple[Client, ...], today: date, issuer: str
) -> Json:
    """The content of `region.toml`; `sources` gives where each source is: the URL it answers at, or its directory."""
    tables = region_tables()
    keyed = [row for row in tables["clients"] if "pages" not in row]
    return {
        "gateway": {
            "name": "ROAZ FHIR gateway (demo)",
            "operator": tables["organizations"]["coordination"]["name"],
            "ura": tables["organizations"]["coordination"]["ura"],
            "base": gateway_base,
            "listen": urlsplit(gateway_base).netloc,
            "demo": True,
        },
        "organizations": [
            {"ura": row["ura"], "name": row["name"], "facility_type": row["facility"]}
            for row in tables["organizations"].values()
        ],
        "identifier_systems": [
            {"system": row["number_system"], "custodian": _ura(source), "name": "patient number"}
            for source, row in tables["sources"].items()
            if "number_system" in row
        ],
        "sources": [_source(source, row, sources) for source, row in tables["sources"].items()],
        "agreements": [_agreement(row, today) for row in tables["agreements"]],
        "clients": [
            *(_client(row, client) for row, client in zip(keyed, clients, strict=True)),
            *(_pages_client(row, issuer) for row in tables["clients"] if "pages" in row),
        ],
        "login": {
            "issuer": issuer,
            "assurance": {f"http://eidas.europa.eu/LoA/{level}": level for level in ("low", "substantial", "high")},
        },
    }


def people() -> tuple[Someone, ...]:
    """Who can log in."""
    return tuple(
        Someone(row["key"], row["person"], row["name"], _ura(row["organization"]), tuple(row["roles"]))
        for row in region_tables()["people"]
    )


def written(tree: Json) -> str:
    """The same as the text of a `region.toml`, so that every command works beside the demo."""
    lines = []
    for name, value in tree.items():
        for table in value if isinstance(value, list) else [value]:
            lines.append(f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
            lines += [f"{key} = {_toml(one)}" for key, one in table.items()]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    # A text and a truth are the same in TOML and JSON; a date stands without quotes.
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)


def _ura(organization: str) -> str:
    ura: str = region_tables()["organizations"][organization]["ura"]
    return ura


def _source(source: str, row: Json, bases: Mapping[str, str]) -> Json:
    table: Json = {"id": source, "custodian": _ura(source), "kind": row["kind"]}
    if row["kind"] == "mllp":
        return table | {"listen": "127.0.0.1:0", "expected_every": row["expected_every"]}
    if row["kind"] == "inbox":
        return table | {"dialect": row["dialect"], "inbox": bases[source], "expected_every": row["expected_every"]}
    table |= {"dialect": row["dialect"], "url": bases[source], "partial": list(row.get("partial", ()))}
    if "client" in row:
        endpoint = bases[source].rpartition("/")[0] + "/oauth/token"
        table["auth"] = {
            "kind": "oauth",
            "token_endpoint": endpoint,
            "client_id": row["client"],
            "scope": "system/*.rs",
        }
    return table


def _agreement(row: Json, today: date) -> Json:
    return {
        "id": row["id"],
        "requesters": [_ura(organization) for organization in row["requesters"]],
        "custodians": [_ura(organization) for organization in row["custodians"]],
        "purposes": row["purposes"],
        "roles": row["roles"],
        "emergency": row["emergency"],
        "system_access": row.get("system_access") == "true",
        "patient_asked": row.get("patient_asked") == "true",
        "start": today - timedelta(days=365),
        "end": today + timedelta(days=365),
    }


def _pages_client(row: Json, issuer: str) -> Json:
    """Whom people of one organization come in as; it has no key of its own."""
    return {
        "id": row["id"],
        "organization": _ura(row["organization"]),
        "issuer": issuer,
        "scopes": row["scopes"],
        "roles": row["roles"],
        "purposes": row["purposes"],
        "person": row["person"],
    }


def _client(row: Json, client: Client) -> Json:
    return {
        "id": client.id,
        "organization": _ura(client.organization),
        "jwks": {"keys": [client.public_key]},
        "scopes": row["scopes"],
        "roles": row.get("roles", []),
        "purposes": row.get("purposes", []),
        "person": row["person"],
        "key_file": str(client.key_file),
    }
