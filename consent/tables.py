"""Reads the tables of this package: what is law or agreement is data, next to the code that applies it."""

from __future__ import annotations

from typing import Any

from profiles.layers import toml


def table(name: str) -> dict[str, Any]:
    """Read one TOML table shipped with the package, such as "purposes.toml", and what the region laid over it."""
    return toml("consent", name)
