"""The rules of the house that a machine can check: layers, names, sizes, docstrings, homes of libraries."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.documentation import PACKAGES, ROOT, between, sentence, tree

MAXIMUM_LINES: Final = 400
LONG_FUNCTION: Final = 36  # nine of ten functions stay below
FORBIDDEN_NAMES: Final = frozenset(
    {
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "manager",
        "service",
        "handler",
        "processor",
        "data",
        "info",
        "base",
        "misc",
    }
)
PURE: Final = ("consent", "mappings", "profiles")
OUTSIDE: Final = frozenset(
    {"asyncio", "socket", "sqlite3", "time", "os", "logging", "threading", "subprocess", "urllib", "http", "select"}
)
_TEXT: Final = frozenset({".py", ".toml", ".md", ".yaml", ".json", ".sql", ".css", ".html", ".lock", ""})
# Where a build machine keeps its things; nothing of it may stand in what is shipped.
_MACHINE: Final = re.compile(r"/(?:home|root|Users|work|tmp/[a-z]+_jobs)/[A-Za-z0-9_.\-]+")


def _modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


_CLASS: Final = re.compile(r"^ *class (\w+)", re.MULTILINE)
_LOOKED_AT: Final = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Await, ast.Attribute,
)  # fmt: skip


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    """The nodes these tests look at; every module is walked once."""
    return tuple(node for node in ast.walk(_tree(path)) if isinstance(node, _LOOKED_AT))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def test_every_module_says_in_one_sentence_what_it_is_for() -> None:
    for path in _modules():
        first = sentence(path)
        assert first.endswith((".", "?")) or path.name == "exchange.py", f"{_name(path)}: {first!r}"
        assert len(first) <= 160, f"{_name(path)}: the first sentence of the docstring is too long"


def test_modules_stay_small() -> None:
    long = [_name(path) for path in _modules() if len(path.read_text(encoding="utf-8").splitlines()) > MAXIMUM_LINES]
    assert not long


@pytest.mark.slow
def test_nine_of_ten_functions_are_short() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in _modules()
        for node in _nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) * 9 // 10] < LONG_FUNCTION


def test_the_line_fits_on_one_page() -> None:
    assert len((ROOT / "gateway/exchange.py").read_text(encoding="utf-8").splitlines()) < 100


def test_protocols_stay_narrow() -> None:
    for node in _tree(ROOT / "gateway/ports.py").body:
        if isinstance(node, ast.ClassDef) and any(
            isinstance(one, ast.Name) and one.id == "Protocol" for one in node.bases
        ):
            assert sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in node.body) <= 6, node.name


def test_names_say_something() -> None:
    folders = {path.parent.name for path in _modules()}
    files = {path.stem for path in _modules()}
    classes = {name.lower() for path in _modules() for name in _CLASS.findall(path.read_text(encoding="utf-8"))}
    assert not (folders | files | classes) & FORBIDDEN_NAMES
    assert not [name for name in classes if name.endswith(("manager", "service", "handler", "processor", "helper"))]


@pytest.mark.slow
def test_imports_keep_their_contracts() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_the_pure_packages_import_nothing_outside() -> None:
    for path in _modules():
        if path.relative_to(ROOT).parts[0] in PURE:
            roots = {name.partition(".")[0] for name in _imports(path)}
            assert not roots & OUTSIDE, f"{_name(path)}: {roots & OUTSIDE}"
            assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in _nodes(path)), _name(path)
            assert "gateway" not in roots, _name(path)


def test_no_module_imports_fhir_resources() -> None:
    for path in _modules():
        assert not any(name.startswith(("fhir.resources", "fhirclient", "fhirpy")) for name in _imports(path)), _name(
            path
        )


@pytest.mark.slow
def test_clinical_json_is_read_in_one_place() -> None:
    """json.loads makes floats of decimals; only exact does not."""
    readers = {_name(path) for path in _modules() for node in _nodes(path)
               if isinstance(node, ast.Attribute) and node.attr in {"loads", "load"}
               and isinstance(node.value, ast.Name) and node.value.id == "json"}  # fmt: skip
    assert readers <= {
        "profiles/exact.py",
        "gateway/settings.py",  # values of environment variables
        "gateway/summary/document.py",  # the rest: data of the packages themselves
        "profiles/build.py",
        "profiles/definitions/__init__.py",
    }


def test_the_tree_in_the_page_is_the_tree_on_disk() -> None:
    assert between((ROOT / "docs/architecture.md").read_text(encoding="utf-8"), "tree") == tree()


def test_the_layers_in_the_page_are_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if "containers" in contract)
    assert "\n".join(f"    {layer}" for layer in layers) in (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_the_page_names_files_that_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:gateway|consent|mappings|profiles|tests|docs)/[A-Za-z0-9_./\-]*)`", page):
        assert (ROOT / name).exists(), name


def test_the_page_has_every_field_of_the_record() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## The audit log")[2].partition("## How to add")[0]
    named = set(re.findall(r"`(?:custodians\[\])?\.?([a-z_]+)`", section))
    for class_ in _tree(ROOT / "gateway/audit/record.py").body:
        if isinstance(class_, ast.ClassDef) and class_.name in {"Record", "Asked"}:
            fields = {
                node.target.id
                for node in class_.body
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            }
            assert fields - {"custodians"} <= named, class_.name


@cache
def _tracked() -> tuple[str, ...]:
    """The files that are kept; without git (an unpacked archive) those of the packages."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    return tuple(done.stdout.splitlines()) or tuple(_name(path) for path in _modules())


def test_nothing_holds_a_path_of_a_build_machine() -> None:
    for name in _tracked():
        path = ROOT / name
        if path.suffix in _TEXT and path.is_file() and name != "tests/test_architecture.py":
            found = _MACHINE.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found and found[0]}"


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "Dockerfile",
        "Makefile",
        "docs/glossary.md",
        "docs/errors.md",
        "docs/settings.md",
        "docs/conformance.md",
        "docs/hazards.md",
    ],
)
def test_the_pages_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 500


def test_the_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("EUROPEAN UNION PUBLIC LICENCE v. 1.2")
    assert [int(number) for number in re.findall(r"(?m)^(\d+)\.\s?[A-Z]", text)] == list(range(1, 16))
    assert "LiLiQ-R+" in text.partition("Appendix")[2]


@pytest.mark.slow
def test_a_start_loads_only_what_the_first_answer_needs() -> None:
    """What takes long to load and can wait is loaded when the doors are open, or when it has work."""
    late = ("fastapi", "aiohttp", "pydantic", "httpx2", "authlib", "profiles.fhirpath", "gateway.demo")
    asked = f"import sys, gateway.app; print(*[name for name in {late!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.split() == []
