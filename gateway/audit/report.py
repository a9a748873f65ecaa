"""The report of an examination, in words a court can read and in JSON a program can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from gateway.audit.checkpoints import name_of
from gateway.audit.examination import Examination, Examined
from gateway.audit.verification import Finding
from gateway.model import instant

_METHOD: Final = (
    "Every record was read and hashed. The hashes were held against those kept when the records were written, and",
    "the trees over them (RFC 9162, SHA-256) against every checkpoint that was signed (Ed25519, C2SP tlog-checkpoint),",
    "also against those that others hold. A record that was changed, removed, added or moved cannot agree with them.",
)


def as_text(report: Examination) -> str:
    """The report for a reader."""
    return "\n".join(_lines(report)) + "\n"


def as_json(report: Examination) -> str:
    """The report for a program: one object."""
    found: dict[str, Any] = {
        "whole": report.whole,
        "origin": report.base,
        "started": instant(report.started),
        "ended": _moment(report.ended),
        "since": _moment(report.since),
        "keys": list(report.keys),
        "holders": report.holders,
        "silent": report.silent,
        "checkpoints": report.checkpoints,
        "logs": [
            {
                "log": name_of(one.log),
                "from": one.from_,
                "records": one.records,
                "covered": one.covered,
                "witnessed": one.witnessed,
                "retired": one.retired,
                "root": one.root,
            }
            for one in report.logs
        ],
        "findings": [
            {"kind": one.kind, "log": name_of(one.log), "first": one.first, "last": one.last, "text": one.text}
            for one in report.findings
        ],
    }
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _lines(report: Examination) -> Iterator[str]:
    yield f"Examination of the audit log of {report.base}"
    yield ""
    yield f"Started   {instant(report.started)}"
    yield f"Ended     {_moment(report.ended)}"
    if report.since:
        yield f"Records   from {instant(report.since)}; of earlier ones only the hashes were used"
    yield f"Evidence  {report.checkpoints} signed checkpoints" + _held(report)
    for name in report.silent:
        yield f"          witness '{name}' could not be asked: what it holds was not used"
    for key in report.keys:
        yield f"Key       {key}"
    yield ""
    yield from _METHOD
    yield ""
    for one in report.logs:
        yield _log(one)
    yield ""
    if report.whole:
        yield "Result    WHOLE: nothing was changed, removed, added or moved" + _bounds(report)
    else:
        yield f"Result    NOT WHOLE: {len(report.findings)} finding(s)"
        yield ""
        for number, finding in enumerate(report.findings, 1):
            yield _finding(number, finding)


def _held(report: Examination) -> str:
    return f", of which others hold some: {', '.join(report.holders)}" if report.holders else ", held by nobody else"


def _bounds(report: Examination) -> str:
    if not report.holders:
        return "; nobody else holds a checkpoint, so whoever has the key could have replaced everything"
    after = sum(one.covered - one.witnessed for one in report.logs if one.witnessed < one.covered)
    return f"; the last {after} record(s) were seen by no witness yet" if after else ""


def _log(one: Examined) -> str:
    begin = f" from {one.from_}" if one.from_ > 1 else ""
    retired = f", {one.retired} retired after their time" if one.retired else ""
    tail = one.records + one.retired + one.from_ - 1 - one.covered
    late = f", {tail} not in a checkpoint yet" if tail > 0 else ""
    root = f", root {one.root}" if one.covered else ""
    return (
        f"Log {name_of(one.log)}: {one.records} records{begin}, {one.covered} under checkpoints, "
        f"{one.witnessed} of them witnessed{retired}{late}{root}"
    )


def _finding(number: int, finding: Finding) -> str:
    which = f"log {name_of(finding.log)}"
    if finding.first:
        which += f", record {finding.first}" + (f" to {finding.last}" if finding.last != finding.first else "")
    return f"{number}. {finding.kind.upper()} — {which}: {finding.text}"


def _moment(at: datetime | None) -> str:
    return instant(at) if at else ""
