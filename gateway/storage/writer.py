"""The one thread that commits: what waits together is made durable together."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, Protocol, Self, TypeVar

from gateway.errors import Unavailable
from gateway.storage.telling import tell
from gateway.storage.waiting import Joint, Operations, Write

Log = tuple[int, int]  # slot and epoch
Extra = tuple[str, Sequence[Any]]  # a statement and its parameters

_LARGEST_BATCH: Final = 1_000
STATEMENT_ROWS: Final = 64  # more do not go into one statement
_STUCK_SECONDS: Final = 10.0
_NEWEST: Final = "SELECT COALESCE(MAX(seq), 0) FROM audit_log WHERE log = ? AND epoch = ? AND seq < 9223372036854775807"  # only numbers are
_APPEND: Final = "INSERT INTO audit_log (log, epoch, seq, at, body) VALUES (?, ?, ?, ?, ?)"
_log = logging.getLogger(__name__)


class Cursor(Protocol):
    """What an operation may use inside its transaction; `?` marks a parameter on every engine."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Self:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> Self:
        """Run one statement for many parameters."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - a row of any columns
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        ...


class Connection(Protocol):
    """One connection of an engine, for one thread."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What its statements raise."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Claim that a transaction is open: false when the engine ended it by itself."""
        ...

    def single(self) -> Cursor | None:
        """A cursor each of whose statements is a transaction; None where a transaction must be opened first."""
        ...

    def begin(self) -> Cursor:
        """Open a transaction in which nobody else changes what is read.

        Raises:
            StaleError: this process may not write here any more.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """When the writer commits although nothing waits, to show that it still can.

    Units: seconds.
    """

    rest: float | None = None  # after a commit
    retry: float | None = None  # after a commit that failed


class StaleError(Exception):
    """Another process has taken over what this one wrote to."""


class Append:
    """One audit record that waits for its sequence number and its commit."""

    __slots__ = ("at", "body", "extras", "future", "log")
    code: Final = "audit-unavailable"
    after: Final = None

    def __init__(self, future: asyncio.Future[Any], log: Log, at: int, body: bytes, extras: Sequence[Extra]) -> None:
        self.future = future
        self.log = log
        self.at = at
        self.body = body
        self.extras = extras

    def apply(self, cursor: Cursor, heads: dict[Log, int]) -> int:
        """Write the record alone; its number is used up only when that works."""
        seq = _head(cursor, heads, self.log) + 1
        cursor.execute(_APPEND, (*self.log, seq, self.at, self.body))
        for sql, parameters in self.extras:
            cursor.execute(sql, parameters)
        heads[self.log] = seq
        return seq


Waiting = Write | Joint | Append
E = TypeVar("E", bound=Waiting)
Outcome = tuple[Waiting, Any, BaseException | None]
Together = Callable[["Cursor", dict[Log, int], Sequence[E]], list[Outcome]]
Follow = Callable[[Log, int, Sequence[tuple[int, bytes]]], None]  # log, number of the first record, moments and bodies


class _LostError(Exception):
    """The engine ended the transaction by itself: nothing of the batch is kept."""


