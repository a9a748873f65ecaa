"""Who holds data of this patient: from the gateway's own index, never by asking around (rule: no undirected broadcast)."""

from __future__ import annotations

from consent.model import Custodian
from gateway.membership import SUPPORTING
from gateway.model import Identified, Place, Question
from gateway.ports import Ports


async def localize(identified: Identified, question: Question, ports: Ports) -> tuple[Place, ...]:
    """Find the places, in a stable order.

    A read by id has exactly one place: where the item came from; what only supports others is looked for there with
    all that can refer to it. A patient known by a custodian's own
    identifier is looked for at that custodian only (architecture §4).
    """
    if identified.held is not None:
        held = identified.held
        return _places(held.custodian, held.source, _with(held.category, question), ports)
    if identified.issued is not None:
        custodian, source, category = identified.issued
        return _places(custodian, source, _with(category, question), ports)
    patient = identified.patient
    owner = ports.policy.identifier_systems.get(patient.system)
    if owner is not None:
        return _places(owner, "", question.categories, ports)
    held_categories: dict[str, frozenset[str]] = {}
    for entry in await ports.index.entries(patient.id, ports.now()):
        known = held_categories.get(entry.custodian, frozenset())
        if len(known) < len(question.categories):  # else nothing is left to be added
            own = question.categories & entry.categories if entry.categories else question.categories
            held_categories[entry.custodian] = known | own
    return tuple(
        place
        for custodian in sorted(held_categories)
        for place in _places(custodian, "", held_categories[custodian], ports)
    )


def _with(category: str, question: Question) -> frozenset[str]:
    return question.categories if question.types[0] in SUPPORTING else frozenset({category})


def _places(ura: str, source_id: str, categories: frozenset[str], ports: Ports) -> tuple[Place, ...]:
    policy = ports.policy
    custodian, name = Custodian(ura, policy.facility_type(ura)), policy.name(ura)
    sources = [source for source in policy.sources_of.get(ura, ()) if not source_id or source.id == source_id]
    if not sources:
        return (Place(custodian, name, None, categories),)
    return tuple(
        [
            Place(
                custodian, name, source, categories.intersection(source.categories) if source.categories else categories
            )
            for source in sources
        ]
    )
