-- Birth dates that were not the patient's, by pseudonymous patient id, over all callers. Instants are microseconds since 1970.
CREATE TABLE birth_date_miss (
  patient TEXT NOT NULL PRIMARY KEY,
  misses BIGINT NOT NULL,
  until BIGINT NOT NULL
);
CREATE INDEX birth_date_miss_by_end ON birth_date_miss (until);

-- How many requests a client made in its newest window of a length, added up over all processes. In seconds.
CREATE TABLE quota_use (
  client TEXT NOT NULL,
  seconds BIGINT NOT NULL,
  started BIGINT NOT NULL,
  requests BIGINT NOT NULL,
  PRIMARY KEY (client, seconds)
);
