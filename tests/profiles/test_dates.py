"""Partial dates: never completed, compared in three values, bounded for search."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.dates import PartialDate, age_on, certainly_after, parse, same_day


def at(text: str) -> PartialDate:
    value = parse(text)
    assert value is not None
    assert value.text == text
    return value


@pytest.mark.parametrize(
    "text",
    [
        "", "0000", "26", "2026-13", "2026-00", "2026-02-29", "2026-02-31", "2026-04-31", "2026-1-1", "2026-01-01T", "20260101",
        "2026-01-01T24:00:00Z", "2026-01-01T10:00Z", "2026-01-01T10:00:00+15:00", "2026-01-01T10:00:00+14:30", "２０２６", "2026\n",
        "2026-01-01 10:00:00", " 2026", "2026-01-01T10:00:00.Z", "2026-01-01T10:00:61Z",
    ],
)  # fmt: skip
def test_what_is_no_date_is_nothing(text: str) -> None:
    assert parse(text) is None


def test_what_is_not_said_stays_unknown() -> None:
    assert (at("2026").month, at("2026").day, at("2026").local_day) == (None, None, None)
    assert (at("2026-05").month, at("2026-05").day) == (5, None)
    assert at("2024-02-29").local_day == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1972", "1972-01-01", None),
        ("1972-01", "1972-01-01", None),
        ("1972", "1972", None),
        ("1972-03", "1972-01-01", False),
        ("1971", "1972-01-01", False),
        ("1972-01-01", "1972-01-01", True),
        ("1972-01-01", "1972-01-02", False),
        ("2026-06-30T23:30:00Z", "2026-07-01", True),
        ("2026-06-30T23:30:00Z", "2026-06-30", False),
    ],
)
def test_a_partial_date_never_equals_a_day(one: str, other: str, same: bool | None) -> None:
    assert same_day(at(one), at(other)) is same
    assert same_day(at(other), at(one)) is same


@pytest.mark.parametrize(
    ("text", "lower", "upper"),
    [
        ("2026", datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)),
        ("2026-07", datetime(2026, 6, 30, 22, tzinfo=UTC), datetime(2026, 7, 31, 22, tzinfo=UTC)),
        ("2026-03-29", datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)),
        ("2026-01-01T10:00:00+01:00", datetime(2026, 1, 1, 9, tzinfo=UTC), datetime(2026, 1, 1, 9, 0, 1, tzinfo=UTC)),
        (
            "2026-01-01T10:00:00.5Z",
            datetime(2026, 1, 1, 10, 0, 0, 500000, UTC),
            datetime(2026, 1, 1, 10, 0, 0, 600000, UTC),
        ),
    ],
)
def test_bounds_for_search(text: str, lower: datetime, upper: datetime) -> None:
    assert (at(text).lower, at(text).upper) == (lower, upper)


def test_a_time_without_a_zone_is_read_here_and_says_so() -> None:
    summer = at("2026-07-01T12:00:00")
    assert summer.instant == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert summer.zone_assumed
    assert not at("2026-07-01T12:00:00Z").zone_assumed
    assert not at("2026-07-01").zone_assumed


def test_the_ends_of_time_do_not_overflow() -> None:
    for text in ("0001", "0001-01-01", "9999", "9999-12-31", "0001-01-01T12:00:00Z", "9999-12-31T12:00:00.000001Z"):
        assert at(text).lower < at(text).upper
    assert parse("0001-01-01T00:00:00+14:00") is None
    assert parse("9999-12-31T23:59:60Z") is None
    assert at("2016-12-31T23:59:60Z").instant == datetime(2017, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("birth", "today", "age"),
    [
        ("2010-05-06", date(2026, 5, 5), 15),
        ("2010-05-06", date(2026, 5, 6), 16),
        ("2008-02-29", date(2026, 2, 28), 17),
        ("2008-02-29", date(2026, 3, 1), 18),
        ("2010", date(2026, 6, 1), None),
        ("2010", date(2026, 12, 31), 16),
        ("2010-05", date(2026, 4, 30), 15),
        ("2010-05", date(2026, 5, 15), None),
        ("2027-01-01", date(2026, 1, 1), None),
    ],
)
def test_age_only_when_it_is_certain(birth: str, today: date, age: int | None) -> None:
    assert age_on(at(birth), today) == age


def test_after_only_when_it_is_certain() -> None:
    assert certainly_after(at("2026-02"), at("2026-01-31"))
    assert not certainly_after(at("2026-01"), at("2026-01-31"))
    assert not certainly_after(at("2026"), at("2026"))


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis asks for naive bounds
def test_instants_survive(moment: datetime) -> None:
    value = at(moment.isoformat(timespec="microseconds").replace("+00:00", "Z"))
    assert value.instant == moment
    assert value.upper - value.lower == timedelta(microseconds=1)
