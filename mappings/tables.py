"""Read the data files of this package: YAML in, plain values out, each file once."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def table(path: str) -> Any:  # noqa: ANN401 - a data file is any tree of plain values
    """Read one data file of the package by its path inside it; the result is shared, so never changed."""
    text = resources.files("mappings").joinpath(path).read_text(encoding="utf-8")
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader either way


@cache
def names(folder: str, suffix: str = ".yaml") -> tuple[str, ...]:
    """Name the data files of one folder of the package, sorted, without their suffix."""
    entries = resources.files("mappings").joinpath(folder).iterdir()
    return tuple(sorted(entry.name.removesuffix(suffix) for entry in entries if entry.name.endswith(suffix)))
