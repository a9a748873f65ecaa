"""The only SQL of the gateway: one database, one schema, one store a subject.

 - `database`: reads in the event loop, writes through a writer; `writer` with `waiting` and `telling`: group commit in one thread;
 - `asking`: one statement about many keys;
 - `engines`: which engine a URL names: `sqlite`, or `postgresql` with `postgresql_connection`, `readers` and `lease`;
 - `migrate` and `migrations/`: the schema, and what a version of it needs;
 - `backup`, `archive` and `replay`: what survives the loss of the database;
 - `audit_store`, `issued_store`: the log and the ids handed out with its records;
 - `audit_trees`, `witness_store`, `audit_lookup`, `audit_tally`: what keeps the log from being altered unseen, answers questions about it and adds it up;
 - `replay_store`, `revocation_store`, `client_store`, `policy_store`, `contract_store`: who may call, and under which policy;
 - `relation_store`: who treats whom;
 - `review_store`: emergency accesses somebody must look at; `notice_store`: what organizations are told of them;
 - `source_store`: how each source does, and what profiles have against its items;
 - `miss_store`, `usage_store`: what callers did at all processes together;
 - `job_store`: which process does a background job;
 - `index_store`, `consent_store`, `case_store`, `inbox_store`: what is kept about patients, sealed (`sealing`);
 - `inbox_desk` with `inbox_keeping`, `inbox_rows` and `settlement`: what was pushed, until its time is over; `erasures`, `scrubbing`: after that;
 - `beside`: for commands, while a gateway serves.

A store awaits `database.row`, `database.rows` and `database.write`, and speaks SQL that SQLite and PostgreSQL
share: an engine is a `Database`, never another store.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.ports import Clock
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.audit_store import AuditStore
from gateway.storage.audit_tally import AuditTally
from gateway.storage.audit_trees import AuditTrees
from gateway.storage.backup import Backup, back_up, restore
from gateway.storage.case_store import CaseStore
from gateway.storage.client_store import ClientStore
from gateway.storage.consent_store import ConsentStore
from gateway.storage.contract_store import ContractStore
from gateway.storage.database import Database
from gateway.storage.error_store import ErrorStore
from gateway.storage.inbox_desk import InboxDesk
from gateway.storage.index_store import IndexStore, registrations
from gateway.storage.issued_store import IssuedStore
from gateway.storage.job_store import JobStore
from gateway.storage.migrate import check_version, upgrade
from gateway.storage.miss_store import MissStore
from gateway.storage.notice_store import NoticeStore
from gateway.storage.policy_store import PolicyStore
from gateway.storage.relation_store import RelationStore
from gateway.storage.replay_store import ReplayStore
from gateway.storage.review_store import ReviewStore
from gateway.storage.revocation_store import RevocationStore
from gateway.storage.sealing import Seal
from gateway.storage.source_store import SourceStore
from gateway.storage.usage_store import UsageStore
from gateway.storage.witness_store import WitnessStore
from gateway.storage.writer import Log

__all__ = ["Backup", "Database", "Stores", "back_up", "check_version", "open_stores", "restore", "upgrade"]


@dataclass(frozen=True, slots=True)
class Stores:
    """Every store on one database."""

    audit: AuditStore
    replay: ReplayStore
    clients: ClientStore
    index: IndexStore
    consents: ConsentStore
    cases: CaseStore
    inbox: InboxDesk
    issued: IssuedStore
    policies: PolicyStore
    queries: AuditLookup
    tallies: AuditTally
    trees: AuditTrees
    witnessed: WitnessStore
    revocations: RevocationStore
    contracts: ContractStore
    notices: NoticeStore
    relations: RelationStore
    reviews: ReviewStore
    errors: ErrorStore
    jobs: JobStore
    sources: SourceStore
    misses: MissStore
    usage: UsageStore


def open_stores(database: Database, seal: Seal, unseal: Seal, clock: Clock, log: Log | None = None) -> Stores:
    """Put the stores on a database; `log`, where records go, is the one the database holds unless named."""
    registered = registrations(database)
    return Stores(
        audit=AuditStore(database, clock, log or database.log),
        replay=ReplayStore(database, clock),
        clients=ClientStore(database, clock),
        index=IndexStore(database, clock, registered),
        consents=ConsentStore(database, seal, unseal, clock),
        cases=CaseStore(database, seal, unseal),
        inbox=InboxDesk(database, seal, unseal, clock, registered),
        issued=IssuedStore(database),
        policies=PolicyStore(database),
        queries=AuditLookup(database),
        tallies=AuditTally(database),
        trees=AuditTrees(database),
        witnessed=WitnessStore(database),
        revocations=RevocationStore(database),
        contracts=ContractStore(database, clock),
        notices=NoticeStore(database, seal, unseal),
        relations=RelationStore(database, seal, unseal, clock),
        reviews=ReviewStore(database, seal, unseal),
        errors=ErrorStore(database, seal, unseal),
        jobs=JobStore(database, clock),
        sources=SourceStore(database),
        misses=MissStore(database),
        usage=UsageStore(database),
    )
