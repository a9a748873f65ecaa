"""What a source sent becomes Items: translated, proven to be of this patient, given gateway ids, stamped with its origin."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable
from typing import Final

from consent.categories import category_of, labels_of
from gateway.membership import SUPPORTING, owners, supports
from gateway.model import CANONICAL, Arrival, Failure, Incident, Item, Json, Patient, Payload, Place
from gateway.ports import Keys, Ports
from mappings.attribution import losses_of
from mappings.model import NotMappable, Origin, Translation
from mappings.translation import translate
from profiles import exact
from profiles.identifiers import URA_SYSTEM
from profiles.narrative import clean
from profiles.validation import accepts, validate

log: Final = logging.getLogger("gateway.arrival")

# From how many bytes a translation is not done in the event loop; R4 is hardly translated at all.
_HEAVY_BYTES: Final = {"cda": 0, "hl7v3": 0, "hl7v2": 32_768, "fhir-stu3": 131_072, "csv": 131_072, "json": 131_072}
_LEAST_SECONDS: Final = 0.25  # what came at the last moment is still read
FETCHED_AT: Final = f"{CANONICAL}/StructureDefinition/fetched-at"
_RELATIVE: Final = re.compile(r"([A-Z][A-Za-z]{2,40})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_ENTRY: Final = re.compile(r"entry\[\d+\]")
_DATES: Final = (
    "effectiveDateTime",
    "effectivePeriod",
    "onsetDateTime",
    "onsetPeriod",
    "occurrenceDateTime",
    "performedDateTime",
    "performedPeriod",
    "authoredOn",
    "whenHandedOver",
    "dateTime",
    "date",
    "period",
    "timingDateTime",
    "recordedDate",
    "issued",
    "recorded",
)
# Where a resource most often refers: to whom it is about, and in which contact.
_TOP: Final = ("subject", "patient", "encounter", "beneficiary")
_RECORDED: Final = ("recordedDate", "dateAsserted", "authoredOn", "issued", "recorded", "dateTime", "date")


async def arrive(
    parts: list[Payload | Failure], place: Place, patient: Patient, ports: Ports, deadline: float
) -> Arrival:
    """Turn the parts of one pulled source into items of this patient; what cannot be read by the deadline did not come.

    INVARIANT: an item comes out only if its owner is, by the source's own Patient resource, the patient asked for.
    """
    arrival = Arrival(failures=[part for part in parts if isinstance(part, Failure)])
    if any(failure.code == "wrong-patient" for failure in arrival.failures):
        # A source that mistakes one person for another is not believed in anything else it sent (attack 77).
        arrival.incidents.append(Incident("wrong-patient", place.source_id, "Patient"))
        arrival.failures.append(Failure("wrong-patient", "", frozenset({"*"})))
        return arrival
    translations: list[tuple[Translation, str]] = []
    for part in parts:
        if isinstance(part, Failure):
            continue
        origin = Origin(place.custodian.organization, place.source_id, part.fetched)
        try:
            seconds = max(deadline - asyncio.get_running_loop().time(), _LEAST_SECONDS)
            made = await translated(part.body, part.format, origin, "", seconds, ports)
        except NotMappable:
            arrival.failures.append(Failure("malformed", part.query, part.categories))
        except TimeoutError:
            arrival.failures.append(Failure("timeout", part.query, part.categories))
        except Exception:  # a defect in a map costs this part only; logged without content
            log.exception("answer not translated", extra={"source": place.source_id})
            arrival.failures.append(Failure("internal", part.query, part.categories))
        else:
            translations.append((made, part.fetched))
            arrival.format, arrival.fetched = part.format, max(arrival.fetched, part.fetched)
    receive(translations, place, patient, ports.keys, arrival)
    return arrival


async def translated(body: bytes, format_: str, origin: Origin, map_: str, seconds: float, ports: Ports) -> Translation:
    """Translate what came: documents, and all else that is long, where it can be cut off and nothing waits for it.

    Raises:
        NotMappable: the bytes cannot be read as the format.
        TimeoutError: it took longer than `seconds`.
    """
    if ports.translators is None or len(body) < _HEAVY_BYTES.get(format_, len(body) + 1):
        return translate(body, format_, origin, map_)
    return await ports.translators.translate(body, format_, origin, map_, seconds)


def receive(
    translations: list[tuple[Translation, str]], place: Place, patient: Patient, keys: Keys, arrival: Arrival
) -> None:
    """Give every translated resource its identity; foreign and malformed ones become incidents."""
    locals_, foreign = _local_patients(translations, patient)
    if foreign and not locals_:
        arrival.incidents.append(Incident("wrong-patient", place.source_id, "Patient"))
        arrival.failures.append(Failure("wrong-patient", "", frozenset({"*"})))
        return
    stamp = _Stamp(place, patient, keys, locals_)
    seen: set[tuple[str, str]] = set()
    for translation, fetched in translations:
        arrival.losses += len(translation.losses)
        lost = losses_of(translation)
        # A whole entry that could not be read is an item the caller does not see, and must know of (attack 80).
        arrival.incidents += [
            Incident("malformed-item", place.source_id, "Resource", detail=loss.path)
            for loss in translation.losses
            if loss.kind != "note" and _ENTRY.fullmatch(loss.path)
        ]
        arrival.map = f"{translation.map}|{translation.version}" if translation.map else arrival.map
        for resource, native in zip(translation.resources, translation.keys, strict=True):
            found = _kept_out(resource, locals_, patient)
            if found is not None:
                code, detail = found
                arrival.incidents.append(Incident(code, place.source_id, _safe_type(resource), detail=detail))
                continue
            item = stamp.item(resource, native, fetched, arrival.map)
            item.losses = lost.get(native)
            told = (item.id, item.version)
            if told in seen:
                continue  # the same resource through two queries
            seen.add(told)
            arrival.items.append(item)
            if item.type == "Patient":
                arrival.birth_dates += (str(resource.get("birthDate", "")),)


def _local_patients(translations: list[tuple[Translation, str]], patient: Patient) -> tuple[frozenset[str], bool]:
    """The source's own ids of this patient, and whether it also sent somebody else."""
    mine: set[str] = set()
    foreign = False
    for translation, _ in translations:
        for resource, native in zip(translation.resources, translation.keys, strict=True):
            if resource.get("resourceType") != "Patient":
                continue
            if _identifies(resource, patient):
                mine.update({native, f"Patient/{resource.get('id', '')}"})
            else:
                foreign = True
    return frozenset(mine), foreign


