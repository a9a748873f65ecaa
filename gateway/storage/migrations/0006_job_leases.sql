-- Which serving process does a background job; `slot` is that of its log. Instants are microseconds since 1970.
CREATE TABLE job_lease (
  job TEXT NOT NULL PRIMARY KEY,
  slot BIGINT NOT NULL,
  until BIGINT NOT NULL
);
