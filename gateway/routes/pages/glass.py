"""Breaking the glass on a page: only for roles that may, on stated grounds, for one case and one hour (rule B2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from consent.emergency import CANNOT_CONSENT, LASTS, THREATS
from gateway.oauth.grounds import MAXIMUM_TEXT
from gateway.oauth.login import Errand
from gateway.routes.pages import open_cases
from gateway.routes.pages.desks import BREAKING, purposes
from gateway.routes.pages.frame import Pages
from gateway.routes.pages.open_cases import Mine
from gateway.routes.pages.visit import ROOT, Barred, Reply, Visit, go

pages: Final = Pages(f"{ROOT}/cases", "coordinator")
SHORTEST: Final = 10  # characters of the reason


@dataclass(frozen=True, slots=True)
class Glass:
    """A glass that was broken."""

    errand: Errand
    until: datetime


def errand(visit: Visit, case: Mine) -> Errand:
    """What the person looks for: the case, or the emergency they stated for it while it lasts."""
    broken = visit.logged.recall("glass", case.id, Glass)
    return broken.errand if broken is not None and visit.now < broken.until else case.errand


def may_break(visit: Visit) -> bool:
    """Claim that this role breaks the glass at all."""
    return BREAKING in purposes(visit.logged.identity, visit.logged.role, visit.ports)


@pages.get("/{case_id}/glass", fresh=True)
async def ask(visit: Visit, case_id: str) -> Reply:
    """The grounds to be stated."""
    found = await open_cases.mine(visit, case_id)
    if not may_break(visit):
        raise Barred("role-refused", 403, visit.words["glass_not_you"])
    return _form(visit, found, {})


@pages.post("/{case_id}/glass", fresh=True)
async def broken(visit: Visit, case_id: str) -> Reply:
    """Break the glass: the custodians are told at once and somebody else will look at it."""
    found = await open_cases.mine(visit, case_id)
    if not may_break(visit):
        raise Barred("role-refused", 403, visit.words["glass_not_you"])
    cannot, text = visit.fields.get("cannot_consent", ""), visit.fields.get("text", "").strip()
    threats = [one for one in visit.fields.get("threats", "").split("\n") if one in THREATS]
    wrong = {}
    if cannot not in CANNOT_CONSENT:
        wrong["cannot_consent"] = "wrong_cannot"
    if not threats:
        wrong["threats"] = "wrong_threats"
    if not SHORTEST <= len(text) <= MAXIMUM_TEXT:
        wrong["text"] = "wrong_text"
    if wrong:
        return _form(visit, found, wrong, status=422)
    grounds = {"cannot_consent": cannot, "threats": threats, "text": text}
    asked = Errand(purpose=BREAKING, case=found.id, patient=found.patient, emergency=grounds)
    await visit.enter(asked)
    visit.logged.keep("glass", found.id, Glass(asked, visit.now + LASTS))
    return go(f"{ROOT}/cases/{found.id}")


def _form(visit: Visit, found: Mine, wrong: dict[str, str], status: int = 200) -> Reply:
    return visit.page("case_glass.html.j2", visit.words["glass_title"], status=status, case=found.id, wrong=wrong,
                      said=visit.fields, cannot=CANNOT_CONSENT, threats=THREATS, shortest=SHORTEST)  # fmt: skip
