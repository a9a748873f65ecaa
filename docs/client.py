"""A client that does right: token, patient, every page of a search, summary. Run it by `gateway selftest-client`.

It reads where to go from GATEWAY_BASE, GATEWAY_CLIENT_ID, GATEWAY_KEY_FILE, GATEWAY_BSN and GATEWAY_BIRTH_DATE,
and needs one library: joserfc, to sign.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from joserfc import jwt
from joserfc.jwk import ECKey

Json = dict[str, Any]

BASE = os.environ["GATEWAY_BASE"]
TRIES = 4
SECONDS = 30  # a region may take its time: sources are asked while you wait


class Client:
    """Keeps a token as long as it lives, and asks again only when that can help."""

    def __init__(self) -> None:
        self.token = ""
        self.expires = 0.0
        self.endpoint = ask(Request(f"{BASE}/.well-known/smart-configuration"))["token_endpoint"]

    def fhir(self, url: str, form: dict[str, str] | None = None) -> Json:
        """One FHIR request; a BSN goes into the form, never into the URL."""
        for _ in range(TRIES):
            request = Request(url, urlencode(form).encode() if form else None)
            request.add_header("Accept", "application/fhir+json")
            request.add_header("Authorization", f"Bearer {self.bearer()}")
            try:
                return ask(request)
            except HTTPError as error:
                if error.code == 401:  # expired or revoked: one new token
                    self.token = ""
                elif error.code in (429, 503, 504):
                    time.sleep(float(error.headers.get("Retry-After") or 1))
                else:
                    raise SystemExit(f"{error.code}: {error.read().decode()}") from None
            except (HTTPException, URLError, ConnectionError, ValueError):  # cut off: half an answer is none
                time.sleep(0.2)
        raise SystemExit("the gateway cannot answer now; nothing is shown")

    def bearer(self) -> str:
        """The token, renewed a little before it expires."""
        if not self.token or time.time() > self.expires - 30:
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion(self.endpoint),
            }
            answer = ask(Request(self.endpoint, urlencode(form).encode()))
            self.token, self.expires = answer["access_token"], time.time() + answer["expires_in"]
        return self.token

    def pages(self, url: str) -> list[Json]:
        """Every page of a search; links are followed as they are, and a link that is refused starts it anew."""
        for _ in range(2):
            entries, following = [], url
            try:
                while following:
                    bundle = self.fhir(following)
                    entries += bundle.get("entry", [])
                    following = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), "")
                return entries
            except SystemExit:
                if following == url:
                    raise
        raise SystemExit("the pages of the search cannot be read; nothing is shown")


def ask(request: Request) -> Json:
    """One HTTP request."""
    with urlopen(request, timeout=SECONDS) as answer:
        body: Json = json.loads(answer.read())
        return body


def assertion(endpoint: str) -> str:
    """A signed proof of who this is: for one token, for four minutes."""
    key = json.loads(Path(os.environ["GATEWAY_KEY_FILE"]).read_text())
    client, now = os.environ["GATEWAY_CLIENT_ID"], int(time.time())
    claims = {"iss": client, "sub": client, "aud": endpoint, "iat": now, "exp": now + 240, "jti": str(uuid.uuid4())}
    claims["extensions"] = {"hl7-b2b": {"version": "1", "purpose_of_use": ["TREAT"]}}
    header = {"alg": "ES384", "kid": key["kid"], "typ": "JWT"}
    return jwt.encode(header, claims, ECKey.import_key(key), algorithms=["ES384"])


def main() -> None:
    """Print what was found, and what is missing."""
    client = Client()
    number = f"http://fhir.nl/fhir/NamingSystem/bsn|{os.environ['GATEWAY_BSN']}"
    found = client.fhir(f"{BASE}/Patient/_search", {"identifier": number, "birthdate": os.environ["GATEWAY_BIRTH_DATE"]})
    patient = next(one["resource"]["id"] for one in found["entry"] if one["search"]["mode"] == "match")
    entries = client.pages(f"{BASE}/Observation?patient={patient}&_count=10")
    print(sum(one["search"]["mode"] == "match" for one in entries), "observations")
    for one in entries:  # an incomplete list must not look complete
        for issue in one["resource"].get("issue", []) if one["search"]["mode"] == "outcome" else []:
            print("note:", issue["details"]["text"])
    summary = client.fhir(f"{BASE}/Patient/{patient}/$summary")
    print([section["title"] for section in summary["entry"][0]["resource"]["section"]])


if __name__ == "__main__":
    sys.exit(main())
