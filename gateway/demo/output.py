"""What `gateway demo` prints: where everything is, tokens, test patients, and curl lines to copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.demo.facts import Person
from gateway.demo.region import Region
from gateway.demo.registrations import identifier
from gateway.model import CANONICAL
from profiles.identifiers import BSN_SYSTEM

Json = dict[str, Any]

PAGES: Final = {
    "pages": "/pages",
    "coordinator": "/pages/cases",
    "auditor": "/pages/audit",
    "admin": "/pages/admin",
    "live": "/health/live",
    "ready": "/health/ready",
    "metadata": "/fhir/metadata",
    "smart": "/fhir/.well-known/smart-configuration",
}
_JSON_HEADER: Final = "-H 'Content-Type: application/fhir+json'"


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything a person needs to try the region."""

    region: Region
    tokens: Mapping[str, str]
    token_endpoint: str
    pages: Mapping[str, str]  # name -> path
    configuration: Path = Path("region.toml")

    @property
    def base(self) -> str:
        """The FHIR base URL."""
        return f"{self.region.gateway_base}/fhir"


def as_object(shown: Shown) -> str:
    """The one line of `--json`."""
    base = shown.region.gateway_base
    return json.dumps(
        {
            "base": shown.base,
            "pages": {name: f"{base}{path}" for name, path in shown.pages.items()},
            "tokens": dict(shown.tokens),
            "patients": [
                {
                    "bsn": person.bsn,
                    "birthDate": person.birthDate,
                    "shows": person.shows,
                    "identifier": identifier(person),
                }
                for person in shown.region.persons
            ],
            "clients": [
                {"id": client.id, "key_file": str(client.key_file), "token_endpoint": shown.token_endpoint}
                for client in shown.region.clients
            ],
        },
        ensure_ascii=False,
    )


def as_text(shown: Shown) -> str:
    """The page a person reads in the terminal."""
    base = shown.region.gateway_base
    lines = [
        "ROAZ FHIR gateway demo: synthetic persons only, this machine only. Ctrl-C stops and cleans up.",
        "",
        f"FHIR base   {shown.base}",
        *(f"{name:<11} {base}{path}" for name, path in shown.pages.items()),
    ]
    if shown.region.scenario:
        lines += ["", f"Scenario    {shown.region.scenario}"]
    lines += ["", "Tokens (shell variables, live 8 h)"]
    lines += [f"{role.upper()}={token}" for role, token in shown.tokens.items()]
    lines += ["", "Test patients", f"{'BSN':<11}{'born':<12}shows"]
    lines += [f"{person.bsn or '-':<11}{person.birthDate:<12}{person.shows}" for person in shown.region.persons]
    lines += ["", "Client keys"]
    lines += [f"{client.id:<28}{client.key_file}" for client in shown.region.clients]
    lines += ["", "Inboxes (write NAME, then an empty NAME.done; picked up within ten seconds)"]
    lines += [f"{source:<28}{path}" for source, path in shown.region.inboxes.items()]
    lines += ["", "Beside the demo: who was heard when, what was pushed, what is configured"]
    lines += [f"gateway {words} --config {shown.configuration}" for words in ("inbox feeds", "inbox show", "check")]
    lines += ["", "Try it (after pasting the tokens above)"]
    for comment, command in curl_lines(shown):
        lines += [f"# {comment}", command, ""]
    return "\n".join(lines)


def curl_lines(shown: Shown) -> list[tuple[str, str]]:
    """What each line shows, and the line itself."""
    first, refused = shown.region.persons[0], _refused(shown.region.persons)
    base = shown.base
    return [
        ("what this server can do", f"curl -s {base}/metadata"),
        (
            "a patient summary, as physician of the emergency department",
            _post(f"{base}/Patient/\\$summary", "PHYSICIAN", _parameters(first)),
        ),
        (
            "the same as a page to read",
            _post(
                f"{base}/Patient/\\$summary", "PHYSICIAN", _parameters(first), "-H 'Accept: text/html' -o summary.html"
            ),
        ),
        (
            "a search in the allergies of that patient (the BSN goes in the body, never in the URL)",
            (
                f'curl -s -H "Authorization: Bearer $PHYSICIAN" '
                f"--data-urlencode 'patient.identifier={BSN_SYSTEM}|{first.bsn}' {base}/AllergyIntolerance/_search"
            ),
        ),
        ("open a case as care coordinator: no case, no look-up", _post(f"{base}/Task", "COORDINATOR", case(first))),
        (
            "and then the summary as care coordinator",
            _post(f"{base}/Patient/\\$summary", "COORDINATOR", _parameters(first)),
        ),
        (
            "a patient without BSN, by the hospital's own number and birth date",
            _post(f"{base}/Patient/\\$summary", "PHYSICIAN", _parameters(_without_bsn(shown.region.persons))),
        ),
        (
            "one custodian refused by the patient: the summary says that there may be more",
            _post(f"{base}/Patient/\\$summary", "PHYSICIAN", _parameters(refused)),
        ),
        (
            "a refusal explained: the coordinator has no case for this patient",
            _post(f"{base}/Patient/\\$summary", "COORDINATOR", _parameters(refused), "-H 'Accept-Language: nl'"),
        ),
    ]


def case(person: Person, origin: str = "caller") -> Json:
    """The Task that opens a case for a person (rule B1)."""
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": f"{CANONICAL}/CodeSystem/case-origin", "code": origin}]},
        "for": {"identifier": identifier(person)},
        "reasonCode": {"text": "Partner belt: acute klachten"},
        "requester": {"display": "Partner van de patiënt"},
    }


def _refused(persons: tuple[Person, ...]) -> Person:
    return next(person for person in persons if any("deny" in said for said in person.consents.values()))


def _without_bsn(persons: tuple[Person, ...]) -> Person:
    return next(person for person in persons if not person.bsn)


def _parameters(person: Person) -> Json:
    asked = [
        {"name": "identifier", "valueIdentifier": identifier(person)},
        {"name": "birthDate", "valueDate": person.birthDate},
    ]
    return {"resourceType": "Parameters", "parameter": asked}


def _post(url: str, role: str, body: Json, more: str = "") -> str:
    parts = [
        "curl -s",
        f'-H "Authorization: Bearer ${role}"',
        _JSON_HEADER,
        more,
        f"-d '{json.dumps(body, ensure_ascii=False)}'",
        f'"{url}"',
    ]
    return " ".join(part for part in parts if part)
