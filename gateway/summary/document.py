"""The summary as an IPS document Bundle: the sources' own bytes, spliced and never written again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from gateway.model import CANONICAL, Answer, Item, Json
from gateway.summary.assembly import SectionView, Summary, assemble
from gateway.summary.completeness import SourceState
from gateway.summary.material import Material
from gateway.summary.narrative import completeness_section, document_text, section_text
from gateway.summary.safety import unsafe
from gateway.summary.sections import COMPLETENESS, SUPPORT, Section
from profiles import exact
from profiles.identifiers import URA_SYSTEM

LANGUAGE: Final = "nl"  # the law of the record: the narrative of the document is Dutch
SECTION_SOURCE: Final = f"{CANONICAL}/StructureDefinition/section-source"
_LOINC: Final = "http://loinc.org"
_EMPTY_REASON: Final = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_EMPTY: Final = {"none": "nilknown", "withheld": "withheld", "unavailable": "unavailable"}
_REFERENCE: Final = re.compile(rb'"reference"\s*:\s*"([A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64})"')
_CLAIM: Final = re.compile(rb'"(http://nictiz\.nl/fhir/StructureDefinition/nl-core-[A-Za-z.\-]{1,64})"')
_LOST: Final = (
    b'"_reference":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason",'
    b'"valueCode":"unknown"}]}'
)
_ABSENT: Final[dict[str, list[Json]]] = json.loads(
    files(__package__).joinpath("absent.json").read_text(encoding="utf-8")
)


@dataclass(slots=True)
class _Draft:
    """The Bundle while it is put together; `seen` keeps one entry per resource."""

    summary: Summary
    base: str
    namespace: UUID
    entries: list[tuple[str, Json | Item]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)
    states: dict[SourceState, msgspec.Raw] = field(default_factory=dict)
    references: dict[str, list[str]] = field(default_factory=dict)

    def id(self, name: str) -> str:
        """An id for something the gateway adds itself, the same for the same request."""
        found = self.ids.get(name)
        if found is None:
            found = self.ids[name] = str(uuid5(self.namespace, name))
        return found

    def add(self, resource: Json) -> str:
        """Add a resource of the gateway's own; give the reference to it."""
        return self._put(f"{resource['resourceType']}/{resource['id']}", resource)

    def splice(self, item: Item) -> str:
        """Add an item by its exact bytes; give the reference to it."""
        return self._put(f"{item.type}/{item.id}", item)

    def _put(self, reference: str, resource: Json | Item) -> str:
        if reference not in self.seen:
            self.seen.add(reference)
            self.entries.append((reference, resource))
        return reference

    def written(self) -> Iterator[Json]:
        """Every entry as it goes out."""
        for reference, resource in self.entries:
            made: Json = {"fullUrl": f"{self.base}/fhir/{reference}", "resource": resource}
            if isinstance(resource, Item):
                made["resource"] = msgspec.Raw(self._settled(reference, resource))
                if resource.marks:
                    made["extension"] = resource.noticed()
            yield made

    def references_of(self, key: str, item: Item) -> list[str]:
        """What the item of this reference refers to itself."""
        found = self.references.get(key)
        if found is None:
            found = self.references[key] = [one.decode("ascii") for one in _REFERENCE.findall(item.raw)]
        return found

    def _settled(self, key: str, item: Item) -> bytes:
        """The bytes of an item; only a reference to what did not come along says so instead of leading nowhere.

        What was withheld leaves no id behind this way (rule A2), and no digit of the rest is touched.
        """
        raw = item.raw
        if self.summary.profile.canonicals:
            raw = _CLAIM.sub(lambda found: _beside(found, self.summary.profile.canonicals), raw)
        if self.seen.issuperset(self.references_of(key, item)):
            return raw
        return _REFERENCE.sub(lambda found: found[0] if found[1].decode("ascii") in self.seen else _LOST, raw)


def _beside(found: re.Match[bytes], canonicals: Mapping[str, str]) -> bytes:
    """What the asked profile calls a claim of the source, in front of the claim itself."""
    own = canonicals.get(found[1].decode("ascii"))
    return found[0] if own is None else b'"%s",%s' % (own.encode("ascii"), found[0])


