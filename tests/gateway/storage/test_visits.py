"""Commands that write beside a serving process end what it remembers."""

from __future__ import annotations

from pathlib import Path

from gateway.storage.visits import Visits


def test_an_era_lasts_until_somebody_visits(tmp_path: Path) -> None:
    serving, command = Visits(tmp_path / "a.db"), Visits(tmp_path / "a.db")
    serving.settle()
    first = serving.era()
    assert first is not None
    assert serving.era() == first
    command.begin()
    assert serving.era() is None
    command.close()
    assert serving.era() not in (None, first)


def test_two_visits_at_a_time_both_have_to_end(tmp_path: Path) -> None:
    serving, one, other = (Visits(tmp_path / "a.db") for _ in range(3))
    serving.settle()
    one.begin()
    other.begin()
    one.close()
    assert serving.era() is None
    other.close()
    other.close()
    assert serving.era() is not None


def test_a_visit_that_was_killed_ends_when_serving_starts_anew(tmp_path: Path) -> None:
    Visits(tmp_path / "a.db").begin()
    serving = Visits(tmp_path / "a.db")
    assert serving.era() is None
    serving.settle()
    assert serving.era() is not None
    serving.close()
