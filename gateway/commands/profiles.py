"""`gateway profiles build|add|list|diff`: profile sets, made of FHIR packages, offline."""

from __future__ import annotations

import argparse
import lzma
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from gateway.errors import StartError
from gateway.model import Json
from profiles import build as structure
from profiles import exact
from profiles.fhirpath import InvalidExpression
from profiles.library import DEFINITIONS, SHIPPED, SUFFIX, Library, SetUnreadable, read_library, shipped
from profiles.packages import PackageUnreadable, read_package
from profiles.rules import refuse_unknown_expressions
from profiles.sets import compiled, differences, gathered, packed, pruned, read_pruned, write
from profiles.snapshot import NoSnapshot

_QUICK: Final = 3  # what is added here need not be small
_FOLDERS: Final = ("r4-core", "r4-terminology")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest="what", required=True)
    build = commands.add_parser("build", help="make the shipped sets again from the packages they are pinned to")
    build.add_argument("packages", type=Path, metavar="DIR", help="the directory that holds the packages")
    build.add_argument("--out", type=Path, default=Path("profiles/definitions"), metavar="DIR")
    build.set_defaults(run=run_build)
    add = commands.add_parser("add", help="make a set of the shipped one and more packages (.tgz or folder)")
    add.add_argument("packages", type=Path, nargs="+", metavar="PACKAGE")
    add.add_argument("--name", required=True, help="what the new set is called")
    add.add_argument("--on", default=SHIPPED, metavar="NAME", help="the set it is built on")
    add.set_defaults(run=run_add)
    listed = commands.add_parser("list", help="the sets that can be used, with packages, versions and licences")
    listed.set_defaults(run=run_list)
    diff = commands.add_parser("diff", help="what another set asks that this one does not")
    diff.add_argument("old", metavar="OLD")
    diff.add_argument("new", metavar="NEW")
    diff.set_defaults(run=run_diff)
    for one in (add, listed, diff):
        one.add_argument("--store", type=Path, default=Path("profile-sets"), metavar="DIR", help="where added sets are")


def opened(name: str, store: Path) -> Library:
    """Give a profile set by name or file; the shipped one when none is named.

    Raises:
        StartError: there is no such set, or it cannot be read.
    """
    if name in ("", SHIPPED):
        return shipped()
    place = Path(name) if Path(name).is_file() else store / f"{name}{SUFFIX}"
    try:
        return read_library(place)
    except (OSError, SetUnreadable) as error:
        message = f"profile set {name}: {error.strerror if isinstance(error, OSError) else error}"
        raise StartError(message, 3) from None


def run_build(options: argparse.Namespace) -> int:
    """Write the files of the shipped sets; the same packages give the same bytes."""
    try:
        made = gathered(SHIPPED, options.packages)
        facts = compiled(SHIPPED, made)
        refuse_unknown_expressions(facts)
        core = structure.compiled(structure.Sources.read(*(options.packages / name for name in _FOLDERS)))
        sizes = [
            structure.write(core, options.out / "r4.json.xz"),
            write(packed(facts), options.out / (SHIPPED + SUFFIX)),
            write(packed(pruned(made)), options.out / (SHIPPED + DEFINITIONS)),
        ]
    except (PackageUnreadable, NoSnapshot, InvalidExpression) as error:
        raise StartError(str(error), 1) from None
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise StartError(message, 3) from None
    print(f"gateway: {SHIPPED}: {sum(sizes)} bytes in {len(sizes)} files", file=sys.stderr)
    return 0


def run_add(options: argparse.Namespace) -> int:
    """Compile packages on top of a set, and keep the result in the store."""
    if not options.name or not all(part.isalnum() or part in "-._" for part in options.name) or options.name == SHIPPED:
        raise StartError("--name: letters, digits, dot, dash and underscore, and not the name of the shipped set", 2)
    try:
        made = read_pruned(_definitions(options.on, options.store))
        for place in options.packages:
            made.add(read_package(place, name=place.stem, version="0"))
        facts = compiled(options.name, made)
        refuse_unknown_expressions(facts)
        options.store.mkdir(parents=True, exist_ok=True)
        write(packed(facts, _QUICK), options.store / (options.name + SUFFIX))
        write(packed(pruned(made), _QUICK), options.store / (options.name + DEFINITIONS))
    except (PackageUnreadable, NoSnapshot, InvalidExpression) as error:
        raise StartError(str(error), 1) from None
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise StartError(message, 3) from None
    print(f"gateway: {options.name}: {len(facts['profiles'])} profiles in {options.store}", file=sys.stderr)
    return 0


def _definitions(name: str, store: Path) -> bytes:
    if name == SHIPPED:
        return files("profiles.definitions").joinpath(SHIPPED + DEFINITIONS).read_bytes()
    return (store / (name + DEFINITIONS)).read_bytes()


def run_list(options: argparse.Namespace) -> int:
    """Print one line a set and one a package."""
    names = [SHIPPED]
    if options.store.is_dir():
        found = (path.name for path in sorted(options.store.glob("*" + SUFFIX)))
        names += [name.removesuffix(SUFFIX) for name in found if not name.endswith(DEFINITIONS)]
    for name in names:
        library = opened(name, options.store)
        print(f"{name}: {len(library.profiles)} profiles and extensions")
        for package in library.packages:
            print(f"  {package['name']}#{package['version']} ({package['license'] or 'no licence stated'})")
    return 0


def run_diff(options: argparse.Namespace) -> int:
    """Print what was taken out (-), put in (+) and changed (~); exit 1 when there is a difference."""
    lines = list(differences(_facts(options.old, options.store), _facts(options.new, options.store)))
    for line in lines:
        print(line)
    return 1 if lines else 0


def _facts(name: str, store: Path) -> Json:
    opened(name, store)  # says what is wrong with it
    if name == SHIPPED:
        raw = files("profiles.definitions").joinpath(SHIPPED + SUFFIX).read_bytes()
    else:
        place = Path(name) if Path(name).is_file() else store / f"{name}{SUFFIX}"
        raw = place.read_bytes()
    return exact.decode(lzma.decompress(raw))
