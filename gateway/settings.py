"""One frozen `Settings`, read once from `region.toml` and `GATEWAY__…`; an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec

from gateway.errors import StartError

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(timedelta):
    """A span written as "250ms", "4s", "15m", "24h" or "7d"."""

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Read a duration; a bare number is refused, because its unit would be a guess.

        Raises:
            ValueError: not a number with one of the units ms, s, m, h, d.
        """
        found = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            message = 'expected a duration such as "4s", "15m" or "24h"'
            raise ValueError(message)
        return cls(seconds=float(found[1]) * _UNITS[found[2]])


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class GatewayTable(Table, frozen=True):
    """Who and where this gateway is."""

    name: str = "ROAZ FHIR gateway"
    operator: str = ""  # name of the organization that runs it
    ura: str = ""  # its URA, for AuditEvent.source and calls to sources
    base: str = "http://127.0.0.1:8080"  # public base URL, without /fhir
    listen: str = "127.0.0.1:8080"
    metrics_listen: str = ""  # "host:port"; empty = no metrics port
    keys: str = "keys"  # directory of the key ring, outside the database
    guidelines: str = "guidelines"  # directory with a folder per guideline; need not exist
    language: str = "nl"
    deadline: Duration = Duration(seconds=4)  # for all sources of one request together
    share_answers: Duration = Duration(
        0
    )  # a source's answer serves further searches of that caller about that patient so long
    maximum_body_bytes: int = 10_485_760
    trusted_proxies: tuple[str, ...] = ()
    source_networks: tuple[str, ...] = ()  # private networks (CIDR) that sources may live in; public ones always may
    log_level: str = "info"
    demo: bool = False
    client_certificate_header: str = ""  # in which a listed proxy passes the client's certificate; empty = in none
    dpop_nonce: bool = False  # proofs of possession must carry the nonce of the moment
    patients_per_hour: int = 2_000  # different patients a client may ask for in an hour; the same one again is no more
    token_lifetime: Duration = Duration(minutes=15)  # of an access token


class DatabaseTable(Table, frozen=True):
    """Where the gateway keeps what it must keep."""

    url: str = "sqlite:///gateway.db"
    erasures: str = "erasures.jsonl"  # what was erased, kept outside the database: applied again after a restore


class OrganizationTable(Table, frozen=True):
    """One organization of the region; its facility type comes from here, never from a claim (B4)."""

    ura: str
    name: str
    facility_type: str  # RoleCodeNL, e.g. "Z3" GP, "V4" hospital, "N6" GP post, "AMB", "G5" mental health
    agb: str = ""
    retention_years: int = 0  # of records about its data; 0 = that of [audit]
    notices: str = (
        ""  # FHIR base URL that takes a Communication when somebody breaks the glass; empty = it looks itself
    )
    privacy_officer: str = ""  # the same for its privacy officer; empty = at `notices`


class IdentifierSystemTable(Table, frozen=True):
    """An identifier system patients may be found by, other than the BSN; only at its custodian."""

    system: str
    custodian: str
    name: str = ""


class SourceAuthTable(Table, frozen=True):
    """How the gateway proves itself to a source."""

    kind: str = "context"  # "context" signed context header only | "oauth" client_credentials with private_key_jwt
    token_endpoint: str = ""
    client_id: str = ""
    scope: str = ""


class SourceTable(Table, frozen=True):
    """One system that holds data of one custodian."""

    id: str
    custodian: str
    kind: str  # "fhir-r4" | "fhir-stu3" | "hl7v3" | "mllp" | "inbox"
    dialect: str = ""  # name of a query dialect, e.g. "360@1.0", "bgz-msz@2.0"
    url: str = ""
    listen: str = ""  # for kind "mllp": host:port
    inbox: str = ""  # for kind "inbox": the directory files are dropped in
    auth: SourceAuthTable = msgspec.field(default_factory=SourceAuthTable)
    deadline: Duration | None = None
    expected_every: Duration | None = None  # a feed silent for longer is stale (E7)
    phase: str = "production"  # "test" sources are asked only in demo regions
    categories: tuple[str, ...] = ()  # what it holds; empty = everything its dialect asks
    partial: tuple[str, ...] = ()  # sections that are partial by design (A1), e.g. allergies at a GP
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    server_certificate: str = ""  # for kind "mllp": TLS of the listener; with ca_file senders must show a certificate
    server_key: str = ""
    complete: str = "marker"  # when a dropped file is whole: "marker" NAME.done beside it | "rename" to its final name
    retention: Duration = Duration(hours=72)  # how long what was pushed is kept after the contact ended (C4)
    open_contact: Duration = Duration(
        days=30
    )  # a contact whose end nobody tells ends this long after it was last spoken of


