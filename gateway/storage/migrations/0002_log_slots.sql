-- A log is a slot with an epoch. Where several processes write, each holds the lease of its own slot until `until`;
-- who takes a slot over opens a new epoch. A SQLite file has one serving process and needs no lease.

CREATE TABLE log_slot (
  slot BIGINT PRIMARY KEY,
  epoch BIGINT NOT NULL,
  holder TEXT NOT NULL,
  until BIGINT NOT NULL
);

-- Each time this database was made from a backup: what was spent between the two moments is not known.
CREATE TABLE restoration (
  number BIGINT PRIMARY KEY,
  restored BIGINT NOT NULL,
  made BIGINT NOT NULL,
  digest TEXT NOT NULL
);
