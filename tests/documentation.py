"""Render the parts of the documentation that come from the code; `python -m tests.documentation` writes them.

docs/errors.md comes from the error table and the remarks below, the tree in docs/architecture.md from the module
docstrings, the curl lines in README.md from what `gateway demo` prints. Tests compare what is written with this.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from gateway.demo.output import PAGES, Shown, curl_lines
from gateway.demo.region import Region
from gateway.errors import TABLE, Row
from gateway.fhir.outcome import ERROR_SYSTEM
from gateway.intake.documents import TEXTS
from gateway.routes.guide.examples import examples

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("gateway", "consent", "mappings", "profiles")

# Codes that stand in answers with status 200: what a searchset or match says beside its entries.
REMARKS: Final = {
    "source-failed": ("warning", "incomplete", "a source did not answer for some categories; `diagnostics` says why"),
    "source-refused": (
        "warning",
        "suppressed",
        "a source was not asked for some categories, on the caller's side; `diagnostics` holds the code of the reason",
    ),
    "source-stale": (
        "warning",
        "incomplete",
        "a feed has been silent for longer than expected; its items may be out of date",
    ),
    "item-kept-out": ("warning", "incomplete", "items of a source could not be shown safely"),
    "item-masked": ("information", "suppressed", "items of a source are masked by their label; the rest is shown"),
    "consent-refused": ("information", "suppressed", "there may be more; says nothing about where or what"),
    "may-be-more": ("information", "informational", "the fixed sentence that stands on every answer for this role"),
    "reference-not-followed": (
        "warning",
        "incomplete",
        "a chain came upon references that lead to what no source gave or may be seen; items that hang on it are not found",
    ),
    "include-left-out": (
        "warning",
        "suppressed",
        "types an `_include` can bring are left out: the token does not cover them",
    ),
    "unknown-parameter": (
        "warning",
        "not-supported",
        "a parameter was ignored, as asked with `Prefer: handling=lenient`",
    ),
}

# Why a source gave nothing: `diagnostics` of `source-failed`.
FAILURES: Final = {
    "timeout": "no complete answer before the deadline",
    "connection": "no connection",
    "tls": "no trusted TLS connection",
    "address": "the address is not one that may be connected to",
    "status": "an HTTP status that is no answer",
    "refused": "the source refused the gateway",
    "redirect": "the source pointed elsewhere; redirects are not followed",
    "encoding": "a character set or compression that is not accepted",
    "truncated": "the answer was cut off",
    "malformed": "the answer is not a searchset, not FHIR, or no HL7 v3 answer to this question",
    "incomplete": "the source says itself that something is missing, or its pages do not end",
    "too-large": "more than is accepted",
    "wrong-patient": "the source answered about another person; nothing of it is shown",
    "circuit-open": "the source failed several times and is left alone for a moment",
    "not-asked": "no query of the dialect of this source gives this type of resource; the source may hold it all the same",
    "no-address": "the custodian has no address in the configuration",
    "no-identifier": "the source cannot be asked by the number the patient is known by",
    "not-checkable": "consent could not be checked",
    "internal": "a defect in the gateway",
}  # fmt: skip

_EXITS: Final = {0: "ok", 1: "the input is not ok", 2: "wrong use", 3: "could not"}


def errors_page() -> str:
    """The text of docs/errors.md."""
    return "\n".join(
        [
            "# Errors",
            "",
            "Written by `python -m tests.documentation` from the tables in the code; do not edit.",
            "",
            "Every error of the FHIR endpoint is an `OperationOutcome`: `severity`, `code` (FHIR issue type),",
            f"`details.coding` (system `{ERROR_SYSTEM}`, code below), `details.text` in English or, by",
            "`Accept-Language`, in Dutch, `diagnostics` with the correlation id, and `expression` where an element is at",
            "fault. A status of 503 carries `Retry-After`. Words in braces are filled in; they never hold personal data.",
            "",
            "## Errors of the FHIR endpoint",
            "",
            "| Code | Status | Issue type | Text | Dutch text |",
            "|---|---|---|---|---|",
            *(_error(code, row) for code, row in TABLE.items() if not code.startswith("oauth-")),
            "",
            "## Errors of the token endpoint (RFC 6749, section 5.2)",
            "",
            "| Code in the record | Status | `error` | `error_description` |",
            "|---|---|---|---|",
            *(f"| `{code}` | {row.status} | `{row.oauth}` | {_cell(row.en)} |"
              for code, row in TABLE.items() if code.startswith("oauth-")),
            "",
            "A token that is refused at the FHIR endpoint also answers with `WWW-Authenticate: Bearer`.",
            "",
            "## Remarks beside an answer",
            "",
            "Entries with `search.mode` = `outcome` in a searchset or match: the answer stands, and this is what it lacks.",
            "",
            "| Code | Severity | Issue type | Meaning |",
            "|---|---|---|---|",
            *(f"| `{code}` | {severity} | {issue} | {_cell(text)} |" for code, (severity, issue, text) in REMARKS.items()),
            "",
            "## What became of a document in an inbox",
            "",
            "Issues of the answer to `POST /inbox/{source}`; `diagnostics` holds the receipt. 201 new, 200 known, 422 when nothing",
            "of it could be read; it is kept all the same.",
            "",
            "| Code | Severity | Issue type | English | Dutch |",
            "|---|---|---|---|---|",
            *(f"| `{code}` | {severity} | {issue} | {_cell(en)} | {_cell(nl)} |" for code, (severity, issue, en, nl) in TEXTS.items()),
            "",
            "## Why a source gave nothing",
            "",
            "| Code | Meaning |",
            "|---|---|",
            *(f"| `{code}` | {text} |" for code, text in FAILURES.items()),
            "",
            "A summary says the same per section and source, as the state of its `section-source` extension and in the",
            "narrative of the first section: `data`, `none`, `unknown`, `withheld`, `unavailable`.",
            "",
            "## Exit codes of the commands",
            "",
            "| Code | Meaning |",
            "|---|---|",
            *(f"| {code} | {text} |" for code, text in _EXITS.items()),
            "",
        ]
    )  # fmt: skip


def _error(code: str, row: Row) -> str:
    return f"| `{code}` | {row.status} | {row.issue} | {_cell(row.en)} | {_cell(row.nl)} |"


def _cell(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}").replace("|", "\\|")


def tree() -> str:
    """Every module with the one sentence it says about itself."""
    lines: list[str] = []
    for package in PACKAGES:
        if lines:
            lines.append("")
        for path in sorted((ROOT / package).rglob("*.py"), key=_order):
            folder = path.parent.relative_to(ROOT).as_posix()
            name = f"{folder}/" if path.name == "__init__.py" else path.relative_to(ROOT).as_posix()
            lines.append(f"{name:<40} {sentence(path)}")
    return "\n".join(lines)


def _order(path: Path) -> tuple[tuple[str, ...], bool, str]:
    return path.parent.parts, path.name != "__init__.py", path.name


@cache
def sentence(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    # Only its beginning is parsed: the code below it takes fifty times as long and says nothing here.
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text[: text.find('"""', 3) + 3] if text.startswith('"""') else text)) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def try_it() -> str:
    """The curl lines of the demo at its usual port."""
    shown = Shown(Region("http://127.0.0.1:8080"), {}, "", PAGES)
    return "\n\n".join(f"# {comment}\n{command}" for comment, command in curl_lines(shown))


def between(text: str, name: str) -> str:
    """What stands between the markers of a generated part, without its fence."""
    found = _part(name).search(text)
    return found[2] if found else ""


def fill(text: str, name: str, content: str) -> str:
    """Put a generated part between its markers."""
    return _part(name).sub(lambda found: f"{found[1]}{content}{found[3]}", text)


def _part(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n```\w*\n)(.*?)(\n```\n<!-- /{name} -->)", re.DOTALL)


def written() -> Iterator[tuple[Path, str]]:
    """Every documentation file that is made from code, with what it should say."""
    yield ROOT / "docs/errors.md", errors_page()
    yield ROOT / "docs/examples.http", examples("http://127.0.0.1:8080")
    for path, name, content in ((ROOT / "docs/architecture.md", "tree", tree()), (ROOT / "README.md", "try", try_it())):
        yield path, fill(path.read_text(encoding="utf-8"), name, content)


def main() -> int:
    """Write what changed."""
    for path, text in written():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