class AgreementTable(Table, frozen=True):
    """One agreement between parties (C8)."""

    id: str
    requesters: tuple[str, ...]
    custodians: tuple[str, ...]
    purposes: tuple[str, ...]
    start: date
    end: date  # the last day on which it is in force
    categories: tuple[str, ...] = ("*",)
    roles: tuple[str, ...] = ("*",)
    basis: str = "explicit"
    emergency: str = "absent_only"
    system_access: bool = False
    disclosure: str = ""  # how visible a refusal is, where that is less than the region's table says
    signed: date | None = None  # in force no earlier than this
    signers: tuple[str, ...] = ()  # who signed, for the record
    relations: tuple[str, ...] = ()  # one of these is needed: care-team, referral, contact, own-contact, case
    patient_asked: bool = False  # a yes a patient just gave a coordinator counts (B2)
    facility_types: tuple[str, ...] = ("*",)  # of the requester
    excluded: tuple[str, ...] = ()  # categories it never opens
    retention_years: int = 0  # of records about what is shared under it; 0 = that of [audit]


class ClientTable(Table, frozen=True):
    """One registered client (SMART Backend Services)."""

    id: str
    organization: str
    jwks: dict[str, Any] | None = None
    jwks_file: str = ""
    jwks_uri: str = ""
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    person: str = "claim"  # "claim" the assertion names the person | "system" no person (B4) | "none" push only
    audience: str = "token-endpoint"  # what `aud` must be: "token-endpoint" | "issuer"
    algorithms: tuple[str, ...] = ("RS384", "ES384", "PS256", "ES256", "Ed25519")
    key_file: str = ""  # private key at hand, for `gateway token` only
    requests_per_minute: int = 0  # 0 = what [limits] says
    requests_per_day: int = 0  # 0 = what [limits] says
    claims: str = "hl7-b2b"  # dialect in which its assertions say who asks: "hl7-b2b", "ihe-iua", "knooppunt" or "360"
    certificate_subject: str = ""  # distinguished name of the certificate it may prove itself with (RFC 4514)
    certificate_thumbprints: tuple[str, ...] = ()  # or the certificates themselves, by x5t#S256
    bound: str = ""  # what its tokens are bound to: "certificate" | "dpop" | empty: a key when it proves one
    issuer: str = ""  # of the OpenID provider whose people come in as this client; it has no keys then


class RelationTable(Table, frozen=True):
    """How long a treatment relation that was told counts."""

    unended: Duration  # from when it began or was told last, while it has no end
    after: Duration = Duration(0)  # after its end


class ConsentTable(Table, frozen=True):
    """Defaults a region can change without touching code (A2, B5)."""

    disclosure: dict[str, str] = {}  # facility type -> "named" | "anonymous" | "silent"
    case_roles: tuple[str, ...] = ("zorgcoordinator", "triagist")  # roles that need a case (B1)
    case_hours: int = 24
    care_team: RelationTable = RelationTable(Duration(days=365))
    contact: RelationTable = RelationTable(Duration(days=30), Duration(days=30))
    own_contact: RelationTable = RelationTable(Duration(days=1))  # told by who asks; counts where an agreement says so
    basis_regime: str = "opt-in-2026"  # "mitz-required": only the national yes counts where the register is asked
    national: str = ""  # base URL of the national consent register; empty = it is not asked
    national_ca_file: str = ""
    national_certificate: str = ""
    national_key: str = ""


class WitnessTable(Table, frozen=True):
    """Who keeps our checkpoints, so that we cannot change the log unseen: another gateway, or write-once storage."""

    id: str
    kind: str = "gateway"  # "gateway" | "file"
    url: str = ""  # for kind "gateway": its base URL
    key: str = ""  # for kind "gateway": its verifier key, as its gateway check prints it
    path: str = ""  # for kind "file": a directory on storage where nothing can be changed or removed
    every: Duration = Duration(seconds=1)  # not more often than this
    ca_file: str = ""


class WitnessedTable(Table, frozen=True):
    """A gateway whose checkpoints this one signs as a witness."""

    id: str
    keys: tuple[str, ...]  # its verifier keys, as its gateway check prints them


class MandateTable(Table, frozen=True):
    """A mandate of two persons to read the log of more than one organization, for a time (F1)."""

    id: str
    persons: tuple[str, ...]  # who gave it; two at least
    organizations: tuple[str, ...]  # URAs, or "*" for all
    start: date
    end: date  # the last day on which it is in force
    reason: str = ""


class AuditTable(Table, frozen=True):
    """The log."""

    retention_years: int = 7  # of records; an organization or agreement may ask for more, the law for 5
    names_in_report: bool = False  # name employees in the overview a citizen gets (F3)
    mandates: tuple[MandateTable, ...] = ()
    group_commit: Duration = Duration(milliseconds=2)
    origin: str = ""  # the name of this gateway in checkpoints; empty = host of gateway.base with /audit
    heartbeat: Duration = Duration(seconds=60)  # between checkpoints while nothing is recorded
    clock_jump: Duration = Duration(seconds=2)  # a step of the wall clock that is put on record
    witnesses: tuple[WitnessTable, ...] = ()
    witnessed: tuple[WitnessedTable, ...] = ()


