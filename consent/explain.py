"""A decision in words: all of it for custodian and auditor, the caller's own side for the caller (rule A4)."""

from __future__ import annotations

from typing import Final

from consent.model import Decision, Reason
from consent.tables import table

_OUTCOMES: Final = {
    "permit": "Permitted.",
    "deny": "Denied.",
    "unavailable": "Could not be decided: consent could not be checked.",
}
_COLLAPSED: Final = Reason("consent-refused", "not available", "patient")
_UNDECIDED: Final = Reason("decision-unavailable", "consent could not be checked; try again", "patient")
_DUTCH: Final[dict[str, str]] = table("reasons.toml")["nl"]
_OBLIGATIONS: Final = {
    "mask": "Show the item as a stub: it is about a third party, or specially protected.",
    "review": "The access is reviewed afterwards.",
    "scope-constraint": "Show only items that satisfy the query of the scope.",
    "break-the-glass": "Record the emergency access as an event of its own.",
    "notify-custodian": "Tell the custodian at once.",
    "notify-privacy-officer": "Tell the privacy officer.",
    "review-within-7-days": "The emergency access is reviewed within 7 days.",
}


def explain(decision: Decision) -> list[str]:
    """Tell the whole decision, one sentence a line; for the custodian concerned and the auditor only."""
    lines = [_OUTCOMES[decision.outcome]]
    if decision.agreement:
        lines.append(f"Agreement: {decision.agreement}.")
    if decision.statement:
        lines.append(f"Decided by: {decision.statement}.")
    if decision.per_item:
        lines.append("A statement names items, labels or dates of data: each item is decided for itself.")
    lines += [_line(reason) for reason in decision.reasons]
    lines += [_OBLIGATIONS.get(word, f"Obligation: {word}.") for word in sorted(decision.obligations)]
    return lines


def caller_reasons(decision: Decision) -> tuple[Reason, ...]:
    """Give what the caller may know: its own side's reasons; everything of the patient is one code.

    INVARIANT: an objection and a missing permit look alike, and name no statement.
    """
    own = tuple(reason for reason in decision.reasons if reason.side == "caller")
    if own or decision.permitted:
        return own
    return (_UNDECIDED if decision.outcome == "unavailable" else _COLLAPSED,)


def choice(decision: Decision, language: str = "en") -> str:
    """Say in words what the patient chose: objection, withdrawal and no choice are three states (rule C6).

    For custodian, auditor and the patient; empty when the patient's side decided nothing.
    """
    reason = next((one for one in decision.reasons if one.side == "patient"), None)
    if reason is None:
        return ""
    return _DUTCH[reason.code] if language == "nl" else reason.text


def _line(reason: Reason) -> str:
    side = "the caller's side" if reason.side == "caller" else "the patient's side"
    rule = f" [{reason.rule}]" if reason.rule else ""
    text = reason.text[:1].upper() + reason.text[1:]
    return f"{text} ({reason.code}, {side}){rule}."
