"""A searchset Bundle: items spliced as they are, one outcome entry per source that did not answer fully, truthful links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final
from urllib.parse import quote, urlencode
from uuid import UUID, uuid5

import msgspec

from consent.disclosure import sentence, visibility
from consent.model import Visibility
from gateway.errors import Unavailable
from gateway.fhir.outcome import issue, outcome
from gateway.fhir.searching import cursors
from gateway.fhir.searching.understanding import Search
from gateway.model import Answer, Item, Json, Told
from gateway.ports import Keys
from gateway.standing import Standing
from profiles import exact

_TEXTS: Final = {
    "failed": (
        "{name} did not answer for {what} ({why}); this list is incomplete",
        "{name} antwoordde niet voor {what} ({why}); deze lijst is onvolledig",
    ),
    "refused": ("{name} was not asked for {what}: {why}", "{name} is niet bevraagd voor {what}: {why}"),
    "anonymous": ("there may be more", "er kan meer zijn"),
    "incident": (
        "{count} item(s) of {name} could not be shown safely",
        "{count} item(s) van {name} niet veilig te tonen",
    ),
    "masked": ("{count} item(s) of {name} are masked", "{count} item(s) van {name} zijn afgeschermd"),
    "stale": (
        "{name} has not sent anything for longer than expected; its items may be out of date",
        "{name} heeft langer niets gestuurd dan verwacht; gegevens mogelijk verouderd",
    ),
    "not-followed": (
        "references of items lead to what no source gave or may be seen; an item counts as not found where that decides",
        "verwijzingen leiden naar wat geen bron gaf of niet gezien mag worden; waar dat beslist telt een item als niet gevonden",
    ),
    "left-out": (
        "left out, because this token does not cover it: {names}",
        "weggelaten, omdat dit token het niet dekt: {names}",
    ),
    "ignored": ("ignored as asked (handling=lenient): {names}", "genegeerd zoals gevraagd (handling=lenient): {names}"),
}


_PRIVACY: Final = "Consent"
_OUTCOMES: Final = UUID("0d1f5f0c-6b0a-5b1e-9d0e-51a6c1c9a7d4")
_NONE: Final[Mapping[str, Sequence[Json]]] = {}


@dataclass(frozen=True, slots=True)
class Page:
    """The items of one page and how to get the next."""

    items: Sequence[Item]
    total: int
    next: str = ""


def page(items: list[Item], search: Search, client: str, scope: str, keys: Keys) -> Page:
    """Cut one page where a count was given; a page starts after the last item of the one before, so it is stable under change.

    INVARIANT: a cursor is bound to client and search; it proves nothing about permission, which is decided again.

    Raises:
        Invalid: `invalid-parameter` for a cursor of another client or search.
    """
    if search.only_counts:
        return Page((), len(items))
    start = 0
    if search.cursor:
        start = cursors.position(items, cursors.opened(search.cursor, client, scope, keys), search.sort)
    if search.count is None:
        return Page(items[start:], len(items))
    cut = items[start : start + search.count]
    more = start + search.count < len(items)
    following = cursors.cursor(cut[-1], search.sort, client, scope, keys) if more else ""
    return Page(cut, len(items), following)


def searchset(
    shown: Page,
    url: str,
    used: Sequence[tuple[str, str]],
    outcomes: Sequence[Json],
    base: str,
    *,
    included: Sequence[Json] = (),
    links: Mapping[str, Sequence[Json]] = _NONE,
    total: bool = True,
) -> bytes:
    """The Bundle as bytes; items are never parsed and written again. `included` are whole entries, `links` those of an item."""
    query = _query(tuple(used))
    made = [{"relation": "self", "url": f"{url}?{query}" if used else url}]
    if shown.next:
        made.append({"relation": "next", "url": f"{url}?{query}{'&' if used else ''}_cursor={shown.next}"})
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": shown.total, "link": made}
    if not total:
        del bundle["total"]
    place = exact.encode(f"{base}/fhir/")[:-1]
    entries = [
        exact.encode(entry(item, base, "match", links.get(item.id, ())))
        if item.marks or item.id in links
        # most are plain, and those are not built to be written
        else b'{"fullUrl":%b%b/%b","resource":%b,"search":{"mode":"match"}}'
        % (place, item.type.encode(), item.id.encode(), item.raw)
        for item in shown.items
    ]
    entries += [exact.encode(one) for one in (*included, *outcome_entries(outcomes))]
    head = exact.encode(bundle)
    return b"".join((head[:-1], b',"entry":[', b",".join(entries), b"]}")) if entries else head


def entry(item: Item, base: str, mode: str, links: Sequence[Json] = ()) -> Json:
    """One entry of a searchset, with the bytes of the item as they are."""
    made: Json = {"link": list(links)} if links else {}
    made["fullUrl"] = f"{base}/fhir/{item.type}/{item.id}"
    made["resource"] = msgspec.Raw(item.raw)
    made["search"] = {"mode": mode}
    if item.marks:
        made["extension"] = item.noticed()
    return made


def outcome_entries(outcomes: Sequence[Json]) -> list[Json]:
    """Outcome entries, each with a name of its own: the same for the same words, so that it tells nothing else."""
    return [
        {"fullUrl": _outcome_name(f"{number} {remark}"), "resource": remark, "search": {"mode": "outcome"}}
        for number, remark in enumerate(outcomes)
    ]


@lru_cache(maxsize=256)
def _outcome_name(words: str) -> str:
    return uuid5(_OUTCOMES, words).urn


@lru_cache(maxsize=512)
def _query(used: tuple[tuple[str, str], ...]) -> str:
    return urlencode(used, quote_via=quote, safe="|/:,$")


def remarks(
    answers: Sequence[Answer],
    search: Search | None,
    standing: Standing,
    overrides: Mapping[str, Visibility],
    language: str,
) -> list[Json]:
    """One outcome entry per source that did not answer fully, as far as the caller may know (rule A2)."""
    found: list[Json] = []
    anonymous = False
    for answer in sorted(answers, key=lambda answer: (answer.custodian.organization, answer.source)):
        issues, hidden = _of_source(answer, overrides, language)
        anonymous = anonymous or hidden
        if issues:
            found.append(outcome(*issues))
    if anonymous:
        found.append(outcome(issue("information", "suppressed", "consent-refused", _text("anonymous", language))))
    fixed = sentence(standing.caller.requester.role, language)
    if fixed:
        found.append(_may_be_more(fixed))
    if search is not None and search.ignored:
        text = _text("ignored", language, names=", ".join(search.ignored))
        found.append(outcome(issue("warning", "not-supported", "unknown-parameter", text)))
    return found


@cache
def _may_be_more(fixed: str) -> Json:
    return outcome(issue("information", "informational", "may-be-more", fixed))


def refuse_silence(answers: Sequence[Answer], overrides: Mapping[str, Visibility]) -> None:
    """Never an empty list that reads as "none": when nobody could answer, say that instead.

    Raises:
        Unavailable: `decision-unavailable` when nothing could be decided, `sources-unavailable` when every source failed.
    """
    if any(told.state == "answered" for answer in answers for told in answer.told.values()):
        return
    refuse_undecided(answers, overrides)
    told = _countable(answers, overrides)
    if told and all(one.state == "failed" and one.failure != "not-asked" for one in told):
        raise Unavailable("sources-unavailable")


def refuse_undecided(answers: Sequence[Answer], overrides: Mapping[str, Visibility]) -> None:
    """Say so when nothing at all could be decided (rule A3).

    Raises:
        Unavailable: `decision-unavailable`.
    """
    told = _countable(answers, overrides)
    if told and all(one.failure == "not-checkable" for one in told):
        raise Unavailable("decision-unavailable")


def _countable(answers: Sequence[Answer], overrides: Mapping[str, Visibility]) -> list[Told]:
    """What may show in a status. INVARIANT: a silent refusal does not, or it would turn one status into another (A2)."""
    return [
        told
        for answer in answers
        for told in answer.told.values()
        if told.decision is None or visibility(told.decision, answer.custodian.facility_type, overrides) != "silent"
    ]


def _of_source(answer: Answer, overrides: Mapping[str, Visibility], language: str) -> tuple[list[Json], bool]:
    issues: list[Json] = []
    hidden = False
    groups: dict[tuple[str, str], list[str]] = {}
    for category, told in answer.told.items():
        if category == _PRIVACY and told.state == "refused":
            continue  # what was said about sharing is kept and read here: nobody was to be asked for it
        if told.state == "failed" and (told.decision is None or told.decision.permitted):
            groups.setdefault(("failed", told.failure), []).append(category)
        elif told.state != "answered" and told.decision is not None:
            seen = visibility(told.decision, answer.custodian.facility_type, overrides)
            hidden = hidden or seen == "anonymous"
            if seen == "named":
                why = told.failure or (told.decision.reasons[0].code if told.decision.reasons else "refused")
                groups.setdefault(("failed" if told.state == "failed" else "refused", why), []).append(category)
    for (kind, why), categories in groups.items():
        text = _text(kind, language, name=answer.custodian_name, what=", ".join(sorted(categories)), why=why)
        issues.append(issue("warning", "incomplete" if kind == "failed" else "suppressed", f"source-{kind}", text, why))
    masked = sum(incident.code == "masked" for incident in answer.incidents)
    if masked:
        text = _text("masked", language, name=answer.custodian_name, count=str(masked))
        issues.append(issue("information", "suppressed", "item-masked", text))
    kept_out = [
        incident
        for incident in answer.incidents
        if incident.code in {"malformed-item", "unknown-modifier", "no-patient"}
    ]
    if kept_out:
        text = _text("incident", language, name=answer.custodian_name, count=str(len(kept_out)))
        issues.append(issue("warning", "incomplete", "item-kept-out", text))
    if answer.stale:
        issues.append(
            issue("warning", "incomplete", "source-stale", _text("stale", language, name=answer.custodian_name))
        )
    return issues, hidden


def remark(key: str, code: str, language: str, **words: str) -> Json:
    """An outcome entry about the search itself, not about one source."""
    kind = {"not-followed": "incomplete", "left-out": "suppressed"}[key]
    return outcome(issue("warning", kind, code, _text(key, language, **words)))


def _text(key: str, language: str, **words: str) -> str:
    return _TEXTS[key][1 if language == "nl" else 0].format(**words)
