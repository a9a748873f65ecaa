"""`gateway guideline test|diff|add DIR`: prove a guideline, see what it changes, and put it where the gateway reads it."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from gateway.adapters.guideline_rules import changes
from gateway.adapters.guidelines import ALLOWED, STORE, Guideline, read_guideline, refusals, use
from gateway.errors import StartError
from mappings.tables import is_joined, joined


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    for name, summary, run in (
        ("test", "check its maps and tables and run its examples", _test),
        ("diff", "show what it changes against what is in use", _diff),
        ("add", "put it among the guidelines of this gateway, when its examples hold", _add),
    ):
        command = commands.add_parser(name, help=summary)
        command.add_argument("folder", type=Path, help="folder of the guideline")
        command.add_argument(
            "--store", type=Path, default=STORE, metavar="DIR", help="where this gateway reads guidelines"
        )
        command.set_defaults(run=run)
    command.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="RULE",
        help="a rule it may change, as `diff` names it; may be repeated",
    )


def _test(options: argparse.Namespace) -> int:
    """Exit 1 when a map, a table or an example is not right."""
    return _proven(read_guideline(options.folder))


def _diff(options: argparse.Namespace) -> int:
    """Print what a guideline changes; exit 0 also when it does."""
    guideline = read_guideline(options.folder)
    older = options.store / guideline.name
    before = read_guideline(older).files if older.is_dir() else {}
    for path, text in guideline.files.items():
        if path.endswith(".yaml"):
            print("\n".join(_lines(path, before.get(path, ""), text)) or f"{path}: the same")
    for change in changes(guideline.files):
        print(f"{'adds' if change.allowed else 'changes a rule'}: {change.rule}: {change.says}")
    for path in sorted(before.keys() - guideline.files.keys()):
        print(f"{path}: no longer there")
    return 0


def _add(options: argparse.Namespace) -> int:
    """Copy the folder only when it is proven; what stood there under the same name is replaced as a whole."""
    guideline = read_guideline(options.folder)
    refused = refusals(guideline, frozenset(options.allow))
    if refused:
        text = " ".join(f"--allow {rule}" for rule in refused)
        message = (
            f"{guideline.name} changes rules of the gateway (see `gateway guideline diff`); if that is meant: {text}"
        )
        raise StartError(message, 1)
    if _proven(guideline):
        return 1
    _copied(guideline, options.store, sorted(set(options.allow)))
    print(f"gateway: guideline {guideline.name} {guideline.version} added to {options.store}", file=sys.stderr)
    return 0


def _copied(guideline: Guideline, store: Path, allow: list[str]) -> None:
    target, beside = store / guideline.name, store / f".{guideline.name}.new"
    try:
        store.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(guideline.folder, beside)
        (beside / ALLOWED).write_text("".join(f"{rule}\n" for rule in allow), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        beside.rename(target)
    except OSError as error:
        message = f"{target}: {error.strerror}"
        raise StartError(message, 1) from None


def _proven(guideline: Guideline) -> int:
    from gateway.adapters.guideline_proof import findings_of  # noqa: PLC0415 - its tables are read once, after this

    use(guideline)
    findings = findings_of(guideline)
    for finding in findings:
        print(finding)
    said = f"{len(guideline.files)} file(s), {len(guideline.examples)} example(s)"
    print(f"gateway: {guideline.name} {guideline.version}: {said}, {len(findings) or 'no'} finding(s)", file=sys.stderr)
    return 1 if findings else 0


def _lines(path: str, older: str, text: str) -> Iterator[str]:
    """What a map of a guideline changes, line by line; of one that adds to ours what comes of the two together."""
    own = resources.files("mappings").joinpath(path)
    ours = own.read_text(encoding="utf-8") if own.is_file() else ""
    old, new, context = older or ours, text, 3
    if is_joined(path) and ours:
        in_use = joined(yaml.safe_load(ours), yaml.safe_load(older or "{}"))
        old, new, context = _written(in_use), _written(joined(in_use, yaml.safe_load(text))), 0
    return difflib.unified_diff(old.splitlines(), new.splitlines(), f"in use/{path}", path, lineterm="", n=context)


def _written(tree: Any) -> str:  # noqa: ANN401 - a data file is any tree of plain values
    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