def _identifies(resource: Json, patient: Patient) -> bool:
    identifiers = resource.get("identifier")
    return isinstance(identifiers, list) and any(
        isinstance(entry, dict) and entry.get("system") == patient.system and entry.get("value") == patient.value
        for entry in identifiers
    )


def _kept_out(resource: Json, locals_: frozenset[str], patient: Patient) -> tuple[str, str] | None:
    """Why a resource must not go on: an incident code and the element at fault, None when it may."""
    type_ = resource.get("resourceType")
    if type_ == "Patient":
        if f"Patient/{resource.get('id', '')}" not in locals_:
            return "wrong-patient", "Patient.identifier"
    elif not supports(resource):
        named = owners(resource)
        if not named or not all(_is_mine(reference, locals_, patient) for reference in named):
            return ("wrong-patient" if named else "no-patient"), f"{_safe_type(resource)}.subject"
    if not accepts(resource):
        issue = next((issue for issue in validate(resource) if issue.severity in {"error", "fatal"}), None)
        return "malformed-item", issue.expression if issue else ""
    if "contained" in resource and any(
        contained.get("resourceType") == "Patient" and not _identifies(contained, patient)
        for contained in resource["contained"]
    ):
        return "wrong-patient", f"{type_}.contained"
    return None


def _is_mine(reference: Json, locals_: frozenset[str], patient: Patient) -> bool:
    """Claim that a reference leads to this patient; one that also carries the number of another leads nowhere."""
    logical = reference.get("identifier")
    same = None
    if isinstance(logical, dict) and logical.get("system") == patient.system:
        same = logical.get("value") == patient.value
    text = reference.get("reference")
    if not isinstance(text, str):
        return same is True
    if same is False:
        return False
    found = _RELATIVE.search(text)
    return found is not None and f"{found[1]}/{found[2]}" in locals_


def _safe_type(resource: Json) -> str:
    type_ = resource.get("resourceType")
    return type_ if isinstance(type_, str) and type_.isalpha() and len(type_) < 40 else "Resource"


