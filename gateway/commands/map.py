"""`gateway map FILE`: translate a source file to an R4 collection Bundle, and list what was lost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.adapters.guidelines import STORE
from gateway.clock import SystemClock
from gateway.errors import StartError
from gateway.model import Json, instant
from mappings.model import NotMappable, Origin, Translation
from mappings.translation import formats, guess, translate
from profiles import exact
from profiles.identifiers import URA_SYSTEM

FORMATS = ("hl7v2", "cda", "hl7v3", "fhir-stu3", "fhir-r4", "csv", "json")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, help="the source file")
    parser.add_argument("--format", choices=FORMATS, help="default: seen from the content")
    parser.add_argument("--map", default="", help="name of the map; default: chosen by the content")
    parser.add_argument(
        "--guidelines", type=Path, default=STORE, metavar="DIR", help="where this gateway reads guidelines"
    )
    parser.add_argument(
        "--as",
        dest="form",
        choices=("collection", "az-referral"),
        default="collection",
        help="az-referral: the transaction (AZ-IG) by which an ambulance refers to a GP post; written only when it is whole",
    )
    parser.add_argument("--receiver", metavar="URA", help="the GP post; default: to whom the document is addressed")
    parser.add_argument("--receiver-name", metavar="NAME", help="its name")
    parser.add_argument("--report-file", type=Path, help="where the losses go as JSON; default: a summary on stderr")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Translate; exit 0 also when something was lost, 1 when the file cannot be mapped."""
    try:
        body = options.file.read_bytes()
    except OSError as error:
        message = f"{options.file}: {error.strerror}"
        raise StartError(message, 1) from None
    format_ = options.format or guess(body)
    if format_ not in formats():
        message = f"{options.file}: format '{format_ or 'unknown'}' cannot be mapped by this version; possible: {', '.join(formats())}"
        raise StartError(message, 1)
    try:
        translation = _translated(body, format_, options)
        made = _collection(translation) if options.form == "collection" else _referral(translation, options)
    except NotMappable as error:
        message = f"{options.file}: {error.path + ': ' if error.path else ''}{error}"
        raise StartError(message, 1) from None
    sys.stdout.buffer.write(exact.encode(made) + b"\n")
    _report(translation, options.report_file)
    return 0


def _translated(body: bytes, format_: str, options: argparse.Namespace) -> Translation:
    """Translate the whole file. FHIR that does not say its version is read as the one of which more is valid."""
    origin = Origin("00000000", "file", instant(SystemClock().now()))
    made = translate(body, format_, origin, options.map, whole=True)
    if options.format or options.map or format_ != "fhir-r4" or not any(loss.kind == "invalid" for loss in made.losses):
        return made
    older = translate(body, "fhir-stu3", origin, whole=True)
    return older if len(older.resources) > len(made.resources) else made


def _collection(translation: Translation) -> dict[str, object]:
    entries = [
        {
            "fullUrl": f"https://roaz-gateway.example/fhir/{resource['resourceType']}/{resource['id']}"
            if resource.get("id")
            else f"urn:roaz:file:{position}",
            "resource": resource,
        }
        for position, resource in enumerate(translation.resources)
    ]
    bundle: dict[str, object] = {"resourceType": "Bundle", "type": "collection"}
    return bundle | {"entry": entries} if entries else bundle


def _referral(translation: Translation, options: argparse.Namespace) -> Json:
    """Write a referral, held against the rules of its guide.

    Raises:
        StartError: a rule is broken; what may not be sent is not written.
    """
    from mappings.referral import findings, referral  # noqa: PLC0415 - only who refers loads FHIRPath

    post: Json | None = None
    if options.receiver:
        post = {"resourceType": "Organization", "identifier": [{"system": URA_SYSTEM, "value": options.receiver}]}
        post |= {"name": options.receiver_name} if options.receiver_name else {}
    made = referral(translation, instant(SystemClock().now()), post)
    found = findings(made)
    for one in found:
        print(f"gateway: {one.severity}: {one.on}: {one.text}", file=sys.stderr)
    if any(one.severity == "error" for one in found):
        message = f"{options.file}: no referral can be made of this"
        raise StartError(message, 1)
    return made


def _report(translation: Translation, path: Path | None) -> None:
    losses = [{"path": loss.path, "kind": loss.kind, "reason": loss.reason} for loss in translation.losses]
    if path is not None:
        path.write_bytes(
            exact.encode({"map": translation.map, "version": translation.version, "losses": losses}) + b"\n"
        )
    print(
        f"gateway: {len(translation.resources)} resource(s), {len(losses)} loss(es), map {translation.map or '-'}",
        file=sys.stderr,
    )
    if path is None:
        for loss in translation.losses:
            print(f"  {loss.path}: {loss.kind}: {loss.reason}", file=sys.stderr)
