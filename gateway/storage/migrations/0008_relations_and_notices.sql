-- Who treats whom, as a CareTeam, EpisodeOfCare or Encounter that was sent in, in every version; sealed beside what it means.
CREATE TABLE relation (
  id TEXT NOT NULL,
  version BIGINT NOT NULL,
  patient TEXT NOT NULL,
  newest BIGINT NOT NULL,
  kept BIGINT NOT NULL,
  resource BYTEA NOT NULL,
  relations BYTEA NOT NULL,
  PRIMARY KEY (id, version)
);
CREATE UNIQUE INDEX relation_newest ON relation (id) WHERE newest = 1;
CREATE INDEX relation_by_patient ON relation (patient, newest);

-- What an organization must be told: sent until it took it. `delivered` is 0 while it waits; instants are microseconds since 1970.
CREATE TABLE notice (
  id TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL,
  desk TEXT NOT NULL,
  patient TEXT NOT NULL,
  request TEXT NOT NULL,
  created BIGINT NOT NULL,
  due BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  delivered BIGINT NOT NULL,
  failure TEXT NOT NULL,
  body BYTEA NOT NULL
);
CREATE INDEX notice_by_due ON notice (delivered, due);
