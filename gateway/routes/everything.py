"""`Patient/$everything`: all a caller may see of one patient, as a searchset; in pages when a count is given."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.assembly import one_patient, only_given
from gateway.fhir import bundle
from gateway.fhir.everything import Wanted, in_order, wanted
from gateway.fhir.search import Search, understand
from gateway.model import Answer, Incoming, Item, Outgoing
from gateway.ports import Ports
from gateway.standing import Standing


def everything(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
    """Assemble it: the one patient first, then what is asked of each type.

    Raises:
        Unavailable: when no source could answer.

    Spec: FHIR R4 Patient-everything.
    """
    asked, patient, base = wanted(incoming), standing.of, ports.settings.gateway.base
    bundle.refuse_silence(answers, ports.policy.disclosure)
    found = [item for answer in answers for item in answer.items if item.type != "Patient" and asked.covers(item)]
    if "Patient" in asked.types:
        found += one_patient(patient, answers, ports)
    url = f"{base}/fhir/Patient/{patient.id}/$everything"
    shown = _page(in_order(found), asked, f"{patient.id}?{asked.used}", standing.caller.requester.client, ports)
    outcomes = bundle.remarks(answers, None, standing, ports.policy.disclosure, incoming.language)
    only_given(answers, shown.items)
    return Outgoing(200, bundle.searchset(shown, url, asked.used, outcomes, base))


def _page(found: list[Item], asked: Wanted, scope: str, client: str, ports: Ports) -> bundle.Page:
    if asked.count is None:
        return bundle.Page(found, len(found))
    return bundle.page(found, counted(asked.count, asked.cursor), client, scope, ports.keys)


def counted(count: int, cursor: str) -> Search:
    """A search that only says how many and from where."""
    plain = understand("Patient", [("_count", str(count)), *([("_cursor", cursor)] if cursor else [])])
    assert plain.count == count
    return plain
