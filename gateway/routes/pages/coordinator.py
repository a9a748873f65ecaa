"""HTTP of the coordinator: cases, the look-up, and the page of one patient with what comes late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from gateway.errors import GatewayError
from gateway.model import Answer
from gateway.routes.pages import open_cases
from gateway.routes.pages.frame import Pages, answer, headers_of
from gateway.routes.pages.glass import errand, may_break
from gateway.routes.pages.last_look import last_look
from gateway.routes.pages.looks import KEPT_SECONDS, Calls, look
from gateway.routes.pages.lookup import Person, look_up
from gateway.routes.pages.open_cases import MAXIMUM_TEXT, ORIGINS, Mine
from gateway.routes.pages.sheet import Seen, Sheet, sheet
from gateway.routes.pages.visit import ROOT, Reply, Visit, go
from gateway.summary.assembly import Summary
from gateway.summary.texts import words_of as summary_words
from profiles.identifiers import Bsn

pages: Final = Pages(f"{ROOT}/cases", "coordinator")
END: Final = b"<!--end-->"  # after each part of a stream
_AT_ONCE: Final = timedelta(milliseconds=1)  # what came is taken, nothing more is waited for


@pages.get("")
async def cases(visit: Visit) -> Reply:
    """List one's own open cases."""
    await visit.note("page", "cases")
    rows = [
        {"id": one.id, **one.told(), "name": who.name if (who := _known(visit, one)) else ""}
        for one in await open_cases.all_mine(visit)
    ]
    return visit.page("cases.html.j2", visit.words["cases_title"], rows=rows)


@pages.get("/new")
async def new(visit: Visit) -> Reply:
    """The form that opens a case and looks somebody up."""
    return _form(visit, {}, {})


@pages.post("/new")
async def opened(visit: Visit) -> Reply:
    """Open a case; no case, no look-up (rule B1)."""
    said = {
        name: visit.fields.get(name, "").strip() for name in ("origin", "who", "why", "responsible", "bsn", "birthDate")
    }
    wrong = _wrong(said)
    if wrong:
        return _form(visit, said, wrong, status=422)
    if visit.fields.get("script"):
        visit.logged.keep("script", "", "yes")
    digits = "".join(letter for letter in said["bsn"] if letter.isdigit()).zfill(9)
    case_id = await open_cases.open_case(visit, said | {"bsn": digits})
    visit.logged.keep("born", case_id, open_cases.read_date(said["birthDate"]))
    return go(f"{ROOT}/cases/{case_id}/person")


def _wrong(said: dict[str, str]) -> dict[str, str]:
    """What is wrong with the form: name of the field to the key of the sentence that says it."""
    wrong: dict[str, str] = {}
    if said["origin"] not in ORIGINS:
        wrong["origin"] = "wrong_origin"
    for name in ("who", "why"):
        if not said[name] or len(said[name]) > MAXIMUM_TEXT:
            wrong[name] = f"wrong_{name}"
    if len(said["responsible"]) > MAXIMUM_TEXT:
        wrong["responsible"] = "wrong_responsible"
    digits = "".join(letter for letter in said["bsn"] if letter not in " .-")
    if not (digits.isascii() and digits.isdigit() and 8 <= len(digits) <= 9):
        wrong["bsn"] = "wrong_bsn_length"
    else:
        try:
            Bsn(digits.zfill(9))
        except ValueError:
            wrong["bsn"] = "wrong_bsn_check"
    born = open_cases.read_date(said["birthDate"])
    if not born:
        wrong["birthDate"] = "wrong_birth"
    return wrong


def _form(visit: Visit, said: dict[str, str], wrong: dict[str, str], status: int = 200) -> Reply:
    return visit.page("case_new.html.j2", visit.words["new_title"], status=status, said=said, wrong=wrong,
                      origins=ORIGINS, behalf=visit.ports.policy.name(visit.logged.identity.organization))  # fmt: skip


@pages.get("/{case_id}/person")
async def person(visit: Visit, case_id: str) -> Reply:
    """Show who it is, to be confirmed before anything else (rule E1)."""
    found = await open_cases.mine(visit, case_id)
    patient = open_cases.patient_of(visit, found)
    if not patient.birth_date:
        return visit.page("case_birth.html.j2", visit.words["birth_title"], case=found.id, told=found.told(), wrong="")
    who = await look_up(visit, patient, found.errand)
    if who.certainty == "certain":
        visit.logged.keep("person", found.id, who)
        return visit.page("case_person.html.j2", visit.words["person_title"], case=found.id, who=who, told=found.told())
    return visit.page("case_blocked.html.j2", visit.words["blocked_title"], status=200, case=found.id, who=who,
                      told=found.told())  # fmt: skip


@pages.post("/{case_id}/person")
async def confirmed(visit: Visit, case_id: str) -> Reply:
    """Confirm who it is, or give the birth date of a case that was opened elsewhere."""
    found = await open_cases.mine(visit, case_id)
    if visit.fields.get("script"):
        visit.logged.keep("script", "", "yes")
    if "birthDate" in visit.fields:
        born = open_cases.read_date(visit.fields["birthDate"])
        if not born:
            return visit.page("case_birth.html.j2", visit.words["birth_title"], status=422, case=found.id,
                              told=found.told(), wrong="wrong_birth")  # fmt: skip
        visit.logged.keep("born", found.id, born)
        return go(f"{ROOT}/cases/{found.id}/person")
    if _known(visit, found) is None:
        return go(f"{ROOT}/cases/{found.id}/person")
    visit.logged.keep("confirmed", found.id, "yes")
    return go(f"{ROOT}/cases/{found.id}")


