"""Turn one CDA document or HL7 v3 message into resources, by the rows that say which node is what."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final

from mappings.definition import path
from mappings.engine import CompiledMap
from mappings.formats.fhir_bundle import digest
from mappings.model import Json, Loss, NotMappable, Origin, Translation
from mappings.panels import assemble_blood_pressure
from mappings.profile_claims import claim
from mappings.reading import SKIPPED, Reading
from mappings.tables import table
from mappings.v3_contexts import HOLDERS, carry_down, is_nothing
from mappings.v3_functions import PENDING
from mappings.v3_headers import BSN, Nodes, header, nodes_of, numbers_of, one_patient, one_target, roles_of
from mappings.v3_persons import role_key
from mappings.v3_rows import row_kinds, row_of
from mappings.v3_settlements import V3_SETTLEMENTS
from mappings.v3_times import child, flat

_ACTS: Final = frozenset(
    {"observation", "act", "procedure", "substanceAdministration", "supply", "encounter", "organizer"}
)
_SHARED: Final = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "RelatedPerson"}
)
_NOBODYS: Final = _SHARED - {"RelatedPerson"} | {"Patient"}  # named by their number alone, whoever the patient is
_CONTENT: Final = frozenset({"Medication", "Location"})  # referred to by what is said of them
_APPLICATIONS: Final = frozenset({"Device-author", "Device-application"})  # devices that are nobody's: software
_EXTENSIONS: Final = frozenset({"extension", "modifierExtension"})
_PLAIN: Final = frozenset({"coding", "meta", "identifier"})  # nothing in them refers or extends
_ELSEWHERE: Final = [{"attachment": {"contentType": "text/xml"}}]
# What says two things: who somebody is and as what, what a document says and that it exists.
_ALSO: Final = {"assignedAuthor": "role", "assignedEntity": "role", "participantRole": "role", "ClinicalDocument": "document"}  # fmt: skip
_FAILED: Final = frozenset({"AE", "AR", "CE", "CR", "QE"})


def translate_document(root: Json, origin: Origin) -> Translation:
    """Make the resources of a CDA document.

    Raises:
        NotMappable: not a CDA document, or not exactly one patient.
    """
    document = root.get("ClinicalDocument", [{}])[0]
    if not document.get("recordTarget"):
        where = "ClinicalDocument" if "ClinicalDocument" not in root else "ClinicalDocument.recordTarget"
        raise NotMappable("this is not a CDA document with a patient", where)
    reading = _reading(root, origin)
    made = Making(reading)
    nodes = [("ClinicalDocument", document), *nodes_of(document)]
    roles = roles_of(nodes)
    one_patient(roles)
    one_target(roles)
    facts = reading.facts
    for name, place in table("maps/hl7v3/documents.yaml")["facts"].items():
        for container, key in reading.slots(root, path(place))[:1]:
            reading.take(container, key)
            facts[name] = str(container[key])
    header(document, nodes, roles[0], reading)
    made.all(nodes, roles)
    return made.translation(f"cda/{facts.get('type', 'document')}")


def keep_original(made: Translation, body: bytes, *, whole: bool) -> Translation:
    """Say in the reference to a structured document how long it is and what its digest is; `whole` holds it too.

    Spec: FHIR R4 Attachment.hash (SHA-1), size, data.
    """
    for resource in made.resources:
        if resource["resourceType"] == "DocumentReference" and resource["content"] == _ELSEWHERE:
            digest_ = b64encode(sha1(body, usedforsecurity=False).digest()).decode()
            data = {"data": b64encode(body).decode()} if whole else {}
            resource["content"] = [
                {"attachment": {"contentType": "text/xml", "size": len(body), "hash": digest_, **data}}
            ]
    return made


def translate_message(root: Json, origin: Origin) -> Translation:
    """Make the resources of an HL7 v3 message, a batch of them, or a bare organizer.

    A broken interaction costs only itself.

    Raises:
        NotMappable: nothing of HL7 v3 in it, no patient anywhere, or more than one.
    """
    found = list(_interactions(root))
    if not found:
        raise NotMappable("no HL7 v3 interaction or organizer in this message")
    reading = _reading(root, origin)
    made = Making(reading)
    good: list[tuple[str, Json, Nodes]] = []
    for name, node in found:
        nodes = [(name, node), *nodes_of(node)]
        reason = _broken(node, nodes)
        if reason:
            made.drop(root, name, node, reason)
        else:
            good.append((name, node, nodes))
    if not good:
        raise NotMappable("no interaction of this message can be read", found[0][0])
    one_patient([role for _, _, nodes in good for role in roles_of(nodes)])
    known = any(numbers_of(role, national=True) for _, _, nodes in good for role in roles_of(nodes))
    for name, node, nodes in good:
        if known and not all(numbers_of(role, national=True) for role in roles_of(nodes)):
            made.drop(root, name, node, "the patient is not named by the BSN the other interactions name")
        else:
            made.all(nodes, roles_of(nodes))
    envelope = table("maps/hl7v3/documents.yaml")["envelope"]
    for node in (root[next(iter(root))][0], *(one for _, one, _ in good)):
        if node.keys() & {"interactionId", "ControlActProcess"}:
            for part in envelope:
                reading.take(node, part)
    reading.facts["type"] = " ".join(dict.fromkeys(name for name, _, _ in good))
    kind = good[0][0] if len(good) == 1 else next(iter(root))
    return made.translation(f"hl7v3/{kind}")


def _reading(root: Json, origin: Origin) -> Reading:
    skipped = SKIPPED | table("maps/hl7v3/documents.yaml")["skipped"].keys()
    return Reading(root, origin, xml=True, skipped=skipped)


def _interactions(root: Json) -> Iterator[tuple[str, Json]]:
    """Find what stands alone: interactions by their control act, else organizers with a patient."""
    nodes = list(nodes_of(root))
    messages = [(name, node) for name, node in nodes if "ControlActProcess" in node]
    yield from messages or [(name, node) for name, node in nodes if name == "organizer" and "recordTarget" in node]


def _slot(node: Json, root: Json, name: str) -> tuple[Any, Any]:
    siblings = node.get("^", root)[name]
    return siblings, next(index for index, one in enumerate(siblings) if one is node)


def _broken(node: Json, nodes: Nodes) -> str:
    """Say why an interaction cannot be read, if it cannot."""
    codes = {one.get("typeCode") for one in node.get("acknowledgement", [])}
    acts = node.get("ControlActProcess", [])
    answers = {one.get("code") for act in acts for ack in act.get("queryAck", []) for one in ack.get("queryResponseCode", [])}  # fmt: skip
    if codes & _FAILED or answers & _FAILED:
        return "the source answered with an error"
    if acts and "subject" not in acts[0]:
        return "the source answered without content"
    return "" if roles_of(nodes) else "no patient in this interaction"


@dataclass(slots=True)
class Making:
    """The resources of one document as they are made, with keys that are the same at every arrival."""

    reading: Reading
    resources: list[Json] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    _numbers: dict[str, str] = field(default_factory=dict)  # type|root|extension → reference
    _counts: dict[str, int] = field(default_factory=dict)
    _known: dict[str, Json] = field(default_factory=dict)
    _patient: str = ""
    _unknown: dict[tuple[str, str], None] = field(default_factory=dict)

    def all(self, nodes: Nodes, roles: list[Json]) -> None:
        """Make every resource of one document or interaction; the patient first, so that all can name it."""
        for role in roles:
            self._node("patientRole", role)
        known = row_kinds()
        for kind, one in nodes:
            if kind in HOLDERS:
                carry_down(one)
            if kind in known or ("classCode" in one and kind != "patientRole"):
                self._node(kind, one)
            if kind in _ALSO:
                self._node(_ALSO[kind], one)

    def drop(self, root: Json, name: str, node: Json, reason: str) -> None:
        """Leave out one interaction, and say so."""
        self.losses.append(Loss(name, "dropped", reason))
        self.reading.facts["outcome"] = "incomplete"
        self.reading.take(*_slot(node, root, name))

    def _node(self, kind: str, node: Json) -> None:
        if kind in _ACTS and is_nothing(node):
            self.losses.append(Loss(kind, "note", "the entry says of itself that there is no information"))
            return
        row = row_of(kind, node)
        for name in row.read if row else ():
            self.reading.take(node, name)
        chosen = row.map if row else None
        if row is None or chosen is None:
            if row is None and kind in _ACTS and "templateId" in node and "^" in node and node["^"].keys() & _ACTS:
                self._note_template(kind, node)
            return
        if chosen.definition.target == "Patient" and self._patient:
            self._again(node)
            return
        made = chosen.run(self.reading, node)
        definition = chosen.definition
        for after in definition.after:
            V3_SETTLEMENTS[after](self.reading, node, made)
        missing = [element for element in definition.requires if element not in made]
        if missing:
            self.losses.append(Loss(kind, "invalid", f"no {definition.target} without {', '.join(missing)}"))
            return
        if "medicationCodeableConcept" in made:
            self._product(node, made)
        if definition.profile:
            base = table("maps/fhir-r4/profiles.yaml")["base"]
            made.setdefault("meta", {"profile": [base + definition.profile]})
        claim(made)
        self._keep(chosen, node, made)

    def _product(self, node: Json, made: Json) -> None:
        """Refer to the medicine where it is a resource of its own, as the building blocks of MP9 do."""
        held = child(node, "consumable") or child(node, "product")
        found = child(held, "manufacturedProduct")
        row = row_of("manufacturedProduct", found) if found else None
        if row is not None and row.map is not None:
            concept = made.pop("medicationCodeableConcept")
            named = [one["display"] for one in concept.get("coding", []) if one.get("display")]
            display = concept.get("text") or next(iter(named), "")
            made["medicationReference"] = {"reference": f"{PENDING}Medication|{flat(found)}", **({"display": display} if display else {})}  # fmt: skip

    def _note_template(self, kind: str, node: Json) -> None:
        roots = [str(one.get("root", "")) for one in node["templateId"] if isinstance(one, dict)]
        if roots and all(root.replace(".", "").isdigit() and len(root) <= 64 for root in roots):
            self._unknown.setdefault((kind, f"no map for template {roots[-1]}"))

    def _again(self, node: Json) -> None:
        """Count the patient as read where an interaction of a batch repeats it: the first one stands."""
        for key in node:
            if key != "^":
                self.reading.take(node, key)

    def _keep(self, chosen: CompiledMap, node: Json, made: Json) -> None:
        target = chosen.definition.target
        identity = self._identity(chosen, node)
        is_shared = target in _SHARED or chosen.definition.name in _APPLICATIONS
        known = self._known.get(f"{target}/{identity}") if is_shared else None
        if known is not None:
            _complete(known, made)
            return
        count = self._counts[identity] = self._counts.get(identity, 0) + 1
        made["id"] = identity if count == 1 else f"{identity}-{count}"
        key = f"{target}/{made['id']}"
        if target == "Patient":
            self._patient = identity
            self.reading.links["Patient"] = key
        if target in _CONTENT:
            self._numbers[f"{target}|{flat(node)}"] = key
        if target == "PractitionerRole":
            self._numbers[role_key(node)] = key
        for one in node.get("id", []):
            self._numbers.setdefault(f"{target}|{one.get('root', '')}|{one.get('extension', '')}", key)
        self.resources.append(made)
        self.keys.append(key)
        self._known[key] = made

    def _identity(self, chosen: CompiledMap, node: Json) -> str:
        """Name a resource by the number its sender gave it; where it has none, by its content and its patient."""
        reading, definition = self.reading, chosen.definition
        names = [
            container[key] for place in definition.key for container, key in reading.slots(node, place, looking=True)
        ]
        known = [f"{one.get('root', '')}|{one.get('extension', '')}" for one in names if one.get("root") and not one.get("nullFlavor")]  # fmt: skip
        local = [one for one in known if not one.startswith(f"{BSN}|")]
        if known and definition.target == "PractitionerRole":
            return digest(f"{reading.origin.source}\x1f{role_key(node)}".encode())
        if known:
            # A sender that numbers from one for every person must not make two persons share an item.
            is_nobodys = definition.target in _NOBODYS or definition.name in _APPLICATIONS
            whose = "" if is_nobodys else self._patient
            return digest(
                f"{reading.origin.source}\x1f{definition.target}\x1f{whose}\x1f{(local or known)[0]}".encode()
            )
        content = flat(node)
        if definition.target == "Patient":
            # Somebody nobody knows is the patient of this trip or document; two unknown patients never share a key.
            facts = reading.facts
            content = facts.get("trip") or facts.get("set") or facts.get("document") or flat(reading.root)
        return digest(f"{reading.origin.source}\x1f{definition.target}\x1f{self._patient}\x1f{content}".encode())

    def translation(self, name: str) -> Translation:
        """Give what was made, references between the resources made good.

        Raises:
            NotMappable: there is no patient in it.
        """
        if not self._patient:
            raise NotMappable("no patient in this document", "recordTarget")
        for resource in self.resources:
            self._relink(resource)
        resources, keys = assemble_blood_pressure(self.resources, self.keys)
        templates = [Loss(kind, "unmapped", reason) for kind, reason in self._unknown]
        losses = (*self.losses, *templates, *self.reading.losses())
        version = table("maps/hl7v3/documents.yaml")["version"]
        return Translation(tuple(resources), tuple(keys), losses, name, version, self.reading.facts)

    def _relink(self, node: Any) -> None:  # noqa: ANN401 - any JSON value
        stack = [node]
        while stack:
            value = stack.pop()
            if value.__class__ is list:
                stack += [one for one in value if one.__class__ is dict or one.__class__ is list]
                continue
            if "reference" in value:
                self._refer(value)
            for name in [name for name, one in value.items() if one.__class__ is dict or one.__class__ is list]:
                if name in _PLAIN:
                    continue
                if name[0] == "_" or name in _EXTENSIONS:
                    self._mend(value, name)
                if name in value:
                    stack.append(value[name])

    def _mend(self, value: Json, name: str) -> None:
        """Keep of an extension, or of what stands beside a primitive, only what a reader can take."""
        inner = value[name]
        if name in _EXTENSIONS:
            self._sound(value, name)
        elif "extension" in inner:
            self._sound(inner, "extension")
            if not inner:
                del value[name]

    def _refer(self, value: Json) -> None:
        """Let a reference by number lead to the resource that was made of it; nobody's number leads nowhere."""
        target = value["reference"]
        if isinstance(target, str) and target.startswith(PENDING):
            wanted = target.removeprefix(PENDING).split("\n")
            del value["reference"]
            target = next((self._numbers[one] for one in wanted if one in self._numbers), "")
            if target:
                value["reference"] = target
        if isinstance(target, str) and target and not target.startswith("#"):
            value.setdefault("type", target.partition("/")[0])

    def _sound(self, value: Json, name: str) -> None:
        """Leave out an extension that has no name or no value: no reader of FHIR could take the resource then."""
        found = [one for one in value[name] if isinstance(one, dict) and "url" in one and len(one) > 1]
        if len(found) < len(value[name]):
            self.losses.append(Loss(name, "invalid", "an extension without a name or value is left out"))
        value[name] = found
        if not found:
            del value[name]


def _complete(known: Json, again: Json) -> None:
    """Add what a later mention of the same number says more; the number decides who is who, so what was said stands."""
    for name, value in again.items():
        if name == "identifier" and "identifier" in known:
            known[name].extend([one for one in value if one not in known[name]])
        else:
            known.setdefault(name, value)
