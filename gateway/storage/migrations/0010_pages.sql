-- What coordinators keep: their own open cases are found by person, and what is wrong at a source is told to its custodian.
-- Instants are microseconds since 1970. `settled` is 0 while it waits.
CREATE INDEX coordinator_case_by_person ON coordinator_case (client, person, opened);

CREATE TABLE told_error (
  id TEXT NOT NULL PRIMARY KEY,
  custodian TEXT NOT NULL,
  source TEXT NOT NULL,
  section TEXT NOT NULL,
  item TEXT NOT NULL,
  patient TEXT NOT NULL,
  person TEXT NOT NULL,
  organization TEXT NOT NULL,
  body BYTEA NOT NULL,
  told BIGINT NOT NULL,
  settled BIGINT NOT NULL,
  settled_by TEXT NOT NULL,
  finding TEXT NOT NULL
);
CREATE INDEX told_error_waiting ON told_error (custodian, settled, told);