def document(material: Material) -> bytes:
    """Write the summary as a document Bundle (IPS, or the profile the caller named).

    INVARIANT: the bytes depend on the material only; each item stands in it exactly as `Item.raw`, but for references
    to what did not come along, and claims that the asked profile has names of its own for.

    Raises:
        Invalid: `patient-ambiguous`; `invalid-parameter` for an unknown profile.

    Spec: HL7 IPS 2.0.1 Bundle-uv-ips, Composition-uv-ips; FHIR R4 3.3 'Documents'.
    """
    summary = assemble(material, LANGUAGE)
    # Never the patient or the sources: ids of a document must not tell who or what is in it.
    draft = _Draft(summary, material.base.rstrip("/"), uuid5(NAMESPACE_URL, f"urn:roaz:request:{material.request_id}"))
    patient = draft.add(_named(summary.identity.resource, summary.profile.canonicals))
    author, custodian = _gateway(draft, material)
    for ura in sorted({row.custodian for view in summary.sections for row in view.state.states} - {""}):
        draft.add(_organization(draft, ura, material))
    sections = [_section(draft, view, patient) for view in summary.sections]
    _support(draft)
    provenances = [draft.add(one) for one in _provenances(draft, material, author)]
    composition = _composition(draft, patient, author, custodian, [_first_section(draft, provenances), *sections])
    whole = {"fullUrl": f"{draft.base}/fhir/Composition/{composition['id']}", "resource": composition}
    bundle = {
        "resourceType": "Bundle",
        "id": draft.id("bundle"),
        "meta": {"profile": [summary.profile.bundle]} if summary.profile.bundle else {},
        "language": "nl-NL",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{draft.id('bundle')}"},
        "type": "document",
        "timestamp": _instant(material),
        "entry": [whole, *draft.written()],
    }
    if not bundle["meta"]:
        del bundle["meta"]
    return exact.encode(bundle)


def _named(patient: Json, canonicals: Mapping[str, str]) -> Json:
    """The patient, with what the asked profile calls the profiles it claims in front of them."""
    claimed = patient.get("meta", {}).get("profile", [])
    own = [canonicals[one] for one in claimed if one in canonicals]
    return {**patient, "meta": {**patient["meta"], "profile": [*own, *claimed]}} if own else patient


def _composition(draft: _Draft, patient: str, author: str, custodian: str, sections: list[Json]) -> Json:
    summary = draft.summary
    labelled = any(item.labels for item in summary.items.values())
    return {
        "resourceType": "Composition",
        "id": draft.id("composition"),
        "meta": {"profile": list(summary.profile.claims)},
        "language": "nl-NL",
        "text": document_text(summary),
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{draft.id('composition')}"},
        "status": "final",
        "type": {"coding": [{"system": _LOINC, "code": "60591-5", "display": "Patient summary Document"}]},
        "subject": {"reference": patient},
        "date": _instant(summary.material),
        "author": [{"reference": author}],
        "title": summary.profile.title or summary.words["title"],
        "confidentiality": "R" if labelled else "N",
        "custodian": {"reference": custodian},
        "section": sections,
    }


def _first_section(draft: _Draft, provenances: list[str]) -> Json:
    """The extra section "Volledigheid", for viewers that drop extensions."""
    section = _section_head(COMPLETENESS)
    section["text"] = completeness_section(draft.summary)
    if provenances:
        section["entry"] = [{"reference": reference} for reference in provenances]
    return section


def _section(draft: _Draft, view: SectionView, patient: str) -> Json:
    section = _section_head(view.state.section)
    section["code"]["coding"] += draft.summary.profile.sections.get(view.key, ())
    rows = view.state.states or (SourceState(view.state.overall),)
    section["extension"] = [_state_extension(draft, row) for row in rows]
    section["text"] = section_text(view, draft.summary)
    references = [draft.splice(item) for item in view.entries]
    if not references and view.state.overall == "unknown":
        references = _absent(draft, view, patient)
    if references:
        section["entry"] = [{"reference": reference} for reference in dict.fromkeys(references)]
    elif view.state.overall in _EMPTY:
        section["emptyReason"] = {"coding": [{"system": _EMPTY_REASON, "code": _EMPTY[view.state.overall]}]}
    return section


def _section_head(section: Section) -> Json:
    title = section.titles[LANGUAGE]
    return {"title": title, "code": {"coding": [{"system": section.system, "code": section.code}], "text": title}}


def _state_extension(draft: _Draft, row: SourceState) -> msgspec.Raw:
    """The state of a source; the sections share it, so it is written once."""
    found = draft.states.get(row)
    if found is None:
        found = draft.states[row] = msgspec.Raw(exact.encode(_state(draft, row)))
    return found


def _state(draft: _Draft, row: SourceState) -> Json:
    parts: list[Json] = [{"url": "state", "valueCode": row.state}]
    if row.custodian:
        reference = {
            "reference": f"Organization/{draft.id(row.custodian)}",
            "identifier": {"system": URA_SYSTEM, "value": row.custodian},
            "display": row.name,
        }
        parts.append({"url": "source", "valueReference": reference})
    if row.as_of:
        parts.append({"url": "asOf", "valueDateTime": row.as_of})
    return {"url": SECTION_SOURCE, "extension": parts}


