"""`gateway audit prove ID` and `gateway audit replay ID`: one record, proven to an outsider or read back to an inquiry."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.audit.checkpoints import name_of, tree_in
from gateway.audit.merkle import entry_of, inclusion_proof, leaf_hash
from gateway.audit.proof import Proof
from gateway.audit.record import decode
from gateway.audit.replay import Replay, SourceReplay, as_tree, counted, replay, state_text
from gateway.commands.audit_verify import OpenedLog, opened
from gateway.crypto.notes import Note
from gateway.errors import StartError
from gateway.logged import AuditQuery, Logged, RecordId
from gateway.storage.audit_lookup import AuditLookup
from gateway.storage.instants import to_micros
from gateway.summary.sections import SECTIONS

_ALWAYS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
_MOST = 200


def prove_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    _common(parser)
    parser.set_defaults(run=prove)


def replay_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    _common(parser)
    parser.add_argument("--json", action="store_true", help="for a program")
    parser.set_defaults(run=show)


def prove(options: argparse.Namespace) -> int:
    """Print the proof of one record; docs/audit.md has the script that checks it."""
    print(asyncio.run(_prove(options)).text(), end="")
    return 0


def show(options: argparse.Namespace) -> int:
    """Tell what was and what was not on screen."""
    found, patient = asyncio.run(_replay(options))
    options.patient_id = patient
    text = json.dumps(as_tree(found), ensure_ascii=False, indent=2) if options.json else "\n".join(_told(found))
    options.answer = text + "\n"  # printed when the look itself is on the record
    return 0


async def _prove(options: argparse.Namespace) -> Proof:
    async with opened(options) as log:
        records = await _records(log, options.id)
        logged = records[0]
        if len(records) > 1:
            others = ", ".join(str(one.id) for one in records[1:])
            print(f"gateway: this is {logged.id}; the request also left {others}", file=sys.stderr)
        at, sequence = (logged.id.log, logged.id.epoch), logged.id.sequence
        note = await _checkpoint(log, at, sequence)
        size = tree_in(note.text)[1]
        nodes = await log.trees.nodes(at, size, sequence - 1)
        entry = entry_of(to_micros(logged.at), logged.body)
        proof = Proof(entry, sequence - 1, tuple(inclusion_proof(sequence - 1, size, nodes)), note)
        if nodes.leaf(sequence) != leaf_hash(entry):
            message = f"record {logged.id} is not as it was written: run gateway audit verify"
            raise StartError(message, 1)
        return proof


async def _checkpoint(log: OpenedLog, at: tuple[int, int], sequence: int) -> Note:
    """The newest checkpoint with the record in it, one that a witness signed if there is such a one."""
    candidates = [raw for _, raw in await log.trees.cosignatures()]
    newest = await log.trees.last_note(at)
    for raw in (*candidates, *([newest] if newest else [])):
        note = Note.parse(raw)
        origin, size, _ = tree_in(note.text)
        if origin.endswith(f"/{name_of(at)}") and size >= sequence:
            return note
    message = f"record {name_of(at)}.{sequence} is in no checkpoint yet; a serving gateway signs one every second"
    raise StartError(message)


async def _replay(options: argparse.Namespace) -> tuple[Replay, str]:
    async with opened(options) as log:
        records = await _records(log, options.id)
        first = decode(records[0].body)
        if first.request and len(records) == 1:
            records = await _of_request(log, first.request) or records
        found = replay(decode(one.body) for one in reversed(records))
        if found is None:
            message = f"'{options.id}' is a record of kind '{first.kind}': nothing was on a screen"
            raise StartError(message, 1)
        return found, found.record.patient


async def _records(log: OpenedLog, text: str) -> list[Logged]:
    """The record of an id, or those of a request, the last first."""
    lookup = AuditLookup(log.database)
    try:
        one = await lookup.get(RecordId.parse(text))
        found = [one] if one else []
    except ValueError:
        found = await _of_request(log, text)
    if not found:
        message = f"no record with id or request id '{text}'; it may have been retired after its time"
        raise StartError(message, 1)
    return found


async def _of_request(log: OpenedLog, request: str) -> list[Logged]:
    start, end = _ALWAYS
    found, _ = await AuditLookup(log.database).find(AuditQuery(start=start, end=end, request=request), _MOST)
    return found


def _told(found: Replay) -> Iterator[str]:
    record = found.record
    yield f"{record.at}  {record.interaction} {record.type}".rstrip() + f", request {record.request}"
    yield f"asked by {record.person or record.client} ({record.role or 'no role'}) of {record.organization}, for {record.purpose or 'no purpose'}"
    if found.unknown:
        yield "what became of it is not known: the sources below were going to be asked, and no outcome was recorded"
    elif not found.given:
        yield f"NOTHING was on screen: {record.status} {record.error} {', '.join(record.reasons)}".rstrip()
    else:
        yield f"answered with status {record.status}, under policy {record.policy}"
    for one in found.sources:
        yield ""
        yield from _source(one, found)


def _source(one: SourceReplay, found: Replay) -> Iterator[str]:
    basis = ", ".join(
        part for part in (one.rule and f"agreement {one.rule}", one.consent and f"consent {one.consent}") if part
    )
    yield f"custodian {one.custodian}, source {one.source}" + (f" ({basis})" if basis else "")
    if found.unknown and not one.states:
        return
    if one.shown:
        yield "  on screen: " + ", ".join(f"{count} {type_}" for type_, count in counted(one.shown))
        for item in one.shown:
            yield f"    {item.type}/{item.id} version {item.version} digest {item.digest}".removesuffix(" digest ")
    else:
        yield "  on screen: nothing"
    for category, state in sorted(one.states.items()):
        yield f"  {_category(category)}: {state_text(state)}"
    for incident in one.incidents:
        yield f"  dropped: {incident}"
    if one.losses:
        yield f"  {one.losses} element(s) of the source had no place in the answer"


def _category(category: str) -> str:
    titles = [section.titles["en"] for section in SECTIONS if category in section.categories]
    return f"{category} (section {', '.join(titles)})" if titles else category


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="of a record, such as 1.1.42, or of a request (X-Request-Id)")
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
