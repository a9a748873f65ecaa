"""What the guide tells: the start page, the API from its tables, the errors, and a client's own last requests."""

from __future__ import annotations

from typing import Final

from gateway.audit.journal import recorded
from gateway.authentication import authenticate
from gateway.fhir.capability import parameters, rows_of, types
from gateway.fhir.deprecation import deprecations
from gateway.fhir.interactions import OPERATIONS, Interaction
from gateway.fhir.recent import Recent
from gateway.fhir.types import SEARCHED
from gateway.model import Incoming, Json, Outgoing
from gateway.ports import Ports
from gateway.routes.guide.catalog import LANGUAGES, Entry, catalog
from gateway.routes.guide.markup import block, code, heading, link, page, paragraph, table
from profiles import exact

_SAID: Final = {
    "what": (
        ("A FHIR R4 gateway for acute care in one region. For one caller, one patient and one purpose it finds who holds "
        "data, asks only those that may answer, and gives one answer that also says what is missing."),
        ("Een FHIR R4-gateway voor de acute zorg in één regio. Voor één vrager, één patiënt en één doel zoekt hij wie "
        "gegevens heeft, vraagt alleen wie mag antwoorden, en geeft één antwoord dat ook zegt wat ontbreekt."),
    ),
    "begin": ("Where to begin", "Waar te beginnen"),
    "addresses": ("Addresses", "Adressen"),
    "first": (
        "Get a token with your registered key (SMART Backend Services), find the patient by BSN in a body, read the summary.",
        "Haal een token met uw geregistreerde sleutel (SMART Backend Services), zoek de patiënt met het BSN in de inhoud, lees de samenvatting.",
    ),
    "rules": ("Rules of the house", "Huisregels"),
    "api": ("The API", "De API"),
    "types": ("Resource types", "Resourcetypes"),
    "server": ("Of the server", "Van de server"),
    "errors": ("Errors", "Fouten"),
    "cause": ("Cause", "Oorzaak"),
    "cure": ("What helps", "Wat helpt"),
    "parameters": ("Search parameters", "Zoekparameters"),
    "interactions": ("Interactions", "Interacties"),
    "operations": ("Operations", "Operaties"),
    "deprecated": ("What will go", "Wat verdwijnt"),
    "remark": ("remark beside an answer", "opmerking bij een antwoord"),
    "document": ("OpenAPI document", "OpenAPI-document"),
}  # fmt: skip
_RULES: Final = (
    ("A BSN never stands in a URL: send it in a body.", "Een BSN staat nooit in een URL: stuur het in de inhoud."),
    ("A clinical search is about one patient; unknown parameters are errors.", "Zoeken in zorggegevens gaat over één patiënt; onbekende parameters zijn fouten."),
    ("An empty list is not 'none': entries with search.mode=outcome say who did not answer.", "Een lege lijst is niet 'geen': entries met search.mode=outcome zeggen wie niet antwoordde."),
    ("Follow next links as they are; do not build them.", "Volg next-links zoals ze zijn; bouw ze niet zelf."),
    ("After 429 or 503 wait as long as Retry-After says; after 401 get one new token.", "Wacht na 429 of 503 zo lang als Retry-After zegt; haal na 401 één nieuw token."),
)  # fmt: skip


def addresses(name: str, base: str, language: str) -> Json:
    """Where everything is."""
    return {
        "name": name,
        "what": _word("what", language),
        "fhir": f"{base}/fhir",
        "metadata": f"{base}/fhir/metadata",
        "smart-configuration": f"{base}/fhir/.well-known/smart-configuration",
        "token": f"{base}/oauth/token",
        "docs": f"{base}/docs",
        "openapi": f"{base}/openapi.json",
        "examples": f"{base}/docs/examples.http",
        "errors": f"{base}/errors",
        "own-requests": f"{base}/client/requests",
        "health": f"{base}/health/ready",
        "pages": f"{base}/pages",
    }


def start(name: str, base: str, language: str) -> str:
    """The page of `/`."""
    rows = [
        (code(key), link(url, url))
        for key, url in addresses(name, base, language).items()
        if key not in ("name", "what")
    ]
    bsn = "http://fhir.nl/fhir/NamingSystem/bsn"
    lines = (
        f"curl {base}/fhir/.well-known/smart-configuration\n"
        f"curl -H 'Authorization: Bearer …' -d 'identifier={bsn}|…' {base}/fhir/Patient/_search\n"
        f"curl -H 'Authorization: Bearer …' {base}/fhir/Patient/…/\\$summary"
    )
    parts = [
        paragraph(_word("what", language)),
        heading(_word("begin", language)), paragraph(_word("first", language)), block(lines),
        heading(_word("rules", language)),
        "<ul>" + "".join(f"<li>{_of(rule, language)}</li>" for rule in _RULES) + "</ul>",
        heading(_word("addresses", language)), table(("", "URL"), rows),
    ]  # fmt: skip
    return page(name, parts, language)


