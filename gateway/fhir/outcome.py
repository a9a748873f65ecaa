"""Every error and remark is an OperationOutcome: code, text for the person who must act, correlation id, element."""

from __future__ import annotations

from typing import Final

from gateway.errors import GatewayError
from gateway.model import CANONICAL, Json, Outgoing
from profiles import exact

ERROR_SYSTEM: Final = f"{CANONICAL}/CodeSystem/error"


def issue(severity: str, code: str, gateway_code: str, text: str, diagnostics: str = "", expression: str = "") -> Json:
    """One issue. Spec: FHIR R4 OperationOutcome."""
    made: Json = {
        "severity": severity,
        "code": code,
        "details": {"coding": [{"system": ERROR_SYSTEM, "code": gateway_code}], "text": text},
    }
    if diagnostics:
        made["diagnostics"] = diagnostics
    if expression:
        made["expression"] = [expression]
    return made


def outcome(*issues: Json) -> Json:
    """An OperationOutcome of issues."""
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


def rendered(error: GatewayError, language: str, request_id: str, base: str = "") -> Outgoing:
    """The answer an error becomes; with a base URL it says where cause and cure are told."""
    row = error.row
    page = f"{base}/errors/{error.code}"
    told = f"correlation id {request_id}; {page}" if base else f"correlation id {request_id}"
    body = outcome(issue("error", row.issue, error.code, error.text(language), told, error.expression))
    headers: list[tuple[str, str]] = [("link", f'<{page}>; rel="help"')] if base else []
    if error.retry_after is not None:
        headers.append(("retry-after", str(error.retry_after)))
    if row.status == 401:
        scheme = "DPoP" if "dpop" in row.oauth else "Bearer"
        said = f', error="{row.oauth}"' if error.code != "token-missing" else ""
        headers.append(("www-authenticate", f'{scheme} realm="fhir"{said}'))
    if "nonce" in error.words:
        headers.append(("dpop-nonce", error.words["nonce"]))
    if row.status == 405:
        headers.append(("allow", error.words.get("allowed", "")))
    return Outgoing(row.status, exact.encode(body), headers=tuple(headers))
