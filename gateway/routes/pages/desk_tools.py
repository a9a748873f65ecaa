"""HTTP of what a coordinator does with a page: read it out, print it, take it as PDF, tell a source it is wrong."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from gateway.audit.pages import noted
from gateway.model import Answer
from gateway.office import ToldError
from gateway.routes.pages import open_cases, paper
from gateway.routes.pages.frame import Pages
from gateway.routes.pages.glass import errand
from gateway.routes.pages.looks import look
from gateway.routes.pages.open_cases import Mine
from gateway.routes.pages.paper import Stamp
from gateway.routes.pages.sheet import Seen, Sheet, sheet
from gateway.routes.pages.spelling import spelled
from gateway.routes.pages.visit import ROOT, ZONE, Reply, Visit, go
from gateway.summary.assembly import Summary

pages: Final = Pages(ROOT, "coordinator")
SHORTEST, LONGEST = 10, 2000
_FORM: Final = ("1", "2", "3", "4", "5")
_SPELLED: Final = frozenset({"allergies", "medication"})


async def _made(visit: Visit, case_id: str, interaction: str) -> tuple[Mine, Sheet] | None:
    """The case and what is seen of its patient now; None before who it is was confirmed."""
    found = await open_cases.mine(visit, case_id)
    if visit.logged.recall("confirmed", found.id, str) is None:
        return None
    made: list[Sheet] = []

    def show(summary: Summary, answers: Sequence[Answer]) -> bytes:
        made.append(sheet(summary, answers, None, None, late=False))
        return b""

    patient = open_cases.patient_of(visit, found)
    await look(visit, patient, errand(visit, found), show, interaction=interaction)
    return found, made[0]


@pages.get("/cases/{case_id}/phone")
async def phone(visit: Visit, case_id: str) -> Reply:
    """What matters, to read out, with names spelled."""
    made = await _made(visit, case_id, "summary")
    if made is None:
        return go(f"{ROOT}/cases/{case_id}/person")
    found, page = made
    parts = [
        (part, [(row, spelled(row.line.text, visit.language) if part.key in _SPELLED else "")
                for row in (*(row for conflict in part.conflicts for row in conflict.rows), *part.rows)])
        for part in page.band
    ]  # fmt: skip
    return visit.page("case_phone.html.j2", visit.words["phone_title"], case=found.id, sheet=page, parts=parts,
                      name_spelled=spelled(page.name, visit.language))  # fmt: skip


@pages.get("/cases/{case_id}/print", fresh=True)
async def print_page(visit: Visit, case_id: str) -> Reply:
    """The page for paper; asks a fresh login, and is on the record as a print (attack 184, F2)."""
    made = await _made(visit, case_id, "print")
    if made is None:
        return go(f"{ROOT}/cases/{case_id}/person")
    found, page = made
    return visit.page("case_print.html.j2", visit.words["print_title"], case=found.id, sheet=page,
                      stamp=_stamp(visit, page, found.id))  # fmt: skip


@pages.get("/cases/{case_id}/summary.pdf", fresh=True)
async def pdf(visit: Visit, case_id: str) -> Reply:
    """The same as a file."""
    made = await _made(visit, case_id, "print")
    if made is None:
        return go(f"{ROOT}/cases/{case_id}/person")
    found, page = made
    file = paper.summary_pdf(page, _stamp(visit, page, found.id), visit.words)
    return Reply(file, kind="application/pdf", name=f"{found.id}.pdf")


def _stamp(visit: Visit, page: Sheet, case: str) -> Stamp:
    words, identity = visit.words, visit.logged.identity
    line = words.say("print_line", at=page.moment, user=identity.name or identity.person.rpartition("|")[2],
                     organization=visit.ports.policy.name(identity.organization), case=case)  # fmt: skip
    return Stamp(words["print_title"], line, words["print_note"],
                 lambda number, all_: words.say("print_page", page=number, pages=all_))  # fmt: skip


@pages.get("/cases/{case_id}/report")
async def report(visit: Visit, case_id: str) -> Reply:
    """The form to tell a source that something is wrong."""
    found = await open_cases.mine(visit, case_id)
    await visit.note("page", "report", patient=open_cases.patient_of(visit, found), case=found.id)
    return _report_form(visit, found, {})


@pages.post("/cases/{case_id}/report")
async def reported(visit: Visit, case_id: str) -> Reply:
    """Tell a source that something is wrong; it changes nothing here."""
    found = await open_cases.mine(visit, case_id)
    seen = visit.logged.recall("seen", found.id, Seen)
    text, item = visit.fields.get("about", "").strip(), visit.fields.get("item", "")
    shown = seen.items.get(item) if seen else None
    wrong = {} if shown else {"item": "wrong_section"}
    if not SHORTEST <= len(text) <= LONGEST:
        wrong["about"] = "wrong_about"
    if wrong or shown is None:
        return _report_form(visit, found, wrong, 422)
    _, caller = await visit.enter()
    told = ToldError(f"e-{secrets.token_hex(8)}", shown.custodian, shown.section, item, found.patient,
                     caller.requester.person or "", caller.requester.organization, text, visit.now)  # fmt: skip
    patient = open_cases.patient_of(visit, found)
    await noted(visit.incoming, visit.ports, "page", caller=caller, page="report", patient=patient, case=found.id,
                reasons=(f"told {shown.custodian} of an error in {item}, number {told.id}",))  # fmt: skip
    assert visit.ports.errors is not None
    await visit.ports.errors.tell(told)
    return visit.page("case_reported.html.j2", visit.words["report_done_title"], case=found.id, id=told.id,
                      source=visit.ports.policy.name(shown.custodian))  # fmt: skip


def _report_form(visit: Visit, found: Mine, wrong: dict[str, str], status: int = 200) -> Reply:
    seen = visit.logged.recall("seen", found.id, Seen)
    items = [(key, f"{one.title}: {one.sentence}"[:120]) for key, one in seen.items.items()] if seen else []
    return visit.page("case_report.html.j2", visit.words["report_title"], status=status, case=found.id, items=items,
                      wrong=wrong, said=visit.fields)  # fmt: skip


@pages.get("/capacity")
async def capacity(visit: Visit) -> Reply:
    """Capacity of the region: no connection, until there is one."""
    return visit.page("capacity.html.j2", visit.words["capacity_title"])


@pages.get("/paper")
async def form(visit: Visit) -> Reply:
    """The form for when the gateway is down, to be printed beforehand."""
    return visit.page("paper.html.j2", visit.words["paper_title"], parts=_form_parts(visit))


@pages.get("/paper.pdf")
async def form_file(visit: Visit) -> Reply:
    """The same as a file."""
    words, at = visit.words, visit.now.astimezone(ZONE).strftime("%d-%m-%Y")
    stamp = Stamp(words["paper_title"], at, words["paper_intro"],
                  lambda number, all_: words.say("print_page", page=number, pages=all_))  # fmt: skip
    return Reply(
        paper.form_pdf(words["paper_title"], _form_parts(visit), stamp), kind="application/pdf", name="form.pdf"
    )


def _form_parts(visit: Visit) -> list[tuple[str, list[str]]]:
    words = visit.words
    return [(words[f"paper_part_{one}"], words[f"paper_fields_{one}"].split("|")) for one in _FORM]
