"""`gateway validate FILE…`: an OperationOutcome per file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.errors import StartError
from gateway.fhir.outcome import outcome
from gateway.model import Json
from profiles import exact
from profiles.issue import Issue
from profiles.validation import validate

_MEANING = {"error": 1, "fatal": 1}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--format", choices=("json", "text"), default="json")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check base FHIR R4 structure; exit 1 when any file has an error."""
    worst = 0
    for path in options.files:
        issues = _issues(path)
        worst = max(worst, *(_MEANING.get(issue.severity, 0) for issue in issues), 0)
        if options.format == "text":
            for issue in issues:
                print(f"{path}: {issue.severity}: {issue.expression}: {issue.text_en} [{issue.rule}]")
            continue
        made = outcome(*(_rendered(issue) for issue in issues) if issues else [_good()])
        if len(options.files) > 1:
            made["extension"] = [
                {"url": "https://roaz-gateway.example/fhir/StructureDefinition/file", "valueString": str(path)}
            ]
        sys.stdout.buffer.write(exact.encode(made) + b"\n")
    return worst


def _issues(path: Path) -> tuple[Issue, ...]:
    try:
        return validate(exact.decode(path.read_bytes()))
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise StartError(message, 3) from None
    except exact.NotExact as error:
        return (Issue("fatal", "structure", "", "json", str(error), str(error)),)


def _rendered(issue: Issue) -> Json:
    made: Json = {
        "severity": issue.severity,
        "code": issue.code,
        "details": {"text": issue.text_en},
        "diagnostics": issue.rule,
    }
    return made | {"expression": [issue.expression]} if issue.expression else made


def _good() -> Json:
    return {
        "severity": "information",
        "code": "informational",
        "details": {"text": "valid base FHIR R4; profiles were not checked"},
    }
