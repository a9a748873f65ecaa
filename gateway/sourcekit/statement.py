"""What a FHIR server declares about itself: version, types, search parameters, security."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.model import Json
from profiles import exact

_OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_FORMATS: Final = {"4.0": "fhir-r4", "3.0": "fhir-stu3"}  # published versions the gateway has queries and maps for
_TEXT: Final = 80  # names a server gives itself are shown, bounded


class NotAStatement(ValueError):
    """What came from /metadata is no CapabilityStatement; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class DeclaredType:
    """One resource type as a server declares it."""

    searches: bool
    parameters: frozenset[str]
    includes: frozenset[str]
    profiles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Statement:
    """One CapabilityStatement, as far as queries depend on it."""

    version: str
    software: str = ""
    formats: tuple[str, ...] = ()
    types: Mapping[str, DeclaredType] = field(default_factory=dict)
    everywhere: frozenset[str] = frozenset()  # search parameters declared for all types
    guides: frozenset[str] = frozenset()  # implementation guides and instantiated statements
    token_endpoint: str = ""

    @property
    def kind(self) -> str:
        """The kind of source this version makes it: "fhir-r4", "fhir-stu3", empty when there is none."""
        return _FORMATS.get(".".join(self.version.split(".")[:2]), "")

    @property
    def profiles(self) -> frozenset[str]:
        """Every profile declared for any type."""
        return frozenset().union(*(one.profiles for one in self.types.values()))


def read(body: bytes) -> Statement:
    """Read the body of `GET /metadata`.

    Raises:
        NotAStatement: it is not a CapabilityStatement in FHIR JSON.
    """
    try:
        root = exact.decode(body)
    except exact.NotExact as error:
        message = f"not JSON: {error}"
        raise NotAStatement(message) from None
    if root.get("resourceType") != "CapabilityStatement":
        raise NotAStatement("not a CapabilityStatement")
    rest = next(_tables(root.get("rest")), {})
    software = root.get("software")
    return Statement(
        version=_word(root.get("fhirVersion")),
        software=_word(software.get("name")) if isinstance(software, dict) else "",
        formats=tuple(_words(root.get("format"))),
        types={_word(row.get("type")): _type(row) for row in _tables(rest.get("resource")) if _word(row.get("type"))},
        everywhere=frozenset(_word(row.get("name")) for row in _tables(rest.get("searchParam"))),
        guides=frozenset((*_words(root.get("implementationGuide")), *_words(root.get("instantiates")))),
        token_endpoint=_token_endpoint(rest),
    )


def _type(row: Json) -> DeclaredType:
    interactions = {_word(one.get("code")) for one in _tables(row.get("interaction"))}
    declared = row.get("profile")  # STU3 has a Reference here, R4 a canonical
    profile = declared.get("reference") if isinstance(declared, dict) else declared
    return DeclaredType(
        searches="search-type" in interactions,
        parameters=frozenset(_word(one.get("name")) for one in _tables(row.get("searchParam"))),
        includes=frozenset(_words(row.get("searchInclude"))),
        profiles=frozenset(_words([profile, *_list(row.get("supportedProfile"))])),
    )


def _token_endpoint(rest: Json) -> str:
    security = rest.get("security")
    extensions = _tables(security.get("extension")) if isinstance(security, dict) else iter(())
    for extension in extensions:
        if extension.get("url") == _OAUTH_URIS:
            for part in _tables(extension.get("extension")):
                if part.get("url") == "token":
                    return str(part.get("valueUri") or "")
    return ""


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - an element of any shape a server may send
    return value if isinstance(value, list) else []


def _tables(value: Any) -> Iterator[Json]:  # noqa: ANN401 - an element of any shape a server may send
    return (one for one in _list(value) if isinstance(one, dict))


def _words(value: Any) -> Iterator[str]:  # noqa: ANN401 - an element of any shape a server may send
    return (word for one in _list(value) if (word := _word(one)))


def _word(value: Any) -> str:  # noqa: ANN401 - an element of any shape a server may send
    """A short text on one line: what a server says of itself goes to a terminal."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[: 4 * _TEXT] if character.isprintable())
