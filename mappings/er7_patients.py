"""What must be known about the patient of an HL7 v2 message before anything is filed: babies and merges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from mappings.er7_reading import Er7Reading
from mappings.formats.er7_tree import Node, Segment
from mappings.model import Origin

_NEWBORN_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Marks:
    """Why a message waits for a person."""

    quarantine: str = ""


def marks_of(reading: Er7Reading) -> Marks:
    """Mark what nobody may file without looking.

    Spec: rules E3, D1; HL7 v2.5 PID-21 Mother's identifier, PID-24 Multiple birth indicator, PID-25 Birth order, MRG.
    """
    patient = reading.root["PID"][0]
    if _is_under_its_mother(patient, reading.origin):
        return Marks("mother-bsn")
    return Marks(_merge(patient, patient.children.get("MRG", [])))


def _is_under_its_mother(patient: Segment, origin: Origin) -> bool:
    numbers = {node.peek(1): node for node in patient.field(3)}
    if {node.peek(1) for node in patient.field(21)} & numbers.keys():
        return True
    multiple = patient.peek(24) == "Y" or patient.peek(25) != ""
    return multiple and any(_is_national(one) for one in numbers.values()) and _is_newborn(patient, origin)


def _merge(patient: Segment, merged: list[Segment]) -> str:
    """A merge counts inside one namespace of its sender; another BSN, or another authority, is not decided here."""
    kept = patient.field(3)
    own = {_authority(node) for node in kept}
    national = {node.peek(1) for node in kept if _is_national(node)}
    for segment in merged:
        for node in segment.field(1):
            if _is_national(node) and node.peek(1) not in national:
                return "merge-bsn"
            if _authority(node) and own - {""} and _authority(node) not in own:
                return "merge-namespace"
    return ""


def _authority(node: Node) -> str:
    part = node.parts[3] if len(node.parts) > 3 else ""
    return part if isinstance(part, str) else part.flat()


def _is_national(node: Node) -> bool:
    return node.peek(5) == "NNNLD" or node.peek(4) == "NLMINBIZA"


def _is_newborn(patient: Segment, origin: Origin) -> bool:
    try:
        born, arrived = date.fromisoformat(patient.peek(7)[:8]), date.fromisoformat(origin.received[:10])
    except ValueError:
        return False
    return 0 <= (arrived - born).days <= _NEWBORN_DAYS
