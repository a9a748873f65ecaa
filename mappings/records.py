"""Turn a file or feed of many clients into resources, each client apart, as its map describes the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mappings.engine import CompiledMap
from mappings.formats import delimited
from mappings.formats.fhir_bundle import digest
from mappings.library import records
from mappings.model import Json, Loss, NotMappable, Origin, Translation
from mappings.reading import Reading
from mappings.record_functions import bsn
from mappings.settlements import SETTLEMENTS
from mappings.tables import table
from mappings.v3_settlements import V3_SETTLEMENTS
from profiles.exact import NotExact, decode, encode

_MODES: Final = frozenset({"full", "delta"})


@dataclass(slots=True)
class _Client:
    """What a file says of one client: his nodes, each with its place in the file."""

    identity: str
    facts: tuple[str, str]  # BSN and birth date as written
    nodes: list[tuple[str, Json]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


@dataclass(slots=True)
class _File:
    clients: dict[str, _Client] = field(default_factory=dict)
    strays: list[Json] = field(default_factory=list)  # of no client
    losses: list[Loss] = field(default_factory=list)  # why they are strays
    facts: dict[str, str] = field(default_factory=dict)

    def _stray(self, node: Json, place: str, reason: str) -> None:
        self.strays.append(node)
        self.losses.append(Loss(place, "invalid", reason))

    def add(self, node: Json, place: str, names: Json) -> _Client | None:
        """File a node under its client, known by number, else by BSN; a second birth date is never guessed away."""
        number, national = (_text(node, names.get(name, "")) for name in ("key", "bsn"))
        identity = number or bsn(national)
        if not identity:
            self._stray(node, place, "no client number and no BSN that passes the eleven-test")
            return None
        facts = (bsn(national), _text(node, names["birth"]))
        known = self.clients.setdefault(identity, _Client(identity, facts))
        if known.facts != facts:
            self._stray(node, place, "BSN or birth date is not that of the earlier rows of this client")
            return None
        known.nodes.append((place, node))
        return known


def translate_records(body: bytes, format_: str, origin: Origin, name: str = "") -> tuple[Translation, ...]:
    """Make one translation for each client of a file; what belongs to no client comes last, without resources.

    Raises:
        NotMappable: no such map, or the file is not as the map describes it.
    """
    chosen, (header, maps) = _map(format_, name)
    file = _READERS[format_](body, header)
    shared = {**file.facts, "clients": str(len(file.clients)), "contact": str(header.get("contact", False)).lower()}
    label = f"{format_}/{chosen}"
    found = [_translated(one, maps, origin, label, header, shared) for one in file.clients.values()]
    if file.losses or not found:
        rest = Translation(losses=tuple(file.losses), map=label, version=header["version"], facts=shared)
        found.append(rest)
    return tuple(found)


def split_records(body: bytes, format_: str, name: str = "") -> tuple[bytes, ...]:
    """Take a file apart into files of one client each, which the same map reads again; what is of no client comes last.

    Raises:
        NotMappable: as `translate_records`.
    """
    _, (header, _) = _map(format_, name)
    file = _READERS[format_](body, header)
    groups = [[node for _, node in client.nodes] for client in file.clients.values()]
    groups += [[one] for one in file.strays]
    return tuple(_WRITERS[format_](group, header, file.facts) for group in groups) if len(groups) > 1 else (body,)


def _file_of(rows: list[Json], header: dict[str, Any], facts: dict[str, str]) -> bytes:
    return delimited.write(rows, header, facts.get("written", ""))


def _feed_of(clients: list[Json], header: dict[str, Any], facts: dict[str, str]) -> bytes:
    made: Json = {header["mode"]: facts["coverage"], header["clients"]: clients}
    if header.get("count"):
        made[header["count"]] = len(clients)
    if "written" in facts:
        made[header["written"]] = facts["written"]
    return encode(made)


def joined(parts: tuple[Translation, ...]) -> Translation:
    """See the clients of a file as one translation, for showing; to store, each client is taken apart."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    facts = {name: value for name, value in first.facts.items() if name != "client"}
    return Translation(
        tuple(one for part in parts for one in part.resources),
        tuple(one for part in parts for one in part.keys),
        tuple(one for part in parts for one in part.losses),
        first.map,
        first.version,
        facts,
    )


def _map(format_: str, name: str) -> tuple[str, tuple[dict[str, Any], tuple[CompiledMap, ...]]]:
    known = records(format_)
    wanted = name.removeprefix(f"{format_}/") or (next(iter(known)) if len(known) == 1 else "")
    if wanted not in known:
        message = f"name the map of this file; possible are {', '.join(f'{format_}/{one}' for one in known)}"
        raise NotMappable(message, "map")
    return wanted, known[wanted]


