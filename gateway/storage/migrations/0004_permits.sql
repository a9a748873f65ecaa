-- What ends or opens access: tokens taken back, agreements decided by two, emergency accesses that wait for a look.
CREATE TABLE revoked_token (
  jti TEXT PRIMARY KEY,
  client TEXT NOT NULL,
  expires BIGINT NOT NULL
);

-- Every version of an agreement as a FHIR Contract; who made a version stands beside it, for the second pair of eyes.
CREATE TABLE contract (
  id TEXT NOT NULL,
  version BIGINT NOT NULL,
  newest BIGINT NOT NULL,
  status TEXT NOT NULL,
  person TEXT NOT NULL,
  kept BIGINT NOT NULL,
  resource BYTEA NOT NULL,
  PRIMARY KEY (id, version)
);
CREATE UNIQUE INDEX contract_newest ON contract (id) WHERE newest = 1;

-- One broken glass: who, at which custodian, why (sealed), and when somebody looked at it.
CREATE TABLE review (
  id TEXT PRIMARY KEY,
  person TEXT NOT NULL,
  organization TEXT NOT NULL,
  custodian TEXT NOT NULL,
  patient TEXT NOT NULL,
  request TEXT NOT NULL,
  grounds BYTEA NOT NULL,
  opened BIGINT NOT NULL,
  settled BIGINT NOT NULL,
  reviewer TEXT NOT NULL,
  finding TEXT NOT NULL
);
CREATE INDEX review_by_person ON review (person, settled);
CREATE INDEX review_by_custodian ON review (custodian, settled);
CREATE INDEX review_by_organization ON review (organization, settled);
