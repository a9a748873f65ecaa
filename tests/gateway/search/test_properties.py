"""What holds for every search: it filters and never widens, its pages are the whole, its count is its size."""

from __future__ import annotations

import random
from typing import Any, Final
from urllib.parse import parse_qsl

import pytest

from gateway.errors import Invalid
from gateway.fhir.search import PARAMETERS, Records, brought, ordered, understand
from gateway.model import Item
from tests.gateway.search.world import BASE, NOW, item, records_of, rows

Json = dict[str, Any]
# Pieces that questions are made of: most make sense, some do not.
_VALUES: Final = {
    "token": ["8867-4", "http://loinc.org|8867-4", "|x", "http://loinc.org|", "final", "true", "a,b", "\\|", "|"],
    "date": ["2026", "ge2026-01-02", "lt2026-01-03T10:00Z", "ap2026", "sa2025", "yesterday", "ne2026-01"],
    "quantity": ["5", "gt5|http://unitsofmeasure.org|mg", "5||mg", "le0.1", "five", "5|mg"],
    "string": ["a", "Jansen", "é", "-", "x,y"],
    "reference": ["p", "Patient/p", "Encounter/e1", "http://gateway.test/fhir/Patient/p", "/", "x y"],
    "uri": ["http://example.org/p/one", "urn:x", "http://example.org"],
    "composite": ["8867-4$5", "8867-4", "8480-6$gt100", "a$b$c"],
    "number": ["1", "1e2", "x"],
    "special": ["52.5|6.1", "52.5|6.1|40|km", "52.5"],
}
_MODIFIERS: Final = [
    "",
    "",
    "",
    ":missing",
    ":not",
    ":exact",
    ":contains",
    ":text",
    ":below",
    ":Patient",
    ":identifier",
    ":in",
]


def questions(chance: random.Random, type_: str) -> list[tuple[str, str]]:
    """One to three parameters, known and unknown."""
    found: list[tuple[str, str]] = []
    for _ in range(chance.randint(1, 3)):
        name = chance.choice([*PARAMETERS[type_], "colour", "Code"])
        row = PARAMETERS[type_].get(name)
        value = chance.choice(_VALUES[row.kind] if row else ["x"])
        modifier = chance.choice(_MODIFIERS)
        found.append((name + modifier, chance.choice(["true", "false"]) if modifier == ":missing" else value))
    return found


def worlds() -> list[tuple[str, Records]]:
    """The records of every table."""
    return [(row.type, records_of(row)) for row in {f"{row.table} {row.records}": row for row in rows()}.values()]


def found(type_: str, given: list[tuple[str, str]], records: Records, *, lenient: bool = False) -> list[Item]:
    search = understand(type_, given, lenient=lenient)
    return ordered([one for one in records.items if one.type == type_ and search.matches(one, records)], search, type_)


@pytest.mark.slow
def test_more_parameters_never_find_more_and_leniency_never_less_than_what_it_understands() -> None:
    chance, held = random.Random(9), worlds()
    understood = refused = 0
    for _ in range(4_000):
        type_, records = chance.choice(held)
        given = questions(chance, type_)
        try:
            all_ = {one.id for one in found(type_, given, records)}
        except Invalid:
            refused += 1
            continue
        understood += 1
        each = [{one.id for one in found(type_, [one_], records)} for one_ in given]
        assert all_ == set.intersection(*each), given
        assert all_ == {one.id for one in found(type_, given, records, lenient=True)}
        assert all_ == {one.id for one in found(type_, [*given, ("colour", "red")], records, lenient=True)}
        assert all_ == {one.id for one in found(type_, list(reversed(given)), records)}
    assert understood > 500
    assert refused > 500


def test_a_value_and_its_opposite_are_everything_once() -> None:
    for type_, records in worlds():
        everything = {one.id for one in records.items if one.type == type_}
        for name, row in PARAMETERS[type_].items():
            if "missing" in row.modifiers:
                there = {one.id for one in found(type_, [(f"{name}:missing", "false")], records)}
                gone = {one.id for one in found(type_, [(f"{name}:missing", "true")], records)}
                assert there | gone == everything, name
                assert not there & gone, name
            if "not" in row.modifiers:
                one = {each.id for each in found(type_, [(name, "8867-4,final")], records)}
                other = {each.id for each in found(type_, [(f"{name}:not", "8867-4,final")], records)}
                assert one | other == everything, name
                assert not one & other, name


def test_whatever_is_sorted_is_all_there_and_the_same_again() -> None:
    for type_, records in worlds():
        for name, row in PARAMETERS[type_].items():
            if row.kind in ("composite", "special") or name in ("_text", "_content"):
                continue
            for sort in (name, f"-{name}"):
                once = [one.id for one in found(type_, [("_sort", sort)], records)]
                shuffled = Records(random.Random(3).sample(records.items, len(records.items)), NOW, BASE)
                assert once == [one.id for one in found(type_, [("_sort", sort)], shuffled)], sort
                assert sorted(once) == sorted(one.id for one in records.items if one.type == type_)


def test_what_comes_along_is_never_a_match_and_never_twice_however_items_refer_to_each_other() -> None:
    ring = [item("Observation", str(at), {"hasMember": [{"reference": f"Observation/{(at + 1) % 50}"}, {"reference": "Observation/0"}]})
            for at in range(50)]  # fmt: skip
    records = Records(ring, NOW, BASE)
    for more in (
        "_include:iterate=Observation:has-member",
        "_revinclude:iterate=Observation:has-member",
        "_include:iterate=*",
    ):
        search = understand("Observation", parse_qsl(f"_id=7&{more}"))
        matching = [one for one in records.items if search.matches(one, records)]
        along = [one.id for one in brought(matching, search, records)]
        assert len(along) == len(set(along)) == 49
        assert "7" not in along


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "\\" * 2001), ("code", "," * 5000), ("code", ",".join(["a"] * 300)), ("value-quantity", "9" * 5000), ("value-quantity", "1e99|http://unitsofmeasure.org|" + "(" * 60),
        ("date", "2" * 5000), ("_content", "a" * 5000), ("subject:" + "a" * 5000, "x"), (".".join(["encounter"] * 400), "x"),
        (":".join(["_has"] * 400), "x"), ("_has:" * 300 + "x", "x"), ("_include", ":" * 4000), ("_elements", "," * 4000), ("_sort", "-" * 4000),
        ("value-quantity", "1|http://unitsofmeasure.org|" + "m." * 30 + "m"), ("value-quantity", "1|http://unitsofmeasure.org|10*99"), ("code", "\x00"), ("date", "ge"),
    ],
)  # fmt: skip
def test_hostile_questions_are_answered_or_refused(name: str, value: str) -> None:
    records = Records(
        [item("Observation", "a", {"valueQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "m"}})]
    )
    refused = ""
    try:
        search = understand("Observation", [(name, value)])
        assert isinstance(search.matches(records.items[0], records), bool)
    except Invalid as error:
        refused = error.code + " " + error.text()
    assert not refused or refused.startswith(("unknown-parameter ", "invalid-parameter "))
    assert len(refused) < 4000
