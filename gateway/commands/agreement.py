"""`gateway agreement diff|list`: who could newly see what, before a change is active; and what is in force."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from consent.agreement import in_force
from consent.differences import Difference, differences
from consent.model import Agreement
from gateway import settings
from gateway.app import database_url
from gateway.clock import SystemClock
from gateway.errors import Invalid, StartError
from gateway.fhir.contract import agreement_in
from gateway.policy import Policy, build
from gateway.ports import KeptContract
from gateway.storage import Database
from gateway.storage.contract_store import ContractStore
from profiles import exact


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    diff = commands.add_parser("diff", help="say in words who could newly see what, and who no longer")
    diff.add_argument("before", type=Path, help="the configuration in force")
    diff.add_argument(
        "after",
        type=Path,
        nargs="?",
        help="the configuration to come; without it: what waits in the database for a second person",
    )
    diff.add_argument("--json", action="store_true", help="one JSON object a line instead of text")
    diff.set_defaults(run=_diff)
    listing = commands.add_parser(
        "list", help="every agreement, of the file and of the database, and whether it is in force"
    )
    listing.add_argument("--config", type=Path, default=Path("region.toml"))
    listing.set_defaults(run=_list)


def _diff(options: argparse.Namespace) -> int:
    """Exit 1 when something opens, so that a change cannot slip through a script unseen."""
    before = build(settings.load(options.before, options.environment))
    if options.after is not None:
        after = build(settings.load(options.after, options.environment))
        found = differences(before.agreements, after.agreements, _named(before, after))
    else:
        kept = asyncio.run(_kept(options.before, options.environment))
        decided = tuple(_read(one, before) for one in kept if one.status == "executed")
        proposed = tuple(_read(one, before) for one in kept if one.status == "offered")
        old = (*before.agreements, *decided)
        new = {one.id: one for one in (*old, *proposed)}
        found = differences(old, new.values(), before.name)
    for one in found:
        print(exact.encode(_json(one)).decode() if options.json else f"{one.effect}\t{one.agreement}\t{one.text}")
    if not found:
        print("gateway: nobody could newly see anything, and nobody no longer", file=sys.stderr)
    return 1 if any(one.effect != "closes" for one in found) else 0


def _list(options: argparse.Namespace) -> int:
    policy = build(settings.load(options.config, options.environment))
    now = SystemClock().now()
    for one in policy.agreements:
        _print(one, options.config.name, "in force" if in_force(one, now) else "not in force")
    for kept in asyncio.run(_kept(options.config, options.environment)):
        one = _read(kept, policy)
        active = kept.status == "executed" and in_force(one, now)
        _print(one, f"database, {kept.status}", "in force" if active else "not in force")
    return 0


def _print(one: Agreement, where: str, state: str) -> None:
    parties = f"{' '.join(sorted(one.requesters))} <- {' '.join(sorted(one.custodians))}"
    print(f"{one.id}\t{where}\t{state}\t{one.basis}\t{parties}")


def _json(one: Difference) -> dict[str, str]:
    return {"agreement": one.agreement, "effect": one.effect, "text": one.text}


def _named(before: Policy, after: Policy) -> Callable[[str], str]:
    """The name of an organization, as the newer configuration has it."""
    return lambda ura: after.name(ura) if ura in after.organizations else before.name(ura)


async def _kept(config: Path, environment: dict[str, str]) -> tuple[KeptContract, ...]:
    read = settings.load(config, environment)
    database = Database.open(database_url(read, config.parent), exclusive=False)
    try:
        return await ContractStore(database, SystemClock()).all()
    finally:
        await database.close()


def _read(kept: KeptContract, policy: Policy) -> Agreement:
    try:
        return agreement_in(exact.decode(kept.raw), policy)
    except Invalid as error:
        message = f"agreement '{kept.id}' in the database: {error.text()}"
        raise StartError(message, 1) from None
