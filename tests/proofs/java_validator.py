"""`python -m tests.proofs.java_validator [--each N] [--seed N] [DIR…]`: our verdicts beside those of HL7's validator in Java.

Needs Maven, a JDK and the published packages beside the project. Judged are the published examples, N breakages of each,
and the R4 resources found in the directories; every resource on which the two disagree is listed with what each had to say.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from profiles.exact import Json, decode, encode
from profiles.expansion import Expansions
from profiles.judgement import judge
from profiles.library import shipped
from tests.profiles.profile_mutants import mutants
from tests.profiles.real_examples import examples, published, snapshots

JAVA: Final = Path(__file__).with_name("java")
PACKAGES: Final = Path(__file__).resolve().parents[2].parent / "shared" / "packages"
SETS: Final = ("nl-core", "zib2020", "ips", "ips-extensions")
LARGEST: Final = 15_000
SECONDS: Final = 3600
# What it says of its own set-up, not of the resource: no terminology server, packages it does not hold, images by reference.
NOT_A_VERDICT: Final = frozenset((
    "Terminology_PassThrough_TX_Message", "Terminology_TX_NoValid_1_CC", "Type_Specific_Checks_DT_XHTML_Resolve",
    "Validation_VAL_Profile_Unknown", "ERROR_PROCESSING_SNAPSHOT", "SD_PATH_ERROR", "ED_SEARCH_EXPRESSION_ERROR",
))  # fmt: skip


def judged(each: int, seed: int, directories: list[Path]) -> Iterator[tuple[str, Json]]:
    """Give what is judged: a name that says where it came from, and the resource."""
    library, sets, chance = shipped(), published(), random.Random(seed)
    expansions = Expansions(sets.value_sets, sets.code_systems)
    for name, resource in examples().items():
        if len(encode(resource)) > LARGEST:
            continue
        yield name, resource
        claims = [url for url in resource.get("meta", {}).get("profile", ()) if library.type_of(url)]
        for profile in claims or ["http://hl7.org/fhir/StructureDefinition/" + resource["resourceType"]]:
            found = list(mutants(resource, profile, snapshots(), expansions))
            for mutant in chance.sample(found, min(each, len(found))):
                yield f"{name}: {mutant.kind} at {'.'.join(map(str, mutant.place))}", mutant.resource
    for directory in directories:
        for file in sorted(directory.rglob("*.json")):
            try:
                read = decode(file.read_bytes())
            except ValueError:
                continue
            if "resourceType" in read:
                inner = [entry["resource"] for entry in read.get("entry", ()) if "resource" in entry]
                yield from ((f"{file.name} {n}", one) for n, one in enumerate(inner[:6] or [read]))


def classes() -> str:
    """Fetch the libraries, compile the harness, and give its class path."""
    target = JAVA / "target"
    if not (target / "lib").is_dir():
        command = ["mvn", "-q", "-B", "-f", str(JAVA / "pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*command, f"-DoutputDirectory={target / 'lib'}"], check=True, timeout=SECONDS)
    path = f"{target}/lib/*"
    subprocess.run(["javac", "-cp", path, "-d", str(target), str(JAVA / "Verdicts.java")], check=True, timeout=300)
    return f"{path}:{target}"


def main(arguments: list[str]) -> int:
    """Judge everything twice; the exit code says whether the two agree."""
    read = argparse.ArgumentParser(prog="python -m tests.proofs.java_validator")
    read.add_argument("--each", type=int, default=4)
    read.add_argument("--seed", type=int, default=1)
    read.add_argument("directories", nargs="*", type=Path)
    asked = read.parse_args(arguments)
    library = shipped()
    with tempfile.TemporaryDirectory() as directory:
        ours: dict[str, tuple[str, list[str]]] = {}
        for n, (name, resource) in enumerate(judged(asked.each, asked.seed, asked.directories)):
            file = Path(directory) / f"{n}.json"
            try:
                file.write_bytes(encode(resource))
            except UnicodeEncodeError:  # half a surrogate pair cannot be written to a file
                continue
            found = [f"{i.rule} {i.expression}" for i in judge(resource, library).issues if i.is_error]
            ours[str(file)] = (name, found)
        java = ["java", "-Xmx3g", "-cp", classes(), "Verdicts", *(str(PACKAGES / name) for name in SETS)]
        said = subprocess.run(
            java, input="\n".join(ours), stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True
        )
    return compared(ours, said.stdout.splitlines())


def compared(ours: dict[str, tuple[str, list[str]]], lines: list[str]) -> int:
    """Print where the verdicts differ."""
    counts = Counter[str]()
    for line in lines:
        file, *theirs = line.split("\t")
        name, found = ours[file]
        if any(one.startswith("CRASH") for one in theirs):
            counts["not judged by Java"] += 1
            continue
        theirs = [one for one in theirs if one.partition(" ")[0] not in NOT_A_VERDICT]
        both = bool(found) == bool(theirs)
        counts[("both reject" if found else "both accept") if both else "differ"] += 1
        if not both:
            print(f"{name}\n  ours: {found[:2] or 'valid'}\n  Java: {theirs[:2] or 'valid'}")
    print(dict(counts))
    return 1 if counts["differ"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
