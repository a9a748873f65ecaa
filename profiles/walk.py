"""Where a check is in a resource and what it has found so far."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from profiles.issue import Issue, is_advice, issue

MOST_ISSUES: Final = 200
MOST_REMARKS: Final = 200
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9]{0,63}")

# A path is built for each element checked and rendered only for an issue, so it is a linked pair; a number is an index.
Path = tuple["Path | None", "str | int"]


@dataclass(slots=True)
class Walk:
    """The findings of one validation and the resource whose references are being read."""

    issues: list[Issue] = field(default_factory=list)
    contained: dict[str, str] = field(default_factory=dict)
    inside_contained: bool = False
    # How many errors and remarks there are, also those not listed; all resources of one validation count together.
    counts: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, rule: str, at: Path, expected: str = "", definition: str = "", severity: str = "") -> None:
        """Record a finding; beyond a bound only the fact that there are more. Remarks never crowd out errors."""
        advice = is_advice(rule, severity)
        self.counts[advice] += 1
        count, most = self.counts[advice], MOST_REMARKS if advice else MOST_ISSUES
        if count <= most:
            self.issues.append(issue(rule, rendered(at), expected, definition, severity))
        elif count == most + 1:
            self.issues.append(issue("too-many-remarks" if advice else "too-many-issues", "", str(most)))

    def entering(self, contained: dict[str, str], *, inside_contained: bool) -> Walk:
        """Start on another resource, with the same list of findings."""
        return Walk(self.issues, contained, inside_contained, self.counts)


def rendered(at: Path) -> str:
    """Write a path as a FHIRPath expression."""
    parts: list[str] = []
    step: Any = at
    while step is not None:
        step, name = step
        parts.append(name if type(name) is str else f"[{name}]")
    return "".join(reversed(parts))


def below(at: Path, name: str) -> Path:
    """Give the path of an unknown property; a name that is no FHIR name could hold anything, so it is left out."""
    return (at, "." + name) if _NAME.fullmatch(name) else at
