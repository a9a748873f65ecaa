"""Statements from a FHIR R4 Consent about privacy; a Consent about care says nothing here (rule C1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from consent.categories import PRIVACY_SCOPE, SCOPE_SYSTEM
from consent.forms import form_of, formed
from consent.model import ANY, Effect, Statement
from consent.tables import table
from consent.terms import Finding, Terms, narrowed, organization_of, read

Json = dict[str, Any]

_MAXIMUM_DEPTH: Final = 16
_POLICY: Final = table("actors.toml")["policy"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """One provision in its place: what it says, what it restricts, and what it is an exception to."""

    id: str
    effect: Effect
    terms: Terms
    within: frozenset[str] = frozenset()


def statements_from_consent(resource: Json, *, patient: str, consent_id: str, version: int) -> tuple[Statement, ...]:
    """Read what a patient said about sharing; nothing unless the Consent is active and about privacy only.

    INVARIANT: what is restrictive and not understood makes a permit unusable and leaves a deny as broad
    as it can be.
    """
    status = resource.get("status")
    if not is_privacy(resource) or status not in ("active", "inactive"):
        return ()
    holders, form = _custodians(resource), form_of(resource)
    found: dict[Statement, None] = {}
    for rule in _rules(resource, consent_id):
        if rule.effect == "permit" and (rule.terms.findings or rule.terms.impossible or not holders):
            continue
        made = (formed(one, form) for one in _statements(rule, holders, patient, version))
        found |= dict.fromkeys(one for one in made if one is not None)
    if status == "active":
        return tuple(found)
    # What was permitted and taken back is another state than no choice (C6); an objection that ended is no state.
    return tuple(replace(one, effect="withdrawn", end=None) for one in found if one.effect == "permit")


def check_consent(resource: Json) -> tuple[Finding, ...]:
    """List what keeps a Consent about privacy from doing what it says: expression and why; empty = good."""
    findings: list[Finding] = []
    if not is_privacy(resource):
        findings.append(("Consent.scope", "only scope patient-privacy is about sharing; directives are clinical items"))
    if not isinstance(resource.get("status"), str):
        findings.append(("Consent.status", "a status is required"))
    if not isinstance(resource.get("patient"), dict) or not resource["patient"]:
        findings.append(("Consent.patient", "the patient is required"))
    if not _custodians(resource):
        findings.append(("Consent.organization", "name the custodian by identifier with its URA"))
    findings += form_of(resource).findings
    rules = list(_rules(resource, ""))
    if not rules:
        findings.append(("Consent.provision", "say permit or deny: provision.type, or policyRule OPTIN or OPTOUT"))
    for rule in rules:
        findings += rule.terms.findings
        if rule.terms.impossible:
            findings.append(("Consent.provision", "a nested provision lies outside the one it is an exception to"))
    return tuple(dict.fromkeys(findings))


def is_privacy(resource: Json) -> bool:
    """Claim that this is a Consent whose scope is exactly patient-privacy."""
    try:
        codings = [(one.get("system"), one.get("code")) for one in resource["scope"]["coding"]]
        return resource.get("resourceType") == "Consent" and set(codings) == {(SCOPE_SYSTEM, PRIVACY_SCOPE)}
    except (AttributeError, KeyError, TypeError):
        return False


def _custodians(resource: Json) -> frozenset[str]:
    """Give the URAs of the custodians; none when one of them cannot be told."""
    try:
        found = [organization_of(one) for one in resource["organization"]]
    except (AttributeError, KeyError, TypeError):
        return frozenset()
    return frozenset(found) if all(found) else frozenset()


def _rules(resource: Json, consent_id: str) -> Iterator[_Rule]:
    """Walk the provisions, the base rule first."""
    provision, policy = resource.get("provision"), _policy(resource)
    if provision is None and policy is None:
        return
    body: Json = provision if isinstance(provision, dict) else {}
    root = read(body, "Consent.provision")
    if provision is not None and not body:
        root.findings.append(("Consent.provision", "the provision cannot be read"))
    root.findings += [
        (f"Consent.{key}", "a modifier nobody knows here")
        for key in resource
        if key in ("modifierExtension", "implicitRules")
    ]
    effect = _base_effect(provision, policy, root)
    within: frozenset[str] = frozenset()
    if policy == "deny" and effect == "permit":
        # Opted out, with an exception: the objection also stands against grounds that need no permit.
        yield _Rule(f"{consent_id}#policy", "deny", Terms())
        within = frozenset({f"{consent_id}#policy"})
    yield from _walk(body, _Rule(consent_id, effect, root, within), "Consent.provision", 1)


def _base_effect(provision: Any, policy: Effect | None, root: Terms) -> Effect:  # noqa: ANN401 - JSON of a sender
    """Say what the base rule does: its own type, else the policy; what nobody can read objects."""
    if provision is None:
        return policy or "deny"
    if not isinstance(provision, dict):
        return "deny"
    if "type" in provision:
        return _effect(provision["type"])
    if policy is None:
        # Nothing is said at the top: its exceptions that object still stand.
        root.findings.append(("Consent.provision", "say permit or deny: provision.type, or policyRule OPTIN or OPTOUT"))
        return "permit"
    return policy


def _walk(provision: Json, rule: _Rule, path: str, depth: int) -> Iterator[_Rule]:
    yield rule
    nested = provision.get("provision")
    separator = "." if "#" in rule.id else "#"
    for index, child in enumerate(nested if isinstance(nested, list) else ()):
        where, name = f"{path}.provision[{index}]", f"{rule.id}{separator}{index + 1}"
        within = rule.within | {rule.id}
        if not isinstance(child, dict) or depth == _MAXIMUM_DEPTH:
            unread = narrowed(rule.terms, Terms(findings=[(where, "the provision cannot be read")]))
            yield _Rule(name, "deny", unread, within)
            continue
        opposite: Effect = "deny" if rule.effect == "permit" else "permit"
        effect = _effect(child["type"]) if "type" in child else opposite
        yield from _walk(child, _Rule(name, effect, narrowed(rule.terms, read(child, where)), within), where, depth + 1)


def _effect(written: Any) -> Effect:  # noqa: ANN401 - JSON of a sender
    """Read a provision type; one nobody knows opens nothing."""
    return "permit" if written == "permit" else "deny"


def _policy(resource: Json) -> Effect | None:
    """Read the base rule a policyRule states; contradictory ones object."""
    try:
        codes = {one.get("code") for one in resource["policyRule"]["coding"] if one.get("system") == _POLICY["system"]}
    except (AttributeError, KeyError, TypeError):
        return None
    if not codes.isdisjoint(_POLICY["deny"]):
        return "deny"
    return None if codes.isdisjoint(_POLICY["permit"]) else "permit"


def _statements(rule: _Rule, holders: frozenset[str], patient: str, version: int) -> Iterator[Statement]:
    """Make a statement for each custodian; a deny that names several kinds of requesters binds each of them."""
    terms = rule.terms
    bound = holders & terms.custodians if terms.custodians else holders
    if not bound:
        # A permit for another custodian's data says nothing (C1); an objection holds for those it was filed at.
        bound = frozenset() if rule.effect == "permit" else holders or frozenset({ANY})
    who = _who(terms) if rule.effect == "deny" else [(terms.requesters, terms.requester_types, terms.persons)]
    for custodian in sorted(bound):
        for requesters, requester_types, persons in who:
            yield Statement(
                id=rule.id,
                version=version,
                effect=rule.effect,
                patient=patient,
                custodian=custodian,
                requesters=requesters,
                requester_types=requester_types,
                persons=persons,
                categories=terms.categories,
                types=terms.types,
                labels=terms.labels,
                purposes=terms.purposes,
                items=terms.items,
                start=terms.start,
                end=terms.end,
                data_start=terms.data_start,
                data_end=terms.data_end,
                within=rule.within,
            )


def _who(terms: Terms) -> list[tuple[frozenset[str], frozenset[str], frozenset[str]]]:
    none: frozenset[str] = frozenset()
    kinds = [
        (terms.requesters, none, none) if terms.requesters else None,
        (none, terms.requester_types, none) if terms.requester_types else None,
        (none, none, terms.persons) if terms.persons else None,
    ]
    return [kind for kind in kinds if kind is not None] or [(none, none, none)]
