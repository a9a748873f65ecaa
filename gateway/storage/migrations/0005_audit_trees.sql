-- The tree over each log (RFC 9162): how far it is, and what must be known to go on with it.
CREATE TABLE audit_tree (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  size BIGINT NOT NULL,
  frontier BYTEA NOT NULL,
  PRIMARY KEY (log, epoch)
);

-- The hashes of 256 records, 32 bytes each, and the root over them. They stay when their records are retired.
CREATE TABLE audit_tile (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  tile BIGINT NOT NULL,
  root BYTEA NOT NULL,
  leaves BYTEA NOT NULL,
  PRIMARY KEY (log, epoch, tile)
);

-- Signed notes about each log, thinned as they grow old. Instants are microseconds since 1970.
CREATE TABLE audit_checkpoint (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  at BIGINT NOT NULL,
  size BIGINT NOT NULL,
  note BYTEA NOT NULL,
  PRIMARY KEY (log, epoch, at)
);
CREATE INDEX audit_checkpoint_by_age ON audit_checkpoint (at);

-- The last note about a log each witness of ours signed.
CREATE TABLE audit_cosigned (
  witness TEXT NOT NULL,
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  size BIGINT NOT NULL,
  at BIGINT NOT NULL,
  note BYTEA NOT NULL,
  PRIMARY KEY (witness, log, epoch)
);

-- What this gateway signed as the witness of others: the newest of each log is what the next must go on from.
CREATE TABLE witnessed (
  origin TEXT NOT NULL,
  size BIGINT NOT NULL,
  at BIGINT NOT NULL,
  note BYTEA NOT NULL,
  PRIMARY KEY (origin, size)
);

-- Records whose time was over: removed from the log, their hashes are not.
CREATE TABLE audit_retired (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  first BIGINT NOT NULL,
  last BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (log, epoch, first)
);

-- What may not be removed while a question of law is open. Empty = any.
CREATE TABLE audit_hold (
  id TEXT PRIMARY KEY,
  party TEXT NOT NULL,
  patient TEXT NOT NULL,
  starts BIGINT NOT NULL,
  ends BIGINT NOT NULL,
  placed BIGINT NOT NULL,
  lifted BIGINT
);

-- What is asked about the log is answered from here. Made of the log alone: may be emptied at any time.
CREATE TABLE audit_lookup (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  patient TEXT NOT NULL,
  organization TEXT NOT NULL,
  kind TEXT NOT NULL,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL,
  interaction TEXT NOT NULL,
  purpose TEXT NOT NULL,
  policy TEXT NOT NULL,
  request TEXT NOT NULL,
  PRIMARY KEY (log, epoch, seq)
);
CREATE INDEX audit_lookup_by_patient ON audit_lookup (patient, at);
CREATE INDEX audit_lookup_by_time ON audit_lookup (at);
CREATE INDEX audit_lookup_by_request ON audit_lookup (request);

-- Of what a record may have several: "party/URA", "agent/id", "site/source", "entity/Type/id".
CREATE TABLE audit_about (
  value TEXT NOT NULL,
  at BIGINT NOT NULL,
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (value, at, log, epoch, seq)
);

CREATE TABLE audit_filled (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (log, epoch)
);
