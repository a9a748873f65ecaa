"""Whose log is which: a slot is leased to one process, and who takes it over opens a new epoch."""

from __future__ import annotations

import os
import platform
import secrets
from dataclasses import dataclass
from typing import Final

from gateway.errors import StartError
from gateway.storage.migrate import transaction
from gateway.storage.writer import Connection, Cursor, StaleError

SLOTS: Final = 64
LEASE_SECONDS: Final = 30
RENEW_SECONDS: Final = 5.0  # also how soon an idle process sees that the server is gone

# The clock of the server decides, so that clocks of hosts that differ do not.
_NOW: Final = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint"
_END: Final = f"{_NOW} + {LEASE_SECONDS * 1_000_000}"
_FREE: Final = f"SELECT slot FROM log_slot WHERE slot > 0 AND until < {_NOW} ORDER BY slot LIMIT 1"  # noqa: S608 - constants
LIVE: Final = f"SELECT COUNT(*) FROM log_slot WHERE until >= {_NOW}"  # noqa: S608 - constants
_LAST: Final = "SELECT COALESCE(MAX(slot), 0) FROM log_slot"
_TAKE: Final = (
    f"INSERT INTO log_slot (slot, epoch, holder, until) VALUES (?, 1, ?, {_END}) ON CONFLICT (slot) "  # noqa: S608 - constants
    "DO UPDATE SET epoch = log_slot.epoch + 1, holder = excluded.holder, until = excluded.until RETURNING epoch"
)
_RENEW: Final = f"UPDATE log_slot SET until = {_END} WHERE slot = ? AND epoch = ? AND holder = ?"  # noqa: S608 - constants
_RELEASE: Final = "UPDATE log_slot SET until = 0 WHERE slot = ? AND epoch = ? AND holder = ?"


@dataclass(frozen=True, slots=True)
class Lease:
    """A log that is ours as long as nobody took it after our silence."""

    slot: int
    epoch: int
    holder: str

    def renew(self, cursor: Cursor) -> None:
        """Hold the slot for this transaction and the time after it: who takes it over waits for our commit.

        Raises:
            StaleError: the slot has another holder by now.
        """
        if cursor.execute(_RENEW, (self.slot, self.epoch, self.holder)).rowcount != 1:
            raise StaleError

    def end(self, connection: Connection) -> None:
        """Give the slot back at once."""
        with transaction(connection) as cursor:
            cursor.execute(_RELEASE, (self.slot, self.epoch, self.holder))


def take(connection: Connection) -> Lease:
    """Lease the first free slot; the caller sees to it that one process at a time does.

    Raises:
        StartError: every slot is leased.
    """
    holder = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"
    with transaction(connection) as cursor:
        free = cursor.execute(_FREE).fetchone()
        slot = free[0] if free else cursor.execute(_LAST).fetchone()[0] + 1
        if slot > SLOTS:
            message = (
                f"all {SLOTS} logs are leased; stop a serving process, or wait {LEASE_SECONDS} s for one that died"
            )
            raise StartError(message)
        epoch = cursor.execute(_TAKE, (slot, holder)).fetchone()[0]
    return Lease(slot, epoch, holder)


def refuse(cursor: Cursor) -> None:
    """Refuse records of a process that leased no log.

    Raises:
        StaleError: always.
    """
    del cursor
    raise StaleError
