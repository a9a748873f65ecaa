"""A probe of a server or a file: what it is, how it would be configured, what of the guideline was found."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gateway.adapters.address import AddressPolicy
from gateway.adapters.http import HttpClient, HttpError
from gateway.model import instant
from gateway.sourcekit import coverage, mapped, stanza
from gateway.sourcekit.coverage import Element
from gateway.sourcekit.mapped import Mapped
from gateway.sourcekit.reaching import Check, certified, declared
from gateway.sourcekit.signatures import Signature, recognize
from gateway.sourcekit.statement import Statement
from gateway.sourcekit.support import Fit, Found, fits

# A search that can find nobody: the system is the gateway's own and has no members.
_NOBODY: Final = b"identifier=https%3A%2F%2Froaz-gateway.example%2Ffhir%2Fsid%2Fnobody%7Cprobe"
_FORM: Final = "application/x-www-form-urlencoded"
_SMART_BYTES: Final = 262_144
_SEARCHSET_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe found. INVARIANT: names, counts and paths; no content of a patient."""

    target: str
    guess: str  # dialect of a server, format of a file; empty = nothing known
    checks: tuple[Check, ...] = ()
    candidates: tuple[Fit, ...] = ()
    table: dict[str, Any] = field(default_factory=dict)  # the stanza; empty = none can be written
    coverage: tuple[Element, ...] = ()
    mapped: Mapped | None = None
    columns: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 something is known of it, 1 nothing is, 3 it could not be reached."""
        if self.guess:
            return 0
        return 1 if all(check.reached for check in self.checks) else 3


@dataclass(frozen=True, slots=True)
class Reach:
    """How a server is reached: TLS as the stanza will say it, and how long it is waited for."""

    addresses: AddressPolicy
    context: ssl.SSLContext | None = None
    files: tuple[tuple[str, str], ...] = ()  # ca_file, client_certificate, client_key as given
    seconds: float = 10.0


class _Smart(msgspec.Struct):
    """The part of a SMART configuration that says where tokens are had."""

    token_endpoint: str = ""


async def probe_url(url: str, source: str, custodian: str, reach: Reach, now: datetime) -> Probe:
    """Look at a FHIR server from outside: nothing of a patient is asked."""
    async with HttpClient(reach.addresses) as http:
        certificate, (statement, metadata) = await asyncio.gather(
            certified(url, reach.context, reach.addresses, reach.seconds, now),
            declared(http, url, reach.context, reach.seconds),
        )
        if statement is None:
            return Probe(url, "", (certificate, metadata))
        post, search = await _post_search(http, url, reach)
        endpoint = statement.token_endpoint or await _smart(http, url, reach)
    checks = (certificate, metadata, search, _security(endpoint), *_remarks(statement))
    candidates = fits(statement, post)
    if not candidates:
        refused = Check("version", "wrong", f"FHIR {statement.version or 'unknown'}: no queries for this version")
        return Probe(url, "", (*checks, refused))
    best = candidates[0]
    elements = coverage.of_queries(best.verdicts, best.dialect.name)
    table = _server_table(url, source, custodian, reach, best, coverage.missing(best.verdicts), endpoint)
    return Probe(url, best.dialect.name, checks, tuple(candidates), table, tuple(elements))


def probe_file(path: Path, body: bytes, source: str, custodian: str, now: datetime) -> Probe:
    """Look at a file: its format, and what the maps make of it."""
    found = recognize(body)
    if found is None:
        return Probe(str(path), "", (Check("format", "wrong", "nothing in its first bytes is known"),))
    made = mapped.attempt(body, found.format, instant(now))
    elements = coverage.of_resources(made.resources, mapped.makes(found.format), found.format)
    checks = [Check("format", "ok", f"{found.name}, {len(body)} bytes")]
    if found.delimiter:
        checks.append(_header(found))
    return Probe(
        str(path), found.format, tuple(checks), table=_file_table(found, source or stanza.named(path.stem), custodian),
        coverage=tuple(elements), mapped=made, columns=found.columns,
    )  # fmt: skip


async def _post_search(http: HttpClient, url: str, reach: Reach) -> tuple[Found, Check]:
    """Whether a search may be posted, so that an identifier need not stand in a URL."""
    try:
        answer = await http.request(
            "POST", url.rstrip("/") + "/Patient/_search", body=_NOBODY, tls=reach.context,
            headers={"Accept": "application/fhir+json", "Content-Type": _FORM},
            deadline=asyncio.get_running_loop().time() + reach.seconds, limit_bytes=_SEARCHSET_BYTES,
        )  # fmt: skip
    except HttpError as failure:
        return "unknown", Check("post-search", "note", f"no answer: {failure.code}")
    if answer.status == 200:
        return "yes", Check("post-search", "ok", "Patient/_search answers a form")
    if answer.status in {404, 405, 501}:
        return "no", Check(
            "post-search",
            "wrong",
            f"status {answer.status}: an identifier may not stand in a URL, so it cannot be asked",
        )
    return "unknown", Check(
        "post-search", "note", f"status {answer.status}: it wants to know who asks; try it with 'gateway source test'"
    )


async def _smart(http: HttpClient, url: str, reach: Reach) -> str:
    """The token endpoint of the server's SMART configuration, empty when it has none."""
    try:
        answer = await http.request(
            "GET", url.rstrip("/") + "/.well-known/smart-configuration", headers={"Accept": "application/json"},
            deadline=asyncio.get_running_loop().time() + reach.seconds, limit_bytes=_SMART_BYTES, tls=reach.context,
        )  # fmt: skip
        return msgspec.json.decode(answer.body, type=_Smart).token_endpoint if answer.status == 200 else ""
    except (HttpError, msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _security(endpoint: str) -> Check:
    if not endpoint:
        return Check(
            "security", "note", "no token endpoint declared: signed context only, unless the source says otherwise"
        )
    return Check("security", "ok", f"OAuth token endpoint at {urlsplit(endpoint).netloc}")


def _remarks(statement: Statement) -> list[Check]:
    """What a reader of the table must know: whether it speaks of profiles, and in which formats."""
    by_profile = sum("_profile" in one.parameters for one in statement.types.values())
    everywhere = "_profile" in statement.everywhere
    told = "for all types" if everywhere else f"for {by_profile} of {len(statement.types)} types"
    checks = [Check("_profile", "ok" if everywhere or by_profile else "note", f"declared {told}")]
    if statement.formats and not any("json" in one for one in statement.formats):
        checks.append(Check("formats", "wrong", "JSON is not declared, and nothing else is read from a server"))
    return checks


def _server_table(url: str, source: str, custodian: str, reach: Reach, best: Fit, missing: frozenset[str],
                  endpoint: str) -> dict[str, Any]:  # fmt: skip
    table: dict[str, Any] = {
        "id": source or stanza.named(urlsplit(url).hostname or ""),
        "custodian": custodian or stanza.PLACEHOLDER,
        "kind": best.dialect.format,
        "dialect": best.dialect.name,
        "url": url.rstrip("/"),
        "phase": "test",
    }
    if best.dialect.categories & missing:
        table["categories"] = sorted(best.dialect.categories - missing)
    if endpoint:
        table["auth"] = {"kind": "oauth", "token_endpoint": endpoint, "client_id": "", "scope": "system/*.rs"}
    return table | {name: value for name, value in reach.files if value}


def _file_table(found: Signature, source: str, custodian: str) -> dict[str, Any]:
    table: dict[str, Any] = {"id": source, "custodian": custodian or stanza.PLACEHOLDER, "kind": found.kind}
    if found.kind == "mllp":
        table |= {"listen": "127.0.0.1:2575", "expected_every": "24h"}
    elif found.kind == "inbox":
        table |= {"inbox": f"inbox/{source}", "expected_every": "24h"}
    else:
        dialect = "bgz-msz@2.0" if found.kind == "fhir-stu3" else "360@1.0"
        table |= {"dialect": dialect, "url": "https://source.example/fhir"}
    return table | {"phase": "test"}


def _header(found: Signature) -> Check:
    delimiter = {"\t": "tab"}.get(found.delimiter, found.delimiter)
    if not found.columns:
        return Check(
            "header", "wrong", f"delimiter {delimiter}, but the first line is no header: nothing names the columns"
        )
    return Check("header", "ok", f"delimiter {delimiter}, {len(found.columns)} columns")
