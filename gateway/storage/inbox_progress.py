"""How far a long piece of work at the inbox came, in a file beside the database, so that it can be broken off and gone on with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import msgspec


class _State(msgspec.Struct, frozen=True):
    """INVARIANT: no content and nothing of a person: a receipt is a digest."""

    job: str
    moment: int = 0
    receipt: str = ""
    done: int = 0
    dead: int = 0


class Progress:
    """The steps of one job that are done; the steps have an order that does not change while it runs."""

    def __init__(self, path: Path, state: _State) -> None:
        self._path = path
        self._state = state

    @classmethod
    def of(cls, path: Path, job: str, *, again: bool = False) -> Self:
        """What is left from an earlier run of the same job, else the beginning."""
        state = _State(job)
        if not again:
            try:
                found = msgspec.json.decode(path.read_bytes(), type=_State)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                found = state  # nothing there, or a file that was half written: doing a step twice changes nothing
            state = found if found.job == job else state
        return cls(path, state)

    @property
    def done(self) -> int:
        """How many steps are done, in all runs."""
        return self._state.done

    @property
    def dead(self) -> int:
        """How many of them ended badly."""
        return self._state.dead

    def covers(self, moment: int, receipt: str) -> bool:
        """Claim that this step was done before."""
        return (moment, receipt) <= (self._state.moment, self._state.receipt)

    def advance(self, moment: int, receipt: str, dead: bool) -> None:
        """Note that a step is done."""
        old = self._state
        self._state = _State(old.job, moment, receipt, old.done + 1, old.dead + dead)
        beside = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self._state))
        beside.replace(self._path)

    def finish(self) -> None:
        """The job is done: the next one begins at the beginning."""
        self._path.unlink(missing_ok=True)
