"""The straight line: every question runs through `retrieve`; what flows in runs through its sibling `gateway.intake`.

recorded( authenticate → authorize → identify → localize → permitted → intent → ask* → informed again → assemble )
ask*, per custodian, at the same time, under one deadline:  fetch → translate → screen
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from gateway.arrival import arrive
from gateway.audit.emergency import broken, looked_at
from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.authorization import authorize, consult, inform, informed_again, perceptible
from gateway.identification import confirm, identify
from gateway.localization import localize
from gateway.model import Answer, Arrival, Incoming, Outgoing, Place, Question
from gateway.ports import Ports
from gateway.retrieval import deadline_of, fetch, held, issued, permitted, shared
from gateway.screening import fail, screen, screen_again, vouch
from gateway.standing import Standing

Read = Callable[[Incoming, Ports], Question]
Plan = tuple[Place, Answer]  # a place, and which of its categories may be asked
Assemble = Callable[[Standing, Sequence[Answer], Incoming, Ports], Outgoing]


async def retrieve(
    incoming: Incoming, interaction: str, type_: str, read: Read, assemble: Assemble, ports: Ports
) -> Outgoing:
    """Answer one question lawfully, or refuse it; either way it is on the record before a byte leaves.

    Raises:
        GatewayError: everything the outside may see, see `gateway.errors`.
    """
    async with recorded(incoming, ports, interaction, "E" if "search" in interaction else "R", type_) as record:
        record.caller = caller = await authenticate(incoming, ports)
        question = read(incoming, ports)
        record.query, record.patient = question.names, question.patient  # a refusal is about a patient too
        standing = await authorize(caller, question, ports)
        identified = await identify(question, ports)
        record.patient, standing.held = identified.patient, identified.held
        patient = identified.patient
        await inform(standing, patient, ports)
        record.case = standing.case.id if standing.case else ""
        places = await localize(identified, question, ports)
        await consult(standing, places, ports)
        plans = [(place, permitted(place, standing)) for place in places]
        if caller.emergency is not None:
            await broken([place for place, answer in plans if answer.open_categories], patient.id, record, ports)
        if remote := [place for place, answer in plans if not place.held and answer.open_categories]:
            await record.intent([(place.custodian.organization, place.source_id) for place in remote])
        record.answers = answers = [answer async for answer in ask(plans, standing, ports)]
        if await informed_again(standing, ports):
            screen_again(answers, standing)
        answers = await confirm(patient, answers, ports)
        if protected := vouch(answers, patient.id):
            await looked_at(protected, patient.id, record, ports)
        if (quality := ports.quality) is not None:
            quality.mark(answers)
        outgoing = assemble(standing, perceptible(answers, ports), incoming, ports)
        record.status, record.issued = outgoing.status, issued(answers, places, standing.facts.now)
        if quality is not None:
            quality.offer(answers, outgoing if interaction == "summary" else None)
        return outgoing


async def ask(plans: Sequence[Plan], standing: Standing, ports: Ports) -> AsyncIterator[Answer]:
    """Ask every place that may be asked, at the same time; yield each answer as it comes. Who stops listening cancels them."""
    if len(plans) == 1:  # a read by id, or a patient known in one place: no task needed
        yield await _answer(*plans[0], standing, ports)
        return
    tasks = [asyncio.ensure_future(_answer(place, answer, standing, ports)) for place, answer in plans]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in tasks:
            task.cancel()


async def _answer(place: Place, answer: Answer, standing: Standing, ports: Ports) -> Answer:
    if place.held and answer.open_categories:
        screen(await held(place, standing, answer, ports), answer, standing)
    if place.held or not answer.open_categories:
        return answer

    async def arrived() -> Arrival:
        until = deadline_of(place, ports)
        parts = await fetch(place, answer.open_categories, standing, ports, until)
        return await arrive(parts, place, standing.of, ports, until)

    arrival = await shared(arrived, place, answer.open_categories, standing, ports)
    answer.note(arrival)
    screen(arrival.items, answer, standing)
    fail(answer, arrival.failures)
    return answer
