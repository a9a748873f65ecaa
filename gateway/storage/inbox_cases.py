"""What was pushed for the case of a coordinator: how long the case may still be open, and what expires when it is over (rule C4)."""

from __future__ import annotations

from typing import Final

from gateway.pushed import CaseEnd
from gateway.storage.inbox_rows import Touched
from gateway.storage.instants import to_micros
from gateway.storage.writer import Cursor

OPEN_UNTIL: Final = (
    "SELECT MAX(expires) FROM coordinator_case WHERE patient = ? AND organization = ? AND closed IS NULL "
    "AND opened <= ? AND expires > ? AND id <> ?"
)
# Sent to this organization and to nobody else: what another addressee needs stays as long as its own contact lasts.
_CAME_FOR_IT: Final = (
    "SELECT delivery.message FROM delivery JOIN message ON message.number = delivery.message "
    "WHERE delivery.patient = ? AND delivery.addressees = ? AND delivery.source = ? AND message.state <> 'erased' "
    "AND message.received <= ? AND (delivery.expires = 0 OR delivery.expires > ?)"
)
_EXPIRE: Final = "UPDATE delivery SET expires = ? WHERE message = ?"


def end(cursor: Cursor, ended: CaseEnd, touched: Touched) -> int:
    """Let what came for a case expire with it, never later than it would have; give how many messages that were.

    While another case of the same organization about the same patient is open, nothing ends.
    """
    now = to_micros(ended.at)
    still = cursor.execute(OPEN_UNTIL, (ended.patient, ended.organization, now, now, ended.case)).fetchone()
    if still and still[0]:
        return 0
    count = 0
    for source, until in sorted(ended.until.items()):
        moment = to_micros(until)
        asked = (ended.patient, ended.organization, source, now, moment)
        for (message,) in cursor.execute(_CAME_FOR_IT, asked).fetchall():
            cursor.execute(_EXPIRE, (moment, message))
            touched.by(cursor, message)
            count += 1
    return count
