"""What a profile asks beyond the type it profiles, as facts without texts: the form in which profiles are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from profiles.exact import Json
from profiles.snapshot import CORE, Node, NoSnapshot, Snapshots

MAX_VALUE_SET: Final = CORE + "elementdefinition-maxValueSet"
_STRENGTHS: Final = ("required", "extensible")
_LIMITS: Final = {"minValue": "least", "maxValue": "most"}
_STEP: Final = re.compile(
    r"extension\(\s*(?:url\s*=\s*)?'([^']*)'\s*\)|([a-zA-Z]+)\(([^()]*)\)|([$A-Za-z][A-Za-z0-9]*)"
)
_DEEPEST: Final = 6
_TYPED_VALUE: Final = re.compile(r"(?<=%extension)\.value[A-Z]\w*")
_FHIRPATH: Final = "http://hl7.org/fhirpath/"


def profile_facts(structure: Json, snapshots: Snapshots) -> Json:
    """Compile one profile or extension.

    Raises:
        NoSnapshot: the profile cannot be made whole.
    """
    # A copy, because asking for what is in an element brings its children into being.
    root = snapshots.tree(structure["url"]).copied()
    facts: Json = {
        "type": structure["type"],
        "version": structure.get("version", ""),
        "base": structure["baseDefinition"],
    }
    if structure["type"] == "Extension":
        facts |= _extension_facts(structure, root)
    tree = _Compiler(root, snapshots).node(root, is_slice=False)
    return facts | {"tree": tree}


def _extension_facts(structure: Json, root: Node) -> Json:
    facts: Json = {"context": [[row["type"], row["expression"]] for row in structure.get("context", ())]}
    if structure.get("contextInvariant"):
        # Published with the JSON name of the value, which is no name in FHIRPath.
        facts["invariants"] = [_TYPED_VALUE.sub(".value", text) for text in structure["contextInvariant"]]
    if root.definition.get("isModifier"):
        facts["modifier"] = True
    return facts


def type_facts(structure: Json, snapshots: Snapshots) -> Json:
    """Compile what a base type asks beyond structure: invariants, extensible bindings, limits; by type and element."""
    found: Json = {}
    root = snapshots.tree(structure["url"])
    _of_type(structure["id"], root, found)
    return found


def _of_type(name: str, node: Node, found: Json) -> None:
    row: Json = {}
    if rules := rules_of(node.definition, ()):
        row["rules"] = rules
    for label, child in (node.children or {}).items():
        facts = _limits(child.definition, {})
        facts |= _binding(child.definition, {})
        if "widest" in facts:
            # Languages: national lists bind the same codes under another system, so the widest set only advises here.
            facts = {"bind": ["extensible", facts.pop("widest")]} | facts
        if child.children:
            _of_type(f"{name}.{label}", child, found)
        elif own := rules_of(child.definition, ("ele-1", "ext-1")):
            facts["rules"] = own
        if facts:
            row.setdefault("children", {})[label] = facts
    if row:
        found[name] = row


def rules_of(definition: Json, known: tuple[str, ...]) -> list[list[str]]:
    """Give the invariants of an element as key, severity and expression; those without an expression say nothing."""
    return [
        [c["key"], c["severity"], c["expression"]]
        for c in definition.get("constraint", ())
        if c["key"] not in known and "expression" in c
    ]


def _limits(definition: Json, base: Json) -> Json:
    facts: Json = {}
    for key, value in definition.items():
        for start, name in _LIMITS.items():
            if key.startswith(start) and base.get(key) != value:
                facts[name] = value
    if definition.get("maxLength") != base.get("maxLength") and "maxLength" in definition:
        facts["longest"] = definition["maxLength"]
    return facts


def _binding(definition: Json, base: Json) -> Json:
    binding, before = definition.get("binding", {}), base.get("binding", {})
    facts: Json = {}
    said = (binding.get("strength"), binding.get("valueSet"))
    if said[0] in _STRENGTHS and said[1] and said != (before.get("strength"), before.get("valueSet")):
        facts["bind"] = [said[0], said[1]]
    widest = [
        e["valueCanonical"] for e in binding.get("extension", ()) if e["url"] == MAX_VALUE_SET and "valueCanonical" in e
    ]
    if widest and widest != [e.get("valueCanonical") for e in before.get("extension", ()) if e["url"] == MAX_VALUE_SET]:
        facts["widest"] = widest[0]
    return facts


def _said(definition: Json, prefix: str) -> tuple[str, Any] | None:
    for key, value in definition.items():
        if key.startswith(prefix):
            return key.removeprefix(prefix), value
    return None


class _Compiler:
    def __init__(self, root: Node, snapshots: Snapshots) -> None:
        self._root = root
        self._snapshots = snapshots

    def node(self, node: Node, *, is_slice: bool) -> Json:
        """Give what one element asks beyond what it comes from; nothing when it asks nothing."""
        definition, base = node.definition, node.base
        facts = self._cardinality(definition, base, is_slice=is_slice)
        facts |= self._types(definition, base)
        for name in ("fixed", "pattern"):
            said = _said(definition, name)
            if said is not None and said != _said(base, name):
                facts[name] = said[1]
        facts |= _binding(definition, base) | _limits(definition, base)
        if rules := rules_of(definition, tuple(c["key"] for c in base.get("constraint", ()))):
            facts["rules"] = rules
        children = {}
        for label, child in (node.children or {}).items():
            if below := self.node(child, is_slice=False):
                children[label] = below
        if children:
            facts["children"] = children
        return facts | self._sliced(node)

    @staticmethod
    def _cardinality(definition: Json, base: Json, *, is_slice: bool) -> Json:
        facts: Json = {}
        least, most = definition.get("min", 0), definition.get("max", "*")
        if least > (0 if is_slice else base.get("min", 0)):
            facts["min"] = least
        if most != "*" and (is_slice or most != base.get("max")) and (most != "1" or base.get("max") != "1"):
            facts["max"] = int(most)
        return facts

    @staticmethod
    def _types(definition: Json, base: Json) -> Json:
        facts: Json = {}
        kinds = [_code(t) for t in definition.get("type", ())]
        before = [_code(t) for t in base.get("type", ())]
        if set(kinds) != set(before):
            facts["types"] = sorted(set(kinds))
        wanted = {_code(t): sorted(t["profile"]) for t in definition.get("type", ()) if "profile" in t}
        if wanted and wanted != {_code(t): sorted(t["profile"]) for t in base.get("type", ()) if "profile" in t}:
            facts["profiles"] = wanted
        targets = sorted({p for t in definition.get("type", ()) for p in t.get("targetProfile", ())})
        if targets and targets != sorted({p for t in base.get("type", ()) for p in t.get("targetProfile", ())}):
            facts["targets"] = targets
        kept = sorted({a for t in definition.get("type", ()) for a in t.get("aggregation", ())})
        if kept and kept != sorted({a for t in base.get("type", ()) for a in t.get("aggregation", ())}):
            facts["aggregation"] = kept
        return facts

    def _sliced(self, node: Node) -> Json:
        if not node.slices:
            return {}
        slicing = node.definition.get("slicing", {})
        facts: Json = {"rules": slicing.get("rules", "open")}
        if slicing.get("ordered"):
            facts["ordered"] = True
        rows: Json = {}
        for label, made in node.slices.items():
            rows[label] = self.node(made, is_slice=True) | {"when": self._conditions(made, slicing)}
        if all(row.keys() == {"when"} for row in rows.values()) and facts == {"rules": "open"}:
            return {}
        return {"slicing": facts, "slices": rows}

    def _conditions(self, made: Node, slicing: Json) -> list[Json]:
        """Say by which values an instance belongs to a slice: one condition for each discriminator."""
        return [self._condition(made, row["type"], row["path"]) for row in slicing.get("discriminator", ())]

    def _condition(self, made: Node, kind: str, path: str) -> Json:
        steps = path_steps(path)
        condition: Json = {"path": steps}
        targets = list(self._targets(made, steps))
        if not targets:
            return condition | {"never": True}
        definition, resolved = targets[0].definition, bool(steps) and steps[-1] == ["resolve"]
        named = "targetProfile" if resolved else "profile"
        profiles = sorted({p for t in definition.get("type", ()) for p in t.get(named, ())})
        if kind == "exists":
            return condition | {"exists": definition.get("max") != "0"}
        if kind == "profile" and profiles:
            return condition | {"profiles": profiles}
        if kind in ("type", "profile"):
            return condition | {"types": profiles if resolved else sorted(_codes(definition))}
        found = (self._value(target, _DEEPEST) for target in targets)
        return condition | next((value for value in found if value), {"never": True})

    def _targets(self, node: Node, steps: list[list[str]]) -> Iterator[Node]:
        """Give the element a path leads to, and the same in the slices on the way that must be there."""
        if not steps:
            yield node
            return
        name, *more = steps[0]
        if name == "as" or (name == "resolve" and len(steps) == 1):
            yield from self._targets(node, steps[1:])
            return
        if name == "resolve":
            for profile in sorted({p for t in node.definition.get("type", ()) for p in t.get("targetProfile", ())}):
                yield from self._targets(self._snapshots.tree(profile).copied(), steps[1:])
            return
        try:
            child = (
                self._extension(node, more[0]) if name == "extension" else self._snapshots.child(self._root, node, name)
            )
        except NoSnapshot:
            return
        for found in (child, *(made for made in (child.slices or {}).values() if made.definition.get("min"))):
            yield from self._targets(found, steps[1:])

    def _extension(self, node: Node, url: str) -> Node:
        sliced = self._snapshots.child(self._root, node, "extension")
        for made in (sliced.slices or {}).values():
            if url in [p for t in made.definition.get("type", ()) for p in t.get("profile", ())]:
                return made
        message = f"no extension {url} here"
        raise NoSnapshot(message)

    def _value(self, node: Node, depth: int) -> Json | None:
        """Give what fixes the value of an element: fixed, pattern, a required binding, or these of what is in it."""
        for name in ("fixed", "pattern"):
            said = _said(node.definition, name)
            if said is not None:
                return {name: said[1]}
        binding = node.definition.get("binding", {})
        if binding.get("strength") == "required" and "valueSet" in binding and _codes(node.definition) & _CODED:
            return {"codes": binding["valueSet"]}
        if not depth or (node.children is None and not self._has_profile(node)):
            return None
        inner: Json = {}
        for label, child in self._snapshots.expanded(self._root, node).items():
            if label not in ("id", "extension") and (found := self._value(child, depth - 1)):
                if (
                    "codes" in found
                    and child.definition.get("binding") == child.base.get("binding")
                    and node.children is None
                ):
                    continue
                inner[label] = found
        return {"inner": inner} if inner else None

    @staticmethod
    def _has_profile(node: Node) -> bool:
        return any("profile" in t for t in node.definition.get("type", ()))


_CODED: Final = frozenset(("code", "Coding", "CodeableConcept", "Quantity", "string", "uri"))


def path_steps(path: str) -> list[list[str]]:
    """Read a discriminator path: names, resolve(), ofType(X) and extension(url). Spec: FHIR R4 5.1.0.7."""
    steps: list[list[str]] = []
    for match in _STEP.finditer(path):
        url, function, argument, name = match.groups()
        if url is not None:
            steps.append(["extension", url])
        elif function == "resolve":
            steps.append(["resolve"])
        elif function is not None:
            steps.append(["as", argument])
        elif name != "$this":
            steps.append([name])
    return steps


def _code(kind: Json) -> str:
    return "string" if kind["code"].startswith(_FHIRPATH) else str(kind["code"])


def _codes(definition: Json) -> set[str]:
    return {_code(t) for t in definition.get("type", ())}
