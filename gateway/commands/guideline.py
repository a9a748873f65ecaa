"""`gateway guideline test|diff|add DIR`: prove a guideline, see what it changes, and put it where the gateway reads it."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.adapters.guidelines import Example, Guideline, read_guideline, use_guidelines
from gateway.errors import StartError
from mappings.library import use
from mappings.linting import check_maps
from mappings.model import NotMappable, Origin
from mappings.translation import translate
from profiles import exact

_ORIGIN: Final = Origin("90000001", "example", "2026-01-05T10:16:00+01:00")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    for name, summary, run in (
        ("test", "check its maps and run its examples", _test),
        ("diff", "show what it changes against the maps that are in use", _diff),
        ("add", "put it among the guidelines of this gateway, when its examples hold", _add),
    ):
        command = commands.add_parser(name, help=summary)
        command.add_argument("folder", type=Path, help="folder of the guideline")
        command.add_argument(
            "--store", type=Path, default=Path("guidelines"), metavar="DIR", help="where this gateway reads guidelines"
        )
        command.set_defaults(run=run)


def _test(options: argparse.Namespace) -> int:
    """Exit 1 when a map or an example is not right."""
    guideline = read_guideline(options.folder)
    _others(options.store, guideline)
    return _proven(guideline)


def _diff(options: argparse.Namespace) -> int:
    """Print a unified diff a file; exit 0 also when there is one."""
    guideline = read_guideline(options.folder)
    older = options.store / guideline.name
    before = read_guideline(older).files if older.is_dir() else {}
    for path, text in guideline.files.items():
        old = before.get(path, _ours(path))
        lines = difflib.unified_diff(old.splitlines(), text.splitlines(), f"in use/{path}", path, lineterm="")
        print("\n".join(lines) or f"{path}: the same")
    for path in sorted(before.keys() - guideline.files.keys()):
        print(f"{path}: no longer there")
    return 0


def _add(options: argparse.Namespace) -> int:
    """Copy the folder only when it is proven; what stood there under the same name is replaced as a whole."""
    guideline = read_guideline(options.folder)
    _others(options.store, guideline)
    if _proven(guideline):
        return 1
    target = options.store / guideline.name
    beside = options.store / f".{guideline.name}.new"
    try:
        options.store.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(guideline.folder, beside)
        if target.exists():
            shutil.rmtree(target)
        beside.rename(target)
    except OSError as error:
        message = f"{target}: {error.strerror}"
        raise StartError(message, 1) from None
    print(f"gateway: guideline {guideline.name} {guideline.version} added to {options.store}", file=sys.stderr)
    return 0


def _others(store: Path, guideline: Guideline) -> None:
    """Use what is in the store already, so that a guideline is proven among the others."""
    if not (store / guideline.name).exists():
        use_guidelines(store)


def _proven(guideline: Guideline) -> int:
    use(guideline.files)
    findings = check_maps()
    findings += [finding for one in guideline.examples if (finding := _held(one))]
    for finding in findings:
        print(finding)
    said = f"{len(guideline.files)} file(s), {len(guideline.examples)} example(s)"
    print(f"gateway: {guideline.name} {guideline.version}: {said}, {len(findings) or 'no'} finding(s)", file=sys.stderr)
    return 1 if findings else 0


def _held(example: Example) -> str:
    try:
        made = translate(example.source.read_bytes(), example.format, _ORIGIN)
        expected = exact.decode(example.expected.read_bytes())
    except (NotMappable, exact.NotExact, OSError) as error:
        return f"examples/{example.name}: {error}"
    if list(made.resources) != expected.get("resources"):
        return f"examples/{example.name}: other resources than expected"
    if [[loss.path, loss.kind] for loss in made.losses] != expected.get("losses"):
        return f"examples/{example.name}: other losses than expected"
    return ""


def _ours(path: str) -> str:
    own = resources.files("mappings").joinpath(path)
    return own.read_text(encoding="utf-8") if own.is_file() else ""
