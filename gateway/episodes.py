"""Decisions of one caller about one patient, kept only while every fact they rest on stays the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from consent.model import Case, Decision, Facts

# action, custodian, category, type, labels
DecisionKey = tuple[str, str, str, str, frozenset[str]]
Decisions = dict[DecisionKey, Decision]
_Key = tuple[Hashable, str, "Case | None", bool, bool, frozenset[str]]

LONGEST: Final = timedelta(minutes=5)
KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Episode:
    """INVARIANT: `until` is not later than the next moment any fact begins or ends."""

    facts: Facts
    until: datetime
    decisions: Decisions = field(default_factory=dict)


class Episodes:
    """The episodes of one process; bounded in number and time. Another replica just decides again.

    A decision is a pure function of request and facts. It is given again only for an equal caller, patient,
    case, agreements and statements, and only until the first of them begins or ends: that is exact, a
    withdrawal changes the statements and so ends the episode.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Episode] = OrderedDict()

    def decisions(self, caller: Hashable, patient: str, case: Case | None, facts: Facts) -> Decisions:
        """The decisions taken so far on exactly these facts; the caller adds what it decides."""
        # Before and after the statements are read are two episodes: else each would end the other.
        key = (caller, patient, case, facts.statements_known, bool(facts.statements), facts.case_required_roles)
        episode = self._kept.get(key)
        if (
            episode is not None
            and facts.now < episode.until
            and facts.statements == episode.facts.statements
            and facts.relations == episode.facts.relations
            and facts.agreements is episode.facts.agreements
        ):
            return episode.decisions
        episode = self._kept[key] = _Episode(facts, min(_boundaries(case, facts)))
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return episode.decisions


def _boundaries(case: Case | None, facts: Facts) -> Iterator[datetime]:
    yield facts.now + LONGEST
    moments = [moment for agreement in facts.agreements for moment in (agreement.start, agreement.end)]
    moments += [moment for relation in facts.relations for moment in (relation.start, relation.end) if moment]
    moments += [moment for statement in facts.statements for moment in (statement.start, statement.end) if moment]
    if case is not None:
        moments += [
            case.opened,
            case.expires,
            case.opened + timedelta(hours=24),
            *([case.closed] if case.closed else []),
        ]
    yield from (moment for moment in moments if moment > facts.now)
