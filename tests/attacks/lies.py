"""A hospital that holds what a test says, and what became of it."""

from __future__ import annotations

from typing import Any

from tests.gateway.charts import CHARTS, Json
from tests.gateway.world import HOSPITAL, Reply, World


def at_hospital(*resources: Json, **lie: Any) -> World:
    """A world in which the hospital alone knows the patient and holds these resources."""
    world = World(charts=CHARTS | {"hospital": list(resources)}, known_at=[HOSPITAL])
    for name, value in lie.items():
        setattr(world.charts["hospital"], name, value)
    return world


def natives(reply: Reply) -> list[str]:
    return sorted(item["meta"]["source"].rpartition("#")[2] for item in reply.items)


def incidents(world: World) -> list[str]:
    return [incident for asked in world.records[-1].custodians for incident in asked.incidents]
