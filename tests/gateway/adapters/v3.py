"""HL7 v3 answers for the tests of the adapter: made of the question they answer, right or wrong as told."""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.adapters.http import HttpClient
from gateway.adapters.v3 import V3Source
from gateway.settings import SourceTable
from tests.attacks.faulty_source import Script, Seen, response
from tests.gateway.adapters.region import BASE, BSN, HandClock, PlainSigner

XML = "application/xml"
ANSWERS = {
    "REPC_IN990110NL": "REPC_IN990111NL", "PRPA_IN900300NL": "PRPA_IN900350NL", "REPC_IN990100NL": "REPC_IN990101NL",
    "POOB_IN990001NL": "POOB_IN990003NL", "POLB_IN354001NL": "POLB_IN364001NL03", "QUMA_IN991201NL": "QUMA_IN991203NL02",
    "REPC_IN990120NL": "REPC_IN990121NL", "REPC_IN990130NL": "REPC_IN990131NL", "QUPC_IN990001NL": "QUPC_IN990002NL",
}  # fmt: skip
_ASKED = re.compile(r'<([A-Z]{4}_IN\d+NL)(?: xmlns="urn:hl7-org:v3")?><id root="([0-9A-F-]{36})"/>')
_BATCH = re.compile(r'<MCCI_IN200101 xmlns="urn:hl7-org:v3"><id root="([0-9A-F-]{36})"/>')


def table(url: str, dialect: str = "saz@1.0", **more: object) -> SourceTable:
    return SourceTable(id="gp-post", custodian="90000005", kind="hl7v3", dialect=dialect, url=url, **more)  # type: ignore[arg-type]


def source(client: HttpClient, url: str, dialect: str = "saz@1.0", **more: object) -> V3Source:
    return V3Source(table(url, dialect, **more), client, PlainSigner(), BASE, HandClock())


def interactions(seen: Seen) -> list[str]:
    """What was asked, in order."""
    return [name for name, _ in _ASKED.findall(seen.body.decode())]


def content(bsn: str = BSN) -> str:
    return (
        f'<subject><organizer><recordTarget><patientRole><id root="2.16.840.1.113883.2.4.6.3" extension="{bsn}"/>'
        '<patient><name><family>Vries</family></name><birthTime value="19560312"/></patient></patientRole></recordTarget>'
        "</organizer></subject>"
    )


def told(inside: str = "", state: str = "OK", code: str = "AA", target: str = "") -> Callable[[str], str]:
    """One interaction's answer: its content, and how it went; the id of the question unless another is given."""

    def write(asked: str) -> str:
        named = f'<targetMessage><id root="{target or asked}"/></targetMessage>'
        return (
            f'<acknowledgement typeCode="{code}">{named}</acknowledgement><ControlActProcess>{inside}'
            f'<queryAck><queryResponseCode code="{state}"/></queryAck></ControlActProcess>'
        )

    return write


FOUND, NOTHING, FAILED = told(content()), told(state="NF"), told(state="AE", code="AE")


def batch(
    seen: Seen, parts: dict[str, Callable[[str], str]], otherwise: Callable[[str], str] | None = NOTHING
) -> bytes:
    """The answer to a batch; an interaction that is in neither is not answered."""
    text = seen.body.decode()
    made = [
        f"<{ANSWERS[name]}>{write(asked)}</{ANSWERS[name]}>"
        for name, asked in _ASKED.findall(text)
        if (write := parts.get(name, otherwise)) is not None
    ]
    whole = _BATCH.search(text)
    assert whole is not None
    own = f'<acknowledgement typeCode="AA"><targetTransmission><id root="{whole[1]}"/></targetTransmission></acknowledgement>'
    return f'<MCCI_IN200101 xmlns="urn:hl7-org:v3">{own}{"".join(made)}</MCCI_IN200101>'.encode()


def answering(
    parts: dict[str, Callable[[str], str]], otherwise: Callable[[str], str] | None = NOTHING
) -> Callable[[Seen], Script]:
    return lambda seen: response(batch(seen, parts, otherwise), content_type=XML)


def single(seen: Seen, write: Callable[[str], str] = FOUND) -> Script:
    """The answer to the older question, which is no batch."""
    ((name, asked),) = _ASKED.findall(seen.body.decode())
    body = f'<{ANSWERS[name]} xmlns="urn:hl7-org:v3">{write(asked)}</{ANSWERS[name]}>'
    return response(body, content_type="text/xml; charset=UTF-8")
