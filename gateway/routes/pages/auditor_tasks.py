"""What an auditor does beside looking: the citizen's overview, taking the log along, verifying it, reviewing emergencies and samples."""

from __future__ import annotations

import asyncio
import io
import zipfile
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from consent.emergency import REVIEW_WITHIN
from gateway.audit import export
from gateway.audit.citizen import Telling, registrations, report
from gateway.audit.examination import Examination
from gateway.audit.overviews import Period, row
from gateway.audit.reading import lines
from gateway.audit.rendering import events
from gateway.audit.sampling import DRAWN, DUE, OUTCOMES, REVIEWED, Sample, draw, newest, told
from gateway.audit.view import Viewer
from gateway.errors import Invalid, Unavailable
from gateway.intake import reviews
from gateway.model import Json, instant
from gateway.routes.pages.auditor import patient_ids, period_of, person_of, saying
from gateway.routes.pages.frame import Pages
from gateway.routes.pages.looking import Look, supervising
from gateway.routes.pages.visit import Reply, Visit, go
from profiles import exact

pages: Final = Pages("/pages/audit", "auditor")

MOST_EXPORTED: Final = 20_000  # records of one file; more is for the command, which streams
_FINDINGS: Final = ("justified", "not-justified")


# --- the citizen's overview ------------------------------------------------------------------------


@pages.get("/report", fresh=True)
async def ask_report(visit: Visit) -> Reply:
    """The form of the citizen's overview."""
    await visit.note("page", "report", type_="AuditEvent")
    return _report_form(visit)


def _report_form(visit: Visit, wrong: str = "") -> Reply:
    return visit.page("auditor_report.html.j2", visit.words["report_title"], status=400 if wrong else 200, wrong=wrong,
                      here="report")  # fmt: skip


@pages.post("/report", fresh=True)
async def give_report(visit: Visit) -> Reply:
    """Everything a citizen is told about one person (rule F3)."""
    ids, wrong = patient_ids(visit, visit.fields.get("bsn", ""))
    settings = visit.ports.settings
    period, wrong_period = period_of(visit, 366 * settings.audit.retention_years)
    wrong = wrong or ("" if ids else "bsn_needed") or wrong_period
    if wrong:
        await visit.note("page", "report", type_="AuditEvent")
        return _report_form(visit, wrong)
    places = visit.fields.get("places", "named") != "hidden"
    async with supervising(visit, "report", "export") as look:
        look.record.patient = person_of(ids, visit)
        made = await _citizen(
            look, period, ids, Telling(visit.ports.policy, settings.audit.names_in_report, places=places)
        )
    query = period.query()
    until = min(query.end, visit.now)
    if visit.fields.get("format") == "json":
        frame: Json = {"report": "access-overview", "gateway": settings.gateway.name, "made": instant(visit.now)}
        frame |= {"since": instant(query.start), "until": instant(until)}
        return Reply(exact.encode(frame | made.as_json()), kind="application/json", name="access-overview.json")
    from gateway.audit.page import Frame, html  # noqa: PLC0415 - its template only where a page is made

    body = html(made, Frame(settings.gateway.name, query.start, until, visit.now))
    return Reply(body.encode(), kind="text/html; charset=utf-8", name="access-overview.html")


async def _citizen(look: Look, period: Period, ids: tuple[str, ...], telling: Telling) -> Any:  # noqa: ANN401 - a report
    """What the command tells: every organization, because it is the person's own (rule F1)."""
    query = replace(period.query(), patients=ids)
    whole = Viewer("", operates=True, policy=look.ports.policy, keys=look.ports.keys, whole=True)
    records = [one.seen.record async for one in lines(look.queries, query, whole) if not isinstance(one, str)]
    ended = []
    for name in registrations(records):
        about = replace(query, patients=(), entity=name)
        found = [one.seen.record async for one in lines(look.queries, about, whole) if not isinstance(one, str)]
        ended += [record for record in found if record.interaction == "delete"]
    return report(records, ended, telling)


# --- taking the log along --------------------------------------------------------------------------


