"""How codes of the log and the policy are said to a person: organizations, people, moments, purposes, categories, reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from consent.purposes import PURPOSES
from consent.roles import role_of
from gateway.policy import ZONE, Policy
from gateway.summary.texts import Words

_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Saying:
    """Codes in the language of the reader; what has no words stays the code."""

    words: Words
    policy: Policy

    def organization(self, ura: str, facility: str = "") -> str:
        """The name of an organization; its type where it may not be named; "" is the gateway itself."""
        if ura:
            return self.policy.name(ura)
        return self.words.code("facility", facility) if facility else self.words["nobody"]

    def source(self, ura: str, facility: str = "") -> str:
        """The organization of a source; what may not be told of stands under one remark."""
        return self.organization(ura, facility) if ura or facility else self.words["may_be_more"]

    def person(self, identifier: str) -> str:
        """The number of a person without its system."""
        return identifier.rpartition("|")[2]

    def role(self, code: str) -> str:
        """A role."""
        role = role_of(code)
        return (role.nl if self.words.language == "nl" else role.en) if role else code

    def purpose(self, code: str) -> str:
        """A purpose."""
        purpose = PURPOSES.get(code)
        return (purpose.nl if self.words.language == "nl" else purpose.en) if purpose else code

    def moment(self, at: datetime | str | None) -> str:
        """A moment here, as people write it; a dash when there is none."""
        if not at:
            return "–"
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        return f"{moment.astimezone(ZONE):%d-%m-%Y %H:%M:%S}"

    def day(self, at: datetime | None) -> str:
        """A day here."""
        return f"{at.astimezone(ZONE):%d-%m-%Y}" if at else "–"

    def span(self, span: timedelta) -> str:
        """How long, in whole days, hours or minutes."""
        seconds = max(0, int(span.total_seconds()))
        for key, size in (("days", _SECONDS_A_DAY), ("hours", 3_600), ("minutes", 60)):
            if seconds >= size:
                return self.words.say(key, n=seconds // size)
        return self.words.say("seconds", n=seconds)

    def code(self, group: str, code: str) -> str:
        """The word for a code of a small list."""
        return self.words.code(group, code)

    def reasons(self, codes: tuple[str, ...] | list[str]) -> str:
        """Why something was refused or failed."""
        return "; ".join(self.words.code("reason", code) for code in codes)
