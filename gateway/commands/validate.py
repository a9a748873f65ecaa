"""`gateway validate FILE…`: an OperationOutcome per file, against FHIR R4, the profiles claimed and the profiles asked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.clock import SystemClock
from gateway.commands.profiles import opened
from gateway.errors import StartError
from gateway.fhir.findings import findings
from gateway.model import CANONICAL, Json
from profiles import exact, xml
from profiles.issue import Issue
from profiles.judgement import judge
from profiles.library import Library


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="FHIR R4 as JSON or XML; - reads stdin")
    parser.add_argument(
        "--profile", action="append", default=[], metavar="URL", help="hold the resources to this profile as well"
    )
    parser.add_argument(
        "--set", default="", metavar="NAME", help="a profile set by name or file; default: the shipped one"
    )
    parser.add_argument("--store", type=Path, default=Path("profile-sets"), metavar="DIR", help="where added sets are")
    parser.add_argument("--format", choices=("json", "text"), default="json")
    parser.add_argument("--language", choices=("en", "nl"), default="en")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Judge every file; exit 1 when any has an error."""
    library = opened(options.set, options.store)
    worst = 0
    for path in options.files:
        issues = _issues(path, library, tuple(options.profile))
        worst = max(worst, int(any(issue.is_error for issue in issues)))
        if options.format == "text":
            _print_text(path, issues, options.language)
            continue
        made: Json = findings(issues, options.language, library.name)
        if len(options.files) > 1:
            made["extension"] = [{"url": f"{CANONICAL}/StructureDefinition/file", "valueString": str(path)}]
        sys.stdout.buffer.write(exact.encode(made) + b"\n")
    return worst


def _print_text(path: Path, issues: tuple[Issue, ...], language: str) -> None:
    for issue in issues:
        text = issue.text_nl if language == "nl" else issue.text_en
        where = f" {issue.definition}" if issue.definition else ""
        print(f"{path}: {issue.severity}: {issue.expression}: {text} [{issue.rule}{where}]")


def _issues(path: Path, library: Library, profiles: tuple[str, ...]) -> tuple[Issue, ...]:
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        resource = xml.to_json(raw) if raw.lstrip()[:1] == b"<" else exact.decode(raw)
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise StartError(message, 3) from None
    except exact.NotExact as error:
        return (Issue("fatal", "structure", "", "json", str(error), str(error)),)
    return judge(resource, library, profiles, now=SystemClock().now()).issues
