"""Which queries of a dialect a server declares it can answer, and which dialect fits it best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from gateway.adapters.dialects import Dialect, Query, dialect, known
from gateway.sourcekit.statement import DeclaredType, Statement

Found = Literal["yes", "no", "unknown"]

_RESULT: Final = frozenset({"_sort", "_count"})  # every server has these, few declare them
_WEIGHT: Final[dict[Found, int]] = {"yes": 2, "unknown": 1, "no": 0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a query can be answered, and by what that was seen."""

    query: Query
    found: Found
    how: str


@dataclass(frozen=True, slots=True)
class Fit:
    """How well one dialect fits a server."""

    dialect: Dialect
    verdicts: tuple[Verdict, ...]

    @property
    def share(self) -> float:
        """Between 0 and 1: what part of the queries is declared; a doubtful one counts half."""
        return sum(_WEIGHT[one.found] for one in self.verdicts) / (2 * len(self.verdicts))

    def count(self, found: Found) -> int:
        """How many queries came out this way."""
        return sum(one.found == found for one in self.verdicts)


def fits(statement: Statement, post_search: Found) -> list[Fit]:
    """Every dialect for this FHIR version, the best first."""
    of_kind = [one for one in map(dialect, known()) if one.format == statement.kind]
    found = [Fit(one, tuple(judge(query, statement, post_search) for query in one.queries)) for one in of_kind]
    return sorted(found, key=lambda fit: (-fit.share, fit.dialect.name))


def judge(query: Query, statement: Statement, post_search: Found) -> Verdict:
    """Say whether a server declares what one query needs: type, parameters, profile, includes, POST."""
    declared = statement.types.get(query.type)
    if declared is None:
        return Verdict(query, "no", f"{query.type} is not declared")
    if not declared.searches:
        return Verdict(query, "no", f"{query.type} declares no search-type")
    if query.method == "POST" and post_search == "no":
        return Verdict(query, "no", "POST _search was refused")
    missing, doubtful = _parameters(query, declared, statement)
    doubtful += [
        f"_include {value}" for value in _includes(query) if declared.includes and value not in declared.includes
    ]
    if missing:
        return Verdict(query, "no", f"not declared: {', '.join(missing)}")
    if query.method == "POST" and post_search == "unknown":
        doubtful.append("POST _search")
    if doubtful:
        return Verdict(query, "unknown", f"try it: {', '.join(doubtful)}")
    return Verdict(query, "yes", f"declared: {', '.join(_names(query)) or query.type}")


def _parameters(query: Query, declared: DeclaredType, statement: Statement) -> tuple[list[str], list[str]]:
    """The parameters of a query that are missing, and those a statement cannot tell about."""
    names = declared.parameters | statement.everywhere
    missing: list[str] = []
    doubtful: list[str] = []
    for name in _names(query):
        if name in names:
            continue
        base, chained, _ = name.partition(".")
        if not names:
            doubtful.append(name)  # a server that declares no parameters at all has not said that it has none
        elif chained and base in names:
            doubtful.append(name)  # a statement has no word for chains
        elif name == "_profile" and _claims_profiles(query, declared):
            doubtful.append(name)
        else:
            missing.append(name)
    return missing, doubtful


def _names(query: Query) -> list[str]:
    fixed = (name for name, _ in query.parameters if name != "_include" and name not in _RESULT)
    return list(dict.fromkeys((query.patient, *fixed)))


def _includes(query: Query) -> Iterable[str]:
    return (value for name, value in query.parameters if name == "_include")


def _claims_profiles(query: Query, declared: DeclaredType) -> bool:
    """Claim that the server declares one of the profiles the query names."""
    wanted = {canonical for name, value in query.parameters if name == "_profile" for canonical in value.split(",")}
    return not wanted.isdisjoint(canonical.partition("|")[0] for canonical in declared.profiles)
