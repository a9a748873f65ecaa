"""The pages of an auditor: what the log adds up to, overviews of it, and one record explained and replayed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from consent.emergency import REVIEW_WITHIN
from gateway.audit import plots
from gateway.audit.explained import account
from gateway.audit.overviews import OVERVIEWS, Page, Period, Sums, narrowed, page, sums
from gateway.audit.reading import Line, line, lines
from gateway.audit.record import decode
from gateway.audit.replay import replay
from gateway.audit.sampling import DUE, REVIEWED, newest
from gateway.errors import Invalid
from gateway.logged import AuditQuery, RecordId
from gateway.model import Patient
from gateway.routes.pages.frame import Pages
from gateway.routes.pages.looking import Look, supervising
from gateway.routes.pages.saying import Saying
from gateway.routes.pages.visit import Reply, Visit
from profiles.identifiers import BSN_SYSTEM, passes_elfproef

pages: Final = Pages("/pages/audit", "auditor")
_USUAL_DAYS: Final = 30


def saying(visit: Visit) -> Saying:
    """Codes in the words of this page."""
    return Saying(visit.words, visit.ports.policy)


def period_of(visit: Visit, usual: int) -> tuple[Period, str]:
    """The period of the form, and what is wrong with it as a key of the words; then the usual period holds."""
    fields = visit.fields
    try:
        return Period.read(fields.get("since", ""), fields.get("until", ""), visit.now, usual), ""
    except ValueError as error:
        return Period.read("", "", visit.now, usual), f"period_{error}"


def patient_ids(visit: Visit, number: str) -> tuple[tuple[str, ...], str]:
    """Every pseudonymous id of a person by BSN, and what is wrong with the number as a key of the words."""
    digits = "".join(number.split())
    if not digits:
        return (), ""
    if not (digits.isdigit() and 8 <= len(digits) <= 9 and passes_elfproef(digits.zfill(9))):
        return (), "bsn_wrong"
    ring = visit.ports.keys
    every = getattr(ring, "patient_ids", None)
    known = every(BSN_SYSTEM, digits.zfill(9)) if every else (ring.patient_id(BSN_SYSTEM, digits.zfill(9)),)
    return tuple(known), ""


def person_of(ids: tuple[str, ...], visit: Visit) -> Patient | None:
    """The patient a look is about, for its record."""
    return Patient(ids[0], *(visit.ports.keys.patient_identifier(ids[0]) or ("", ""))) if ids else None


@pages.get("")
async def home(visit: Visit) -> Reply:
    """What the part of the log of one's own organization adds up to."""
    period, wrong = period_of(visit, _USUAL_DAYS)
    async with supervising(visit, "overview") as look:
        found = await sums(look.tallies, look.by, period)
        waiting = await visit.ports.reviews.waiting(look.organization) if visit.ports.reviews else ()
        last = await newest(look.queries, look.by, look.organization, REVIEWED, visit.now)
    say = saying(visit)
    reviewed = last.at if last is not None else ""
    due = not reviewed or visit.now - datetime.fromisoformat(reviewed) > DUE
    return visit.page(
        "auditor_home.html.j2", visit.words["home_title"], say=say, found=found, period=period, wrong=wrong,
        waiting=len(waiting), late=sum(visit.now - one.opened > REVIEW_WITHIN for one in waiting), reviewed=reviewed, due=due,
        here="home", **_plots(found, say),
    )  # fmt: skip


