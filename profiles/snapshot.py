"""Snapshots from differentials: a profile as the full tree of its elements, slices and types.

Spec: FHIR R4 5.1.0 'Profiling FHIR', 5.3 'StructureDefinition' (differential and snapshot).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Final

from profiles.exact import Json

Lookup = Callable[[str], Json | None]
CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
_FHIRPATH: Final = "http://hl7.org/fhirpath/"
# What a differential adds to and does not replace.
_ADDED: Final = ("constraint", "condition", "mapping", "alias", "example", "code")
_MOST_STEPS: Final = 40


class NoSnapshot(ValueError):
    """A profile cannot be made whole; the text names it and what is missing."""


@dataclass(slots=True)
class Node:
    """One element or slice; `children` and `slices` are not there until something asks for them.

    `base` is what the type (or the profile of the type) that this element comes from says of it.
    """

    name: str
    slice: str
    definition: Json
    base: Json
    children: dict[str, Node] | None = None
    slices: dict[str, Node] | None = None

    def copied(self) -> Node:
        """Give a deep copy of the tree; the definitions in it are shared until one is changed."""
        made = copy(self)
        if self.children is not None:
            made.children = {name: child.copied() for name, child in self.children.items()}
        if self.slices is not None:
            made.slices = {name: child.copied() for name, child in self.slices.items()}
        return made


class Snapshots:
    """Makes and keeps the trees of profiles."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._trees: dict[str, Node] = {}
        self._making: set[str] = set()

    def tree(self, canonical: str) -> Node:
        """Give the tree of a type or profile; it is shared and may not be changed.

        Raises:
            NoSnapshot: the profile or something it rests on is not there, or rests on itself.
        """
        url = canonical.partition("|")[0]
        if url in self._trees:
            return self._trees[url]
        structure = self._lookup(canonical)
        if structure is None:
            message = f"{canonical} is not in the packages"
            raise NoSnapshot(message)
        if url in self._making:
            message = f"{canonical} rests on itself"
            raise NoSnapshot(message)
        self._making.add(url)
        try:
            self._trees[url] = self._made(structure)
        finally:
            self._making.discard(url)
        return self._trees[url]

    def _made(self, structure: Json) -> Node:
        if structure.get("derivation") != "constraint":
            elements = structure.get("snapshot", {}).get("element")
            if not elements:
                message = f"{structure['url']} has no snapshot and is not a profile"
                raise NoSnapshot(message)
            return _planted(elements)
        base = structure.get("baseDefinition")
        if not isinstance(base, str):
            message = f"{structure['url']} has no baseDefinition"
            raise NoSnapshot(message)
        root = self.tree(base).copied()
        for element in structure.get("differential", {}).get("element", ()):
            self._apply(root, element)
        return root

    def _apply(self, root: Node, element: Json) -> None:
        """Find the element a differential speaks of, make it if it is a new slice, and merge."""
        node = root
        for name, slices in _steps(element):
            node = self.child(root, node, name)
            for label in slices:
                node = self._slice(node, label)
        _merge(node, element)

    def child(self, root: Node, node: Node, name: str) -> Node:
        """Give a child element by its name; `value[x]` and `valueQuantity` both find the choice.

        Raises:
            NoSnapshot: there is no such element.
        """
        children = self.expanded(root, node)
        if name in children:
            return children[name]
        for label, found in children.items():
            stem = label.removesuffix("[x]")
            if stem != label and name.startswith(stem) and (kind := _choice(found.base, name[len(stem) :])):
                return self._narrowed(found, name, kind)
        message = f"there is no element {name} in {node.definition.get('path')}"
        raise NoSnapshot(message)

    def expanded(self, root: Node, node: Node) -> dict[str, Node]:
        """Give the children of a node, taken from its type when nothing spoke of them yet."""
        if node.children is not None:
            return node.children
        reference = node.definition.get("contentReference")
        if reference:
            target = root
            for step in reference.partition("#")[2].split(".")[1:]:
                target = self.child(root, target, step)
            source = target
            # What the recursive element is allowed is what the element it repeats is allowed in the type itself.
            node.children = {n: c.copied() for n, c in self.expanded(root, source).items()}
            return node.children
        source = self.tree(self._type_of(node))
        node.children = {name: _rebased(child) for name, child in (source.children or {}).items()}
        return node.children

    @staticmethod
    def _type_of(node: Node) -> str:
        types = node.definition.get("type", ())
        if len(types) != 1:
            # Several types: only what all elements have can be spoken of.
            return CORE + "Element"
        profiles = types[0].get("profile", ())
        if len(profiles) == 1:
            return str(profiles[0])
        code = types[0]["code"]
        return CORE + "string" if code.startswith(_FHIRPATH) else CORE + str(code)

    def _narrowed(self, node: Node, name: str, kind: str) -> Node:
        """Read `valueQuantity` in a path: the choice is narrowed to that type, unless it is sliced openly already."""
        slicing = node.definition.get("slicing")
        if slicing is None or slicing.get("rules") == "closed":
            before = node.definition["type"] if slicing else []
            kinds = [t for t in node.base["type"] if t["code"] == kind or t in before]
            closed = {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": "closed"}
            node.definition = node.definition | {"type": kinds, "slicing": closed}
        return self._slice(node, name, kind)

    def _slice(self, node: Node, label: str, kind: str = "") -> Node:
        """Give a slice by its name; a new one starts as a copy of what is sliced."""
        if node.slices is None:
            node.slices = {}
        if label in node.slices:
            return node.slices[label]
        # What is said of the sliced element holds for its slices too: they keep what they add.
        made = _rebased(node)
        made.slices, made.slice = None, label
        kept = {key: value for key, value in made.definition.items() if key != "slicing"}
        made.definition = kept | {"sliceName": label, "min": 0}
        if node.name.endswith("[x]"):
            kind = kind or _choice(node.definition, label.removeprefix(node.name[:-3])) or ""
            narrowed = [t for t in node.definition.get("type", ()) if t["code"] == kind]
            if narrowed and len(node.definition["type"]) == 1:
                made.definition["min"] = node.definition.get("min", 0)
            if narrowed:
                made.definition["type"] = narrowed
            if "slicing" not in node.definition:
                node.definition = node.definition | {
                    "slicing": {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": "open"}
                }
        elif "slicing" not in node.definition and node.name in ("extension", "modifierExtension"):
            node.definition = node.definition | {
                "slicing": {"discriminator": [{"type": "value", "path": "url"}], "ordered": False, "rules": "open"}
            }
        node.slices[label] = made
        return made


def _planted(elements: list[Json]) -> Node:
    """Make the tree of a type from its published snapshot."""
    root = Node(elements[0]["path"], "", elements[0], elements[0], {})
    for element in elements[1:]:
        node = root
        names = element["path"].split(".")[1:]
        for name in names[:-1]:
            below = node.children if node.children is not None else {}
            node = below[name]
        if ":" in element.get("id", "").rpartition(".")[2]:
            label = element["sliceName"]
            made = Node(names[-1], label, element, element)
            sliced = (node.children or {})[names[-1]]
            sliced.slices = (sliced.slices or {}) | {label: made}
            continue
        if ":" in element.get("id", ""):
            continue
        if node.children is None:
            node.children = {}
        node.children[names[-1]] = Node(names[-1], "", element, element)
    return root


def _rebased(node: Node) -> Node:
    """Copy a subtree so that what is said from here on is told apart from what the type or its profile says."""
    made = node.copied()
    _rebase(made)
    return made


def _rebase(node: Node) -> None:
    node.base = node.definition
    for below in (node.children, node.slices):
        for child in (below or {}).values():
            _rebase(child)


def _steps(element: Json) -> list[tuple[str, list[str]]]:
    """Read the id of an element: names, each with the slices and re-slices that follow."""
    path, label = element["path"], element.get("id") or element["path"]
    if ":" not in label and "sliceName" in element:
        label = f"{path}:{element['sliceName']}"
    if len(label.split(".")) != len(path.split(".")):
        label = _with_dotted_slices(label, path)
    steps = []
    for part, name in zip(label.split(".")[1:], path.split(".")[1:], strict=False):
        _, _, slices = part.partition(":")
        found: list[str] = []
        if slices:
            pieces = slices.replace("\0", ".").split("/")
            found = ["/".join(pieces[: n + 1]) for n in range(len(pieces))]
        steps.append((name, found))
    if len(steps) > _MOST_STEPS:
        message = f"{path[:80]} is too deep"
        raise NoSnapshot(message)
    return steps


def _with_dotted_slices(label: str, path: str) -> str:
    """Read an id whose slice names hold dots: the names of the path say where the dots of the id part steps."""
    rest, made = label, []
    names = path.split(".")
    for n, name in enumerate(names):
        if n == len(names) - 1:
            made.append(rest.replace(".", "\0"))
            break
        following = names[n + 1]
        cut = rest.find("." + following, len(name))
        made.append(rest[:cut].replace(".", "\0"))
        rest = rest[cut + 1 :]
    return ".".join(made)


def _choice(definition: Json, suffix: str) -> str | None:
    for kind in definition.get("type", ()):
        code = str(kind["code"])
        if code[:1].upper() + code[1:] == suffix:
            return code
    return None


def _merge(node: Node, element: Json) -> None:
    """Lay what a differential says of an element over what was said before."""
    merged = dict(node.definition)
    for key, value in element.items():
        if key in ("id", "path", "sliceName", "base"):
            continue
        if key in _ADDED:
            before = merged.get(key, [])
            merged[key] = [*before, *(v for v in value if v not in before)]
        elif key == "binding":
            merged[key] = merged.get(key, {}) | value
        elif key.startswith(("fixed", "pattern")):
            merged = {k: v for k, v in merged.items() if not k.startswith(("fixed", "pattern"))} | {key: value}
        elif key == "slicing":
            merged[key] = merged.get(key, {}) | value
        else:
            merged[key] = value
    node.definition = merged


def flattened(root: Node) -> Iterator[tuple[str, Json]]:
    """Give the elements of a tree in the order of a snapshot, with their ids."""
    yield from _flat(root, root.name)


def _flat(node: Node, label: str) -> Iterator[tuple[str, Json]]:
    yield label, node.definition
    for name, child in (node.children or {}).items():
        yield from _flat(child, f"{label}.{name}")
    for name, child in (node.slices or {}).items():
        yield from _flat(child, f"{label.rpartition(':')[0] if '/' in name else label}:{name}")