@pages.get("/export", fresh=True)
async def ask_export(visit: Visit) -> Reply:
    """The form of an export."""
    await visit.note("page", "export", type_="AuditEvent")
    return _export_form(visit)


def _export_form(visit: Visit, wrong: str = "") -> Reply:
    period, _ = period_of(visit, 7)
    return visit.page("auditor_export.html.j2", visit.words["export_title"], status=400 if wrong else 200, wrong=wrong,
                      period=period, most=MOST_EXPORTED, here="export")  # fmt: skip


@pages.post("/export", fresh=True)
async def give_export(visit: Visit) -> Reply:
    """One's own part of the log with a signed manifest, in one file."""
    period, wrong = period_of(visit, 7)
    if wrong:
        await visit.note("page", "export", type_="AuditEvent")
        return _export_form(visit, wrong)
    kind = "csv" if visit.fields.get("format") == "csv" else "ndjson"
    name = f"audit-{period.first}-{period.last}.{kind}"
    async with supervising(visit, "export", "export") as look:
        taken = await _taken(look, period, kind)
        if taken is None:
            look.record.reasons = ("too many records for one file; nothing was given",)
        else:
            _, digest = taken
            query = period.query()
            claims: Json = {
                "file": name, "format": kind, **digest.facts, "since": instant(query.start), "until": instant(query.end),
                "organization": look.organization, "made": instant(visit.now), "by": look.person,
                "gateway": visit.ports.settings.gateway.base, "policy": visit.ports.policy.revision,
            }  # fmt: skip
            signed = export.manifest(claims, visit.ports.keys)  # type: ignore[arg-type]  # the key ring signs for the log
            look.record.count = digest.rows
            look.record.reasons = (f"rows={digest.rows}", f"sha256={digest.facts['sha256']}")
    if taken is None:
        return _export_form(visit, "export_too_many")
    packed = await asyncio.to_thread(_packed, name, taken[0], signed)
    return Reply(packed, kind="application/zip", name=f"{name}.zip")


async def _taken(look: Look, period: Period, kind: str) -> tuple[list[str], export.Digest] | None:
    """The lines of a file and what they add up to; None when there are too many."""
    digest = export.Digest()
    texts = [digest.take(export.head())] if kind == "csv" else []
    async for one in lines(look.queries, period.query(), look.by):
        if isinstance(one, str):
            continue
        if digest.rows == MOST_EXPORTED:
            return None
        text = (
            export.rows(one.id, one.seen) if kind == "csv" else export.ndjson(events(one.id, one.seen, look.recorder))
        )
        texts.append(digest.take(text, 1, one.id))
    return texts, digest


def _packed(name: str, texts: list[str], signed: str) -> bytes:
    """File and manifest in one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as pack:
        with pack.open(name, "w") as file:
            for text in texts:
                file.write(text.encode())
        pack.writestr(f"{name}.manifest.jws", signed + "\n")
    return buffer.getvalue()


# --- verifying -------------------------------------------------------------------------------------


@pages.get("/verify")
async def verification(visit: Visit) -> Reply:
    """How far a verification is, and what the last one found."""
    job = visit.state.examining
    async with supervising(visit, "verify") as look:
        found: Examination | None = job.found if job else None
        if found is not None:
            look.record.reasons = (f"whole={'yes' if found.whole else 'no'}",)
        own = look.by.operates
    return visit.page("auditor_verify.html.j2", visit.words["verify_title"], say=saying(visit), job=job, found=found,
                      numbers=own, here="verify")  # fmt: skip


@pages.post("/verify")
async def verify(visit: Visit) -> Reply:
    """Start a verification; it runs beside everything else."""
    job = visit.state.examining
    if job is None:
        raise Unavailable("store-unavailable")
    async with supervising(visit, "verify", done="audit-verify") as look:
        look.record.reasons = ("started" if job.start(look.person, visit.now) else "already running",)
    return go("/pages/audit/verify")


# --- emergencies -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One access in the queue as the page shows it."""

    review: Any
    due: Any
    late: bool
    own: bool


