"""A batch Bundle: each entry becomes a request of its own, and each answer an entry of the batch-response."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from gateway.errors import Invalid
from gateway.fhir.interactions import Route, route
from gateway.fhir.reading import resource_body
from gateway.ids import new_id
from gateway.model import Incoming, Json, Outgoing
from profiles import exact

MOST: Final = 100  # entries: a BgZ is 27 queries
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")
_CONDITIONS: Final = {
    "ifMatch": b"if-match",
    "ifNoneMatch": b"if-none-match",
    "ifModifiedSince": b"if-modified-since",
    "ifNoneExist": b"if-none-exist",
}
_JSON: Final = b"application/fhir+json"


def requests(incoming: Incoming, base: str) -> list[Incoming]:
    """The requests in a batch, in order; each keeps who asks and gets an id of its own.

    Raises:
        Invalid: `not-supported` for a transaction: nothing here can be undone as a whole; `invalid-resource`.

    Spec: FHIR R4 3.1.0.11 'batch/transaction'.
    """
    bundle = resource_body(incoming, "Bundle")
    kind = bundle.get("type")
    if kind == "transaction":
        why = "sources cannot be asked all or nothing; send type batch"
        raise Invalid("not-supported", expression="Bundle.type", what="a transaction", why=why)
    if kind != "batch":
        raise Invalid("invalid-resource", expression="Bundle.type", why="only type batch can be carried out")
    entries = bundle.get("entry") or []
    if not isinstance(entries, list) or len(entries) > MOST:
        raise Invalid("invalid-resource", expression="Bundle.entry", why=f"at most {MOST} entries at once")
    return [_request(entry, number, incoming, base) for number, entry in enumerate(entries)]


def routed(asked: Incoming) -> Route:
    """The row an entry asks for.

    Raises:
        Invalid: `not-found`, `method-not-allowed`; `not-supported` for a batch in a batch.
    """
    found = route(asked.method, asked.path)
    if found.interaction.name == "batch":
        raise Invalid("not-supported", what="a batch in a batch", why="put its entries beside the others")
    return found


def response(answers: Sequence[Outgoing]) -> Outgoing:
    """The batch-response: an answer for each entry, in the same order."""
    bundle = {"resourceType": "Bundle", "type": "batch-response", "entry": [_entry(answer) for answer in answers]}
    return Outgoing(200, exact.encode(bundle if answers else {"resourceType": "Bundle", "type": "batch-response"}))


def _request(entry: object, number: int, incoming: Incoming, base: str) -> Incoming:
    where = f"Bundle.entry[{number}].request"
    asked = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(asked, dict):
        raise Invalid("invalid-resource", expression=where, why="each entry needs a request with method and url")
    method, url = str(asked.get("method", "")), str(asked.get("url", ""))
    if method not in _METHODS or not url:
        raise Invalid("invalid-resource", expression=where, why="each entry needs a request with method and url")
    path, _, query = url.removeprefix(f"{base}/fhir/").lstrip("/").partition("?")
    body, kind = _content(entry.get("resource"), where)
    headers = {
        name: value
        for name, value in incoming.headers.items()
        if name in (b"authorization", b"host", b"accept-language", b"prefer")
    }
    headers |= {b"accept": _JSON, b"content-type": kind}
    headers |= {
        _CONDITIONS[name]: str(asked[name]).encode("latin-1", "replace") for name in _CONDITIONS if asked.get(name)
    }
    return msgspec.structs.replace(
        incoming, method=method, path=path, query=query, body=body, headers=headers, request_id=new_id()
    )


def _content(resource: object, where: str) -> tuple[bytes, bytes]:
    """The body of an entry. A Binary is the body it holds: how a search by POST carries its form."""
    if resource is None:
        return b"", _JSON
    if not isinstance(resource, dict):
        raise Invalid(
            "invalid-resource", expression=where.removesuffix("request") + "resource", why="it is no resource"
        )
    if resource.get("resourceType") != "Binary":
        return exact.encode(resource), _JSON
    try:
        body = base64.b64decode(str(resource.get("data", "")), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(
            "invalid-resource", expression=where.removesuffix("request") + "resource.data", why="it is not base64"
        ) from None
    return body, str(resource.get("contentType", "")).encode("latin-1", "replace")


def _entry(answer: Outgoing) -> Json:
    phrase = HTTPStatus(answer.status).phrase
    told: Json = {"status": f"{answer.status} {phrase}"}
    headers = dict(answer.headers)
    if "location" in headers:
        told["location"] = headers["location"]
    if "etag" in headers:
        told["etag"] = headers["etag"]
    entry: Json = {}
    is_fhir = answer.body and answer.content_type.startswith("application/fhir+json")
    if is_fhir and answer.status < 400:
        entry["resource"] = msgspec.Raw(answer.body)
    elif is_fhir:
        told["outcome"] = msgspec.Raw(answer.body)
    return entry | {"response": told}
