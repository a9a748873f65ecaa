"""A batch on the record: each entry is a request with a record of its own, and the batch says how many there were."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.audit.journal import Recorded, recorded
from gateway.model import Incoming
from gateway.ports import Ports


def batch(incoming: Incoming, ports: Ports) -> Recorded:
    """Start the record of the batch itself; used with `async with`, and its `count` is set to the number of entries.

    What is refused as a whole leaves this record and no other.
    """
    return recorded(incoming, ports, "batch", "E", "Bundle")


def entry(
    incoming: Incoming, number: int, method: str, path: str, query: str, body: bytes, headers: Mapping[bytes, bytes]
) -> Incoming:
    """Entry `number` (from 1) of a batch as a request of its own; run it over the line and it records itself.

    Its request id is that of the batch and its number: `<id>.3`. Who asks, from where and when are those of the batch.
    """
    return msgspec.structs.replace(
        incoming,
        method=method,
        path=path,
        query=query,
        body=body,
        headers=headers,
        request_id=f"{incoming.request_id}.{number}",
        correlation_id=incoming.correlation_id or incoming.request_id,
    )
