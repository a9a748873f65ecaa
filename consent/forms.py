"""How a statement came about: written, asked of the patient just now, or implied by a referral; and what that limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from consent import representation
from consent.dates import span
from consent.model import Statement
from consent.representation import Grantor
from consent.tables import table

Json = dict[str, Any]
Finding = tuple[str, str]

_TABLE: Final = table("representation.toml")
ASKED: Final[str] = _TABLE["extensions"]["asked"]
_LIMITS: Final = {name: timedelta(hours=hours) for name, hours in _TABLE["limits"].items()}
_IMPLIED: Final = frozenset(table("actors.toml")["policy"]["implied"])
_ANSWERED: Final = frozenset({"patient", "representative"})


@dataclass(frozen=True, slots=True)
class Form:
    """How one Consent came about.

    INVARIANT: with `findings` nothing is opened; an objection stands whatever its form is.
    """

    source: str = "consent"
    said: datetime | None = None
    cases: frozenset[str] = frozenset()
    ends: datetime | None = None
    firm: bool = False
    findings: tuple[Finding, ...] = ()


def form_of(resource: Json) -> Form:
    """Read how a Consent came about; never raises on what a sender may have written."""
    try:
        return _form(resource)
    except (AttributeError, TypeError, KeyError, ValueError, OverflowError) as error:
        why = str(error) if type(error) is ValueError else "this Consent does not say well how it came about"
        return Form(findings=(("Consent", why),))


def formed(statement: Statement, form: Form) -> Statement | None:
    """Lay the limits of its form on a statement; None for a permit that its form makes void."""
    if statement.effect == "deny":
        source = "consent" if form.findings else form.source
        return replace(statement, source=source, said=form.said, firm=form.firm)
    if form.findings or (form.source == "implied" and not statement.requesters):
        return None
    moments = [moment for moment in (statement.end, form.ends) if moment is not None]
    if form.source in _LIMITS:
        assert form.said is not None
        moments.append(form.said + _LIMITS[form.source])
    end = min(moments, default=None)
    return replace(statement, source=form.source, said=form.said, cases=form.cases, end=end)


def _form(resource: Json) -> Form:
    written = resource.get("dateTime")
    said = span(written)[0] if written else None
    birth = representation.birth_date(resource)
    who = representation.grantors(resource)
    permit = _opens(resource)
    findings = [("Consent.performer", why) for why in representation.faults(who, birth, said, permit=permit)]
    source, cases = _source(resource)
    if source in _LIMITS and said is None:
        findings.append(("Consent.dateTime", "say when it was said: it holds from then for a limited time"))
    if source == "patient-asked":
        findings += _asked_faults(resource, who)
    firm = not permit and representation.is_firm(birth, said)
    ends = representation.ends(who, birth, said) if permit else None
    return Form(source, said, cases, ends, firm, tuple(findings))


def _opens(resource: Json) -> bool:
    """Claim that it permits anything: its base rule, or a provision anywhere in it."""
    policy = resource.get("policyRule")
    codes = {one.get("code") for one in policy.get("coding", ())} if isinstance(policy, dict) else set()
    base = resource.get("provision")
    return (base is None and "OPTIN" in codes) or any(
        one.get("type", "permit" if codes & {"OPTIN"} else "") == "permit" for one in _provisions(base)
    )


def _provisions(provision: Any, depth: int = 0) -> Iterator[Json]:  # noqa: ANN401 - JSON of a sender
    if not isinstance(provision, dict) or depth > 16:
        return
    yield provision
    nested = provision.get("provision")
    for child in nested if isinstance(nested, list) else ():
        # A nested provision without a type is the opposite of what it stands in: that may open, so it counts.
        yield from _provisions(child if not isinstance(child, dict) else {"type": "permit", **child}, depth + 1)


def _source(resource: Json) -> tuple[str, frozenset[str]]:
    asked = _asked(resource)
    if asked is not None:
        reference = asked.get("case", {}).get("valueReference", {}).get("reference", "")
        return "patient-asked", frozenset({str(reference).rpartition("/")[2]})
    policy = resource.get("policyRule")
    codes = {one.get("code") for one in policy.get("coding", ())} if isinstance(policy, dict) else set()
    return ("implied" if codes & _IMPLIED else "consent"), frozenset()


def _asked(resource: Json) -> dict[str, Json] | None:
    """The parts of the extension that says the patient was asked just now; None without it."""
    for extension in resource.get("extension") or ():
        if extension.get("url") == ASKED:
            return {one["url"]: one for one in extension.get("extension", ())}
    return None


def _asked_faults(resource: Json, who: tuple[Grantor, ...]) -> Iterator[Finding]:
    """List what is missing of the talk: the case, the script, who answered, how they were recognized."""
    said = _asked(resource) or {}
    where = f"Consent.extension('{ASKED}')"
    if not said.get("case", {}).get("valueReference", {}).get("reference"):
        yield where, "name the case: case.valueReference"
    if not said.get("script", {}).get("valueString"):
        yield where, "name the script that was read: script.valueString"
    answered = said.get("answeredBy", {}).get("valueCode")
    if answered not in _ANSWERED:
        yield where, "say who answered: answeredBy.valueCode is patient or representative"
    if answered == "representative" and all(one.role == representation.PATIENT for one in who):
        yield "Consent.performer", "name the representative who answered, with the relation"
    if not said.get("identity", {}).get("valueString"):
        yield where, "say which questions of identity were answered: identity.valueString"
