-- How each message came, for whom, on what ground and until when (rule C4). `counts` = 1: its items may be shown;
-- 0: replaced, cancelled or erased, kept as history. Instants are microseconds since 1970, 0 = not known or no end.
CREATE TABLE delivery (
  message BIGINT PRIMARY KEY REFERENCES message (number),
  receipt TEXT NOT NULL,
  source TEXT NOT NULL,
  batch TEXT NOT NULL,
  coverage TEXT NOT NULL,
  patient TEXT NOT NULL,
  contact TEXT NOT NULL,
  thread TEXT NOT NULL,
  format TEXT NOT NULL,
  map TEXT NOT NULL,
  basis TEXT NOT NULL,
  addressees TEXT NOT NULL,
  moment BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  ended BIGINT NOT NULL,
  cancels BIGINT NOT NULL,
  counts BIGINT NOT NULL
);
CREATE UNIQUE INDEX delivery_by_receipt ON delivery (receipt);
CREATE INDEX delivery_by_patient ON delivery (patient);
CREATE INDEX delivery_by_contact ON delivery (source, contact);
CREATE INDEX delivery_by_thread ON delivery (source, thread);
CREATE INDEX delivery_by_expiry ON delivery (expires);

-- Which registrations of the index a message keeps up.
CREATE TABLE delivery_entry (
  message BIGINT NOT NULL REFERENCES message (number),
  entry TEXT NOT NULL,
  PRIMARY KEY (message, entry)
);
CREATE INDEX delivery_entry_by_entry ON delivery_entry (entry);

-- Which erasures of the list outside the database were done here.
CREATE TABLE erasure (
  id TEXT PRIMARY KEY,
  done BIGINT NOT NULL
);

-- What came before this step stays as long as an open contact does: 33 days.
INSERT INTO delivery (message, receipt, source, batch, coverage, patient, contact, thread, format, map, basis, addressees,
  moment, expires, ended, cancels, counts)
SELECT number, 'm-' || number, source, '', 'delta',
  COALESCE((SELECT MIN(held_item.patient) FROM held_item WHERE held_item.message = message.number), ''),
  '', '', 'hl7v2', '', 'observation', '', received, received + 2851200000000, 0, 0, 1
FROM message;
