"""`python -m tests.proofs.mutation [--sample N]`: change `consent/` in one place at a time; how many changes does anybody notice?"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
MODULES: Final = ("agreement", "basis", "decision", "disclosure", "emergency", "forms", "precedence", "provisions",
                  "representation", "scopes", "terms")  # fmt: skip
NEEDED: Final = 0.90
SECONDS: Final = 400
_OPPOSITE: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
# What notices: everything a lawyer reads, the properties, the tables, and the plain reference.
CHECK: Final = [
    "-q",
    "-x",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "--timeout=300",
    "tests/consent",
    "tests/proofs/test_mutation_check.py",
]


def changes(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """Each single change of a module: line, what, the changed tree. Texts of errors are not changed."""
    for index, node in enumerate(ast.walk(tree)):
        for what in _ways(node):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[index]
            _apply(target, what)
            yield getattr(node, "lineno", 0), what, changed


def _ways(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OPPOSITE:
        yield "comparison"
    elif isinstance(node, ast.BoolOp):
        yield "and/or"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not"
    elif isinstance(node, ast.If) and not _types_only(node):
        yield from ("always", "never")
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "true/false"


def _types_only(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _apply(node: ast.AST, what: str) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = _OPPOSITE[type(node.ops[0])]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd()
        node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
    elif isinstance(node, ast.If):
        node.test = ast.Constant(what == "always")
    elif isinstance(node, ast.Constant):
        node.value = not node.value


def is_noticed(name: str, changed: ast.Module) -> bool:
    """Run the checks on a copy of the package with this one change."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        place = Path(directory)
        shutil.copytree(ROOT / "consent", place / "consent", ignore=shutil.ignore_patterns("__pycache__"))
        (place / "consent" / f"{name}.py").write_text(ast.unparse(ast.fix_missing_locations(changed)), encoding="utf-8")
        for other in ("gateway", "mappings", "profiles", "tests", "pyproject.toml"):
            (place / other).symlink_to(ROOT / other)
        environment = {**os.environ, "PYTHONPATH": directory, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run([sys.executable, "-m", "pytest", "--rootdir", directory, *CHECK], cwd=directory,
                                  env=environment, capture_output=True, timeout=SECONDS, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="only so many changes, drawn by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    found = [
        (name, line, what, changed)
        for name in MODULES
        for line, what, changed in changes(ast.parse((ROOT / "consent" / f"{name}.py").read_text(encoding="utf-8")))
    ]
    if options.sample:
        found = random.Random(options.seed).sample(found, min(options.sample, len(found)))
    with ThreadPoolExecutor(options.workers) as pool:
        noticed = list(pool.map(lambda one: is_noticed(one[0], one[3]), found))
    for (name, line, what, _), seen in zip(found, noticed, strict=True):
        if not seen:
            print(f"consent/{name}.py:{line}: {what}: nobody notices")
    share = sum(noticed) / len(noticed)
    print(f"{sum(noticed)} of {len(noticed)} changes noticed: {share:.1%} (needed {NEEDED:.0%})")
    return 0 if share >= NEEDED else 1


if __name__ == "__main__":
    raise SystemExit(main())
