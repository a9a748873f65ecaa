"""Turn one HL7 v2 message into resources by the maps its type names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mappings.attribution import labels
from mappings.er7_confidentiality import protect
from mappings.er7_engine import Er7Map
from mappings.er7_patients import Marks, marks_of
from mappings.er7_reading import Er7Reading, losses
from mappings.formats.er7_tree import Segment
from mappings.formats.fhir_bundle import digest
from mappings.formats.hl7v2 import Message
from mappings.library import hl7v2
from mappings.model import Json, Loss, NotMappable, Origin, Translation
from mappings.panels import assemble_blood_pressure
from mappings.settlements import SETTLEMENTS
from mappings.tables import table

_MAXIMUM_PATIENTS: Final = 2


@dataclass(frozen=True, slots=True)
class Script:
    """What is done with one message type: which segments hang under which, and the maps in their order."""

    attach: dict[str, tuple[str, ...]]
    single: frozenset[str]  # a segment of these belongs to the one before it only as the first of its name
    maps: tuple[Er7Map, ...]
    envelope: tuple[Er7Map, ...]  # of the message itself and of money: no part of what is known of the patient
    ignored: frozenset[str]
    contact: bool
    follows: dict[str, str]  # a segment that comes after the one it leads, as ORC after OBR in OUL


def translate_message(message: Message, origin: Origin, *, whole: bool = False) -> Translation:
    """Make the resources of one message, with its type and identity as facts.

    Args:
        message: as it was read.
        origin: where it came from.
        whole: also what the message says of itself and of money (MessageHeader, Provenance, Account), which belongs
            to no patient.

    Raises:
        NotMappable: a message type or trigger without maps, or not the patients such a message has.
    """
    kind, trigger = message.header(9), message.header(9, 2)
    entry, script = _script(kind, trigger)
    groups = _patients(message, entry, trigger)
    made = _Made(origin, script)
    found: list[Loss] = []
    facts: dict[str, str] = {
        "type": kind,
        "trigger": trigger,
        "control": message.header(10),
        "application": message.header(3),
    }
    if script.contact:
        facts["contact"] = "true"
    scope = message.delimiters.all + origin.zone
    for segments in groups:
        reading = Er7Reading(_arrange(segments, script), origin, facts=facts, whole=whole, scope=scope)
        made.of(reading, segments, whole=whole)
        protect(reading, segments, made.resources, made.places)
        made.support(reading)
        found += losses(reading, segments, script.ignored, nulls=message.nulls)
        marks: Marks = marks_of(reading)
        if marks.quarantine:
            facts["quarantine"] = marks.quarantine
    for one in message.segments:
        one.release()
    resources, keys = assemble_blood_pressure(made.resources, made.keys)
    return Translation(
        tuple(resources), tuple(keys), (*made.losses, *found), map=f"hl7v2/{kind}",
        version=table("maps/hl7v2/messages.yaml")["version"], facts=facts,
        places=_places(made.places, message.segments, named=bool(found or made.losses)),
    )  # fmt: skip


def _places(made: dict[str, Segment], segments: tuple[Segment, ...], *, named: bool) -> dict[str, str]:
    """Where each resource stood, by the names losses have; where nothing was lost they need no numbers."""
    if not named:
        return {key: one.name for key, one in made.items()}
    names = dict(zip(map(id, segments), labels([one.name for one in segments]), strict=True))
    return {key: names[id(one)] for key, one in made.items()}


def _script(kind: str, trigger: str) -> tuple[Json, Script]:
    """Find what is done with a message type, worked out once for the maps as they are."""
    maps = hl7v2()
    known = _scripts.get((kind, trigger))
    if known is None or known[0] is not maps:
        known = _scripts[kind, trigger] = (maps, *_written(kind, trigger))
    return known[1], known[2]


_scripts: dict[tuple[str, str], tuple[dict[str, Er7Map], Json, Script]] = {}


def _written(kind: str, trigger: str) -> tuple[Json, Script]:
    content = table("maps/hl7v2/messages.yaml")
    entry = content["messages"].get(kind)
    if entry is None or trigger not in entry["triggers"]:
        possible = ", ".join(f"{name}^{'/'.join(one['triggers'])}" for name, one in content["messages"].items())
        text = f"no map for this message type; possible are {possible}"
        raise NotMappable(text, "MSH-9")
    compiled = hl7v2()
    maps = tuple(compiled[name] for name in entry["resources"])
    envelope = tuple(compiled[name] for name in content["envelope"])
    used = (*maps, *envelope)
    silent = frozenset(content["ignored"]).union(*(one.definition.ignored for one in used))
    contact = "not_contact" in entry and trigger not in entry["not_contact"]
    attach = {name: tuple(parents) for name, parents in content["attach"].items()}
    return entry, Script(
        attach, frozenset(content["single"]), maps, envelope, silent, contact, entry.get("follows", {})
    )


def _patients(message: Message, entry: Json, trigger: str) -> list[tuple[Segment, ...]]:
    """Cut a message into the segments of each patient; what comes first belongs to all of them.

    Raises:
        NotMappable: more or fewer patients than a message of this type has.
    """
    at = [number for number, one in enumerate(message.segments) if one.name == "PID"]
    allowed = _MAXIMUM_PATIENTS if trigger in entry.get("pairs", ()) else 1
    if not 1 <= len(at) <= allowed:
        text = f"one patient a message: {len(at)} PID segments"
        raise NotMappable(text, "PID")
    if len(at) == 1:
        return [message.segments]
    return [message.segments[: at[1]], (message.segments[0], *message.segments[at[1] :])]


def _arrange(segments: tuple[Segment, ...], script: Script) -> dict[str, list[Segment]]:
    """Hang each segment under the nearest one before it that it belongs to; the others stand at the root."""
    root: dict[str, list[Segment]] = {}
    latest: dict[str, tuple[int, Segment]] = {}
    attach, single = script.attach, script.single
    for number, one in enumerate(segments):
        parent: Segment | None = None
        nearest = -1
        for name in attach.get(one.name, ()):
            candidate = latest.get(name)
            if candidate is not None and candidate[0] > nearest:
                if one.name in single and one.name in candidate[1].children:
                    continue
                nearest, parent = candidate
        led = latest.get(script.follows.get(one.name, ""))
        if led is not None and led[1].parent is None:
            led[1].parent = one
            one.children.setdefault(led[1].name, []).append(led[1])
        if parent is None:
            root.setdefault(one.name, []).append(one)
        else:
            parent.children.setdefault(one.name, []).append(one)
            one.parent = parent
        latest[one.name] = (number, one)
    return root


class _Made:
    """The resources of one message as they are made, with keys that are the same at every arrival."""

    def __init__(self, origin: Origin, script: Script) -> None:
        self._origin = origin
        self._script = script
        self._counts: dict[str, int] = {}
        self._foreseen: dict[tuple[int, str], str] = {}  # segment and map → the name its resource will have
        self.resources: list[Json] = []
        self.keys: list[str] = []
        self.places: dict[str, Segment] = {}  # the segment each was made of
        self.losses: list[Loss] = []

    def of(self, reading: Er7Reading, segments: tuple[Segment, ...], *, whole: bool) -> None:
        """Make every resource the segments of one patient give."""
        by_name: dict[str, list[Segment]] = {}
        for one in segments:
            by_name.setdefault(one.name, []).append(one)
        patient = _patient_key(reading)
        self._foresee(reading, by_name, patient)
        for compiled in self._script.maps:
            for segment in by_name.get(compiled.definition.source, ()):
                self._add(compiled, reading, segment, patient)
        for compiled in self._script.envelope if whole else ():
            for segment in by_name.get(compiled.definition.source, ()):
                self._add(compiled, reading, segment, patient)

    def support(self, reading: Er7Reading) -> None:
        """Add the persons, places and organizations the others refer to."""
        for reference, resource in reading.supporting.items():
            if reference not in self.keys:
                self.resources.append(resource)
                self.keys.append(reference)

    def _foresee(self, reading: Er7Reading, by_name: dict[str, list[Segment]], patient: str) -> None:
        """Name the visit before it is made: what belongs to it is made first, as the visit itself refers to it."""
        for compiled in self._script.maps:
            if compiled.definition.target == "Encounter" and not compiled.definition.requires:
                for segment in by_name.get(compiled.definition.source, ()):
                    if compiled.holds(reading, segment):
                        identity = self._identity(compiled, reading, segment, patient)
                        self._foreseen[id(segment), compiled.definition.name] = identity
                        reading.links["Encounter"] = f"Encounter/{identity}"
                        return

    def _add(self, compiled: Er7Map, reading: Er7Reading, segment: Segment, patient: str) -> None:
        definition = compiled.definition
        if not compiled.holds(reading, segment):
            return
        made = compiled.run(reading, segment)
        for after in definition.after:
            SETTLEMENTS[after](reading, segment, made)
        missing = compiled.lacks(made)
        if missing:
            self.losses.append(Loss(segment.name, "invalid", f"no {definition.target} without {', '.join(missing)}"))
            return
        if definition.profile and "meta" not in made:
            made["meta"] = {"profile": [_base() + definition.profile]}
        foreseen = self._foreseen.get((id(segment), definition.name))
        identity = foreseen or self._identity(compiled, reading, segment, patient)
        count = self._counts[identity] = self._counts.get(identity, 0) + 1
        made["id"] = identity if count == 1 else f"{identity}-{count}"
        key = f"{definition.target}/{made['id']}"
        reading.links.setdefault(definition.target, key)
        reading.made.setdefault((id(segment), definition.target), []).append(key)
        self.resources.append(made)
        self.keys.append(key)
        self.places[key] = segment

    def _identity(self, compiled: Er7Map, reading: Er7Reading, segment: Segment, patient: str) -> str:
        """Name a resource by what its sender calls it; where it has no name, by its content."""
        values, own = [self._origin.source, compiled.definition.name], compiled.definition.target == "Patient"
        for select in compiled.key:
            if select is None:
                values.append(patient)
                continue
            found = select(reading, segment)
            value = _called(found) if found else ""
            values.append(value)
            own = own or value != ""
        if not own:
            values.append(segment.flat())
        return digest("\x1f".join(values).encode())


def _base() -> str:
    base: str = table("maps/fhir-r4/profiles.yaml")["base"]
    return base


def _called(found: list[tuple[Any, int]], *, person: bool = False) -> str:
    """Give the first repetition of a key, a BSN only where there is nothing else."""
    node, at = found[0]
    if person:
        node, at = next(((one, 0) for one, _ in found if not is_national(one)), found[0])
    if not at:
        return str(node.flat())
    part = node.parts[at - 1]
    return part if isinstance(part, str) else part.flat()


def is_national(node: Any) -> bool:  # noqa: ANN401 - segment or node
    """Claim that a CX holds a BSN."""
    return not isinstance(node, Segment) and (node.peek(5) == "NNNLD" or node.peek(4) == "NLMINBIZA")


def _patient_key(reading: Er7Reading) -> str:
    """Without a number the patient is known by all of PID: two unknown patients never share a key."""
    patient = reading.root["PID"][0]
    found = patient.field(3)
    return _called([(node, 0) for node in found], person=True) if found else patient.flat()
