"""The scope grammar: understood completely or not at all, never widened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.scopes import LETTERS, constraints, covers, granted, parse, satisfies

V1 = {"read": "rs", "write": "cud", "*": "cruds"}
scopes = st.builds(
    lambda context, kind, letters, query: f"{context}/{kind}.{letters}{query}",
    st.sampled_from(["system", "user"]),
    st.sampled_from(["*", "Observation", "Condition"]),
    st.sampled_from(["rs", "r", "s", "cruds", "cud", "read", "write", "*", "cu"]),
    st.sampled_from(["", "", "?category=laboratory", "?category=a,b", "?category=a&category=b"]),
)
sets = st.frozensets(scopes, max_size=5)
noise = st.one_of(
    scopes, st.text(max_size=20), st.from_regex(r"(system|user|patient)/[A-Za-z*]{0,12}\.[a-z*]{0,6}(\?.{0,9})?")
)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("system/Observation.rs", "rs"),
        ("user/*.cruds", "cruds"),
        ("system/Patient.read", "rs"),
        ("system/Task.write", "cud"),
        ("patient/*.*", "cruds"),
        ("system/*.s", "s"),
    ],
)
def test_understood(text: str, letters: str) -> None:
    scope = parse(text)
    assert scope is not None
    assert scope.letters == letters


@pytest.mark.parametrize(
    "text",
    [
        "",
        "system/Observation",
        "system/Observation.",
        "system/Observation.sr",
        "system/Observation.rr",
        "system/Observation.RS",
        "SYSTEM/Observation.rs",
        "system/observation.rs",
        "system/Observation.rs ",
        " system/Observation.rs",
        "system/Observation.rs\n",
        "system/Observation.rs\u00a0",
        "system/Observation.rs\t",
        "system//Observation.rs",
        "system/Observation.rs?",
        "system/Observation.rs?code=1",
        "system/Observation.rs?category",
        "system/Observation.rs?category=",
        "system/Observation.rs?category:not=laboratory",
        "system/Observation.rs?category:missing=true",
        "system/Observation.rs?category%3Dlaboratory",
        "system/Observation.rs?category=lab%6Fratory",
        "system/Observation.rs?category=a,,b",
        "system/Observation.rs?category=a|b|c",
        "system/Observation.rs?category=|",
        "system/Observation.rs?patient.name=x",
        "system/Observation.rs?category=a&code=b",
        "system/*.*?x",
        "launch/patient",
        "openid",
        "system/**.rs",
        "system/*.read.write",
        "ѕystem/Observation.rs",
        "system/Observation.rſ",
        "x" * 5000,
    ],
)
def test_not_understood_and_so_unusable(text: str) -> None:
    assert parse(text) is None
    assert not covers(frozenset({text}), "Observation", "r")


def test_context_matters() -> None:
    assert not covers(frozenset({"user/*.rs"}), "Condition", "r", person=False)
    assert covers(frozenset({"user/*.rs"}), "Condition", "r")
    assert not covers(frozenset({"patient/*.rs"}), "Condition", "r")
    assert covers(frozenset({"patient/*.rs"}), "Condition", "r", launch_patient=True)
    assert not covers(frozenset({"system/*.cruds"}), "Condition", "")
    assert not covers(frozenset({"system/*.cruds"}), "Condition", "rs")


def test_a_query_is_a_constraint_on_the_item() -> None:
    lab = {"category": [{"coding": [{"system": "http://x", "code": "laboratory"}]}]}
    exam = {"category": [{"coding": [{"system": "http://x", "code": "exam"}]}]}
    narrow = frozenset({"system/Observation.rs?category=laboratory"})
    asked = constraints(narrow, "Observation", "r")
    assert asked
    assert satisfies(lab, asked)
    assert not satisfies(exam, asked)
    assert not satisfies({}, asked)
    assert satisfies(
        lab, constraints(frozenset({"system/Observation.rs?category=http://x|laboratory"}), "Observation", "r")
    )
    assert not satisfies(
        lab, constraints(frozenset({"system/Observation.rs?category=http://y|laboratory"}), "Observation", "r")
    )
    both = constraints(frozenset({"system/Observation.rs?category=laboratory&category=exam"}), "Observation", "r")
    assert not satisfies(lab, both)
    either = constraints(narrow | {"system/Observation.rs?category=exam"}, "Observation", "r")
    assert satisfies(lab, either)
    assert satisfies(exam, either)


def test_one_scope_without_query_frees_and_none_covers_nothing() -> None:
    assert constraints(frozenset({"system/*.rs", "system/Observation.rs?category=a"}), "Observation", "r") is None
    assert constraints(frozenset({"system/Condition.rs"}), "Observation", "r") == ()
    assert not satisfies({"category": []}, ())


def test_granted_keeps_the_spelling_where_nothing_was_taken_away() -> None:
    assert granted(frozenset({"system/Observation.read"}), frozenset({"system/*.rs"})) == {"system/Observation.read"}
    assert granted(frozenset({"system/*.rs"}), frozenset({"system/Task.cruds"})) == {"system/Task.rs"}
    assert granted(frozenset({"system/Observation.rs"}), frozenset({"system/Observation.rs?category=a"})) == {
        "system/Observation.rs?category=a"
    }
    assert granted(frozenset({"user/*.rs"}), frozenset({"system/*.rs"})) == frozenset()
    assert granted(frozenset({"nonsense"}), frozenset({"nonsense"})) == frozenset()


@pytest.mark.slow
@given(sets, sets)
def test_granted_is_within_both(requested: frozenset[str], registered: frozenset[str]) -> None:
    result = granted(requested, registered)
    for kind in ("Observation", "Condition", "Patient"):
        for action in LETTERS:
            if covers(result, kind, action):
                assert covers(requested, kind, action)
                assert covers(registered, kind, action)
                for whole in (requested, registered):
                    if constraints(whole, kind, action) is not None:
                        assert constraints(result, kind, action) is not None


@given(sets, scopes)
def test_one_scope_more_never_takes_away(some: frozenset[str], one: str) -> None:
    for kind in ("Observation", "Condition"):
        for action in LETTERS:
            assert covers(some | {one}, kind, action) >= covers(some, kind, action)


@pytest.mark.slow
@given(noise)
def test_any_text_is_understood_or_not_but_never_raises(text: str) -> None:
    scope = parse(text)
    if scope is not None:
        again = parse(str(scope))
        assert again == scope
