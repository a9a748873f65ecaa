-- One schema for every engine. SQLite stores what it is given, so BYTEA and BIGINT, which PostgreSQL knows,
-- serve both. Instants are microseconds since 1970, UTC. An empty text means "none": NULL compares differently.

CREATE TABLE schema_version (
  version BIGINT PRIMARY KEY,
  name TEXT NOT NULL
);

-- No index but the sequence: what is asked about the log is answered from tables derived from it.
CREATE TABLE audit_log (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (log, epoch, seq)
);

CREATE TABLE issued_id (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  patient TEXT NOT NULL,
  custodian TEXT NOT NULL,
  source TEXT NOT NULL,
  category TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX issued_id_by_age ON issued_id (at);

CREATE TABLE used_token (
  issuer TEXT NOT NULL,
  jti TEXT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (issuer, jti)
);
CREATE INDEX used_token_by_age ON used_token (expires);

CREATE TABLE client (
  id TEXT PRIMARY KEY,
  body BYTEA NOT NULL,
  added BIGINT NOT NULL,
  disabled BIGINT
);

-- A registration that ended stays: the citizen report says who made data available, and since when.
CREATE TABLE index_entry (
  id TEXT PRIMARY KEY,
  patient TEXT NOT NULL,
  custodian TEXT NOT NULL,
  categories TEXT NOT NULL,
  basis TEXT NOT NULL,
  registered BIGINT NOT NULL,
  client TEXT NOT NULL,
  ends BIGINT,
  withdrawn BIGINT
);
CREATE INDEX index_entry_by_patient ON index_entry (patient);

CREATE TABLE consent (
  id TEXT NOT NULL,
  version BIGINT NOT NULL,
  patient TEXT NOT NULL,
  newest BIGINT NOT NULL,
  kept BIGINT NOT NULL,
  resource BYTEA NOT NULL,
  statements BYTEA NOT NULL,
  PRIMARY KEY (id, version)
);
CREATE UNIQUE INDEX consent_newest ON consent (id) WHERE newest = 1;
CREATE INDEX consent_by_patient ON consent (patient);

CREATE TABLE coordinator_case (
  id TEXT PRIMARY KEY,
  origin TEXT NOT NULL,
  organization TEXT NOT NULL,
  patient TEXT NOT NULL,
  client TEXT NOT NULL,
  person TEXT NOT NULL,
  opened BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  closed BIGINT,
  resource BYTEA NOT NULL
);
CREATE INDEX coordinator_case_by_patient ON coordinator_case (patient, client, person);

CREATE TABLE message (
  number BIGINT PRIMARY KEY,
  source TEXT NOT NULL,
  custodian TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  received BIGINT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  raw BYTEA NOT NULL,
  UNIQUE (source, key, digest)
);
CREATE INDEX message_by_state ON message (state, source);

-- Every version that arrived is kept; `shown` marks the one that is read.
CREATE TABLE held_item (
  id TEXT NOT NULL,
  version BIGINT NOT NULL,
  message BIGINT NOT NULL REFERENCES message (number),
  patient TEXT NOT NULL,
  custodian TEXT NOT NULL,
  source TEXT NOT NULL,
  content_date TEXT NOT NULL,
  shown BIGINT NOT NULL,
  sealed BYTEA NOT NULL,
  PRIMARY KEY (id, version)
);
CREATE UNIQUE INDEX held_item_shown ON held_item (id) WHERE shown = 1;
CREATE INDEX held_item_by_patient ON held_item (patient, source) WHERE shown = 1;
CREATE INDEX held_item_by_message ON held_item (message);

CREATE TABLE feed (
  source TEXT PRIMARY KEY,
  heard BIGINT NOT NULL
);

CREATE TABLE policy_revision (
  number BIGINT PRIMARY KEY,
  revision TEXT NOT NULL,
  loaded BIGINT NOT NULL,
  body BYTEA NOT NULL
);
