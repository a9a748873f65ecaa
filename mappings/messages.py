"""Turn one HL7 v2 message into resources by the maps its type names."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from mappings.definition import Definition, Path
from mappings.formats.fhir_bundle import digest
from mappings.formats.hl7v2 import PARENT, Message, tree
from mappings.library import hl7v2
from mappings.model import Json, Loss, NotMappable, Origin, Translation
from mappings.panels import assemble_blood_pressure
from mappings.reading import Reading, first
from mappings.settlements import SETTLEMENTS
from mappings.tables import table

_NEWBORN_DAYS: Final = 30


def translate_message(message: Message, origin: Origin) -> Translation:
    """Make the resources of one message, with its type and identity as facts.

    Raises:
        NotMappable: a message type or trigger without maps, or not exactly one patient.
    """
    known = table("maps/hl7v2/messages.yaml")
    kind, trigger = message.header(9), message.header(9, 2)
    entry = known["messages"].get(kind)
    if entry is None or trigger not in entry["triggers"]:
        possible = ", ".join(f"{name}^{'/'.join(one['triggers'])}" for name, one in known["messages"].items())
        text = f"no map for this message type; possible are {possible}"
        raise NotMappable(text, "MSH-9")
    patients = sum(name == "PID" for name, _ in message.segments)
    if patients != 1:
        text = f"one patient a message: {patients} PID segments"
        raise NotMappable(text, "PID")
    reading = Reading(tree(message, known["attach"]), origin, er7=True)
    reading.facts.update(_facts(message, kind, trigger, entry))
    made = _Resources(reading, message)
    for name in entry["resources"]:
        made.add(name)
    _quarantine(reading)
    resources, keys = assemble_blood_pressure(made.resources, made.keys)
    ignored = frozenset(known["ignored"]).union(*(hl7v2()[name].definition.ignored for name in entry["resources"]))
    losses = [*made.losses, *reading.losses(ignored=ignored)]
    return Translation(
        tuple(resources), tuple(keys), tuple(losses), map=f"hl7v2/{kind}", version=known["version"], facts=reading.facts
    )


def _facts(message: Message, kind: str, trigger: str, entry: Json) -> dict[str, str]:
    facts = {"type": kind, "trigger": trigger, "control": message.header(10), "application": message.header(3)}
    if "not_contact" in entry and trigger not in entry["not_contact"]:
        facts["contact"] = "true"
    return facts


class _Resources:
    """The resources of one message as they are made, with keys that are the same at every arrival."""

    def __init__(self, reading: Reading, message: Message) -> None:
        self._reading = reading
        self._message = message
        self._counts: dict[str, int] = {}
        self._rooted: dict[Path, str] = {}  # parts of keys that are the same for the whole message
        self.resources: list[Json] = []
        self.keys: list[str] = []
        self.losses: list[Loss] = []

    def add(self, name: str) -> None:
        """Make every resource one map gives."""
        compiled, reading = hl7v2()[name], self._reading
        definition = compiled.definition
        for segment, node in self._message.segments:
            if segment != definition.source or not all(reading.holds(claim, node) for claim in definition.when):
                continue
            made = compiled.run(reading, node)
            missing = [element for element in definition.requires if element not in made]
            if missing:
                self.losses.append(Loss(segment, "invalid", f"no {definition.target} without {', '.join(missing)}"))
                continue
            for after in definition.after:
                SETTLEMENTS[after](reading, node, made)
            if definition.profile:
                base = table("maps/fhir-r4/profiles.yaml")["base"]
                made.setdefault("meta", {"profile": [base + definition.profile]})
            self._keep(definition, node, made)

    def _keep(self, definition: Definition, node: Json, made: Json) -> None:
        identity = self._identity(definition, node)
        count = self._counts[identity] = self._counts.get(identity, 0) + 1
        made["id"] = identity if count == 1 else f"{identity}-{count}"
        key = f"{definition.target}/{made['id']}"
        self._reading.links.setdefault(definition.target, key)
        self.resources.append(made)
        self.keys.append(key)

    def _identity(self, definition: Definition, node: Json) -> str:
        """Name a resource by what its sender calls it; where it has no name, by its content."""
        values, own = [self._reading.origin.source, definition.target], False
        for place in definition.key:
            value = self._rooted.get(place) if place.rooted else None
            if value is None:
                value = _name(self._reading, node, place)
                if place.rooted:
                    # Without a number the patient is known by all of PID: two unknown patients never share a key.
                    value = self._rooted[place] = value or _flat(self._reading.root["PID"])
            values.append(value)
            own = own or (not place.rooted and value != "")
        if not own:
            values.append(_flat(node))
        return digest("\x1f".join(values).encode())


def _name(reading: Reading, node: Json, place: Path) -> str:
    """Give the first repetition of a key, a BSN only where there is nothing else."""
    found = [container[key] for container, key in reading.slots(node, place, looking=True)]
    local = [one for one in found if not _is_national(one)]
    return _flat((local or found)[0]) if found else ""


def _is_national(node: Any) -> bool:  # noqa: ANN401 - a node of any shape
    return isinstance(node, dict) and (first(node, "5")[2] == "NNNLD" or first(node, "4")[2] == "NLMINBIZA")


def _flat(node: Any) -> str:  # noqa: ANN401 - a node of any shape
    if isinstance(node, dict):
        return "^".join(f"{key}={_flat(value)}" for key, value in node.items() if key != PARENT)
    return "~".join(_flat(one) for one in node) if isinstance(node, list) else str(node)


def _quarantine(reading: Reading) -> None:
    """Mark a baby that is registered under its mother's BSN: it must not be filed as hers.

    Spec: rules E3; HL7 v2.5 PID-21 Mother's identifier, PID-24 Multiple birth indicator, PID-25 Birth order.
    """
    patient = reading.root["PID"][0]
    numbers = {str(first(one, "1")[2]): one for one in patient.get("3", [])}
    mothers = {str(first(one, "1")[2]) for one in patient.get("21", [])}
    if mothers & numbers.keys():
        reading.facts["quarantine"] = "mother-bsn"
        return
    multiple = _text(patient, "24") == "Y" or _text(patient, "25") not in {"", '""'}
    if multiple and any(_is_national(one) for one in numbers.values()) and _is_newborn(patient, reading.origin):
        reading.facts["quarantine"] = "mother-bsn"


def _text(segment: Json, field: str) -> str:
    found = segment.get(field)
    return str(first(found, 0)[2] or "") if found else ""


def _is_newborn(patient: Json, origin: Origin) -> bool:
    try:
        born, arrived = date.fromisoformat(_text(patient, "7")[:8]), date.fromisoformat(origin.received[:10])
    except ValueError:
        return False
    return 0 <= (arrived - born).days <= _NEWBORN_DAYS
