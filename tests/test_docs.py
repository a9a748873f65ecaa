"""What the documentation says is true of the code: every setting, error, command, rule and hazard."""

from __future__ import annotations

import ast
import json
import re
import signal
import string
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec
import pytest

from gateway.adapters.http import Code
from gateway.cli import COMMANDS
from gateway.errors import TABLE, StartError
from gateway.policy import build
from gateway.settings import Duration, Settings, Table, override, parse
from tests.documentation import FAILURES, PACKAGES, REMARKS, ROOT, written

RULES: Final = (
    *(f"A{number}" for number in range(1, 5)),
    *(f"B{number}" for number in range(1, 8)),
    *(f"C{number}" for number in range(1, 9)),
    "D1",
    *(f"E{number}" for number in range(1, 12)),
    *(f"F{number}" for number in range(1, 7)),
    *(f"G{number}" for number in range(163, 185)),
    "H",
    *(f"P{number}" for number in range(1, 17)),
)
MILESTONES: Final = {  # letter of its rows: how many lines it asks for
    "K": 34,  # decision: tokens, agreements, purpose, consent
    "L": 64,  # the straight line
    "M": 28,  # mappings I
    "N": 21,  # mappings II
    "R": 10,  # real inputs
    "T": 19,  # the audit log
    "S": 55,  # search, dialects, operations
    "V": 22,  # profiles
    "W": 50,  # pages
}
_TYPE_NAMES: Final = {str: "text", bool: "true or false", int: "number", date: "date", Duration: "duration"}


def settings_keys() -> dict[str, tuple[str, str]]:
    """Every key of the configuration with its type and default, as docs/settings.md writes them."""
    return dict(_keys(Settings, ""))


