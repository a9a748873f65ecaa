"""Ids that are unique and cannot be linked to each other; made without asking the operating system each time."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from typing import Final

# A keyed digest of a counter: unique in this process by the counter, over processes and in time by the key.
_KEY: Final = secrets.token_bytes(32)
_COUNT: Final = itertools.count()


def new_id() -> str:
    """Thirty-two hexadecimal digits."""
    return hashlib.blake2b(next(_COUNT).to_bytes(8), key=_KEY, digest_size=16).hexdigest()
