"""What a region lays over the data files of the packages: rows that join a table, and files that stand in place of one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

_LAYERS: Final[dict[str, Mapping[str, str]]] = {}  # by name of who gives them: files by path; the last one wins
_READ: Final[set[str]] = set()
_NAMES: Final = ("key", "name", "id")  # what a row of an array of tables is called
_BEFORE: Final = "before"  # where a new row says which one it stands before


class ReadBefore(ValueError):
    """A table was read before it was laid over; the text names it."""


def lay(name: str, files: Mapping[str, str]) -> None:
    """Lay files over those of the packages under a name; what that name gave before is taken away.

    INVARIANT: a table that was read is never another one later, so nobody decides by half of a change.

    Raises:
        ReadBefore: a table it changes was read.
    """
    before = _LAYERS.get(name, {})
    changed = {path for path in files.keys() | before.keys() if files.get(path) != before.get(path)}
    late = sorted(changed & _READ)
    if late:
        raise ReadBefore(late[0])
    _LAYERS[name] = dict(files)


def lift() -> None:
    """Take every layer away again."""
    _LAYERS.clear()


def layered() -> bool:
    """Claim that anything was laid."""
    return bool(_LAYERS)


def texts(path: str) -> tuple[str, ...]:
    """Give what was laid over one file, in the order of the layers."""
    return tuple(files[path] for files in _LAYERS.values() if path in files)


def paths(folder: str) -> tuple[str, ...]:
    """Name the files that were laid in one folder, sorted."""
    return tuple(sorted({path for files in _LAYERS.values() for path in files if path.rpartition("/")[0] == folder}))


def toml(package: str, name: str, path: str = "") -> dict[str, Any]:
    """Read a TOML table of a package, joined with what was laid over it; from now on nothing can be.

    Args:
        package: whose table it is.
        name: of the file in it.
        path: of the file in a layer, when not its name.
    """
    path = path or name
    _READ.add(path)
    own = resources.files(package).joinpath(name)
    found = tomllib.loads(own.read_text(encoding="utf-8")) if own.is_file() else {}
    for text in texts(path):
        found = joined(found, tomllib.loads(text))
    return found


def joined(ours: Any, theirs: Any) -> Any:  # noqa: ANN401 - any tree of plain values
    """Join two trees: rows and codes are added, a row of the same name is joined, a word is replaced; nothing goes away."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {**ours, **{key: joined(ours[key], value) if key in ours else value for key, value in theirs.items()}}
    if isinstance(ours, list) and isinstance(theirs, list):
        made = list(ours)
        for one in theirs:
            _into(made, one)
        return made
    return theirs


def name_of(row: Any) -> str:  # noqa: ANN401 - any value of a list
    """Name a row of an array of tables; empty when it has no name."""
    return next((str(row[word]) for word in _NAMES if word in row), "") if isinstance(row, dict) else ""


def _into(rows: list[Any], one: Any) -> None:  # noqa: ANN401 - any value of a list
    name = name_of(one)
    places = {name_of(row): number for number, row in enumerate(rows) if name_of(row)}
    if name and name in places:
        rows[places[name]] = joined(rows[places[name]], one)
    elif name and one.get(_BEFORE) in places:
        rows.insert(places[one[_BEFORE]], {word: value for word, value in one.items() if word != _BEFORE})
    elif one not in rows:
        rows.append(one)
