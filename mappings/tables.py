"""Read the data files of this package, and those a region lays over them: YAML in, plain values out, each file once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# These say something of many maps: a region adds to them. Every other file it gives stands in place of ours.
_JOINED: Final = frozenset(
    {"types", "messages", "profiles", "vital-signs", "documents", "categories", "renames", "mixtures"}
)
_layers: list[Mapping[str, str]] = []  # files a region gives, by their path in this package; the last one wins


def lay(files: Mapping[str, str]) -> None:
    """Lay files over those of the package. `mappings.library.use` does this and forgets what was compiled."""
    _layers.append(dict(files))


def lift() -> None:
    """Take every layer away again."""
    _layers.clear()


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
    for layer in _layers:
        if path in layer:
            added = _read(layer[path])
            found = _joined(found, added) if found is not None and _is_joined(path) else added
    if found is None:
        raise FileNotFoundError(path)
    return found


@cache
def names(folder: str, suffix: str = ".yaml") -> tuple[str, ...]:
    """Name the data files of one folder, sorted, without their suffix."""
    own = resources.files("mappings").joinpath(folder)
    entries = {entry.name for entry in own.iterdir()} if own.is_dir() else set()
    for layer in _layers:
        entries |= {path.rpartition("/")[2] for path in layer if path.rpartition("/")[0] == folder}
    return tuple(sorted(entry.removesuffix(suffix) for entry in entries if entry.endswith(suffix)))


def _read(text: str) -> Any:  # noqa: ANN401 - a data file is any tree of plain values
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader either way


def _is_joined(path: str) -> bool:
    return path.startswith("concept_maps/") or path.rpartition("/")[2].removesuffix(".yaml") in _JOINED


def _joined(ours: Any, theirs: Any) -> Any:  # noqa: ANN401 - any tree of plain values
    """Join two trees: what theirs says wins, what it does not say stays."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {**ours, **{key: _joined(ours[key], value) if key in ours else value for key, value in theirs.items()}}
    return theirs
