"""The policy in force, built once from the configuration: who is who, who agreed what, and its revision."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from consent.basis import BASES
from consent.categories import CATEGORIES
from consent.model import Agreement, Visibility
from consent.purposes import PURPOSES, purpose_of
from consent.roles import ROLES
from gateway.errors import StartError
from gateway.settings import AgreementTable, ClientTable, OrganizationTable, Settings, SourceTable
from profiles.layers import texts

ZONE: Final = ZoneInfo("Europe/Amsterdam")
Row = TypeVar("Row")
_VISIBILITY: Final[dict[str, Visibility]] = {"named": "named", "anonymous": "anonymous", "silent": "silent"}
_RELATIONS: Final = frozenset({"care-team", "referral", "contact", "own-contact", "case"})
_TOLD: Final = frozenset({"care-team", "contact", "own-contact"})  # those that are registered as such
_EMERGENCY: Final = frozenset({"none", "absent_only", "override_objection"})


@dataclass(slots=True)
class Policy:
    """What decisions rest on. INVARIANT: `revision` changes when anything in it changes.

    Built once; only the agreements that two people decided on (rule C8) come and go while it is in force.
    """

    revision: str
    organizations: dict[str, OrganizationTable] = field(default_factory=dict)  # by URA
    sources: dict[str, SourceTable] = field(default_factory=dict)  # by source id
    sources_of: dict[str, tuple[SourceTable, ...]] = field(default_factory=dict)  # by custodian URA
    agreements: tuple[Agreement, ...] = ()
    clients: dict[str, ClientTable] = field(default_factory=dict)
    identifier_systems: dict[str, str] = field(default_factory=dict)  # system -> custodian URA
    disclosure: dict[str, Visibility] = field(default_factory=dict)  # facility type -> visibility (A2)
    case_roles: frozenset[str] = frozenset()
    asks_relations: bool = False  # an agreement asks who treats the patient
    filed: tuple[Agreement, ...] = ()  # agreements of the configuration
    filed_revision: str = ""

    def adopt(self, decided: tuple[Agreement, ...], digest: str) -> bool:
        """Put the agreements that were decided on beside those of the configuration; false when nothing changed."""
        revision = f"{self.filed_revision}+{digest}" if digest else self.filed_revision
        if revision == self.revision:
            return False
        self.agreements, self.revision = (*self.filed, *decided), revision
        self.asks_relations = _asks_relations(self.agreements)
        return True

    def facility_type(self, ura: str) -> str:
        """The facility type of an organization, empty when the directory does not know it (B4)."""
        organization = self.organizations.get(ura)
        return organization.facility_type if organization else ""

    def name(self, ura: str) -> str:
        """The name of an organization, else its URA."""
        organization = self.organizations.get(ura)
        return organization.name if organization else ura


def build(settings: Settings, partial: Mapping[str, frozenset[str]] | None = None) -> Policy:
    """Make the policy of a configuration; `partial` gives the categories a dialect asks in part only, by its name.

    Raises:
        StartError: something refers to what is not declared, or is declared twice. Exit code 1.
    """
    organizations = _unique("organizations", "ura", settings.organizations)
    rows = tuple(_with_partial(row, partial or {}) for row in settings.sources)
    sources = _unique("sources", "id", rows)
    clients = _unique("clients", "id", settings.clients)
    _unique("agreements", "id", settings.agreements)
    for source in settings.sources:
        _declared(source.custodian, organizations, f"sources '{source.id}'.custodian")
    for client in settings.clients:
        _declared(client.organization, organizations, f"clients '{client.id}'.organization")
    for agreement in settings.agreements:
        for ura in (*agreement.requesters, *agreement.custodians):
            if ura != "*":
                _declared(ura, organizations, f"agreements '{agreement.id}'")
    by_custodian: dict[str, tuple[SourceTable, ...]] = {}
    for source in rows:
        by_custodian[source.custodian] = (*by_custodian.get(source.custodian, ()), source)
    agreements, revision = tuple(agreement_of(row) for row in settings.agreements), _revision(settings)
    return Policy(
        revision=revision,
        filed=agreements,
        filed_revision=revision,
        organizations=organizations,
        sources=sources,
        sources_of=by_custodian,
        agreements=agreements,
        asks_relations=_asks_relations(agreements),
        clients=clients,
        identifier_systems={row.system: row.custodian for row in settings.identifier_systems},
        disclosure=_disclosure(settings),
        case_roles=frozenset(settings.consent.case_roles),
    )


def _asks_relations(agreements: Iterable[Agreement]) -> bool:
    return any(one.relations & _TOLD for one in agreements)


def _with_partial(row: SourceTable, partial: Mapping[str, frozenset[str]]) -> SourceTable:
    more = partial.get(row.dialect, frozenset())
    return msgspec.structs.replace(row, partial=tuple(sorted({*row.partial, *more}))) if more else row


def _revision(settings: Settings) -> str:
    """The digest of what decisions rest on; addresses and ports do not change a policy."""
    parts = (
        settings.organizations,
        settings.agreements,
        settings.clients,
        settings.consent,
        settings.identifier_systems,
        [(row.id, row.custodian, row.categories) for row in settings.sources],
        *texts("categories.toml"),  # what the region laid over the tables of the law
        *texts("roles.toml"),
    )
    return hashlib.sha256(msgspec.json.encode(parts, enc_hook=str, order="deterministic")).hexdigest()[:16]


def _disclosure(settings: Settings) -> dict[str, Visibility]:
    chosen: dict[str, Visibility] = {}
    for facility_type, word in settings.consent.disclosure.items():
        if word not in _VISIBILITY:
            message = f"consent.disclosure.{facility_type}: '{word}' is not one of {', '.join(_VISIBILITY)}"
            raise StartError(message, 1)
        chosen[facility_type] = _VISIBILITY[word]
    return chosen


def agreement_of(row: AgreementTable) -> Agreement:
    """One agreement as decisions read it.

    Raises:
        StartError: a word no table knows: a purpose, basis, category, role or level. Exit code 1.
    """
    _known(row)
    # Midnight here, kept in UTC: comparing instants of one zone costs a fifth of comparing those of two.
    first = max(row.start, row.signed) if row.signed else row.start
    start = datetime.combine(first, time.min, ZONE).astimezone(UTC)
    end = datetime.combine(row.end + timedelta(days=1), time.min, ZONE).astimezone(UTC)
    return Agreement(
        id=row.id,
        requesters=frozenset(row.requesters),
        custodians=frozenset(row.custodians),
        purposes=frozenset(purpose_of(one) or one for one in row.purposes),
        categories=frozenset(row.categories),
        roles=frozenset(row.roles),
        start=start,
        end=end,
        basis=row.basis,
        emergency=row.emergency,
        system_access=row.system_access,
        relations=frozenset(row.relations),
        patient_asked=row.patient_asked,
        facility_types=frozenset(row.facility_types),
        excluded=frozenset(row.excluded),
        disclosure=_VISIBILITY.get(row.disclosure),
    )


def _known(row: AgreementTable) -> None:
    """Refuse words nobody knows: a mistyped category would silently open nothing, a mistyped exclusion everything."""
    words: tuple[tuple[str, tuple[str, ...], Collection[str]], ...] = (
        ("purposes", tuple(purpose_of(one) or one for one in row.purposes), PURPOSES),
        ("categories", row.categories, CATEGORIES),
        ("excluded", row.excluded, CATEGORIES),
        ("roles", row.roles, ROLES),
        ("relations", row.relations, _RELATIONS),
        ("basis", (row.basis,), BASES),
        ("emergency", (row.emergency,), _EMERGENCY),
        ("disclosure", (row.disclosure,) if row.disclosure else (), _VISIBILITY),
    )
    for name, given, known in words:
        for one in given:
            if one not in known and (one != "*" or name not in ("categories", "roles", "purposes")):
                near = difflib.get_close_matches(one, sorted(known), n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(sorted(known))}"
                message = f"agreements '{row.id}'.{name}: '{one}' is not known; {hint}"
                raise StartError(message, 1)
    if row.end < row.start:
        message = f"agreements '{row.id}': the end lies before the start"
        raise StartError(message, 1)


def _unique(table: str, key: str, rows: tuple[Row, ...]) -> dict[str, Row]:
    seen: dict[str, Row] = {}
    for row in rows:
        name = getattr(row, key)
        if name in seen:
            message = f"{table}: '{name}' is declared twice"
            raise StartError(message, 1)
        seen[name] = row
    return seen


def _declared(ura: str, organizations: dict[str, OrganizationTable], where: str) -> None:
    if ura not in organizations:
        message = f"{where}: organization '{ura}' is not declared in [[organizations]]"
        raise StartError(message, 1)