def _absent(draft: _Draft, view: SectionView, patient: str) -> list[str]:
    """The resource that says "no information", where the profile asks for an entry."""
    if view.key not in draft.summary.profile.requires and not view.state.section.required:
        return []
    names = {"$patient": patient, "$device": f"Device/{draft.id('absent-devices-1')}"}
    references = [
        draft.add({"id": draft.id(f"absent-{view.key}-{position}")} | _filled(template, names))
        for position, template in enumerate(_ABSENT.get(view.key, ()))
    ]
    return references[:1]


def _filled(template: Json, names: dict[str, str]) -> Json:
    return {name: {"reference": names[value["reference"]]} if isinstance(value, dict) and "reference" in value else value
            for name, value in template.items()}  # fmt: skip


def _support(draft: _Draft) -> None:
    """Bring along what the items refer to: products, professionals, places; nothing that is not referred to."""
    items = draft.summary.items
    open_ = [reference for reference, _ in draft.entries if reference in items]
    wanted = [reference["reference"] for reference in draft.summary.identity.resource.get("generalPractitioner", ())
              if "reference" in reference]  # fmt: skip
    while open_ or wanted:
        wanted += [found for key in open_ for found in draft.references_of(key, items[key])]
        fresh = dict.fromkeys(key for key in wanted if key in items and key not in draft.seen)
        open_, wanted = [key for key in fresh if items[key].type in SUPPORT and not unsafe(items[key])], []
        for key in open_:
            draft.splice(items[key])


def _gateway(draft: _Draft, material: Material) -> tuple[str, str]:
    """The gateway as author, and who runs it as custodian of the document."""
    organization: Json = {
        "resourceType": "Organization",
        "id": draft.id("operator"),
        "name": material.operator or material.gateway_name,
    }
    if material.operator_ura:
        organization["identifier"] = [{"system": URA_SYSTEM, "value": material.operator_ura}]
    custodian = draft.add(organization)
    device: Json = {
        "resourceType": "Device",
        "id": draft.id("gateway"),
        "deviceName": [{"name": material.gateway_name, "type": "user-friendly-name"}],
        "owner": {"reference": custodian},
    }
    if material.gateway_version:
        device["version"] = [{"value": material.gateway_version}]
    return draft.add(device), custodian


def _organization(draft: _Draft, ura: str, material: Material) -> Json:
    named = next((one.custodian_name for one in material.answers if one.custodian.organization == ura), "")
    return {
        "resourceType": "Organization",
        "id": draft.id(ura),
        "identifier": [{"system": URA_SYSTEM, "value": ura}],
        "name": named or material.policy.name(ura),
    }


def _provenances(draft: _Draft, material: Material, author: str) -> Iterator[Json]:
    """Per source: what came from it, in which format, through which map, and whether it was told who asked."""
    for answer in material.answers:
        keys = dict.fromkeys(f"{item.type}/{item.id}" for item in answer.items)
        targets = [{"reference": key} for key in keys if key in draft.seen and key in draft.summary.items]
        if not targets:
            continue
        draft.add(_organization(draft, answer.custodian.organization, material))
        yield {
            "resourceType": "Provenance",
            "id": draft.id(f"provenance-{answer.source}"),
            "extension": [*_origin(answer), *_lost(answer, draft)],
            "target": targets,
            "recorded": answer.fetched or _instant(material),
            "agent": [
                _agent("author", f"Organization/{draft.id(answer.custodian.organization)}"),
                _agent("assembler", author),
            ],
            "entity": [{"role": "source", "what": {"identifier": {"system": f"{CANONICAL}/NamingSystem/source",
                                                                  "value": answer.source}}}],
        }  # fmt: skip


def _agent(kind: str, who: str) -> Json:
    return {"type": {"coding": [{"system": _PARTICIPANT, "code": kind}]}, "who": {"reference": who}}


def _origin(answer: Answer) -> Iterable[Json]:
    maps = sorted({item.map for item in answer.items} - {""})
    # What the gateway holds came in one message at a time: its format is that of the maps.
    for name in sorted({answer.format} if answer.format else {name.partition("/")[0] for name in maps}):
        yield {"url": f"{CANONICAL}/StructureDefinition/source-format", "valueCode": name}
    for name in maps:
        yield {"url": f"{CANONICAL}/StructureDefinition/map", "valueString": name}
    yield {"url": f"{CANONICAL}/StructureDefinition/requester-told", "valueBoolean": answer.told_requester}


def _lost(answer: Answer, draft: _Draft) -> Iterable[Json]:
    """How much of what is given here had no place in FHIR: of these items alone, so that nothing is told of others (rule A2)."""
    counted = {f"{item.type}/{item.id}": item.losses for item in answer.items if item.losses is not None}
    given = [lost for key, lost in counted.items() if key in draft.seen and key in draft.summary.items]
    if given:
        yield {"url": f"{CANONICAL}/StructureDefinition/losses", "valueUnsignedInt": sum(given)}


def _instant(material: Material) -> str:
    return material.now.isoformat(timespec="milliseconds")
