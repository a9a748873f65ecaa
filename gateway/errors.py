"""Every error the outside can see: one table drives HTTP status, OperationOutcome, OAuth error and docs/errors.md.

GatewayError
 ├─ Invalid       the request is wrong; the caller can mend it          400 404 405 406 409 413 414 415 422 431 501
 ├─ Refused       the request is understood and not allowed             401 403 429
 └─ Unavailable   the gateway or all sources could not                  500 503 504
StartError        the program cannot start or a command cannot run; exit code 1, 2 or 3
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = re.compile(r"\d{9,}")


@dataclass(frozen=True, slots=True)
class Row:
    """One error: how it looks on each wire. `{words}` are filled by the raiser and never hold personal data."""

    status: int
    issue: str  # FHIR R4 issue-type
    en: str
    nl: str
    oauth: str = "invalid_request"  # RFC 6749 5.2


# Cause and cure of each code, in both languages, stand in gateway/routes/guide/errors.toml.
TABLE: Final[dict[str, Row]] = {
    # --- Invalid -------------------------------------------------------------------------------
    "bad-request": Row(400, "invalid", "the request cannot be read: {why}", "het verzoek is onleesbaar: {why}"),
    "malformed-json": Row(
        400, "structure", "the body is not acceptable JSON: {why}", "de inhoud is geen bruikbare JSON: {why}"
    ),
    "malformed-xml": Row(
        400, "structure", "the body is not acceptable FHIR XML: {why}", "de inhoud is geen bruikbare FHIR-XML: {why}"
    ),
    "invalid-resource": Row(422, "invariant", "{why}", "{why}"),
    "bsn-in-url": Row(
        400,
        "security",
        "a BSN may not stand in a URL; send it in the body of POST {{type}}/_search",
        "een BSN mag niet in een URL staan; stuur het in de inhoud van POST {{type}}/_search",
    ),
    "patient-required": Row(
        400,
        "required",
        "a clinical search needs exactly one patient: add patient={{id}} or POST _search with patient.identifier",
        "zoeken in zorggegevens vraagt precies één patiënt: voeg patient={{id}} toe of "
        "POST _search met patient.identifier",
    ),
    "date-required": Row(
        400,
        "required",
        "a search of the log needs a date range: add date=ge{{from}} and date=le{{until}}",
        "zoeken in het logboek vraagt een periode: voeg date=ge{{van}} en date=le{{tot}} toe",
    ),
    "patient-conflict": Row(
        400, "invalid", "the request names more than one patient", "het verzoek noemt meer dan één patiënt"
    ),
    "identifier-invalid": Row(
        400, "value", "the patient identifier is not valid: {why}", "de patiëntidentificatie is ongeldig: {why}"
    ),
    "unknown-parameter": Row(
        400,
        "not-supported",
        "search parameter '{name}' is not known for {type}; known are: {known}",
        "zoekparameter '{name}' bestaat niet voor {type}; bekend zijn: {known}",
    ),
    "invalid-parameter": Row(
        400, "value", "the value of '{name}' is not valid: {why}", "de waarde van '{name}' is ongeldig: {why}"
    ),
    "not-found": Row(404, "not-found", "{what} is not known here", "{what} is hier niet bekend"),
    "item-expired": Row(
        404,
        "not-found",
        "this id is not known or no longer known; search again",
        "dit id is niet (meer) bekend; zoek opnieuw",
    ),
    "method-not-allowed": Row(
        405,
        "not-supported",
        "{method} is not possible here; possible: {allowed}",
        "{method} kan hier niet; wel: {allowed}",
    ),
    "not-acceptable": Row(
        406,
        "not-supported",
        "cannot answer as {type}; possible: {possible}",
        "kan niet antwoorden als {type}; wel: {possible}",
    ),
    "patient-ambiguous": Row(
        409,
        "multiple-matches",
        "sources disagree on the birth date that belongs to this identifier; nothing is shown until it is resolved",
        "bronnen noemen verschillende geboortedata bij dit nummer; er wordt niets getoond tot dit is uitgezocht",
    ),
    "conflict": Row(409, "conflict", "{why}", "{why}"),
    "too-large": Row(413, "too-long", "the body is larger than {limit} bytes", "de inhoud is groter dan {limit} bytes"),
    "uri-too-long": Row(
        414,
        "too-long",
        "the URL is longer than {limit} bytes; send the parameters in the body of POST _search",
        "de URL is langer dan {limit} bytes; stuur de parameters in de inhoud van POST _search",
    ),
    "headers-too-large": Row(
        431, "too-long", "the headers are larger than {limit} bytes", "de headers zijn groter dan {limit} bytes"
    ),
    "not-supported": Row(
        501, "not-supported", "{what} is not supported: {why}", "{what} wordt niet ondersteund: {why}"
    ),
    "unsupported-media-type": Row(
        415,
        "not-supported",
        "content type '{type}' is not supported; send {possible}",
        "inhoudstype '{type}' wordt niet ondersteund; stuur {possible}",
    ),
    # --- Refused -------------------------------------------------------------------------------
    "token-missing": Row(
        401,
        "login",
        "no access token; get one at the token endpoint named in .well-known/smart-configuration",
        "geen toegangstoken; haal er een bij het token-adres uit .well-known/smart-configuration",
        "invalid_request",
    ),
    "token-invalid": Row(
        401, "login", "the access token is not valid: {why}", "het toegangstoken is ongeldig: {why}", "invalid_token"
    ),
    "proof-invalid": Row(
        401,
        "login",
        "the proof of possession (DPoP) is not valid: {why}",
        "het bewijs van bezit (DPoP) is ongeldig: {why}",
        "invalid_dpop_proof",
    ),
    "proof-nonce": Row(
        401,
        "login",
        "put nonce '{nonce}' in the proof of possession (DPoP), as header DPoP-Nonce says",
        "zet nonce '{nonce}' in het bewijs van bezit (DPoP), zoals kop DPoP-Nonce zegt",
        "use_dpop_nonce",
    ),
    "login-again": Row(
        401,
        "login",
        "log in again for this: the login is more than a few minutes old",
        "log hiervoor opnieuw in: de aanmelding is meer dan enkele minuten oud",
        "invalid_request",
    ),
    "login-refused": Row(
        401,
        "login",
        "the login did not succeed: {why}",
        "het inloggen is niet gelukt: probeer het opnieuw, met een tweede factor ({why})",
    ),
    "form-expired": Row(
        403,
        "forbidden",
        "this form is too old or was not sent from a page of this session; open the page again",
        "dit formulier is te oud of komt niet van een pagina van deze sessie; open de pagina opnieuw",
    ),
    "scope-insufficient": Row(
        403, "forbidden", "the token lacks scope {needed}", "het token mist scope {needed}", "insufficient_scope"
    ),
    "purpose-missing": Row(
        403,
        "forbidden",
        "the token carries no purpose of use; put purpose_of_use in the client assertion",
        "het token noemt geen doel; zet purpose_of_use in de client assertion",
    ),
    "purpose-refused": Row(
        403, "forbidden", "purpose '{purpose}' is not allowed: {why}", "doel '{purpose}' is niet toegestaan: {why}"
    ),
    "role-refused": Row(
        403, "forbidden", "role '{role}' is not allowed: {why}", "rol '{role}' is niet toegestaan: {why}"
    ),
    "case-required": Row(
        403,
        "forbidden",
        "this role needs an open case for this patient: POST Task, or name it in claim 'case'",
        "deze rol heeft een open melding voor deze patiënt nodig: POST Task, of noem hem in claim 'case'",
    ),
    "case-refused": Row(403, "forbidden", "the case cannot be used: {why}", "de melding is niet bruikbaar: {why}"),
    "agreement-missing": Row(
        403,
        "forbidden",
        "no agreement in force covers this requester, purpose, role and category",
        "geen geldige afspraak dekt deze vrager, dit doel, deze rol en categorie",
    ),
    "patient-refused": Row(
        403,
        "forbidden",
        "the token is bound to another patient; ask a token for this one",
        "het token is gebonden aan een andere patiënt; vraag een token voor deze",
    ),
    "relation-missing": Row(
        403,
        "forbidden",
        "the agreement is for who treats the patient, and no such relation is registered",
        "de afspraak is voor wie de patiënt behandelt, en zo'n relatie is niet geregistreerd",
    ),
    "person-required": Row(
        403,
        "forbidden",
        "patient data is for persons: the token names no subject_id",
        "patiëntgegevens zijn voor personen: het token noemt geen subject_id",
    ),
    "assurance-insufficient": Row(
        403,
        "forbidden",
        "the person must have logged in at level '{needed}' or higher; state loa in the client assertion",
        "de persoon moet zijn ingelogd op niveau '{needed}' of hoger; noem loa in de client assertion",
    ),
    "explain-refused": Row(
        403,
        "forbidden",
        "a decision is explained to the requester or the custodian it is about",
        "een beslissing wordt uitgelegd aan de vrager of de bronhouder die zij betreft",
    ),
    "consent-refused": Row(403, "suppressed", "not available", "niet beschikbaar"),
    "write-refused": Row(403, "forbidden", "not allowed to write this: {why}", "schrijven niet toegestaan: {why}"),
    "too-many-requests": Row(
        429, "throttled", "too many requests; try again later", "te veel verzoeken; probeer later"
    ),
    # --- Unavailable ---------------------------------------------------------------------------
    "internal": Row(
        500,
        "exception",
        "the gateway failed; report the correlation id",
        "de gateway faalde; meld het correlatienummer",
        "server_error",
    ),
    "audit-unavailable": Row(
        503,
        "transient",
        "the audit log cannot be written, so nothing is shown",
        "het logboek is niet beschikbaar, daarom wordt niets getoond",
        "temporarily_unavailable",
    ),
    "decision-unavailable": Row(
        503,
        "transient",
        "consent could not be checked; nothing could be decided",
        "toestemming kon niet worden gecontroleerd",
        "temporarily_unavailable",
    ),
    "store-unavailable": Row(
        503, "transient", "the store is not available", "de opslag is niet beschikbaar", "temporarily_unavailable"
    ),
    "login-unavailable": Row(
        503,
        "transient",
        "the login provider cannot be reached; try again in a minute",
        "de inlogdienst is niet bereikbaar; probeer het over een minuut opnieuw",
        "temporarily_unavailable",
    ),
    "sources-unavailable": Row(504, "timeout", "none of the sources answered", "geen van de bronnen antwoordde"),
    # --- OAuth only (RFC 6749 5.2) -------------------------------------------------------------
    "oauth-request": Row(400, "invalid", "{why}", "{why}", "invalid_request"),
    "oauth-grant": Row(
        400,
        "invalid",
        "grant_type must be client_credentials",
        "grant_type moet client_credentials zijn",
        "unsupported_grant_type",
    ),
    "oauth-client": Row(
        401, "login", "client authentication failed: {why}", "client-authenticatie mislukt: {why}", "invalid_client"
    ),
    "oauth-scope": Row(
        400,
        "invalid",
        "none of the requested scopes is registered for this client",
        "geen van de gevraagde scopes is geregistreerd voor deze client",
        "invalid_scope",
    ),
    "oauth-foreign-token": Row(
        400,
        "forbidden",
        "this token was given to another client",
        "dit token is aan een andere client gegeven",
        "invalid_request",
    ),
    "oauth-token-type": Row(
        400,
        "invalid",
        "only access tokens can be taken back: leave token_type_hint out or send access_token",
        "alleen toegangstokens kunnen worden ingetrokken: laat token_type_hint weg of stuur access_token",
        "unsupported_token_type",
    ),
    "oauth-claims": Row(400, "invalid", "{why}", "{why}", "invalid_request"),
}


class GatewayError(Exception):
    """An error with a row in `TABLE`.

    `expression` is a FHIRPath to the element at fault; `words` fill the row's text and must be safe to show.
    """

    def __init__(self, code: str, *, expression: str = "", retry_after: int | None = None, **words: str) -> None:
        super().__init__(code)
        self.code = code
        self.row = TABLE[code]
        self.expression = expression
        self.retry_after = retry_after if retry_after is not None else (5 if self.row.status == 503 else None)
        self.words = words

    def text(self, language: str = "en") -> str:
        """The sentence for the person who must act on it."""
        # Words may repeat what the caller sent; a number that could be a BSN is never repeated.
        words = {name: _NUMBER.sub("***", word) for name, word in self.words.items()}
        return (self.row.nl if language == "nl" else self.row.en).format(**words)


class Invalid(GatewayError):
    """The request is wrong and the caller can mend it."""


class Refused(GatewayError):
    """The request is understood and not allowed."""


class Unavailable(GatewayError):
    """The gateway, or every source, could not."""


class StartError(Exception):
    """The program cannot start or a command cannot run: what, where, and the way out.

    Units: `exit_code` 1 the input is not ok, 2 wrong use, 3 could not.
    """

    def __init__(self, text: str, exit_code: int = 3) -> None:
        super().__init__(text)
        self.exit_code = exit_code
