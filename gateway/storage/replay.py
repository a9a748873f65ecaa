"""What a restored database must learn from its predecessor: what was ended, spent or recorded since the backup."""

from __future__ import annotations

from typing import Final

from gateway.storage.engines import Read
from gateway.storage.writer import Cursor

# What was read there, and what is done with each row here. New permissions are not taken over one by one, except
# that a consent comes in all its versions: its newest may be a withdrawal.
_STEPS: Final = (
    (
        "SELECT log, epoch, seq, at, body FROM audit_log",
        "INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    (
        "SELECT issuer, jti, expires FROM used_token",
        "INSERT INTO used_token (issuer, jti, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    (
        "SELECT id, version, patient, kept, resource, statements FROM consent",
        "INSERT INTO consent (id, version, patient, newest, kept, resource, statements) VALUES (?, ?, ?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    (
        "SELECT id, version, patient, kept, resource, relations FROM relation",
        "INSERT INTO relation (id, version, patient, newest, kept, resource, relations) VALUES (?, ?, ?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    (
        "SELECT withdrawn, ends, id, custodian FROM index_entry WHERE withdrawn IS NOT NULL OR ends IS NOT NULL",
        "UPDATE index_entry SET withdrawn = ?, ends = ? WHERE id = ? AND custodian = ? AND withdrawn IS NULL",
    ),
    (
        "SELECT disabled, id FROM client WHERE disabled IS NOT NULL",
        "UPDATE client SET disabled = ? WHERE id = ? AND disabled IS NULL",
    ),
    (
        "SELECT jti, client, expires FROM revoked_token",
        "INSERT INTO revoked_token (jti, client, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    ),
    (
        "SELECT closed, id FROM coordinator_case WHERE closed IS NOT NULL",
        "UPDATE coordinator_case SET closed = ? WHERE id = ? AND closed IS NULL",
    ),
)
# In two steps: at no moment are two versions of a consent the newest.
_NEWEST: Final = (
    "UPDATE consent SET newest = 0 WHERE newest = 1",
    "UPDATE consent SET newest = 1 WHERE version = (SELECT MAX(other.version) FROM consent other WHERE other.id = consent.id)",
    "UPDATE relation SET newest = 0 WHERE newest = 1",
    "UPDATE relation SET newest = 1 WHERE version = (SELECT MAX(other.version) FROM relation other WHERE other.id = relation.id)",
)
_EPOCHS: Final = "SELECT slot, epoch FROM log_slot"
_EPOCH: Final = (
    "INSERT INTO log_slot (slot, epoch, holder, until) VALUES (?, ?, '', 0) ON CONFLICT (slot) DO UPDATE "
    "SET epoch = CASE WHEN log_slot.epoch > excluded.epoch THEN log_slot.epoch ELSE excluded.epoch END"
)


def replay(read: Read, cursor: Cursor) -> None:
    """Take over, inside the transaction of the restore, what the predecessor knows."""
    for select, take in (*_STEPS, (_EPOCHS, _EPOCH)):
        for page in read(select):
            cursor.executemany(take, page)
    for statement in _NEWEST:
        cursor.execute(statement)
