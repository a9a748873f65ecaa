"""Parts of an HL7 v2 value that FHIR only knows together: what stands alone or contradicts is left out and reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappings.er7_reading import Er7Reading
from mappings.model import Json
from profiles.invariants import is_ordered

Tidy = Callable[[Er7Reading, Any, Json], None]  # (reading, segment or node, object that was made)


def _period(reading: Er7Reading, node: Any, made: Json) -> None:  # noqa: ANN401 - segment or node
    """An end before the start is no period: the start stays."""
    if not is_ordered(made):
        del made["end"]
        reading.note(node, 0, "dropped", "an end before the start")


def _repeat(reading: Er7Reading, node: Any, made: Json) -> None:  # noqa: ANN401 - segment or node
    """A number without its unit, a unit without its number, an offset without an event.

    Spec: FHIR R4 Timing tim-1 to tim-10.
    """
    for one, other in (("duration", "durationUnit"), ("period", "periodUnit")):
        if (one in made) != (other in made):
            made.pop(one, made.pop(other, None))
            reading.note(node, 0, "dropped", "a duration or period without number or unit")
    if "offset" in made and "when" not in made:
        del made["offset"]
        reading.note(node, 0, "dropped", "an offset without the event it counts from")
    if "timeOfDay" in made and "when" in made:
        del made["timeOfDay"]
        reading.note(node, 0, "dropped", "a time of day beside an event")


TIDY: Final[dict[str, Tidy]] = {"Period": _period, "Timing.repeat": _repeat}
