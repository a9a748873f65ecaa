"""What a tag speaks of: the resource itself, never what is contained in it, and not when it was fetched."""

from __future__ import annotations

from gateway.fhir.conditional import tagged
from gateway.model import Outgoing


def tag(body: bytes, *, versioned: bool = False) -> str:
    return dict(tagged(Outgoing(200, body), versioned=versioned).headers)["etag"]


def test_a_version_of_something_contained_is_not_that_of_the_resource() -> None:
    one = b'{"resourceType":"Flag","contained":[{"meta":{"versionId":"1"}}],"status":"active","meta":{"lastUpdated":"2020-01-01T00:00:00Z"}}'
    assert tag(one) != tag(one.replace(b"active", b"inactive"))
    assert tag(one) == tag(one.replace(b"2020-01-01T00", b"2021-01-01T00"))


def test_what_is_versioned_has_its_version_as_tag() -> None:
    assert tag(b'{"resourceType":"Task","meta":{"versionId":"3"}}', versioned=True) == 'W/"3"'


def test_the_date_is_that_of_the_resource() -> None:
    body = (
        b'{"contained":[{"meta":{"lastUpdated":"1999-01-01T00:00:00Z"}}],"meta":{"lastUpdated":"2020-05-06T07:08:09Z"}}'
    )
    headers = dict(tagged(Outgoing(200, body)).headers)
    assert headers["last-modified"] == "Wed, 06 May 2020 07:08:09 GMT"
    assert "last-modified" not in dict(tagged(Outgoing(200, b'{"meta":{"lastUpdated":"nonsense"}}')).headers)
