"""Read the data files of this package, and those a region lays over them: YAML in, plain values out, each file once."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from profiles import layers

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# These say something of many maps: a region adds to them. Every other file it gives stands in place of ours.
_JOINED: Final = frozenset(
    {"types", "messages", "profiles", "vital-signs", "documents", "categories", "renames", "mixtures"}
)


@cache
def table(path: str) -> Any:  # noqa: ANN401 - a data file is any tree of plain values
    """Read one data file by its path; the result is shared, so never changed.

    Raises:
        FileNotFoundError: neither the package nor a layer has it.
    """
    found: Any = None
    own = resources.files("mappings").joinpath(path)
    if own.is_file():
        found = _read(own.read_text(encoding="utf-8"))
    for text in layers.texts(path):
        added = _read(text)
        found = joined(found, added) if found is not None and is_joined(path) else added
    if found is None:
        raise FileNotFoundError(path)
    return found


@cache
def names(folder: str, suffix: str = ".yaml") -> tuple[str, ...]:
    """Name the data files of one folder, sorted, without their suffix."""
    own = resources.files("mappings").joinpath(folder)
    entries = {entry.name for entry in own.iterdir()} if own.is_dir() else set()
    entries |= {path.rpartition("/")[2] for path in layers.paths(folder)}
    return tuple(sorted(entry.removesuffix(suffix) for entry in entries if entry.endswith(suffix)))


def _read(text: str) -> Any:  # noqa: ANN401 - a data file is any tree of plain values
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader either way


def is_joined(path: str) -> bool:
    """Claim that a file of a region adds to ours instead of standing in place of it."""
    return path.startswith("concept_maps/") or path.rpartition("/")[2].removesuffix(".yaml") in _JOINED


def joined(ours: Any, theirs: Any) -> Any:  # noqa: ANN401 - any tree of plain values
    """Join two trees: what theirs says wins, what it does not say stays."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {**ours, **{key: joined(ours[key], value) if key in ours else value for key, value in theirs.items()}}
    return theirs