class Writer:
    """Commits batches in a thread of its own and tells each caller only after COMMIT returned.

    INVARIANT: a caller that got a result finds it after a crash; a caller that got `Unavailable` does not know.
    A batch grows as long as the event loop finds more work to do in one go, at most `window` seconds: a lone caller
    is not delayed, and a loop that is busy commits what is ready together.
    """

    def __init__(self, connect: Callable[[], Connection], window: float, limit: int, pace: Pace = Pace()) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._pace = pace
        self._window = window
        self._limit = limit
        self._waiting: deque[Waiting] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()  # once a batch; the thread sleeps on it
        self._gathering = False
        self._counted = 0
        self._first = 0.0
        self._began: float | None = None
        self._failed = False
        self._closing = False
        self._heads: dict[Log, int] = {}
        self.follow: Follow | None = None  # is handed, after the callers were told, every record that was committed
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="gateway-writer", daemon=True)
        self._thread.start()
        opened.result()

    def submit(self, entry: Waiting) -> None:
        """Queue an entry for the next commit.

        Raises:
            Unavailable: too many wait already, or the database is closed.
        """
        if self._closing or len(self._waiting) >= self._limit:
            raise Unavailable(entry.code)
        self._waiting.append(entry)
        if not self._gathering:
            self._gathering, self._counted, self._first = True, 0, monotonic()
            self._look(entry.future.get_loop())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake the thread once a turn of the loop has brought nothing more."""
        count = len(self._waiting)
        if self._counted < count < STATEMENT_ROWS and monotonic() - self._first < self._window:
            self._counted = count
            loop.call_soon(self._look, loop)
        else:
            self._gathering = False
            self._bell.put(None)

    def healthy(self) -> bool:
        """Claim that the last commit worked and none has been hanging."""
        began = self._began
        stuck = began is not None and monotonic() - began > _STUCK_SECONDS
        return self._thread.is_alive() and not self._failed and not self._closing and not stuck

    def close(self) -> None:
        """Commit what waits, then end the thread; blocks until both are done."""
        self._closing = True
        self._bell.put(None)
        self._thread.join()
        while self._waiting:  # submitted by another thread in the instant of closing
            entry = self._waiting.popleft()
            tell([(entry, None, Unavailable(entry.code))])

    def _run(self, opened: Future[None]) -> None:
        try:
            self._connection = self._connect()
        except BaseException as error:  # noqa: BLE001 - raised where the writer is made
            opened.set_exception(error)
            return
        opened.set_result(None)
        while self._gather():
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LARGEST_BATCH))]
            if self._waiting:  # more than one batch takes
                self._bell.put(None)
            self._began = monotonic()
            outcomes = self._commit(batch)
            tell(outcomes)
            self._began = None
            if self.follow is not None:
                _hand_on(self.follow, outcomes)
        self._drop_connection()

    def _gather(self) -> bool:
        """Wait until something is to be committed; false when that was the last of it."""
        while not self._closing:
            try:
                self._bell.get(timeout=self._pace.retry if self._failed else self._pace.rest)
            except Empty:
                return True
            if self._waiting:  # what rang may have been committed with the batch before
                return True
        return bool(self._waiting) or not self._closing

    def _commit(self, batch: list[Waiting]) -> list[Outcome]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            if (written := self._commit_appends(self._connection, batch)) is not None:
                self._failed = False
                return written
            cursor = self._connection.begin()
            outcomes = self._apply(cursor, batch)
            cursor.execute("COMMIT")
        except StaleError:
            _log.critical("this process holds no log any more; it stops writing records")
            self._closing = True
            return [(entry, None, Unavailable(entry.code)) for entry in batch]
        except Exception as error:  # noqa: BLE001 - whatever broke the commit, its callers must be told and the thread must live
            # Without the traceback: it could show parameters.
            _log.error("commit failed", extra={"kind": type(error).__name__, "waiting": len(batch)})
            self._failed = True
            self._drop_connection()
            return [(entry, None, Unavailable(entry.code)) for entry in batch]
        # A server that is full takes an empty transaction, and no record.
        appended = [error for entry, _, error in outcomes if isinstance(entry, Append)]
        self._failed = bool(appended) and all(isinstance(error, Unavailable) for error in appended)
        return outcomes

    def _commit_appends(self, connection: Connection, batch: list[Waiting]) -> list[Outcome] | None:
        """Nothing but records: one statement that is its own transaction, so that the event loop is disturbed once.

        None when there is more in the batch, or when that did not work: then nothing of it is kept.
        """
        appends = [entry for entry in batch if isinstance(entry, Append) and not entry.extras]
        if len(appends) < len(batch) or len(appends) > STATEMENT_ROWS or (cursor := connection.single()) is None:
            return None
        heads = dict(self._heads)
        try:
            outcomes = _append_together(cursor, heads, appends)
        except connection.faults:
            return None
        self._heads = heads
        return outcomes

    def _apply(self, cursor: Cursor, batch: list[Waiting]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for operation, run in groupby((entry for entry in batch if not isinstance(entry, Append)), _operation):
            outcomes += self._apply_together(cursor, list(run), partial(_run_together, operation))
        appends = [entry for entry in batch if isinstance(entry, Append)]
        return outcomes + self._apply_together(cursor, appends, _append_together)

    def _apply_together(self, cursor: Cursor, entries: Sequence[E], together: Together[E]) -> list[Outcome]:
        if len(entries) < 2:
            return [self._apply_alone(cursor, entry) for entry in entries]
        try:
            heads = dict(self._heads)
            cursor.execute("SAVEPOINT together")
            outcomes = together(cursor, heads, entries)
            cursor.execute("RELEASE together")
        except Exception:  # noqa: BLE001 - one of them is at fault; each alone shows which
            self._undo(cursor, "together")
            return [self._apply_alone(cursor, entry) for entry in entries]
        self._heads = heads
        return outcomes

    def _apply_alone(self, cursor: Cursor, entry: Waiting) -> Outcome:
        try:
            cursor.execute("SAVEPOINT alone")
            result = entry.apply(cursor, self._heads)
            cursor.execute("RELEASE alone")
        except Exception as error:  # noqa: BLE001 - the caller gets its own error
            self._undo(cursor, "alone")
            if isinstance(error, self._faults()):
                return entry, None, Unavailable(entry.code)
            # A future refuses StopIteration, and refusing it would leave the rest of the batch untold.
            return entry, None, RuntimeError("StopIteration") if isinstance(error, StopIteration) else error
        return entry, result, None

    def _undo(self, cursor: Cursor, savepoint: str) -> None:
        # A full disk makes the engine roll back everything; what is left of the batch must not pass as written.
        if self._connection is None or not self._connection.in_transaction:
            raise _LostError
        cursor.execute(f"ROLLBACK TO {savepoint}")
        cursor.execute(f"RELEASE {savepoint}")

    def _faults(self) -> tuple[type[Exception], ...]:
        return self._connection.faults if self._connection else ()

    def _drop_connection(self) -> None:
        self._heads = {}
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.close()
            except connection.faults:
                _log.warning("connection did not close")


def _operation(entry: Write | Joint) -> Any:  # noqa: ANN401 - an operation, or an entry of its own kind
    """What entries that can be done in one go have in common."""
    return entry.operation if isinstance(entry, Joint) else entry


def _run_together(
    operation: Operations[Any, Any], cursor: Cursor, _: dict[Log, int], entries: Sequence[Joint]
) -> list[Outcome]:
    results = operation(cursor, [entry.argument for entry in entries])
    return [(entry, result, None) for entry, result in zip(entries, results, strict=True)]


def _append_together(cursor: Cursor, heads: dict[Log, int], appends: Sequence[Append]) -> list[Outcome]:
    """Write many records with one statement; the numbers are dense."""
    rows = []
    outcomes: list[Outcome] = []
    extras: dict[str, list[Sequence[Any]]] = {}
    for entry in appends:
        log = entry.log
        seq = heads[log] = _head(cursor, heads, log) + 1
        rows.append((log[0], log[1], seq, entry.at, entry.body))
        outcomes.append((entry, seq, None))
        for sql, parameters in entry.extras:
            extras.setdefault(sql, []).append(parameters)
    cursor.executemany(_APPEND, rows)
    for sql, many in extras.items():
        # Rows in one order, by their key: two processes that write the same ones never wait for each other.
        cursor.executemany(sql, sorted(many, key=lambda row: str(row[0])))
    return outcomes


def _head(cursor: Cursor, heads: dict[Log, int], log: Log) -> int:
    head = heads.get(log)
    if head is None:
        head = int(cursor.execute(_NEWEST, log).fetchone()[0])
    return head


def _hand_on(follow: Follow, outcomes: list[Outcome]) -> None:
    """Hand on what was committed, log by log; the numbers are dense."""
    committed: dict[Log, tuple[int, list[tuple[int, bytes]]]] = {}
    for entry, number, error in outcomes:
        if error is None and isinstance(entry, Append):
            committed.setdefault(entry.log, (number, []))[1].append((entry.at, entry.body))
    for log, (first, rows) in committed.items():
        follow(log, first, rows)