@pages.post("/{case_id}/close")
async def close(visit: Visit, case_id: str) -> Reply:
    """Close a case; access under it ends at once."""
    await open_cases.close_case(visit, await open_cases.mine(visit, case_id))
    return go(f"{ROOT}/cases/new" if visit.fields.get("then") == "new" else f"{ROOT}/cases")


@pages.get("/{case_id}")
async def page(visit: Visit, case_id: str) -> Reply:
    """The page of one patient."""
    found = await open_cases.mine(visit, case_id)
    if visit.logged.recall("confirmed", found.id, str) is None:
        return go(f"{ROOT}/cases/{found.id}/person")
    before = visit.logged.recall("seen", found.id, Seen) or await last_look(visit, found)
    waits = visit.logged.recall("script", "", str) is not None
    calls = Calls(visit.ports.settings.gateway.deadline.total_seconds()) if waits else None
    view = View(visit, found, before)
    body = await view.look(calls, late=waits)
    _leave(visit, found, view, calls)
    return Reply(body)


@pages.router.get("/{case_id}/late")
async def late(case_id: str, request: Request) -> Response:
    """What came after the page was shown: each part is a look of its own, on the record before it is sent (F2)."""
    parts: list[View] = []

    async def begin(visit: Visit) -> Reply:
        found = await open_cases.mine(visit, case_id)
        kept = visit.logged.recall("view", found.id, View)
        if kept is not None and kept.calls is not None:
            parts.append(kept.on(visit))
        return Reply(status=204)

    given = await answer(request, begin, pages.desk)
    if not parts or given.status_code != 204:
        return given
    return StreamingResponse(
        _parts(parts[0]), headers=headers_of(parts[0].visit.incoming), media_type="text/html; charset=utf-8"
    )


async def _parts(view: View) -> AsyncIterator[bytes]:
    """A whole new page for each source that comes late, until none will."""
    calls = view.calls
    assert calls is not None
    try:
        while True:
            await calls.next()
            pending = calls.pending()
            try:
                yield await view.look(calls, late=pending) + END
            except GatewayError as error:
                yield visit_refusal(view.visit, error) + END
                return
            if not pending:
                return
    finally:
        calls.end()


def visit_refusal(visit: Visit, error: GatewayError) -> bytes:
    """The page that says why no more is shown, such as a consent that was withdrawn meanwhile."""
    return visit.refusal(error.code, error.row.status, error.text(visit.language)).body


def _leave(visit: Visit, found: Mine, view: View, calls: Calls | None) -> None:
    """Remember the view for what comes late; when nobody fetches that, it ends by itself."""
    if calls is None:
        return
    if not calls.pending():
        calls.end()
        return
    earlier = visit.logged.recall("view", found.id, View)
    if earlier is not None and earlier.calls is not None:
        earlier.calls.end()
    view.calls = calls
    visit.logged.keep("view", found.id, view)
    asyncio.get_running_loop().call_later(KEPT_SECONDS, calls.end)


def _known(visit: Visit, found: Mine) -> Person | None:
    return visit.logged.recall("person", found.id, Person)


class View:
    """One view of one patient: its looks, and what was on the screen before and during it."""

    __slots__ = ("before", "calls", "case", "last", "visit")

    def __init__(self, visit: Visit, case: Mine, before: Seen | None) -> None:
        self.visit, self.case, self.before = visit, case, before
        self.last: Seen | None = None
        self.calls: Calls | None = None

    def on(self, visit: Visit) -> View:
        """Go on with the view in another request of the same person."""
        self.visit = visit
        return self

    async def look(self, calls: Calls | None, *, late: bool) -> bytes:
        """Ask again what may be seen, and write the page of it.

        Raises:
            GatewayError: everything `$summary` refuses.
        """
        visit, case = self.visit, self.case
        first = visit.ports.settings.login.first_look if self.last is None else _AT_ONCE
        wait = first if calls is not None and late else None

        def show(summary: Summary, answers: Sequence[Answer]) -> bytes:
            pending = calls is not None and calls.pending()
            made = sheet(summary, answers, self.before, self.last, late=pending)
            self.last = self.last or made.seen
            visit.logged.keep("seen", case.id, made.seen)
            return patient_page(visit, case, made)

        return await look(visit, open_cases.patient_of(visit, case), errand(visit, case), show, calls=calls, wait=wait)


def patient_page(visit: Visit, case: Mine, made: Sheet) -> bytes:
    """The page of one patient as HTML."""
    glass = errand(visit, case).emergency is not None
    changes = [visit.words.say("changed_row", **row) for row in made.changed]
    return visit.page("patient.html.j2", visit.words["patient_title"], sheet=made, case=case.id, told=case.told(),
                      glass=glass, breaks=may_break(visit) and not glass, before=made.before, changes=changes,
                      more_text=summary_words(visit.language)["more"].capitalize() + ".").body  # fmt: skip
