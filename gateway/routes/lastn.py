"""`Observation/$lastn`: the newest observations of each code that a search finds."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.assembly import only_given
from gateway.fhir import bundle, reading
from gateway.fhir.interactions import Route, route
from gateway.fhir.lastn import newest, split
from gateway.fhir.search import Records, understand
from gateway.model import Answer, Incoming, Outgoing, Question
from gateway.ports import Ports
from gateway.standing import Standing

_SEARCH: Route = route("POST", "Observation/_search")


def question(incoming: Incoming, ports: Ports) -> Question:
    """The search it rests on.

    Raises:
        Invalid: see `gateway.fhir.lastn.split`, and every error of a search.
    """
    return reading.question(split(incoming)[1], _SEARCH, ports)


def lastn(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
    """Assemble it: groups by code, the newest first.

    Raises:
        Unavailable: when no source could answer.

    Spec: FHIR R4 Observation-lastn.
    """
    most, _ = split(incoming)
    asked, patient = standing.question, standing.of
    search = understand("Observation", asked.parameters, lenient=asked.lenient)
    bundle.refuse_silence(answers, ports.policy.disclosure)
    base = ports.settings.gateway.base
    records = Records([item for answer in answers for item in answer.items], standing.facts.now, base)
    held = [item for item in records.items if item.type == "Observation"]
    found = newest([item for item in held if search.matches(item, records)], most)
    used = [("patient", patient.id), *search.used, ("max", str(most))]
    outcomes = bundle.remarks(answers, search, standing, ports.policy.disclosure, incoming.language)
    only_given(answers, found)
    shown = bundle.Page(found, len(found))
    return Outgoing(200, bundle.searchset(shown, f"{base}/fhir/Observation/$lastn", used, outcomes, base))