def _delimited(body: bytes, header: dict[str, Any]) -> _File:
    content = delimited.read(body, header)
    file = _File(facts={"coverage": header["mode"]})
    if len(content.end) > 2 and content.end[2]:
        file.facts["written"] = content.end[2]
    for number, row in content.rows:
        place = f"row[{number}]"
        client = file.add(row, place, header["client"])
        for column, kinds in header.get("kinds", {}).items():
            if client and row.get(column) not in kinds:
                client.losses.append(Loss(f"{place}.{column}", "unknown-code", "a kind of row the map does not know"))
    return file


def _feed(body: bytes, header: dict[str, Any]) -> _File:
    delimited.decoded(body, header["encoding"])
    try:
        root = decode(body)
    except NotExact as error:
        raise NotMappable(str(error)) from None
    clients = root.get(header["clients"])
    if not isinstance(clients, list):
        message = f"expected a list '{header['clients']}'"
        raise NotMappable(message, header["clients"])
    count = header.get("count", "")
    if count and root.get(count) != len(clients):
        message = f"'{count}' does not count the {len(clients)} clients there are: the feed is not complete"
        raise NotMappable(message, count)
    mode = root.get(header["mode"])
    if mode not in _MODES:
        message = f"'{header['mode']}' must be full or delta"
        raise NotMappable(message, header["mode"])
    file = _File(facts={"coverage": mode})
    if isinstance(root.get(header.get("written", "")), str):
        file.facts["written"] = root[header["written"]]
    for number, client in enumerate(clients):
        place = f"{header['clients']}[{number}]"
        missing = [name for name in header["fields"] if not isinstance(client, dict) or name not in client]
        if missing:
            message = f"expected '{missing[0]}', found no such field"
            raise NotMappable(message, place)
        file.add(client, place, header["client"])
    return file


_WRITERS: Final[dict[str, Callable[[list[Json], dict[str, Any], dict[str, str]], bytes]]] = {
    "csv": _file_of,
    "json": _feed_of,
}
_READERS: Final[dict[str, Callable[[bytes, dict[str, Any]], _File]]] = {"csv": _delimited, "json": _feed}


def _text(node: Json, name: str) -> str:
    value = node.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _translated(
    client: _Client,
    maps: tuple[CompiledMap, ...],
    origin: Origin,
    label: str,
    header: dict[str, Any],
    facts: dict[str, str],
) -> Translation:
    resources: list[Json] = []
    keys: list[str] = []
    losses = list(client.losses)
    patient = ""
    for place, node in client.nodes:
        reading = Reading(node, origin, links={"Patient": patient} if patient else {})
        for compiled, source in _nodes(reading, node, maps):
            definition = compiled.definition
            made = compiled.run(reading, source)
            if definition.target == "Patient" and patient:
                continue
            missing = [name for name in definition.requires if name not in made]
            if missing:
                losses.append(Loss(place, "invalid", f"no {definition.target} without {', '.join(missing)}"))
                continue
            for after in definition.after:
                {**SETTLEMENTS, **V3_SETTLEMENTS}[after](reading, source, made)
            identity = _identity(compiled, reading, source, client.identity)
            if f"{definition.target}/{identity}" in keys:
                losses.append(Loss(place, "dropped", "a second item with the same number; the first is kept"))
                continue
            made["id"] = identity
            base = table("maps/fhir-r4/profiles.yaml")["base"]
            made["meta"] = {"profile": [base + definition.profile]}
            key = f"{definition.target}/{identity}"
            if definition.target == "Patient":
                patient = reading.links["Patient"] = key
            resources.append(made)
            keys.append(key)
        losses.extend(reading.losses(place, frozenset(header.get("kinds", {}))))
    return Translation(
        tuple(resources), tuple(keys), tuple(losses), label, header["version"], {**facts, "client": patient}
    )


def _nodes(reading: Reading, node: Json, maps: tuple[CompiledMap, ...]) -> Iterator[tuple[CompiledMap, Json]]:
    """Pair each map with the nodes it takes: the client himself, and the items of each list."""
    for compiled in maps:
        source = compiled.definition.source
        found = [node] if source in {".", "row"} else node.get(source, [])
        for one in found if isinstance(found, list) else []:
            if isinstance(one, dict) and all(reading.holds(claim, one) for claim in compiled.definition.when):
                yield compiled, one


def _identity(compiled: CompiledMap, reading: Reading, node: Json, client: str) -> str:
    """Name a resource by its client and its own number, else by its content."""
    definition = compiled.definition
    own = [str(container[key]) for place in definition.key for container, key in reading.slots(node, place, looking=True)]  # fmt: skip
    for place in definition.key:
        for container, key in reading.slots(node, place):
            reading.take(container, key)
    if definition.target == "Patient":
        own = [client]
    text = "\x1f".join(own) if own else repr(sorted((name, str(value)) for name, value in node.items()))
    return digest(f"{reading.origin.source}\x1f{definition.target}\x1f{client}\x1f{text}".encode())
