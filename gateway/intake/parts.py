"""A file may hold many patients: it is taken apart into one message a patient, so that each can be kept and erased alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

Split = Callable[[bytes, str], Sequence[bytes]]  # bytes and map name -> bytes of one patient each

# Formats that hold many patients; what is not here is one message.
SPLITS: Final[Mapping[str, Split]] = {}


def parts(body: bytes, format_: str, map_: str) -> Sequence[bytes]:
    """The bytes of each patient, in a form that the same map reads again.

    Raises:
        NotMappable: the file as a whole cannot be read.
    """
    split = SPLITS.get(format_)
    return (body,) if split is None else split(body, map_)