class LimitsTable(Table, frozen=True):
    """How much one client may ask, of all processes together; 0 = no bound."""

    requests_per_minute: int = 300_000
    requests_per_day: int = 0


class TerminologyTable(Table, frozen=True):
    """A terminology server for the codes nobody here can judge; none is needed."""

    url: str = ""  # base URL of a FHIR R4 server with ValueSet/$validate-code; empty = such codes stay not judged
    deadline: Duration = Duration(seconds=2)  # for all codes of one resource together


class LoginTable(Table, frozen=True):
    """Where people log in to use the pages (OpenID Connect), and how long a session lives."""

    issuer: str = ""  # of the OpenID provider; empty = nobody logs in and there are no pages
    client_id: str = "roaz-gateway"  # the name of this gateway at the provider
    secret_file: str = ""  # file with the secret of this gateway at the provider; empty = none, PKCE alone
    scopes: tuple[str, ...] = ("openid", "profile")
    assurance: dict[str, str] = {}  # `acr` of the provider -> "low" | "substantial" | "high"; others count as low
    second_factor: tuple[str, ...] = ("mfa", "otp", "hwk", "swk", "sc", "fpt", "face")  # values of `amr` that prove one
    claims: dict[str, str] = {}  # claims of the ID token by what they tell: organization, person, roles, responsible
    idle: Duration = Duration(minutes=15)  # a session nobody uses ends after this
    lifetime: Duration = Duration(hours=8)  # and every session after this
    first_look: Duration = Duration(milliseconds=1200)  # a page with script does not wait longer for a slow source


class Settings(Table, frozen=True):
    """Everything that can be set, see docs/settings.md."""

    gateway: GatewayTable = GatewayTable()
    database: DatabaseTable = DatabaseTable()
    organizations: tuple[OrganizationTable, ...] = ()
    identifier_systems: tuple[IdentifierSystemTable, ...] = ()
    sources: tuple[SourceTable, ...] = ()
    agreements: tuple[AgreementTable, ...] = ()
    clients: tuple[ClientTable, ...] = ()
    consent: ConsentTable = ConsentTable()
    audit: AuditTable = AuditTable()
    terminology: TerminologyTable = TerminologyTable()
    limits: LimitsTable = LimitsTable()
    login: LoginTable = LoginTable()


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file, then the environment over it.

    Raises:
        StartError: the file is missing, is not TOML, or a key or value is not known; the text names
            file, key, rule and way out. Exit code 1.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{path}: no such file; write one with 'gateway init DIR'"
        raise StartError(message, 1) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: not TOML: {error}"
        raise StartError(message, 1) from None
    override(tree, environment or {})
    return parse(tree, str(path))


def parse(tree: dict[str, Any], name: str = "region.toml") -> Settings:
    """Make `Settings` of a parsed tree.

    Raises:
        StartError: an unknown key (names the nearest known one) or a wrong value. Exit code 1.
    """
    for path, key, known in _unknown(tree, Settings, ""):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known are: {', '.join(sorted(known))}"
        message = f"{name}: unknown key '{path}{key}'{hint}"
        raise StartError(message, 1)
    try:
        return msgspec.convert(tree, Settings, dec_hook=_special, strict=True)
    except msgspec.ValidationError as error:
        message = f"{name}: {error}"
        raise StartError(message, 1) from None


def override(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Lay `GATEWAY__TABLE__KEY` and `GATEWAY__TABLE__0__KEY` over a parsed tree.

    A value is read as JSON where that is possible ("true", "5", '["a"]'), else as text.
    """
    for name, text in sorted(environment.items()):
        if not name.startswith("GATEWAY__"):
            continue
        *steps, last = name.removeprefix("GATEWAY__").lower().split("__")
        node: Any = tree
        for step, following in zip(steps, [*steps[1:], last], strict=True):
            node = _descend(node, step, expects_list=following.isdigit())
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(node, list):
            _descend(node, last, expects_list=False)
            node[int(last)] = value
        else:
            node[last] = value


def _descend(node: Any, step: str, *, expects_list: bool) -> Any:  # noqa: ANN401 - a TOML tree is any value
    if isinstance(node, list):
        index = int(step)
        while len(node) <= index:
            node.append([] if expects_list else {})
        return node[index]
    return node.setdefault(step, [] if expects_list else {})


def _special(kind: type, value: object) -> object:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(kind)


def _unknown(tree: object, table: type, path: str) -> Iterator[tuple[str, str, list[str]]]:
    """Walk a tree beside the tables and yield each key no table knows."""
    if not isinstance(tree, dict):
        return
    hints = get_type_hints(table)
    for key, value in tree.items():
        if key not in hints:
            yield path, key, list(hints)
            continue
        nested = _table_in(hints[key])
        if nested is None:
            continue
        for position, child in enumerate(value if isinstance(value, list) else [value]):
            where = f"{path}{key}[{position}]." if isinstance(value, list) else f"{path}{key}."
            yield from _unknown(child, nested, where)


def _table_in(hint: object) -> type[Table] | None:
    for candidate in (hint, *get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, Table):
            return candidate
    return None
