"""One finding about a resource, in words of both languages: the material of an OperationOutcome issue."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

Severity = Literal["fatal", "error", "warning", "information"]

MOST_EXPECTED: Final = 240


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong, where, by which rule, and what would be right.

    INVARIANT: no text repeats a value of the resource.
    """

    severity: Severity
    code: str
    expression: str
    rule: str
    text_en: str
    text_nl: str
    expected: str = ""
    definition: str = ""  # the profile and the element in it that asks this

    @property
    def is_error(self) -> bool:
        """Claim that the resource may not be used as it is."""
        return self.severity in ("fatal", "error")


@cache
def _texts() -> dict[str, dict[str, str]]:
    table = files("profiles.definitions").joinpath("issues.toml").read_text(encoding="utf-8")
    return tomllib.loads(table)


def is_advice(rule: str, severity: str = "") -> bool:
    """Claim that a finding by this rule is no error."""
    return (_texts()[rule.partition(":")[0]].get("severity") or severity) in ("warning", "information")


def issue(rule: str, expression: str, expected: str = "", definition: str = "", severity: str = "") -> Issue:
    """Give the issue of a rule from the table of texts; `expected` comes from the definitions, never from a sender."""
    # An invariant is named by its key; the table has one text for all of them.
    table, _, key = rule.partition(":")
    row = _texts()[table]
    if len(expected) > MOST_EXPECTED:
        expected = expected[: MOST_EXPECTED - 1] + "…"
    given = row.get("severity") or severity
    return Issue(
        severity=given if given in ("warning", "information") else "error",  # type: ignore[arg-type] # a string of the table
        code=row["code"],
        expression=expression,
        rule=key or rule,
        text_en=row["en"].replace("{expected}", expected),
        text_nl=row["nl"].replace("{expected}", expected),
        expected=expected,
        definition=definition,
    )
