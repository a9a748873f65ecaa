"""The pages of an administrator that look: sources, keys, revisions of the policy, and what waits for somebody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from consent.emergency import REVIEW_WITHIN
from gateway.errors import Invalid
from gateway.intake import desk
from gateway.model import HELD_KINDS
from gateway.office import OFFERED
from gateway.ports import Ports
from gateway.routes.pages.frame import Pages
from gateway.routes.pages.looking import Look, keeping
from gateway.routes.pages.revisions import compared
from gateway.routes.pages.saying import Saying
from gateway.routes.pages.source_rows import SourceRow, source_rows
from gateway.routes.pages.visit import Reply, Visit

pages: Final = Pages("/pages/admin", "administrator")
SOON: Final = timedelta(days=60)  # an agreement that ends within this is named
_OLD: Final = timedelta(days=365)  # a key in use for longer is named


def saying(visit: Visit) -> Saying:
    """Codes in the words of this page."""
    return Saying(visit.words, visit.ports.policy)


async def _rows(look: Look, now: datetime) -> list[SourceRow]:
    tables, ports = list(look.ports.policy.sources.values()), look.ports
    heard = {one.id: await ports.inbox.last_heard(one.id) for one in tables if one.kind in HELD_KINDS}
    return source_rows(tables, await look.office.sources.all(), await look.office.quality.found(), heard, now)


async def letters(ports: Ports, state: str) -> int:
    """How many messages of a state are on the desk."""
    return len([slip async for slip in desk.slips(ports, state=state)]) if ports.desk is not None else 0


@pages.get("")
async def home(visit: Visit) -> Reply:
    """What waits for somebody."""
    ports = visit.ports
    async with keeping(visit, "office") as look:
        rows = await _rows(look, visit.now)
        dead, quarantined = await letters(ports, "dead"), await letters(ports, "quarantined")
        offers = [one for one in await look.office.clients.offers() if one.state == OFFERED]
        proposed = [one for one in await ports.contracts.all() if one.status == OFFERED] if ports.contracts else []
        waiting = await ports.reviews.waiting(look.organization) if ports.reviews else ()
        late = sum(visit.now - one.opened > REVIEW_WITHIN for one in waiting)
    ending = [one for one in ports.policy.agreements if timedelta(0) < one.end - visit.now < SOON]
    return visit.page(
        "administrator_home.html.j2", visit.words["home_title"], say=saying(visit),
        bad=[one for one in rows if one.word in ("failing", "late")], sources=len(rows), dead=dead,
        quarantined=quarantined, offers=len(offers), proposed=len(proposed), waiting=len(waiting), late=late,
        ending=ending, revision=ports.policy.revision, here="home",
    )  # fmt: skip


@pages.get("/sources")
async def sources(visit: Visit) -> Reply:
    """How each source does."""
    async with keeping(visit, "sources") as look:
        rows = await _rows(look, visit.now)
    return visit.page("administrator_sources.html.j2", visit.words["sources_title"], say=saying(visit), rows=rows,
                      now=visit.now, here="sources")  # fmt: skip


@pages.get("/sources/{name}")
async def source(visit: Visit, name: str) -> Reply:
    """One source, with what profiles have against its items."""
    async with keeping(visit, "source") as look:
        found = next((one for one in await _rows(look, visit.now) if one.table.id == name), None)
        if found is None:
            raise Invalid("not-found", what="this source")
        look.record.reasons = (f"source={name}",)
    findings = (
        sorted(found.quality.rows.items(), key=lambda pair: (-pair[1].count, pair[0]))[:200] if found.quality else []
    )
    return visit.page("administrator_source.html.j2", visit.words.say("source_title", id=name), say=saying(visit),
                      one=found, findings=findings, now=visit.now, here="sources")  # fmt: skip


@pages.get("/keys")
async def keys(visit: Visit) -> Reply:
    """Numbers, ages and overlap of keys; never a key."""
    async with keeping(visit, "keys"):
        listed = getattr(visit.ports.keys, "keys", None)
        found = sorted(listed(), key=lambda key: (key.kind, -key.number)) if listed is not None else []
    rows = []
    for key in found:
        made = datetime.fromisoformat(key.created) if key.created else None
        age = visit.now - made if made else None
        rows.append((key, made, age, bool(age and age > _OLD and key.state == "current")))
    return visit.page("administrator_keys.html.j2", visit.words["keys_title"], say=saying(visit), rows=rows,
                      here="keys")  # fmt: skip


@pages.get("/policy")
async def policy(visit: Visit) -> Reply:
    """Every revision of the policy."""
    async with keeping(visit, "policy") as look:
        found = await look.office.revisions.history()
    return visit.page("administrator_policy.html.j2", visit.words["policy_title"], say=saying(visit), found=found,
                      revision=visit.ports.policy.revision, here="policy")  # fmt: skip


@pages.get("/policy/{number:int}")
async def revision(visit: Visit, number: int) -> Reply:
    """What one revision changed."""
    async with keeping(visit, "revision") as look:
        found = await look.office.revisions.numbered(number)
        if found is None:
            raise Invalid("not-found", what="this revision")
        look.record.reasons = (f"revision={found.revision}",)
        before = await look.office.revisions.numbered(number - 1)
    differs = compared(before.body, found.body, visit.ports.policy) if before is not None else None
    return visit.page("administrator_revision.html.j2", visit.words.say("revision_title", number=number),
                      say=saying(visit), found=found, before=before, differs=differs, here="policy")  # fmt: skip