def _keys(table: type[Table], path: str) -> Iterator[tuple[str, tuple[str, str]]]:
    hints = get_type_hints(table)
    for field in msgspec.structs.fields(table):
        hint = hints[field.name]
        nested = next(
            (one for one in (hint, *get_args(hint)) if isinstance(one, type) and issubclass(one, Table)), None
        )
        if nested is not None:
            yield from _keys(nested, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", (_type_name(hint), _default(field))


def _type_name(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return _type_name(next(one for one in get_args(hint) if one is not type(None)))
    origin = get_origin(hint)
    if origin is tuple:
        return f"list of {_type_name(get_args(hint)[0])}"
    return "table" if origin is dict else _TYPE_NAMES[hint]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, Duration):
        seconds = value.total_seconds()
        return (
            f"`{seconds * 1000:g}ms`" if seconds < 1 else f"`{seconds:g}s`" if seconds < 60 else f"`{seconds / 60:g}m`"
        )
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return " ".join(f"`{one}`" for one in value) if isinstance(value, tuple) else f"`{value}`"


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _rows(name: str) -> list[list[str]]:
    """The cells of every table row of a page, without heads."""
    lines = [line for line in _text(name).splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [
        [cell.strip().replace("\x00", "|") for cell in line.replace("\\|", "\x00").strip("|").split("|")]
        for line in lines
    ]


def _settings_page() -> dict[str, tuple[str, str, str]]:
    found, table = {}, ""
    for line in _text("docs/settings.md").splitlines():
        if line.startswith("## "):
            table = line.removeprefix("## ")
        elif line.startswith("| `"):
            key, type_, default, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            found[f"{table}.{key.strip('`')}"] = (type_, default, meaning)
    return found


def test_every_setting_is_described_with_its_type_and_default() -> None:
    page = _settings_page()
    assert {key: row[:2] for key, row in page.items()} == settings_keys()
    assert all(meaning for _, _, meaning in page.values())


def test_what_is_made_from_code_is_up_to_date() -> None:
    old = [path.name for path, text in written() if path.read_text(encoding="utf-8") != text]
    assert not old, "run: python -m tests.documentation"


@cache
def _call_nodes() -> tuple[tuple[Path, ast.Call], ...]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    trees = [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]
    return tuple((path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))


def _calls(*names: str) -> Iterator[tuple[Path, ast.Call]]:
    return ((path, node) for path, node in _call_nodes() if isinstance(node.func, ast.Name) and node.func.id in names)


@pytest.mark.slow
def test_every_error_is_raised_with_the_words_its_text_needs() -> None:
    found = 0
    for path, call in _calls("Invalid", "Refused", "Unavailable"):
        if not call.args or not isinstance(call.args[0], ast.Constant):
            continue
        code = str(call.args[0].value)
        needed = {name for _, name, _, _ in string.Formatter().parse(TABLE[code].en + TABLE[code].nl) if name}
        given = {keyword.arg for keyword in call.keywords}
        assert None in given or needed <= given, f"{path.name}:{call.lineno}: {code} needs {needed - given}"
        found += 1
    assert found > 40


@pytest.mark.slow
def test_every_remark_and_failure_code_is_described() -> None:
    codes = {
        call.args[2].value
        for _, call in _calls("issue")
        if len(call.args) > 2 and isinstance(call.args[2], ast.Constant)
    }
    assert codes <= REMARKS.keys() | TABLE.keys()
    failures = {
        call.args[0].value
        for _, call in _calls("Failure", "HttpError")
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert failures | set(get_args(Code)) <= FAILURES.keys()


def test_the_configuration_in_the_readme_is_accepted() -> None:
    block = re.findall(r"```toml\n(.*?)```", _text("README.md"), re.DOTALL)[0]
    assert build(parse(tomllib.loads(block))).revision


def test_an_unknown_key_is_an_error_that_names_the_nearest_one() -> None:
    with pytest.raises(StartError, match=r"unknown key 'gateway\.listne'; did you mean 'listen'\?") as caught:
        parse({"gateway": {"listne": "127.0.0.1:8080"}})
    assert caught.value.exit_code == 1


def test_each_key_can_be_set_from_outside() -> None:
    tree: dict[str, Any] = {"sources": [{"id": "gp-a", "custodian": "90000001", "kind": "fhir-r4"}]}
    override(
        tree, {"GATEWAY__GATEWAY__LISTEN": "127.0.0.1:8081", "GATEWAY__SOURCES__0__URL": "https://gp.example/fhir"}
    )
    settings = parse(tree)
    assert settings.gateway.listen == "127.0.0.1:8081"
    assert settings.sources[0].url == "https://gp.example/fhir"


def _snippet() -> str:
    return str(re.findall(r"```python\n(.*?)```", _text("README.md"), re.DOTALL)[0])


@pytest.mark.slow
def test_the_snippet_in_the_readme_reads_a_summary(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(_snippet(), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--port", "0", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            assert demo.stdout is not None
            shown = json.loads(demo.stdout.readline())
            key = next(client["key_file"] for client in shown["clients"] if client["id"] == "demo-physician")
            command = [sys.executable, "client.py", shown["base"], key]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
        finally:
            demo.send_signal(signal.SIGINT)
    assert done.stdout.splitlines()[0] == "Volledigheid"


def test_the_snippet_in_the_readme_needs_two_libraries_only() -> None:
    block = _snippet()
    modules = {
        name.name.partition(".")[0]
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert modules <= {"json", "secrets", "sys", "time", "httpx2"}


def test_every_command_is_in_the_readme() -> None:
    table = _text("README.md").partition("## Commands")[2].partition("## Status")[0]
    assert set(re.findall(r"`gateway ([\w-]+)", table)) == set(COMMANDS)


def test_links_between_pages_lead_somewhere() -> None:
    pages = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


@cache
def _tests_in(module: str) -> set[str]:
    path = ROOT / module
    if not path.is_file():
        return set()
    return {
        node.name
        for node in ast.walk(ast.parse(_text(module)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _named_things_exist(row: list[str], modules: str, tests: str) -> None:
    for module in re.findall(r"`([^`]+)`", modules):
        assert (ROOT / module).exists(), f"{row[0]}: no {module}"
    for test in re.findall(r"`([^`]+)`", tests):
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file(), f"{row[0]}: no {path}"
        assert not name or name in _tests_in(path), f"{row[0]}: no test {name} in {path}"


def _conformance() -> list[list[str]]:
    return [row for row in _rows("docs/conformance.md") if row[0] not in {"Rule", "Line", "Status"} and len(row) == 5]


def test_every_rule_has_a_row_and_every_line_too() -> None:
    keys = [row[0] for row in _conformance()]
    assert len(keys) == len(set(keys))
    asked = (f"{letter}{number}" for letter, lines in MILESTONES.items() for number in range(1, lines + 1))
    assert set(keys) == {*RULES, *asked}


@pytest.mark.slow
def test_a_row_is_open_partly_or_done_and_names_what_exists() -> None:
    for row in _conformance():
        key, what, status, modules, tests = row
        assert what, key
        assert re.fullmatch(r"open|done|partly: .+", status), f"{key}: {status}"
        assert status == "open" or modules, key
        assert status != "done" or (re.search(r"`[^`]+`", modules) and re.search(r"`[^`]+`", tests)), (
            f"{key}: done without module or test"
        )
        _named_things_exist(row, modules, tests)


def test_hazards_name_what_exists_and_every_clinical_rule() -> None:
    rows = [row for row in _rows("docs/hazards.md") if row[0] != "Hazard"]
    assert len(rows) >= 20
    rules: set[str] = set()
    for row in rows:
        assert len(row) == 4, row
        assert all(row), row
        rules |= set(re.findall(r"[A-H]\d+", row[1]))
        _named_things_exist(row, row[2], row[3])
    assert {rule for rule in RULES if rule.startswith("E")} <= rules
    assert rules <= set(RULES)
