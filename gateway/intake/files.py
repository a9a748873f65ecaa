"""A file of the drop directory: taken in like any message, in the format its source declares or its bytes show."""

from __future__ import annotations

from datetime import datetime

from gateway.intake.letters import Posting
from gateway.intake.messages import take
from gateway.ports import Ports
from gateway.settings import SourceTable
from mappings.model import NotMappable
from mappings.translation import guess


async def take_file(
    source: SourceTable, body: bytes, dated: datetime | None, written: datetime | None, ports: Ports
) -> str:
    """Take one whole file in; give why it is refused, empty when any of it could be read.

    `written`: when it was left there, which may be long before the gateway came to look.

    Raises:
        Unavailable: it is not kept; the file must stay where it is.
    """
    posting = Posting(source, body, format_of(source, body), ports.now(), dated, heard=written)
    taken = await take(posting, "inbox", ports)
    if any(one.state != "dead" for one in taken):
        return ""
    return "; ".join(dict.fromkeys(one.message.reason for one in taken)) or "nothing in it"


def format_of(source: SourceTable, body: bytes) -> str:
    """The format the map of the source is for, else the one the bytes look like; "unknown" reads as nothing."""
    declared, separator, _ = source.dialect.partition("/")
    if separator:
        return declared
    try:
        return guess(body)
    except NotMappable:
        return "unknown"
