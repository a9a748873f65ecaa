"""`gateway token`: an access token, asked for the way any client asks."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from gateway import settings
from gateway.clock import SystemClock
from gateway.errors import StartError
from gateway.oauth.client import fetch_token
from gateway.oauth.discovery import token_endpoint
from profiles import exact


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--client", required=True, help="id of a registered client")
    parser.add_argument("--config", type=Path, default=Path("region.toml"))
    parser.add_argument(
        "--key-file", type=Path, help="its private key (JWK); default: clients.key_file of the configuration"
    )
    parser.add_argument("--scope", default="", help="default: every registered scope")
    for name in ("purpose", "role", "person", "person-name", "case", "responsible"):
        parser.add_argument(f"--{name}", default="", help="goes into the claims of the assertion")
    parser.add_argument("--loa", default="substantial", help="level of assurance of the person's login")
    parser.add_argument("--json", action="store_true", help="print the whole answer, not only the token")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the token."""
    read = settings.load(options.config, options.environment)
    client = next((row for row in read.clients if row.id == options.client), None)
    key_file = options.key_file or (options.config.parent / client.key_file if client and client.key_file else None)
    if key_file is None:
        message = f"no private key at hand for client '{options.client}'; give --key-file"
        raise StartError(message, 1)
    try:
        key = exact.decode(key_file.read_bytes())
    except (OSError, exact.NotExact) as error:
        message = f"{key_file}: not a readable JWK: {error}"
        raise StartError(message, 1) from None
    scope = options.scope or " ".join(client.scopes if client else ())
    endpoint = token_endpoint(read)
    answer = asyncio.run(
        fetch_token(
            endpoint, options.client, key, scope=scope, who=_who(options), now=lambda: SystemClock().now().timestamp()
        )
    )
    sys.stdout.write(exact.encode(answer).decode() + "\n" if options.json else answer["access_token"] + "\n")
    return 0


def _who(options: argparse.Namespace) -> dict[str, Any]:
    claims = {
        "subject_id": options.person,
        "subject_name": options.person_name,
        "subject_role": options.role,
        "case": options.case,
        "responsible": options.responsible,
        "loa": options.loa if options.person else "",
    }
    found: dict[str, Any] = {name: value for name, value in claims.items() if value}
    if options.purpose:
        found["purpose_of_use"] = [options.purpose]
    return found
