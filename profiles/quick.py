"""The fast claim about one resource: its schema says yes, and the few closures that are left find nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema_rs

from profiles.bundles import check_bundle
from profiles.claims import asked_profiles
from profiles.definitions import definitions
from profiles.duties import NATIVE, Visit, visits
from profiles.elements import Compiler
from profiles.exact import Json
from profiles.invariants import bundle as bundle_rules
from profiles.merging import Unsaid, merged
from profiles.references import Scope, bundle_scopes
from profiles.review import Check, Review, Whole
from profiles.rules import rule_check
from profiles.safety import check_safety
from profiles.snapshot import CORE
from profiles.sure import sure_schema
from profiles.terminology import Known
from profiles.walk import Path, Walk

if TYPE_CHECKING:
    from profiles.library import Library

_Key = tuple[str, tuple[str, ...]]


class Quick:
    """The fast tier of one profile set."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._schemas: dict[_Key, jsonschema_rs.Draft4Validator | None] = {}
        self._left: dict[tuple[str, bool], Check | None] = {}
        self._ruled: dict[str, tuple[tuple[Check, ...], dict[str, Visit]]] = {}

    def surely(self, resource: Json, profiles: tuple[str, ...], known: Known) -> bool:
        """Claim that a resource has no error; False means not known.

        INVARIANT: True implies that the full check finds no error.
        """
        if known or type(resource) is not dict:
            return False
        whole = Whole(self._library, known, errors_only=True)
        return self._resource(resource, Scope(resource, resource), profiles, whole)

    def _resource(self, value: Json, scope: Scope, wanted: tuple[str, ...], whole: Whole) -> bool:
        kind, meta = value.get("resourceType"), value.get("meta")
        if type(kind) is not str or kind not in definitions().resources or not _has_plain_claims(value, meta):
            return False
        review = Review(whole, scope, None)
        at: Path = (None, kind)
        profiles = tuple(asked_profiles(value, at, wanted, review))
        if review.failed or any(self._library.type_of(profile) != kind for profile in profiles):
            return False
        schema = self._schema((kind, profiles))
        try:
            if schema is None or not schema.is_valid(value):
                return False
        except (ValueError, TypeError, OverflowError, RecursionError):
            return False
        self._visit(value, at, kind, review)
        for profile in profiles:
            left = self._leftover(profile, in_bundle=bool(scope.bundle))
            if left is not None:
                left((value, None, at, kind), review)
        check_safety(value, at, kind, review)
        return not review.failed and (kind != "Bundle" or self._bundle(value, at, review))

    def _bundle(self, value: Json, at: Path, review: Review) -> bool:
        walk = Walk()
        bundle_rules(value, at, walk)
        if walk.issues or review.scope.bundle:
            return False
        scopes = bundle_scopes(value)
        check_bundle(value, at, scopes, review)
        if review.failed:
            return False
        for entry in value.get("entry", ()):
            if "outcome" in entry.get("response", ()):
                return False
            inner = entry.get("resource")
            if inner is not None and not self._resource(
                inner, Scope(inner, inner, entry.get("fullUrl", ""), scopes), (), review.whole
            ):
                return False
        return True

    def _schema(self, key: _Key) -> jsonschema_rs.Draft4Validator | None:
        if key not in self._schemas:
            self._schemas[key] = sure_schema(self._library, *key)
        return self._schemas[key]

    def _visit(self, value: Json, at: Path, kind: str, review: Review) -> None:
        """Run the invariants of the base types, only where there are any."""
        if kind not in self._ruled:
            self._ruled[kind] = self._rules(kind), visits(kind, self._library.has_rules, self._visit)
        rules, members = self._ruled[kind]
        for rule in rules:
            rule((value, None, at, kind), review)
        for name, visit in members.items():
            if name in value:
                visit(value[name], value, at, review)

    def _rules(self, kind: str) -> tuple[Check, ...]:
        facts = self._library.type_rules(kind)
        label = f"{kind}"
        sparse: Json = {"rules": _errors(facts.get("rules", ()))}
        children = {
            name: {"rules": kept}
            for name, child in facts.get("children", {}).items()
            if (kept := _errors(child.get("rules", ())))
        }
        own = tuple(rule_check(key, severity, text, label) for key, severity, text in sparse["rules"])
        inner = Compiler(self._library, label).check({"children": children}, label) if children else None
        return (*own, inner) if inner is not None else own

    def _leftover(self, profile: str, *, in_bundle: bool) -> Check | None:
        key = (profile, in_bundle)
        if key not in self._left:
            facts = self._library.facts(profile)
            sparse = self._sparse(facts["tree"], in_bundle=in_bundle) if facts else {}
            self._left[key] = (
                Compiler(self._library, profile.partition("|")[0]).check(sparse, facts["type"])
                if facts and sparse
                else None
            )
        return self._left[key]

    def _sparse(self, facts: Json, *, in_bundle: bool, depth: int = 0) -> Json:
        """Keep of what a profile asks what its schema does not say: invariants, and in a Bundle what references lead to."""
        if depth > 12:
            return facts
        made: Json = {}
        if rules := _errors(facts.get("rules", ()), native=False):
            made["rules"] = rules
        if in_bundle and self._looks_at(facts.get("targets", ())):
            made["targets"] = facts["targets"]
        children = {
            name: kept
            for name, child in facts.get("children", {}).items()
            if (kept := self._sparse(child, in_bundle=in_bundle, depth=depth + 1))
        }
        if children:
            made["children"] = children
        for code, urls in facts.get("profiles", {}).items():
            if code != "Extension":
                made = self._of_profiles(made, code, urls, in_bundle=in_bundle, depth=depth)
        return made | self._sparse_slices(facts, in_bundle=in_bundle, depth=depth)

    def _looks_at(self, targets: list[str]) -> bool:
        """Claim that a target must be looked at: some profile is asked of it, and its plain type would not do."""
        return any(not _is_core(url) and CORE + (self._library.type_of(url) or "") not in targets for url in targets)

    def _of_profiles(self, made: Json, code: str, urls: list[str], *, in_bundle: bool, depth: int) -> Json:
        found = self._library.facts(urls[0]) if len(urls) == 1 else None
        if found is None:
            return made | {"profiles": {code: urls}}
        try:
            return merged(made, self._sparse(found["tree"], in_bundle=in_bundle, depth=depth + 1))
        except Unsaid:
            return made | {"profiles": {code: urls}}

    def _sparse_slices(self, facts: Json, *, in_bundle: bool, depth: int) -> Json:
        slices: Json = {}
        kept = False
        for name, row in facts.get("slices", {}).items():
            resolves = any(["resolve"] in condition["path"] for condition in row["when"])
            asked = (
                row
                if resolves and in_bundle
                else self._sparse(
                    {k: v for k, v in row.items() if k not in ("when", "min", "max")},
                    in_bundle=in_bundle,
                    depth=depth + 1,
                )
            )
            kept = kept or bool(asked)
            slices[name] = asked | {"when": row["when"]}
        return {"slicing": facts["slicing"], "slices": slices} if kept else {}


def _errors(rules: object, *, native: bool = True) -> list[list[str]]:
    found: list[list[str]] = list(rules)  # type: ignore[call-overload]
    return [rule for rule in found if rule[1] == "error" and not (native and rule[0] in NATIVE)]


def _is_core(url: str) -> bool:
    name = url.removeprefix(CORE)
    return name in definitions().resources or name in ("Resource", "DomainResource")


def _has_plain_claims(value: Json, meta: object) -> bool:
    """Claim that what decides on the profiles has the form that is read; the schema looks at it only later."""
    if meta is not None:
        profiles = meta.get("profile", ()) if type(meta) is dict else None
        if type(profiles) not in (list, tuple) or any(type(url) is not str for url in profiles or ()):
            return False
    code = value.get("code")
    if "code" not in value or value["resourceType"] != "Observation":
        return True
    codings = code.get("coding", ()) if type(code) is dict else None
    return type(codings) in (list, tuple) and all(
        type(coding) is dict and type(coding.get("code", "")) is str for coding in codings or ()
    )
