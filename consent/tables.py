"""Reads the tables of this package: what is law or agreement is data, next to the code that applies it."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any


def table(name: str) -> dict[str, Any]:
    """Read one TOML table shipped with the package, such as "purposes.toml"."""
    return tomllib.loads(resources.files("consent").joinpath(name).read_text(encoding="utf-8"))
