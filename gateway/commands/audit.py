"""`gateway audit …`: prove the log whole, prove one record, show what was on screen, and answer who looked."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from typing import Final

# One row a subcommand: the module and the function in it that declares its options and sets `run`.
SUBCOMMANDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "verify": ("audit_verify", "verify_arguments", "read the whole log, and say whether it is as it was written"),
    "prove": ("audit_prove", "prove_arguments", "a proof that a record is in the log, for an outsider"),
    "replay": ("audit_prove", "replay_arguments", "what was and what was not on screen"),
    "rebuild": (
        "audit_rebuild",
        "rebuild_arguments",
        "make hashes and look-up tables again from records that are whole",
    ),
    "hold": ("audit_hold", "hold_arguments", "keep records past their time while a question of law is open"),
    "acknowledge": ("audit_hold", "acknowledge_arguments", "put a loss of records that cannot be undone on record"),
    "list": ("audit_reports", "list_arguments", "what an auditor of one organization may see, newest first"),
    "report": ("audit_reports", "report_arguments", "the overview a citizen gets: who looked, who made data available"),
    "sample": ("audit_review", "sample_arguments", "draw accesses by chance, to be looked at"),
    "review": ("audit_review", "review_arguments", "put on record what came of looking at a sample"),
    "export": ("audit_reports", "export_arguments", "take events away: NDJSON or CSV with a signed manifest"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of every subcommand."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, (module, declare, summary) in SUBCOMMANDS.items():
        added = commands.add_parser(name, help=summary, description=summary)
        getattr(import_module(f"gateway.commands.{module}"), declare)(added)
