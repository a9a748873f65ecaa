-- Sums beside the log for overviews: how often, for one organization ("" is the operator), on one day here.
-- `day` is the number of the day since 1 January of year 1. Made of the log alone, with audit_lookup.
CREATE TABLE audit_tally (
  party TEXT NOT NULL,
  measure TEXT NOT NULL,
  day BIGINT NOT NULL,
  value TEXT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (party, measure, day, value)
);

-- Everything is taken in again, with what is counted and marked from now on.
DELETE FROM audit_lookup;
DELETE FROM audit_about;
DELETE FROM audit_filled;
