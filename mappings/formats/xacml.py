"""The closed question of the national consent register and its answer: XACML 3 in SAML in SOAP 1.2, written and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from lxml import etree

Decision = Literal["Permit", "Deny", "NotApplicable", "Indeterminate"]

ACTION: Final = "XACMLAuthorizationDecisionQueryRequest"
ANSWERED: Final = (
    "http://schemas.otv.nl/toestemmingsregister/XACMLAuthzDecisionQuery/IGeslotenAutorisatievraagService/"
    "XACMLAuthzDecisionQueryResponse"
)
MAXIMUM_BYTES: Final = 262_144
_SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
_WSA: Final = "http://www.w3.org/2005/08/addressing"
_QUERY: Final = "urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14"
_CORE: Final = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
_SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
_V3: Final = "urn:hl7-org:v3"
_RESOURCE: Final = "urn:oasis:names:tc:xacml:3.0:attribute-category:resource"
_ACTION: Final = "urn:oasis:names:tc:xacml:3.0:attribute-category:action"
_SUBJECT: Final = "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject"
_ENVIRONMENT: Final = "urn:oasis:names:tc:xacml:3.0:attribute-category:environment"
_PATIENT: Final = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"
_EVENT: Final = "urn:ihe:iti:appc:2016:document-entry:event-code"
_BSN, _URA, _UZI = "2.16.840.1.113883.2.4.6.3", "2.16.528.1.1007.3.3", "2.16.528.1.1007.3.1"
_FACILITY, _ROLE = "2.16.840.1.113883.2.4.15.1060", "2.16.840.1.113883.2.4.15.111"
_CATEGORY, _PURPOSE = "2.16.840.1.113883.2.4.3.111.5.10.1", "2.16.840.1.113883.1.11.20448"
_DECISIONS: Final[Mapping[str, Decision]] = {
    "Permit": "Permit", "Deny": "Deny", "NotApplicable": "NotApplicable", "Indeterminate": "Indeterminate",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClosedQuestion:
    """May this holder share these categories of this person with this user?"""

    bsn: str = field(repr=False)
    holder: str  # URA
    holder_type: str  # facility type, e.g. "Z3"
    categories: tuple[str, ...]  # e.g. "GGC002"
    role: str  # UZI role code of who is responsible
    user: str  # UZI number of who is responsible
    organization: str  # URA of the user
    organization_type: str
    purpose: str  # "TREAT" | "COC", by legal basis
    mandated: str = ""  # UZI number of who acts for the responsible one


class NotXacml(ValueError):
    """Not an answer or question of this register; the text never repeats what was sent."""


def closed_question(asked: ClosedQuestion, message_id: str, address: str) -> bytes:
    """Write the question."""
    body = etree.Element(etree.QName(_QUERY, "XACMLAuthzDecisionQuery"), nsmap={"xacml-samlp": _QUERY})
    body.attrib.update({"ID": f"_{message_id}", "Version": "2.0", "InputContextOnly": "false", "ReturnContext": "true"})
    request = etree.SubElement(body, etree.QName(_CORE, "Request"), nsmap={"xacml": _CORE, "hl7": _V3})
    request.attrib.update({"CombinedDecision": "false", "ReturnPolicyIdList": "false"})
    resource = _attributes(request, _RESOURCE, "resource")
    _identifier(resource, _PATIENT, _BSN, asked.bsn)
    _coded(resource, "urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code", _FACILITY, asked.holder_type)
    _identifier(resource, "urn:ihe:iti:appc:2016:author-institution:id", _URA, asked.holder)
    for number, category in enumerate(asked.categories):
        _coded(_attributes(request, _ACTION, f"action{number}"), _EVENT, _CATEGORY, category)
    subject = _attributes(request, _SUBJECT, "subject")
    _coded(subject, "urn:oasis:names:tc:xacml:2.0:subject:role", _ROLE, asked.role)
    if asked.mandated:
        _identifier(subject, "urn:nl:otv:names:tc:1.0:subject:mandated", _UZI, asked.mandated)
    _identifier(subject, "urn:ihe:iti:xua:2017:subject:provider-identifier", _UZI, asked.user, "CIBG")
    _identifier(subject, "urn:nl:otv:names:tc:1.0:subject:provider-institution", _URA, asked.organization)
    kind = "urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"
    _coded(subject, kind, _FACILITY, asked.organization_type)
    environment = _attributes(request, _ENVIRONMENT, "environment")
    _coded(environment, "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse", _PURPOSE, asked.purpose)
    return _enveloped(body, ACTION, message_id, address)


def read_question(raw: bytes) -> ClosedQuestion:
    """Read a question, as a register does.

    Raises:
        NotXacml: not one, or an attribute is missing.
    """
    root = _parsed(raw)
    found: dict[str, list[str]] = {}
    for attribute in root.iter(etree.QName(_CORE, "Attribute")):
        values = [one.get("extension") or one.get("code") or "" for one in attribute.iter() if _is_value(one)]
        found.setdefault(attribute.get("AttributeId", ""), []).extend(values)

    def one(id_: str, *, optional: bool = False) -> str:
        values = found.get(id_, [])
        if len(values) == 1 and values[0]:
            return values[0]
        if optional and not values:
            return ""
        raise NotXacml("an attribute of the question is missing or doubled")

    return ClosedQuestion(
        bsn=one(_PATIENT),
        holder=one("urn:ihe:iti:appc:2016:author-institution:id"),
        holder_type=one("urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code"),
        categories=tuple(found.get(_EVENT, ())),
        role=one("urn:oasis:names:tc:xacml:2.0:subject:role"),
        user=one("urn:ihe:iti:xua:2017:subject:provider-identifier"),
        organization=one("urn:nl:otv:names:tc:1.0:subject:provider-institution"),
        organization_type=one("urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"),
        purpose=one("urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"),
        mandated=one("urn:nl:otv:names:tc:1.0:subject:mandated", optional=True),
    )


def closed_answer(asked: ClosedQuestion, decisions: Sequence[Decision], message_id: str) -> bytes:
    """Write the answer: one result a category, in the order of the question."""
    body = etree.Element(etree.QName(_SAML, "Assertion"), nsmap={"saml": _SAML})
    response = etree.SubElement(body, etree.QName(_CORE, "Response"), nsmap={"xacml": _CORE, "hl7": _V3})
    for category, decision in zip(asked.categories, decisions, strict=True):
        result = etree.SubElement(response, etree.QName(_CORE, "Result"))
        etree.SubElement(result, etree.QName(_CORE, "Decision")).text = decision
        _identifier(_attributes(result, _RESOURCE, None), _PATIENT, _BSN, asked.bsn)
        _coded(_attributes(result, _ACTION, None), _EVENT, _CATEGORY, category)
    return _enveloped(body, ANSWERED, message_id, "")


def read_answer(raw: bytes, asked: ClosedQuestion) -> dict[str, Decision]:
    """Read the decision about each category that was asked.

    INVARIANT: what is missing, unknown, contradictory or about somebody else is Indeterminate, never Permit.

    Raises:
        NotXacml: not an answer at all.
    """
    found: dict[str, set[Decision]] = {}
    results = list(_parsed(raw).iter(etree.QName(_CORE, "Result")))
    if not results:
        raise NotXacml("the answer holds no result")
    for result in results:
        decision = _DECISIONS.get((result.findtext(f"{{{_CORE}}}Decision") or "").strip(), "Indeterminate")
        about = _about(result, _EVENT)
        persons = _about(result, _PATIENT)
        if persons and persons != {asked.bsn}:
            decision = "Indeterminate"
        # A single question and a single result belong together also when the result repeats nothing.
        if not about and len(results) == len(asked.categories) == 1:
            about = set(asked.categories)
        for category in about:
            found.setdefault(category, set()).add(decision)
    return {one: _single(found.get(one, set())) for one in asked.categories}


def _single(decisions: set[Decision]) -> Decision:
    """One decision; a yes beside anything else is no yes, and a no stays a no."""
    if "Deny" in decisions:
        return "Deny"
    return next(iter(decisions)) if len(decisions) == 1 else "Indeterminate"


def _about(result: etree._Element, id_: str) -> set[str]:
    found = [one for one in result.iter(etree.QName(_CORE, "Attribute")) if one.get("AttributeId") == id_]
    values = (
        one.get("extension") or one.get("code") for attribute in found for one in attribute.iter() if _is_value(one)
    )
    return {value for value in values if value}


def _is_value(element: etree._Element) -> bool:
    return isinstance(element.tag, str) and etree.QName(element).namespace == _V3


def _attributes(parent: etree._Element, category: str, name: str | None) -> etree._Element:
    made = etree.SubElement(parent, etree.QName(_CORE, "Attributes"))
    made.set("Category", category)
    if name:
        made.set("{http://www.w3.org/XML/1998/namespace}id", name)
    return made


def _identifier(parent: etree._Element, id_: str, root: str, extension: str, authority: str = "") -> None:
    value = etree.SubElement(_value(parent, id_, "II"), etree.QName(_V3, "InstanceIdentifier"))
    value.attrib.update({"root": root, "extension": extension})
    if authority:
        value.set("assigningAuthorityName", authority)


def _coded(parent: etree._Element, id_: str, system: str, code: str) -> None:
    value = etree.SubElement(_value(parent, id_, "CV"), etree.QName(_V3, "CodedValue"))
    value.attrib.update({"code": code, "codeSystem": system})


def _value(parent: etree._Element, id_: str, kind: str) -> etree._Element:
    attribute = etree.SubElement(parent, etree.QName(_CORE, "Attribute"))
    attribute.attrib.update({"AttributeId": id_, "IncludeInResult": "true"})
    value = etree.SubElement(attribute, etree.QName(_CORE, "AttributeValue"))
    value.set("DataType", f"{_V3}#{kind}")
    return value


def _enveloped(content: etree._Element, action: str, message_id: str, address: str) -> bytes:
    envelope = etree.Element(etree.QName(_SOAP, "Envelope"), nsmap={"soap": _SOAP, "wsa": _WSA})
    header = etree.SubElement(envelope, etree.QName(_SOAP, "Header"))
    for name, text in (("Action", action), ("MessageID", f"urn:uuid:{message_id}"), ("To", address)):
        if text:
            element = etree.SubElement(header, etree.QName(_WSA, name))
            element.text = text
            element.set(etree.QName(_SOAP, "mustUnderstand"), "true")
    etree.SubElement(envelope, etree.QName(_SOAP, "Body")).append(content)
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _parsed(raw: bytes) -> etree._Element:
    if len(raw) > MAXIMUM_BYTES:
        raise NotXacml("larger than a message of this register")
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise NotXacml("a document type is not allowed")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise NotXacml("malformed XML") from None
    if root.tag != etree.QName(_SOAP, "Envelope") or root.find(f".//{{{_SOAP}}}Fault") is not None:
        raise NotXacml("not a SOAP answer, or a fault")
    return root
