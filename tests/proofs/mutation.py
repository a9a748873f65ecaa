"""`python -m tests.proofs.mutation [--sample N] [--minutes M]`: change one place of a gate at a time; how many changes does anybody notice?"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import inspect
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
NEEDED: Final = 0.90
SECONDS: Final = 300.0  # a change that makes a check hang is noticed
# What is changed, and what notices: the quickest first.
DECISION: Final = (
    "tests/consent/test_scenarios.py", "tests/consent/test_provisions.py", "tests/consent/test_scopes.py",
    "tests/consent/test_tables.py", "tests/consent/test_edges.py", "tests/proofs/test_mutation_check.py::test_a_few_thousand_questions",
    "tests/consent/test_properties.py",
)  # fmt: skip
TOKENS: Final = ("tests/gateway/oauth",)
PARTS: Final = {
    "consent": (DECISION, ("agreement", "basis", "decision", "disclosure", "emergency", "forms", "precedence", "provisions",
                           "representation", "scopes", "terms")),
    "gateway.crypto": (TOKENS, ("jose",)),
    "gateway.oauth": (TOKENS, ("assertions", "binding", "certificates", "claims", "dialects", "grounds", "login", "proof", "registered", "tokens")),
}  # fmt: skip
MODULES: Final = {
    f"{package}.{name}": checks
    for package, (checks, names) in PARTS.items()
    for name in names
    if (ROOT / package.replace(".", "/") / f"{name}.py").is_file()
}
QUIET: Final = (
    "-q",
    "-x",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
_OPPOSITE: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def tree_of(name: str) -> ast.Module:
    """A module as it is written."""
    return ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))


def places(tree: ast.Module) -> Iterator[tuple[int, int, str]]:
    """Each single change of a module: index of its node, line, what. Texts of errors are not changed."""
    for index, node in enumerate(ast.walk(tree)):
        for what in _ways(node):
            yield index, getattr(node, "lineno", 0), what


def changed(tree: ast.Module, index: int, what: str) -> ast.Module:
    """The module with one change."""
    other = copy.deepcopy(tree)
    _apply(next(node for number, node in enumerate(ast.walk(other)) if number == index), what)
    return ast.fix_missing_locations(other)


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


def install(name: str, tree: ast.Module) -> None:
    """Put a changed module in the place of the one that everything already imported, in this process only."""
    module = importlib.import_module(name)
    before = dict(vars(module))
    exec(compile(tree, str(module.__file__), "exec"), vars(module))
    for key, old in before.items():
        new = vars(module).get(key)
        if old is new or getattr(old, "__module__", "") != name:
            continue
        if _replaced(old, new):
            setattr(module, key, old)  # whoever imported it by name holds the same object
    for other in list(sys.modules.values()):
        if isinstance(other, ModuleType) and other.__name__.split(".")[0] in ("consent", "gateway"):
            for value in list(vars(other).values()):
                if callable(clear := getattr(value, "cache_clear", None)):
                    clear()


def _replaced(old: Any, new: Any) -> bool:
    """Give an object that others hold the code of its changed twin."""
    if inspect.isclass(old) and inspect.isclass(new):
        for key, value in vars(old).items():
            _replaced(getattr(value, "__func__", value), getattr(vars(new).get(key), "__func__", vars(new).get(key)))
        return True
    mine, theirs = inspect.unwrap(old) if callable(old) else old, inspect.unwrap(new) if callable(new) else new
    if not isinstance(mine, FunctionType) or not isinstance(theirs, FunctionType):
        return False
    if mine.__code__.co_freevars != theirs.__code__.co_freevars:
        return False
    mine.__code__, mine.__defaults__, mine.__kwdefaults__ = theirs.__code__, theirs.__defaults__, theirs.__kwdefaults__
    return True


def check(names: tuple[str, ...]) -> bool:
    """Run the checks in this process, in order; false as soon as one fails."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return all(pytest.main([*QUIET, str(ROOT / one)]) == 0 for one in names if (ROOT / one.split("::")[0]).exists())


def is_noticed(
    name: str, tree: ast.Module, names: tuple[str, ...], run: Callable[[tuple[str, ...]], bool] = check
) -> bool:
    """Run the checks in a child that has this one change; a child that hangs or dies noticed it."""
    child = os.fork()
    if child == 0:
        signal.alarm(int(SECONDS))
        try:
            install(name, tree)
            os._exit(0 if run(names) else 1)
        except BaseException:  # noqa: BLE001 - what cannot even be loaded was noticed
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return status != 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="only so many changes, drawn by --seed")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so long, and say how far it came")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only modules whose name starts so")
    options = parser.parse_args()
    trees = {name: tree_of(name) for name in MODULES if name.startswith(options.only)}
    found = [(name, *place) for name, tree in trees.items() for place in places(tree)]
    random.Random(options.seed).shuffle(found)
    total, found = len(found), found[: options.sample or None]
    for names in {MODULES[name] for name in trees}:  # also loads everything once, for every child
        if not check(names):
            print(f"the checks fail without any change: {names}", file=sys.stderr)
            return 3
    until = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    told: dict[str, list[bool]] = {}
    for number, (name, index, line, what) in enumerate(found):
        if time.monotonic() > until:
            print(f"stopped after {number} of {len(found)}", file=sys.stderr)
            break
        seen = is_noticed(name, changed(trees[name], index, what), MODULES[name])
        told.setdefault(name.rpartition(".")[0], []).append(seen)
        if not seen:
            print(f"{name}:{line}: {what}: nobody notices", flush=True)
    for package, noticed in sorted(told.items()):
        print(f"{package}: {sum(noticed)} of {len(noticed)} changes noticed: {sum(noticed) / len(noticed):.1%}")
    every = [seen for noticed in told.values() for seen in noticed]
    share = sum(every) / len(every)
    print(f"{sum(every)} of {len(every)} (there are {total}): {share:.1%} (needed {NEEDED:.0%})")
    return 0 if share >= NEEDED else 1


if __name__ == "__main__":
    raise SystemExit(main())
