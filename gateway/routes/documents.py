"""Documents: `$docref` finds them, `$document` gives the summary of a patient by the id of its Composition."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from gateway.assembly import only_given
from gateway.errors import Invalid
from gateway.fhir import bundle, reading
from gateway.fhir.docref import on_demand, wanted
from gateway.fhir.interactions import route
from gateway.fhir.invocation import given, one, only
from gateway.model import Answer, Incoming, Json, Outgoing, Question
from gateway.ports import Ports
from gateway.standing import Standing
from gateway.summary.sections import document_profile
from profiles import exact


def found(standing: Standing, answers: Sequence[Answer], incoming: Incoming, ports: Ports) -> Outgoing:
    """Assemble the answer of `$docref`: the summary made on demand first, then the documents of the sources.

    The newest is what is meant when no dates are given (IPA); nothing is left out, so all are given, newest first.

    Raises:
        Unavailable: when no source could answer.
    """
    asked, base, now = wanted(incoming, ports), ports.settings.gateway.base, ports.now()
    if not asked.on_demand_only:
        bundle.refuse_silence(answers, ports.policy.disclosure)
    held = [
        item for answer in answers for item in answer.items if item.type == "DocumentReference" and asked.covers(item)
    ]
    held.sort(key=lambda item: item.id)
    held.sort(key=lambda item: item.date, reverse=True)
    entries: list[Json] = []
    if asked.covers_summary(now, is_offered):
        made = on_demand(asked.patient, now, base, next(filter(is_offered, asked.profiles), ""))
        entries.append({"fullUrl": made["masterIdentifier"]["value"], "resource": made, "search": {"mode": "match"}})
    entries += [
        {
            "fullUrl": f"{base}/fhir/{item.type}/{item.id}",
            "resource": msgspec.Raw(item.raw),
            "search": {"mode": "match"},
        }
        for item in held
    ]
    total = len(entries)
    outcomes = bundle.remarks(answers, None, standing, ports.policy.disclosure, incoming.language)
    entries += [
        {"fullUrl": f"urn:uuid:{uuid4()}", "resource": remark, "search": {"mode": "outcome"}} for remark in outcomes
    ]
    only_given(answers, held)
    query = urlencode(asked.used, quote_via=quote, safe="|/:,$")
    link = {"relation": "self", "url": f"{base}/fhir/DocumentReference/$docref?{query}"}
    made_of: Json = {"resourceType": "Bundle", "type": "searchset", "total": total, "link": [link]}
    return Outgoing(200, exact.encode(made_of | ({"entry": entries} if entries else {})))


def is_offered(profile: str) -> bool:
    """Claim that a summary can be made to this profile."""
    try:
        document_profile(profile)
    except Invalid:
        return False
    return True


def summarized(incoming: Incoming, composition_id: str, ports: Ports) -> Question:
    """The summary behind `Composition/{id}/$document`: the composition of a patient has the id of the patient.

    Raises:
        Invalid: `not-found` for another id: a document is made anew and not kept; `persist` is refused for that reason.

    Spec: FHIR R4 Composition-document.
    """
    values = only(given(incoming), ("persist", "profile"), "Composition/$document")
    if one(values, "persist") not in ("", "false"):
        raise Invalid("invalid-parameter", name="persist", why="a document is made anew each time and not kept")
    headers = {name: value for name, value in incoming.headers.items() if name != b"accept"}
    query = urlencode({"profile": one(values, "profile")}) if "profile" in values else ""
    asked = msgspec.structs.replace(incoming, query=query, body=b"", headers=headers)
    return reading.question(asked, route("GET", f"Patient/{composition_id}/$summary"), ports)
