"""One request of a person for one page: who, in which language, on which errand, and the page they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from consent.roles import role_of
from gateway.audit.pages import PageEvent, noted
from gateway.errors import TABLE
from gateway.model import Answer, Caller, Incoming, Patient
from gateway.oauth.endpoint import TokenAnswer
from gateway.oauth.login import Errand, enter
from gateway.ports import Ports
from gateway.routes.pages.sessions import WARNING_SECONDS, Session, Sessions
from gateway.routes.pages.words import words_of
from gateway.routes.tokens import RecordToken
from gateway.summary.texts import Words

ROOT: Final = "/pages"
ZONE: Final = ZoneInfo("Europe/Amsterdam")


class Barred(Exception):
    """What stands in the way of a person, in words for that person."""

    def __init__(self, code: str, status: int, text: str) -> None:
        super().__init__(code)
        self.code, self.status, self.text = code, status, text


@dataclass(frozen=True, slots=True)
class Reply:
    """What a page answers: HTML, another page to go to, or a file."""

    body: bytes = b""
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    to: str = ""  # go there
    name: str = ""  # of a file that is saved
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()


def go(to: str, *cookies: str) -> Reply:
    """Send somebody to another page."""
    return Reply(to=to, cookies=cookies)


@dataclass(slots=True)
class Visit:
    """One request of a person for one page."""

    incoming: Incoming
    ports: Ports
    sessions: Sessions
    language: str
    part: str  # whose words: "frame", "coordinator", "auditor", "administrator"
    session: Session | None
    fields: Mapping[str, str]  # of the form, or of the address of a GET
    cookies: Mapping[str, str]
    record_token: RecordToken
    state: Any  # what the application holds: provider, cookie name, evidence
    purpose: str = ""  # what the person comes for, by the desk
    home: str = ROOT

    @property
    def words(self) -> Words:
        """The words of this page."""
        return words_of(self.language, self.part)

    @property
    def now(self) -> datetime:
        """The moment of the request."""
        return self.incoming.received

    @property
    def path(self) -> str:
        """The path of this page."""
        return f"/{self.incoming.path}"

    @property
    def logged(self) -> Session:
        """The session. INVARIANT: only on pages of a desk."""
        assert self.session is not None
        return self.session

    async def enter(self, errand: Errand | None = None) -> tuple[str, Caller]:
        """The access token of this person for one errand, and the caller it proves; on the record when it is new.

        Role and purpose are those of the session and desk unless the errand names others.

        Raises:
            Barred: role, purpose, registration, or a login that is too old.
            Unavailable: `audit-unavailable`: no record, no token.
        """
        session, asked = self.logged, errand or Errand()
        asked = replace(asked, role=asked.role or session.role, purpose=asked.purpose or self.purpose)
        known = session.token(asked, self.now)
        if known is not None:
            return known
        answer = enter(session.identity, asked, self.ports)
        await self.record_token(answer, self.incoming.peer, self.incoming.request_id)
        if answer.caller is None:
            raise Barred(answer.error, answer.status, _why(answer, self.language))
        return session.remember(asked, str(answer.body["access_token"]), answer.caller)

    async def to_the_line(
        self, method: str, path: str, errand: Errand | None = None, *, body: bytes = b"", **headers: str
    ) -> Incoming:
        """A request of this person as the line takes it, with the token of the errand.

        Raises:
            Barred: see `enter`.
        """
        token, _ = await self.enter(errand)
        sent = {
            b"authorization": b"Bearer " + token.encode(),
            b"content-type": b"application/fhir+json",
            b"accept-language": self.language.encode(),
            b"host": self.incoming.headers.get(b"host", b""),
        } | {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        return msgspec.structs.replace(
            self.incoming, method=method, path=path, query="", headers=sent, body=body, language=self.language
        )

    async def note(
        self,
        event: PageEvent,
        page: str,
        *,
        type_: str = "",
        patient: Patient | None = None,
        case: str = "",
        answers: tuple[Answer, ...] = (),
        errand: Errand | None = None,
    ) -> None:
        """Put on the record that this person opens a page; nothing of it may be shown before.

        Raises:
            Unavailable: `audit-unavailable`.
            Barred: see `enter`.
        """
        _, caller = await self.enter(errand)
        await noted(self.incoming, self.ports, event, caller=caller, page=page, type_=type_, patient=patient,
                    case=case, answers=answers)  # fmt: skip

    def page(self, template: str, title: str, *, status: int = 200, **values: Any) -> Reply:  # noqa: ANN401 - what a template takes
        """A page of HTML; every text in it is escaped."""
        html = environment().get_template(template).render(self._frame(title) | values)
        return Reply(html.encode("utf-8"), status)

    def refusal(self, code: str, status: int, text: str) -> Reply:
        """A page that says in plain words what stands in the way and what can be done."""
        known = self.words.code("refusals", code)
        return self.page("refusal.html.j2", self.words["refusal_title"], status=status, code=code,
                         text=text, help="" if known == code else known, again=code == "login-again")  # fmt: skip

    def role_name(self, code: str) -> str:
        """A role in the language of the reader."""
        role = role_of(code)
        return (role.nl if self.language == "nl" else role.en) if role else code

    def _frame(self, title: str) -> dict[str, Any]:
        """What every page shows around its own part."""
        session, words = self.session, self.words
        ends = self.sessions.ends(session) if session else None
        return {
            "words": words,
            "title": title,
            "language": self.language,
            "other": "en" if self.language == "nl" else "nl",
            "path": quote(self.path if self.incoming.method == "GET" else self.home, safe="/"),
            "home": self.home,
            "part": self.part,
            "person": session.identity.name or session.identity.person.rpartition("|")[2] if session else "",
            "role": self.role_name(session.role) if session else "",
            "organization": self.ports.policy.name(session.identity.organization) if session else "",
            "csrf": session.csrf() if session else "",
            "ends": ends.astimezone(ZONE).strftime("%H:%M") if ends else "",
            "seconds": int((ends - self.now).total_seconds()) if ends else 0,
            "warning": WARNING_SECONDS,
            "request": self.incoming.request_id,
            "demo": self.ports.settings.gateway.demo,
        }


def _why(answer: TokenAnswer, language: str) -> str:
    row = TABLE[answer.error]
    return row.nl if language == "nl" and "{" not in row.nl else answer.why


@cache
def environment() -> Environment:
    """The templates of the pages; a value that is missing is a defect, never an empty place."""
    return Environment(
        loader=PackageLoader("gateway.routes.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
