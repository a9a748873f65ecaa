"""The standing of one caller with one question: the facts, and every decision on them, each taken once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from consent import scopes
from consent.decision import decide
from consent.model import AccessRequest, Case, Custodian, Decision, Facts
from gateway.episodes import DecisionKey, Decisions
from gateway.ids import new_id
from gateway.model import Caller, Context, Item, Patient, Question

_NO_LABELS: Final[frozenset[str]] = frozenset()


@dataclass(slots=True)
class Standing:
    """One caller with one question: the facts, and every decision taken, each taken once."""

    caller: Caller
    question: Question
    facts: Facts
    case: Case | None = None
    patient: Patient | None = None  # known after identification
    held: Item | None = None  # the one item a read by id asks for, when the gateway holds it
    decisions: Decisions = field(default_factory=dict)  # shared by the requests of one episode

    @property
    def of(self) -> Patient:
        """The one patient the question is about. INVARIANT: called after identification only."""
        assert self.patient is not None
        return self.patient

    def share(self, custodian: Custodian, category: str, type_: str, labels: frozenset[str] = frozenset()) -> Decision:
        """May this custodian share this category, as this type, with these labels?"""
        key = (self.question.action, custodian.organization, category, type_, labels)
        return self.decisions.get(key) or self._decided(key, custodian)

    def ask(self, category: str, type_: str) -> Decision:
        """May this caller ask for this category at all?"""
        key = (self.question.action, "", category, type_, _NO_LABELS)
        return self.decisions.get(key) or self._decided(key, None)

    def share_item(self, custodian: Custodian, item: Item) -> Decision:
        """May this very item be shared? Asked again only when a statement names items or dates, or it was sent to others."""
        decision = self.share(custodian, item.category, item.type, item.labels)
        elsewhere = bool(item.addressees) and self.caller.requester.organization not in item.addressees
        if not decision.per_item and not elsewhere:
            return decision
        request = self.request(item.type, item.category, custodian, item.labels)
        asked = replace(request, item=item.id, item_date=item.date or None, addressees=item.addressees)
        return decide(asked, self.facts)

    def constraints(self, type_: str) -> tuple[scopes.Clauses, ...] | None:
        """What the scope demands of each resource of a type, when it is a constrained one."""
        person, launch = bool(self.caller.requester.person), bool(self.caller.launch)
        action = self.question.action
        return scopes.constraints(self.caller.scopes, type_, action, person=person, launch_patient=launch)

    def context(self) -> Context:
        """Who asks and why, for one source (rule B6); the request id is fresh, so that sources cannot be linked."""
        caller = self.caller
        return Context(
            requester=caller.requester,
            organization_name=caller.organization_name,
            person_name=caller.person_name,
            responsible=caller.responsible,
            purpose=caller.purpose,
            case=self.case.id if self.case else caller.case,
            request_id=new_id(),
        )

    def _decided(self, key: DecisionKey, custodian: Custodian | None) -> Decision:
        _, _, category, type_, labels = key
        decision = self.decisions[key] = decide(self.request(type_, category, custodian, labels), self.facts)
        return decision

    def request(
        self, type_: str, category: str, custodian: Custodian | None = None, labels: frozenset[str] = frozenset()
    ) -> AccessRequest:
        """The question in the words of the decision."""
        return AccessRequest(
            requester=self.caller.requester,
            purpose=self.caller.purpose,
            scopes=self.caller.scopes,
            action=self.question.action,
            type=type_,
            category=category,
            patient=self.patient.id if self.patient else None,
            custodian=custodian,
            case=self.case,
            labels=labels,
            emergency=self.caller.emergency,
            launch=self.caller.launch,
        )
