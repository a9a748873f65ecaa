-- What those who keep the region look at: how each source answered, what profiles have against its items, and clients
-- that wait for a second person. Instants are microseconds since 1970. Counts grow by what each process adds.
CREATE TABLE source_state (
  source TEXT NOT NULL PRIMARY KEY,
  answered BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  losses BIGINT NOT NULL,
  incidents BIGINT NOT NULL,
  last_answer BIGINT NOT NULL,
  last_failure BIGINT NOT NULL,
  failure TEXT NOT NULL
);

-- How many answers took no longer than so many milliseconds, and longer than the bound below.
CREATE TABLE source_latency (
  source TEXT NOT NULL,
  bound BIGINT NOT NULL,
  answers BIGINT NOT NULL,
  PRIMARY KEY (source, bound)
);

CREATE TABLE source_quality (
  source TEXT NOT NULL PRIMARY KEY,
  custodian TEXT NOT NULL,
  checked BIGINT NOT NULL,
  invalid BIGINT NOT NULL,
  not_judged BIGINT NOT NULL,
  not_looked_at BIGINT NOT NULL,
  since BIGINT NOT NULL
);

-- One finding: no value of any resource is in it.
CREATE TABLE source_finding (
  source TEXT NOT NULL,
  type TEXT NOT NULL,
  rule TEXT NOT NULL,
  expression TEXT NOT NULL,
  definition TEXT NOT NULL,
  severity TEXT NOT NULL,
  count BIGINT NOT NULL,
  last BIGINT NOT NULL,
  PRIMARY KEY (source, type, rule, expression, definition)
);

-- A client one person offers; another decides (rule C8). `decided` is 0 while it waits.
CREATE TABLE client_offer (
  id TEXT NOT NULL PRIMARY KEY,
  client TEXT NOT NULL,
  body BYTEA NOT NULL,
  reason TEXT NOT NULL,
  person TEXT NOT NULL,
  offered BIGINT NOT NULL,
  state TEXT NOT NULL,
  decided_by TEXT NOT NULL,
  decided BIGINT NOT NULL
);
CREATE UNIQUE INDEX client_offer_waiting ON client_offer (client) WHERE decided = 0;
