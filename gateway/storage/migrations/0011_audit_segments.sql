-- What is asked about the log is answered from segments: a few thousand consecutive records of one log, and under which words
-- they are found. Made of the log alone: may be emptied at any time, together with audit_tally.
DROP TABLE audit_lookup;
DROP TABLE audit_about;
DROP TABLE audit_filled;
DELETE FROM audit_tally;

-- Numbers of the first and last record, and the earliest and latest moment; ordered = 1 as long as no record is earlier than the one before it.
CREATE TABLE audit_segment (
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  first BIGINT NOT NULL,
  last BIGINT NOT NULL,
  earliest BIGINT NOT NULL,
  latest BIGINT NOT NULL,
  ordered BIGINT NOT NULL,
  PRIMARY KEY (log, epoch, first)
);

-- Digests of words, each with the records of the segment that have it; see gateway/audit/postings.py.
CREATE TABLE audit_posting (
  bucket BIGINT NOT NULL,
  log BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  first BIGINT NOT NULL,
  words BYTEA NOT NULL,
  PRIMARY KEY (bucket, log, epoch, first)
);
