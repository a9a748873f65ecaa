"""What this case showed at its last look, from the manifest in the log: it outlives a session (rule F5)."""

from __future__ import annotations

from datetime import timedelta

from gateway.audit.record import decode
from gateway.logged import AuditQuery
from gateway.routes.pages.open_cases import Mine
from gateway.routes.pages.sheet import Seen, Shown
from gateway.routes.pages.visit import Visit
from gateway.summary.sections import SUPPORT, section_of_type
from gateway.summary.values import moment


async def last_look(visit: Visit, found: Mine) -> Seen | None:
    """What the last summary of this case gave: types, ids and versions, no content; None when there was none.

    Raises:
        Unavailable: `store-unavailable`.
    """
    queries = visit.ports.queries
    if queries is None:
        return None
    query = AuditQuery(start=found.case.opened, end=visit.now + timedelta(seconds=1), entity=f"Task/{found.id}",
                       kinds=("outcome",), interactions=("summary",))  # fmt: skip
    rows, _ = await queries.find(query, 1)
    for row in rows:
        record = decode(row.body)
        items = {
            f"{one.type}/{one.id}": Shown(one.version, section.key, "", "", "")
            for asked in record.custodians
            for one in asked.shown
            if one.type not in SUPPORT and (section := section_of_type(one.type)) is not None
        }
        return Seen(moment(record.at), items, {})
    return None