class _Stamp:
    """Gives resources of one source their gateway identity."""

    def __init__(self, place: Place, patient: Patient, keys: Keys, locals_: frozenset[str]) -> None:
        self.place = place
        self.patient = patient
        self.keys = keys
        self.locals = locals_
        self.ids: dict[str, str] = {}
        self.inside: dict[str, str | None] = {}  # nearly every reference of a source is to the one patient
        source = place.source
        self.base = source.url.rstrip("/") + "/" if source is not None and source.url else ""

    def item(self, resource: Json, native: str, fetched: str, map_: str) -> Item:
        """One item: id from custodian and native key, references inside the gateway, meta stamped."""
        type_ = resource["resourceType"]
        category, labels = category_of(resource), labels_of(resource)
        sent = exact.encode(resource)
        version = hashlib.blake2b(sent, digest_size=16).hexdigest()
        id_ = self._id(native)
        resource["id"] = id_
        _point_inside(resource, sent.count(b'"reference":'), self._reference)
        if "text" in resource:
            _clean_narrative(resource)
        # A key that could identify a person is shown as its keyed digest: message numbers, the person's own number.
        shown_native = id_ if self.place.held or native in self.locals or self.patient.value in native else native
        self._meta(resource, shown_native, fetched)
        return Item(
            raw=exact.encode(resource),
            id=id_,
            type=type_,
            patient=self.patient.id,
            custodian=self.place.custodian.organization,
            source=self.place.source_id,
            category=category,
            native=shown_native,
            labels=labels,
            date=_first(resource, _DATES),
            recorded=_first(resource, _RECORDED),
            fetched=fetched,
            version=version,
            map=map_,
            _resource=resource,
        )

    def _id(self, native: str) -> str:
        known = self.ids.get(native)
        if known is None:
            # What only supports others, such as an author, is kept once for each patient it stands with: it goes with them.
            shared = self.place.held and native.partition("/")[0] in SUPPORTING
            named = f"{self.patient.id}|{native}" if shared else native
            known = self.ids[native] = self.keys.item_id(self.place.custodian.organization, named)
        return known

    def _reference(self, text: str) -> str | None:
        """Where a reference of the source points to in the gateway; None when it leads outside."""
        if text not in self.inside:
            self.inside[text] = self._pointed(text)
        return self.inside[text]

    def _pointed(self, text: str) -> str | None:
        if text.startswith("#"):
            return text
        if self.base and text.startswith(self.base):
            text = text[len(self.base) :]
        found = _RELATIVE.fullmatch(text)
        if found is None:
            return None
        native = f"{found[1]}/{found[2]}"
        return f"Patient/{self.patient.id}" if native in self.locals else f"{found[1]}/{self._id(native)}"

    def _meta(self, resource: Json, native: str, fetched: str) -> None:
        meta = resource.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        stamped: Json = {"extension": [{"url": FETCHED_AT, "valueInstant": fetched}]}
        stamped["lastUpdated"] = meta.get("lastUpdated") or fetched
        stamped["source"] = f"urn:roaz:{self.place.source_id}#{native}"
        for name in ("profile", "security"):
            if name in meta:
                stamped[name] = meta[name]
        own = {"system": URA_SYSTEM, "code": self.place.custodian.organization}
        stamped["tag"] = [*[tag for tag in meta.get("tag", ()) if tag.get("system") != URA_SYSTEM], own]
        resource["meta"] = stamped


def _point_inside(resource: Json, named: int, reference: Callable[[str], str | None]) -> None:
    """Point every Reference into the gateway.

    `named` bounds how many there are, from the bytes; nearly always they all stand at the top, and the tree is not walked.
    """
    top = [
        child
        for name in _TOP
        if (child := resource.get(name)).__class__ is dict and child.get("reference").__class__ is str
    ]
    if len(top) < named:
        _rewrite(resource, reference)
        return
    for child in top:
        _rewrite_one(child, reference)


def _rewrite_one(node: Json, reference: Callable[[str], str | None]) -> None:
    """One that leads outside keeps its identifier and display only."""
    inside = reference(node["reference"])
    if inside is None:
        del node["reference"]
        node.setdefault("display", "elders vastgelegd")
    else:
        node["reference"] = inside


def _rewrite(node: Json, reference: Callable[[str], str | None]) -> None:
    if node.get("reference").__class__ is str:
        _rewrite_one(node, reference)
    for child in node.values():
        if child.__class__ is dict:
            _rewrite(child, reference)
        elif child.__class__ is list:
            for element in child:
                if element.__class__ is dict:
                    _rewrite(element, reference)


def _clean_narrative(resource: Json) -> None:
    """Foreign narrative goes on only when it is safe (attack 123); generated text of a source is dropped."""
    text = resource.get("text")
    if not isinstance(text, dict):
        return
    div = (
        clean(text["div"])
        if text.get("status") in {"additional", "extensions"} and isinstance(text.get("div"), str)
        else None
    )
    if div is None:
        del resource["text"]
    else:
        text["div"] = div


def _first(resource: Json, names: tuple[str, ...]) -> str:
    for name in names:
        if name in resource:
            value = resource[name]
            if isinstance(value, str):
                return value
            if isinstance(value, dict) and isinstance(value.get("start"), str):
                return str(value["start"])
    return ""