def _plots(found: Sums, say: Saying) -> dict[str, Any]:
    words = say.words
    first, last = found.period.first, found.period.last
    told = words.say("plot_days_text", n=found.questions, first=_short(first), last=_short(last))
    reasons = [(words.code("reason", code), count) for code, count in found.refused]
    named = "; ".join(f"{name}: {count}" for name, count in reasons) or words["none"]
    answering = [(name, sum(states.values()), states.get("answered", 0)) for name, states in found.sources]
    shares = [(name, 100 * good // every if every else 0) for name, every, good in answering]
    spoken = "; ".join(f"{name}: {share} %" for name, share in shares) or words["none"]
    return {
        "plot_days": plots.days(found.days, first, last, told),
        "plot_refused": plots.bars(reasons, f"{words['plot_refused']}: {named}"),
        "plot_sources": plots.bars(shares, f"{words['plot_sources']}: {spoken}"),
        "reasons": reasons,
    }


def _short(day: date) -> str:
    return f"{day.day}-{day.month}-{day.year}"


@pages.get("/log")
@pages.post("/log")
async def log(visit: Visit) -> Reply:
    """The newest records; nothing that names a person is in the address."""
    fields = visit.fields
    posted = visit.incoming.method == "POST"
    overview = fields.get("overview", "all") if fields.get("overview", "all") in OVERVIEWS else "all"
    period, wrong = period_of(visit, 7)
    # A person is named in a form only: addresses stay in histories and logs of others.
    ids, wrong_number = patient_ids(visit, fields.get("bsn", "")) if posted else ((), "")
    known = fields.get("patient", "") if posted else ""
    if not ids and known and visit.ports.keys.patient_identifier(known) is not None:
        ids = (known,)
    person = fields.get("person", "")[:100] if posted else ""
    wrong = wrong or wrong_number
    async with supervising(visit, f"log-{overview}") as look:
        look.record.patient = person_of(ids, visit)
        query = narrowed(period.query(), overview, ids, person)
        found = await _found(look, query, fields.get("after", "")) if not wrong else Page((), "")
    return visit.page(
        "auditor_log.html.j2", visit.words["log_title"], status=400 if wrong else 200, say=saying(visit), found=found,
        period=period, wrong=wrong, overview=overview, overviews=OVERVIEWS, person_asked=person,
        patient_asked=ids[0] if ids else "", after=fields.get("after", ""), here="log",
    )  # fmt: skip


async def _found(look: Look, query: AuditQuery, after: str) -> Page:
    try:
        return await page(look.queries, query, look.by, after)
    except ValueError:
        raise Invalid("invalid-parameter", name="after", why="use the link to the next page") from None


async def seen_record(look: Look, name: str) -> Line:
    """One record as far as the reader may see it.

    Raises:
        Invalid: `not-found`, also for what is not the reader's to see.
    """
    try:
        id_ = RecordId.parse(name)
    except ValueError:
        raise Invalid("not-found", what="this record") from None
    found = await line(look.queries, id_, look.by)
    if found is None:
        raise Invalid("not-found", what="this record")
    return found


@pages.get("/record/{name}")
async def record(visit: Visit, name: str) -> Reply:
    """One record explained."""
    async with supervising(visit, "record") as look:
        look.record.object = f"AuditEvent/{name}" if _is_id(name) else ""
        found = await seen_record(look, name)
        told = account(found.id, found.seen)
    return visit.page("auditor_record.html.j2", visit.words.say("record_title", id=told.id), say=saying(visit), told=told,
                      here="log")  # fmt: skip


@pages.get("/record/{name}/replay")
async def replayed(visit: Visit, name: str) -> Reply:
    """What was and what was not on screen."""
    async with supervising(visit, "replay") as look:
        look.record.object = f"AuditEvent/{name}" if _is_id(name) else ""
        found = await seen_record(look, name)
        shown = replay([one.seen.record async for one in _of_request(look, name)])
        told = account(found.id, replace(found.seen, record=shown.record)) if shown else account(found.id, found.seen)
    return visit.page(
        "auditor_replay.html.j2", visit.words.say("replay_title", id=name), say=saying(visit), told=told,
        shown=shown, here="log",
    )  # fmt: skip


async def _of_request(look: Look, name: str) -> AsyncIterator[Line]:
    """Every record of the request of one record, each as far as the reader may see it."""
    logged = await look.queries.get(RecordId.parse(name))
    if logged is None:
        return
    request = decode(logged.body).request
    until = look.record.incoming.received + timedelta(minutes=1)
    about = AuditQuery(start=logged.at - timedelta(days=1), end=until, request=request)
    async for one in lines(look.queries, about, look.by):
        if isinstance(one, Line):
            yield one


def _is_id(name: str) -> bool:
    try:
        RecordId.parse(name)
    except ValueError:
        return False
    return True