def overview(base: str, language: str) -> str:
    """The page of `/docs`."""
    parts = [
        paragraph(_word("first", language)),
        heading(_word("server", language)), _interactions(rows_of(""), ""),
        heading(_word("operations", language)),
        table(("", "", ""), [(code(f"${name}"), link(one.definition, one.definition), one.offered) for name, one in OPERATIONS.items()]),
        heading(_word("types", language)),
        "<ul>" + "".join(f"<li>{link(f'/docs/{type_}', type_)}</li>" for type_ in types()) + "</ul>",
        paragraph(f"{_word('document', language)}: {base}/openapi.json"),
        f"<p>{link('/docs/deprecations', _word('deprecated', language))}</p>",
    ]  # fmt: skip
    return page(_word("api", language), parts, language)


def resource(type_: str, base: str, language: str) -> str:
    """The page of one resource type."""
    parts = [
        (
            f"<p>{link(f'/openapi/{type_}.json', _word('document', language))} · "
            f"{link(f'http://hl7.org/fhir/R4/{type_.lower()}.html', 'FHIR R4')} · {code(f'{base}/fhir/{type_}')}</p>"
        ),
        heading(_word("interactions", language)),
        _interactions(rows_of(type_), type_),
    ]
    if type_ in SEARCHED or type_ == "AuditEvent":
        rows = [(code(one["name"]), one["type"], one.get("documentation", "")) for one in parameters(type_)]
        parts += [heading(_word("parameters", language)), table(("", "", ""), rows)]
    return page(type_, parts, language)


def errors(language: str) -> str:
    """The page of all codes."""
    rows = [
        (link(f"/errors/{one.code}", one.code), str(one.status or ""), _of(one.cause, language))
        for one in catalog().values()
    ]
    return page(_word("errors", language), [table(("", "HTTP", _word("cause", language)), rows)], language)


def error(name: str, language: str) -> str:
    """The page of one code; empty for one that does not exist."""
    found = catalog().get(name)
    return page(name, _told(found, language), language) if found else ""


def deprecated(language: str) -> str:
    """The page of what will go."""
    rows = [(code(one.match), str(one.since), str(one.sunset), code(one.instead)) for one in deprecations()]
    head = ("", "Deprecation (RFC 9745)", "Sunset (RFC 8594)", "→")
    return page(_word("deprecated", language), [table(head, rows)], language)


async def own_requests(asked: Incoming, ports: Ports, recent: Recent) -> Outgoing:
    """What this client asked of this process lately; looking is on the record.

    Raises:
        GatewayError: no token, or no record.
    """
    async with recorded(asked, ports, "own-requests", "R", "") as record:
        record.caller = caller = await authenticate(asked, ports)
        found = recent.of(caller.requester.client, asked.language)
        record.status, record.count = 200, len(found)
        told = {"client": caller.requester.client, "requests": list(found)}
        return Outgoing(200, exact.encode(told), "application/json")


def _told(found: Entry, language: str) -> list[str]:
    kind = f"HTTP {found.status} · {found.issue}" if found.status else _word("remark", language)
    parts = [paragraph(kind)]
    if _of(found.text, language):
        parts.append(block(_of(found.text, language)))
    parts += [heading(_word("cause", language)), paragraph(_of(found.cause, language))]
    return [*parts, heading(_word("cure", language)), paragraph(_of(found.cure, language))]


def _interactions(rows: list[Interaction], type_: str) -> str:
    cells = [
        (
            code(f"{row.method} {row.path.replace('{type}', type_) or '/'}"),
            code(f"{type_}.{row.action}") if row.action else "",
            row.summary,
            " ".join(code(name) for name in row.parameters),
        )
        for row in rows
    ]
    return table(("", "Scope", "", ""), cells)


def _word(key: str, language: str) -> str:
    return _of(_SAID[key], language)


def _of(texts: tuple[str, str], language: str) -> str:
    return texts[LANGUAGES.index(language)]
