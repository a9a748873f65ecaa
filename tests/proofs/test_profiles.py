"""Every breakage of every published example is rejected at the right element, and the two tiers agree on all of them."""

from __future__ import annotations

import copy
import os
import random
import re
import time
from collections import Counter
from typing import Any

import pytest

from profiles.exact import encode
from profiles.expansion import Expansions
from profiles.judgement import accepts, judge
from profiles.library import shipped
from tests.profiles.profile_mutants import Place, mutants
from tests.profiles.real_examples import ABSENT, EXAMPLES, KNOWN, examples, published, snapshots
from tests.slack import slack

pytestmark = [
    pytest.mark.proof,
    pytest.mark.real_inputs,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason=ABSENT),
]
ALL = os.environ.get("PROVE_ALL") == "1"
EACH = 100_000 if ALL else 19
LARGEST = 100_000_000 if ALL else 15_000
FEWEST = 3_000


def _written(place: Place) -> str:
    return ".".join(step for step in place if isinstance(step, str))


def _plain(expression: str) -> str:
    named = re.sub(
        r"\.ofType\((\w+)\)", lambda found: found[1][0].upper() + found[1][1:], re.sub(r"\[\d+\]", "", expression)
    )
    return named.partition(".")[2]


def _is_there(expression: str, place: Place) -> bool:
    """Claim that a finding is about the element that was broken, what is in it, or what holds it."""
    found, broken = _plain(expression), _written(place)
    return found.startswith(broken) or broken.startswith(found)


def test_every_breakage_is_rejected_at_its_element() -> None:
    library, sets = shipped(), published()
    expansions = Expansions(sets.value_sets, sets.code_systems)
    chance, made = random.Random(2026), Counter[str]()
    for name, resource in examples().items():
        if name.rpartition("/")[2] in KNOWN or len(encode(resource)) > LARGEST:
            continue
        claims = [url for url in resource.get("meta", {}).get("profile", ()) if library.type_of(url)]
        for profile in claims or ["http://hl7.org/fhir/StructureDefinition/" + resource["resourceType"]]:
            found = list(mutants(resource, profile, snapshots(), expansions))
            for mutant in chance.sample(found, min(EACH, len(found))):
                made[mutant.kind] += 1
                verdict = judge(mutant.resource, library)
                errors = [issue for issue in verdict.issues if issue.is_error]
                assert any(_is_there(issue.expression, mutant.place) for issue in errors), (
                    name,
                    mutant.kind,
                    mutant.place,
                )
                assert not accepts(mutant.resource, library), (name, mutant.kind, mutant.place)
    assert made.total() >= FEWEST, made
    assert len(made) >= 18, made


def test_every_example_is_accepted_by_both_tiers() -> None:
    library = shipped()
    for name, resource in examples().items():
        verdict = judge(resource, library)
        errors = {issue.rule for issue in verdict.issues if issue.is_error}
        assert errors == KNOWN.get(name.rpartition("/")[2], set()), name
        assert accepts(resource, library) is not bool(errors), name


JUNK: list[object] = [
    None, True, 0, -1, 10**30, "", "x", "#", "urn:uuid:", "2026-02-30", "a" * 2000, "\ud800", [], {}, [[]], [None], {"": None},
    {"resourceType": "Patient"}, {"extension": [{"url": "x"}]}, {"coding": [{}]}, {"reference": "#"}, {"div": "<div/>"},
]  # fmt: skip


def test_nothing_that_is_sent_is_an_exception_or_takes_long() -> None:
    """Real examples with junk in random places: an answer each time, the same from both tiers, within a bound of time."""
    library, chance = shipped(), random.Random(7)
    small = [one for one in examples().values() if len(encode(one)) < LARGEST]
    for _ in range(20_000 if ALL else 1_500):
        resource = copy.deepcopy(chance.choice(small))
        for _ in range(chance.randint(1, 3)):
            owner: Any = resource
            while isinstance(owner, dict | list) and owner:
                key = chance.choice(list(owner) if isinstance(owner, dict) else range(len(owner)))
                if not isinstance(owner[key], dict | list) or chance.random() < 0.3:
                    owner[key] = copy.deepcopy(chance.choice(JUNK))
                    break
                owner = owner[key]
        began = time.process_time()
        verdict = judge(resource, library)
        assert accepts(resource, library) is verdict.is_valid
        assert time.process_time() - began < 0.5 * slack(), "seconds for at most 15 kB"