@pages.get("/reviews")
async def queue(visit: Visit) -> Reply:
    """Emergency accesses that wait for a second person."""
    async with supervising(visit, "reviews") as look:
        kept = visit.ports.reviews
        if kept is None:
            raise Unavailable("store-unavailable")
        found = [
            _Waiting(one, one.opened + REVIEW_WITHIN, visit.now - one.opened > REVIEW_WITHIN, one.person == look.person)
            for one in await kept.waiting(look.organization)
        ]
    return visit.page("auditor_reviews.html.j2", visit.words["reviews_title"], say=saying(visit), found=found,
                      findings=_FINDINGS, done=visit.fields.get("done") == "1", here="reviews")  # fmt: skip


@pages.post("/reviews")
async def settle(visit: Visit) -> Reply:
    """Note what came of looking at one."""
    finding, text = visit.fields.get("finding", ""), visit.fields.get("text", "").strip()
    body = exact.encode({"finding": finding, "text": text})
    incoming = await visit.to_the_line("POST", "reviews", body=body)
    await reviews.settle(incoming, visit.fields.get("id", "")[:80], visit.ports)
    return go("/pages/audit/reviews?done=1")


# --- samples ---------------------------------------------------------------------------------------


@pages.get("/sample")
async def sample(visit: Visit, drawn: Sample | None = None, wrong: str = "") -> Reply:
    """The review of a part of the accesses: when the last was, and the form for the next."""
    async with supervising(visit, "sample") as look:
        last = await newest(look.queries, look.by, look.organization, REVIEWED, visit.now)
    return _sample_page(visit, last, drawn, wrong)


def _sample_page(visit: Visit, last: Any, drawn: Sample | None, wrong: str = "") -> Reply:  # noqa: ANN401 - a record or None
    period, _ = period_of(visit, DUE.days)
    reviewed = last.at if last is not None else ""
    due = not reviewed or visit.now - datetime.fromisoformat(reviewed) > DUE
    return visit.page(
        "auditor_sample.html.j2", visit.words["sample_title"], status=400 if wrong else 200, say=saying(visit),
        last=last, told=told, due=due, drawn=drawn, rows=[row(one.id, one.seen) for one in drawn.drawn] if drawn else [],
        period=period, outcomes=OUTCOMES, wrong=wrong, done=visit.fields.get("done") == "1", here="sample",
    )  # fmt: skip


@pages.post("/sample")
async def draw_sample(visit: Visit) -> Reply:
    """Draw accesses by chance."""
    period, wrong = period_of(visit, DUE.days)
    size = visit.fields.get("size", "20")
    if wrong or not (size.isdigit() and 1 <= int(size) <= 200):
        return await sample(visit, wrong=wrong or "size_wrong")
    async with supervising(visit, "sample", done=DRAWN) as look:
        drawn = await draw(look.queries, period.query(), look.by, int(size))
        look.record.reasons = drawn.reasons(look.organization)
        last = await newest(look.queries, look.by, look.organization, REVIEWED, visit.now)
    return _sample_page(visit, last, drawn)


@pages.post("/sample/review")
async def review_sample(visit: Visit) -> Reply:
    """Put on record what came of a sample (rule F6)."""
    number, outcome, findings = (visit.fields.get(name, "") for name in ("sample", "outcome", "findings"))
    async with supervising(visit, "sample", done=REVIEWED) as look:
        drawn = await newest(look.queries, look.by, look.organization, DRAWN, visit.now, number[:16])
        if drawn is None or not number:
            raise Invalid("not-found", what="this sample")
        size = told(drawn.reasons, "size")
        if outcome not in OUTCOMES or not findings.isdigit() or int(findings) > int(size or 0):
            raise Invalid("bad-request", why="say what came of it and how many accesses need an answer")
        look.record.reasons = (f"sample={number}", f"organization={look.organization}", f"outcome={outcome}",
                               f"findings={findings}", f"size={size}")  # fmt: skip
    return go("/pages/audit/sample?done=1")
