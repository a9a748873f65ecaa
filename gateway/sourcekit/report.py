"""A trial or a probe as text for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.sourcekit import stanza
from gateway.sourcekit.coverage import Element
from gateway.sourcekit.mapped import Mapped
from gateway.sourcekit.probing import Probe
from gateway.sourcekit.reaching import Check
from gateway.sourcekit.support import Fit
from gateway.sourcekit.trial import Tried

Json = dict[str, Any]

_QUERY_HEAD: Final = ("query", "type", "state", "status", "items", "ms", "mapped", "lost", "refused", "")
_ELEMENT_HEAD: Final = ("section", "category", "query", "found", "how")
_LOST_HEAD: Final = ("lost at", "kind", "times", "why")


def trial_text(source: str, checks: Sequence[Check], tried: Sequence[Tried]) -> str:
    """The outcome of `gateway source test`."""
    parts = [f"source {source}", *_checks(checks)]
    if tried:
        parts += ["", *_table([_QUERY_HEAD, *(_query_row(one) for one in tried)])]
    return "\n".join(parts)


def trial_json(source: str, checks: Sequence[Check], tried: Sequence[Tried], exit_code: int) -> Json:
    """The same, for machines."""
    queries = [{name: getattr(one, name) for name in
                ("query", "type", "state", "status", "items", "milliseconds", "mapped", "lost", "refused")} | {"why": list(one.why)}
               for one in tried]  # fmt: skip
    return {"source": source, "exit": exit_code, "checks": _check_objects(checks), "queries": queries}


def probe_text(probe: Probe) -> str:
    """The outcome of `gateway source probe`."""
    parts = [
        f"# {line}" for line in (f"probe of {probe.target}", f"guess: {probe.guess or 'none'}", *_checks(probe.checks))
    ]
    parts += [f"# dialect {line}" for line in map(_fit, probe.candidates)]
    if probe.table:
        parts += ["", stanza.written(probe.table).rstrip()]
    if probe.coverage:
        rows = [_ELEMENT_HEAD, *((one.section, one.category, one.query, one.found, one.how) for one in probe.coverage)]
        parts += ["", *_table(rows)]
    if probe.columns:
        parts += ["", f"columns: {', '.join(probe.columns)}"]
    if probe.mapped is not None:
        parts += ["", *_mapped(probe.mapped)]
    return "\n".join(parts)


def probe_json(probe: Probe) -> Json:
    """The same, for machines."""
    made: Json = {
        "target": probe.target,
        "guess": probe.guess,
        "exit": probe.exit_code,
        "checks": _check_objects(probe.checks),
        "dialects": [{"dialect": one.dialect.name, "share": round(one.share, 2)} for one in probe.candidates],
        "stanza": stanza.written(probe.table) if probe.table else "",
        "source": probe.table,
        "coverage": [_element(one) for one in probe.coverage],
    }
    if probe.mapped is not None:
        made["mapped"] = _mapped_object(probe.mapped) | {"columns": list(probe.columns)}
    return made


def _checks(checks: Iterable[Check]) -> list[str]:
    return _table([(check.name, check.state, check.text) for check in checks])


def _check_objects(checks: Iterable[Check]) -> list[Json]:
    return [{"name": check.name, "state": check.state, "text": check.text} for check in checks]


def _query_row(one: Tried) -> tuple[str, ...]:
    counts = (one.items, one.milliseconds, one.mapped, one.lost, one.refused)
    return one.query, one.type, one.state, one.status or "-", *map(str, counts), " ".join(one.why)


def _fit(fit: Fit) -> str:
    counts = ", ".join(f"{fit.count(word)} {word}" for word in ("yes", "unknown", "no"))
    return f"{fit.dialect.name}: {len(fit.verdicts)} queries: {counts}"


def _element(one: Element) -> Json:
    return {"section": one.section, "category": one.category, "query": one.query, "found": one.found, "how": one.how}


def _mapped(made: Mapped) -> list[str]:
    if made.trouble:
        return [f"map: nothing was mapped: {made.trouble}"]
    types = ", ".join(f"{count} {type_}" for type_, count in made.types) or "nothing"
    head = f"map {made.map} {made.version}".rstrip() + (f", message {made.message}" if made.message else "")
    lines = [head, f"made: {types}; {made.invalid} not valid as R4"]
    return lines + (
        _table([_LOST_HEAD, *((one.path, one.kind, str(one.count), one.reason) for one in made.lost)])
        if made.lost
        else []
    )


def _mapped_object(made: Mapped) -> Json:
    lost = [{"path": one.path, "kind": one.kind, "reason": one.reason, "count": one.count} for one in made.lost]
    return {"map": made.map, "version": made.version, "message": made.message, "trouble": made.trouble,
            "types": dict(made.types), "invalid": made.invalid, "lost": lost}  # fmt: skip


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
