"""Under which words a record is found, which words a question asks for, and how words are kept for many records at once. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from gateway.audit.record import Record, outcome_of
from gateway.audit.tally import marks
from gateway.logged import AuditQuery

BUCKETS: Final = 128
_KEY: Final = 8
_COUNT: Final = struct.Struct(">H")
_ONCE: Final = struct.Struct(">HH")

Wanted = Sequence[Sequence[str]]  # all of these, of each one


class Postings:
    """Which of some consecutive records have which words. Most records share most of their words with others."""

    def __init__(self) -> None:
        self._shared: dict[tuple[bytes, ...], list[int]] = {}
        self._own: dict[bytes, list[int]] = {}

    def add(self, place: int, record: Record, marked: Iterable[str]) -> None:
        """Add a record at its place; `marked`: what leads to it in overviews."""
        shared, own = self._shared, self._own
        shared.setdefault(_usual_keys(*_usual_parts(record)), []).append(place)
        holders = [_held_keys(asked.custodian, asked.source) for asked in record.custodians]
        for keys in holders if len(holders) < 2 else dict.fromkeys(holders):
            shared.setdefault(keys, []).append(place)
        own.setdefault(_digest(f"request/{record.request}"), []).append(place)
        for word in {*_items(record), *marked}:
            own.setdefault(key_of(word), []).append(place)

    def packed(self) -> dict[int, bytes]:
        """Keys with their places as bytes for each bucket; such bytes may be put one behind the other."""
        places, self._own = self._own, {}
        for keys, own in self._shared.items():
            for key in keys:
                places.setdefault(key, []).extend(own)
        found: dict[int, list[bytes]] = {}
        for key, own in places.items():
            count = len(own)
            tail = _ONCE.pack(1, own[0]) if count == 1 else struct.pack(f">{count + 1}H", count, *own)
            found.setdefault(bucket_of(key), []).append(key + tail)
        return {bucket: b"".join(entries) for bucket, entries in found.items()}


def words_of(record: Record) -> set[str]:
    """Everything a record is found by."""
    return {*_plain_words(record), *marks(record)}


def wanted(query: AuditQuery) -> Wanted:
    """The words a question asks for, what few records have first."""
    patients, entity = query.patients, query.entity
    if entity.startswith("Patient/"):
        named = entity.removeprefix("Patient/")
        patients, entity = (named,) if not patients or named in patients else ("-",), ""
    asked: tuple[tuple[str, Sequence[str]], ...] = (
        ("request", _one(query.request)),
        ("patient", patients),
        ("entity", _one(entity)),
        (query.mark, query.parties or ("",) if query.mark else ()),
        ("agent", _one(query.agent)),
        ("site", _one(query.site)),
        ("custodian", _one(query.custodian)),
        ("party", _one(query.organization)),
        ("requester", _one(query.requester)),
        ("party", query.parties),
        ("purpose", query.purposes),
        ("interaction", query.interactions),
        ("policy", _one(query.policy)),
        ("kind", query.kinds),
        ("action", query.actions),
        ("outcome", query.outcomes),
    )
    return [[f"{kind}/{text}" for text in texts] for kind, texts in asked if texts]


def fits(record: Record, words: Wanted) -> bool:
    """Claim that a record has what is asked for; two words may have one key."""
    plain = set(_plain_words(record))
    rest = [some for some in words if plain.isdisjoint(some)]
    return not rest or all(not set(marks(record)).isdisjoint(some) for some in rest)


@lru_cache(maxsize=32_768)
def key_of(word: str) -> bytes:
    """The digest a word is kept by."""
    return _digest(word)


def bucket_of(key: bytes) -> int:
    """Where a key is kept."""
    return key[0] * BUCKETS >> 8


def places_of(key: bytes, raw: bytes) -> Iterator[int]:
    """The places a key has in the bytes of its bucket."""
    at = raw.find(key)
    while at >= 0:
        start = at + _KEY + _COUNT.size
        count = _COUNT.unpack_from(raw, at + _KEY)[0] if start <= len(raw) else 0
        end = start + 2 * count
        if not count or end > len(raw):  # these bytes stood there by chance
            at = raw.find(key, at + 1)
            continue
        yield from struct.unpack_from(f">{count}H", raw, start)
        at = raw.find(key, end)


def _one(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _plain_words(record: Record) -> Iterator[str]:
    """Everything but what overviews mark."""
    yield from _usual(*_usual_parts(record))
    for asked in record.custodians:
        yield from _held(asked.custodian, asked.source)
    yield f"request/{record.request}"
    yield from _items(record)


def _digest(word: str) -> bytes:
    return blake2b(word.encode(), digest_size=_KEY).digest()


def _usual_parts(record: Record) -> tuple[str, ...]:
    return (
        record.organization, record.kind, record.action, outcome_of(record), record.interaction, record.purpose,
        record.policy, record.person, record.responsible, record.client,
    )  # fmt: skip


@lru_cache(maxsize=8_192)
def _usual(
    organization: str, kind: str, action: str, outcome: str, interaction: str, purpose: str, policy: str, *agents: str
) -> tuple[str, ...]:
    """What many records have in common: who asked, and what kind of question it was."""
    found = [
        f"requester/{organization}",
        f"party/{organization}",  # "party/" is the operator's: start, stop, commands, unknown callers
        f"kind/{kind}",
        f"action/{action}",
        f"outcome/{outcome}",
        f"interaction/{interaction}",
        f"purpose/{purpose}",
        f"policy/{policy}",
    ]
    for agent in agents:
        if agent:  # whoever asks may know the number and not its system
            found += [f"agent/{agent}", f"agent/{agent.rpartition('|')[2]}"]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=8_192)
def _usual_keys(*parts: str) -> tuple[bytes, ...]:
    return tuple(map(_digest, _usual(*parts)))


def _held(custodian: str, source: str) -> tuple[str, ...]:
    return f"party/{custodian}", f"custodian/{custodian}", f"site/{source}"


@lru_cache(maxsize=8_192)
def _held_keys(custodian: str, source: str) -> tuple[bytes, ...]:
    return tuple(map(_digest, _held(custodian, source)))


def _items(record: Record) -> Iterator[str]:
    """What few records have: the patient, the case, what was written, what was shown."""
    yield f"patient/{record.patient}"
    if record.case:
        yield f"entity/Task/{record.case}"
    if record.object:
        yield f"entity/{record.object.partition('/_history/')[0]}"
    for asked in record.custodians:
        for shown in asked.shown:
            yield f"entity/{shown.type}/{shown.id}"
