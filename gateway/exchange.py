"""The straight line: every question runs through `retrieve`; what flows in runs through its sibling `gateway.intake`.

recorded( authenticate → authorize → identify → localize → intent → ask* → assemble )
ask*, per custodian, at the same time, under one deadline:  permitted → fetch → translate → screen
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from gateway.arrival import arrive
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.authorization import authorize, inform
from gateway.identification import confirm, identify
from gateway.localization import localize
from gateway.model import Answer, Incoming, Outgoing, Place, Question
from gateway.ports import Ports
from gateway.retrieval import fetch, held, issued, permitted, permitted_categories
from gateway.screening import fail, screen
from gateway.standing import Standing

Read = Callable[[Incoming, Ports], Question]
Assemble = Callable[[Standing, Sequence[Answer], Incoming, Ports], Outgoing]


async def retrieve(incoming: Incoming, interaction: str, type_: str, read: Read, assemble: Assemble, ports: Ports) -> Outgoing:
    """Answer one question lawfully, or refuse it; either way it is on the record before a byte leaves.

    Raises:
        GatewayError: everything the outside may see, see `gateway.errors`.
    """
    async with recorded(incoming, ports, interaction, "E" if interaction == "search-type" else "R", type_) as record:
        record.caller = caller = await authenticate(incoming.headers.get(b"authorization", b""), ports)
        question = read(incoming, ports)
        record.query = question.names
        standing = await authorize(caller, question, ports)
        identified = await identify(question, ports)
        record.patient = patient = identified.patient
        await inform(standing, patient, ports)
        record.case = standing.case.id if standing.case else ""
        places = await localize(identified, question, ports)
        remote = [(place.custodian.organization, place.source_id) for place in places if not place.held]
        if remote:
            await record.intent(remote)
        answers = [answer async for answer in ask(places, standing, ports)]
        record.answers = answers = confirm(patient, answers, ports)
        outgoing = assemble(standing, answers, incoming, ports)
        record.status, record.issued = outgoing.status, issued(answers, places, ports.now())
        return outgoing


async def ask(places: Sequence[Place], standing: Standing, ports: Ports) -> AsyncIterator[Answer]:
    """Ask every place at the same time; yield each answer as it comes.

    A caller that stops listening cancels the sources.
    """
    if len(places) == 1:  # a read by id, or a patient known in one place: no task needed
        yield await _answer(places[0], standing, ports)
        return
    tasks = [asyncio.ensure_future(_answer(place, standing, ports)) for place in places]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in tasks:
            task.cancel()


async def _answer(place: Place, standing: Standing, ports: Ports) -> Answer:
    answer = permitted(place, standing)
    categories = permitted_categories(answer)
    if not categories:
        return answer
    if place.held:
        screen(await held(place, standing, answer, ports), answer, standing)
        return answer
    arrival = arrive(await fetch(place, categories, standing, ports), place, standing.of, ports)
    answer.note(arrival)
    screen(arrival.items, answer, standing)
    fail(answer, arrival.failures)
    return answer
