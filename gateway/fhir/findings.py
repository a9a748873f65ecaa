"""What validation found, as an OperationOutcome: severity, code, element, the rule that asks it and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.fhir.outcome import outcome
from gateway.model import CANONICAL, Json
from profiles.issue import Issue

RULE_SYSTEM: Final = f"{CANONICAL}/CodeSystem/validation-rule"
_GOOD: Final = {
    "en": "No errors. What the profile set {name} asks was checked.",
    "nl": "Geen fouten. Gecontroleerd is wat de profielset {name} vraagt.",
}
_RULE: Final = {"en": ("rule", "expected"), "nl": ("regel", "verwacht")}


def findings(issues: Iterable[Issue], language: str, set_name: str) -> Json:
    """Render the findings in their order; a word when there are none."""
    made = [finding(issue, language) for issue in issues]
    if not made:
        text = _GOOD.get(language, _GOOD["en"]).format(name=set_name)
        made = [{"severity": "information", "code": "informational", "details": {"text": text}}]
    return outcome(*made)


def finding(issue: Issue, language: str) -> Json:
    """One finding. Spec: FHIR R4 OperationOutcome.issue."""
    text = issue.text_nl if language == "nl" else issue.text_en
    made: Json = {
        "severity": issue.severity,
        "code": issue.code,
        "details": {"coding": [{"system": RULE_SYSTEM, "code": issue.rule}], "text": text},
        "diagnostics": _reason(issue, language),
    }
    return made | {"expression": [issue.expression]} if issue.expression else made


def _reason(issue: Issue, language: str) -> str:
    """The rule by name, the profile and element that ask it, and the value that would be right."""
    rule, expected = _RULE.get(language, _RULE["en"])
    parts = [f"{rule}: {issue.rule}"]
    if issue.definition:
        parts.append(issue.definition)
    if issue.expected:
        parts.append(f"{expected}: {issue.expected}")
    return "; ".join(parts)
