"""Maps keep what they say they keep: STU3 to R4 and back over generated resources, and maps with a line less are caught."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mappings import library, tables
from mappings.downgrade import downgrade
from mappings.model import Origin
from mappings.translation import translate
from profiles import layers
from profiles.exact import encode
from tests.mappings.test_downgrade import facts
from tests.proofs.resources import SUMMARY, Maker

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]

ORIGIN = Origin("90000001", "hospital", "2026-01-05T10:00:00+01:00")
SAMPLE = 12  # resources of each type
A_SAMPLE = 12  # mutants; all of them with PROVE_ALL


def lifted(resource: dict[str, Any]) -> dict[str, Any]:
    return translate(encode(resource), "fhir-stu3", ORIGIN).resources[0]


def test_what_r4_took_from_stu3_comes_back_and_goes_there_again(scale: int) -> None:
    lost: Counter[tuple[str, str]] = Counter()
    seen = 0
    for kind in SUMMARY:
        for seed in range(SAMPLE * scale):
            first = lifted(Maker(seed).resource(kind))
            made = downgrade(first)
            if made.resource is None:  # an attachment without content, say: there is nothing to carry
                assert made.losses[-1].reason.startswith("STU3 asks"), (kind, seed, made.losses)
                continue
            said = {loss.path for loss in made.losses if loss.kind != "approximate"}
            again = lifted(made.resource)
            for where, _ in Counter(facts(first)) - Counter(facts(again)):
                if not any(_covers(path, where) for path in said):
                    lost[kind, where] += 1
            seen += 1
    assert not lost, lost.most_common(20)
    assert seen >= SAMPLE * len(SUMMARY) * 0.95


def test_the_way_back_is_settled_after_one_turn(scale: int) -> None:
    for kind in SUMMARY:
        for seed in range(4 * scale):
            first = downgrade(lifted(Maker(seed).resource(kind))).resource
            if first is None:
                continue
            second = downgrade(lifted(first)).resource
            assert second is not None
            assert Counter(facts(second)) == Counter(facts(first)), (kind, seed)


def test_a_map_with_a_line_less_gives_something_else(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants of the maps to STU3 and from it: resources made at random notice nearly each line that is taken out."""
    sample = [Maker(seed).resource(kind) for kind in SUMMARY for seed in range(6)]
    mutants = [(path, line) for path, content in _maps() for line in sorted(content["elements"])]
    tried = mutants if whole else random.Random(7).sample(mutants, A_SAMPLE)
    survived: list[str] = []
    for path, line in tried:
        content = tables.table(path)
        mine = [one for one in sample if one["resourceType"] == content["target" if "to-stu3" in path else "source"]]
        before = _outcome(mine)
        less = {**content, "elements": {name: one for name, one in content["elements"].items() if name != line}}
        with monkeypatch.context() as patch:
            patch.setitem(layers._LAYERS, "less", {path: yaml.safe_dump(less)})
            library.forget()
            if mine and _outcome(mine) == before:
                survived.append(f"{path}: {line}")
        library.forget()
    assert len(survived) <= len(tried) * 0.2, survived


def _maps() -> Iterator[tuple[str, dict[str, Any]]]:
    kinds = {*SUMMARY, "ServiceRequest"}
    for folder in ("to-stu3", "fhir-stu3"):
        for name in tables.names(f"maps/{folder}"):
            path = f"maps/{folder}/{name}.yaml"
            if name not in library.RESERVED and tables.table(path)["source"] in kinds:
                yield path, tables.table(path)


def _outcome(resources: list[dict[str, Any]]) -> bytes:
    return encode([downgrade(lifted(one)).resource for one in resources])


def _covers(path: str, where: str) -> bool:
    """Claim that a loss at a path ("Condition.note[1].text") tells of a fact (".note.text")."""
    plain = "".join(_without_places(path.partition(".")[2]))
    return not plain or f"{where}.".startswith(f".{plain}.") or f".{plain}.".startswith(f"{where}.")


def _without_places(path: str) -> Iterator[str]:
    inside = False
    for char in path:
        inside = char == "[" or (inside and char != "]")
        if not inside and char != "]":
            yield char
