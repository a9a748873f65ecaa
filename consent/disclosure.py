"""How visible a refusal is to the one who is refused: the one disclosure function (rule A2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from consent.model import ANY, Decision, Visibility
from consent.tables import table

_WORDS: Final[dict[str, Visibility]] = {"named": "named", "anonymous": "anonymous", "silent": "silent"}
_ORDER: Final = ("named", "anonymous", "silent")
_TABLE: Final = table("disclosure.toml")
_DEFAULT: Final = _WORDS[_TABLE["default"]]
_FACILITY: Final = {kind: _WORDS[word] for kind, word in _TABLE["facility"].items()}
_SENTENCE: Final[dict[str, str]] = {language: _TABLE["sentence"][language] for language in ("nl", "en")}
_SENTENCE_ROLES: Final = frozenset(_TABLE["sentence"]["roles"])


def visibility(decision: Decision, facility_type: str, overrides: Mapping[str, Visibility]) -> Visibility:
    """Say how much a refused requester may know of this custodian; a permit is named: its data show it.

    INVARIANT: a silent type is silent whoever refused, also when consent could not be checked.
    """
    if decision.permitted:
        return "named"
    chosen = overrides.get(facility_type, _FACILITY.get(facility_type, _DEFAULT))
    if decision.disclosure is not None:  # an agreement hides more than the region does, never less
        chosen = max(chosen, decision.disclosure, key=_ORDER.index)
    if chosen == "silent":
        return "silent"
    # "Could not be checked" says nothing about the patient's choice, so it may carry a name (A3).
    return "named" if decision.outcome == "unavailable" or decision.refused_by == "caller" else chosen


def sentence(role: str | None, language: str = "nl") -> str:
    """Give the fixed sentence for the summaries of a role, empty when the role gets none.

    INVARIANT: depends on role and language only, never on what was found.
    """
    if ANY in _SENTENCE_ROLES or (role or "") in _SENTENCE_ROLES:
        return _SENTENCE["nl" if language == "nl" else "en"]
    return ""
