"""What is remembered is bounded, can be forgotten, and is dropped when somebody else writes."""

from __future__ import annotations

from gateway.storage.recent import Recent


class Era:
    """The era of a database."""

    now: int | None = 1

    def __call__(self) -> int | None:
        return self.now


def remember(recent: Recent[str, int], key: str, value: int) -> None:
    recent.get(key)
    recent.keep(key, value, recent.mark())


def test_the_value_unused_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(2, Era())
    remember(recent, "a", 1)
    remember(recent, "b", 2)
    assert recent.get("a") == 1
    remember(recent, "c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_a_forgotten_value_is_gone() -> None:
    recent: Recent[str, int] = Recent(2, Era())
    remember(recent, "a", 1)
    recent.forget("a", "never kept")
    assert recent.get("a") is None


def test_a_value_read_before_a_write_is_not_kept_after_it() -> None:
    recent: Recent[str, int] = Recent(2, Era())
    recent.get("a")
    before = recent.mark()
    recent.forget("a")
    recent.keep("a", 1, before)
    assert recent.get("a") is None


def test_nothing_is_remembered_over_a_visit_of_another_process() -> None:
    era = Era()
    recent: Recent[str, int] = Recent(2, era)
    remember(recent, "a", 1)
    era.now = None  # somebody may be writing
    assert recent.get("a") is None
    remember(recent, "a", 2)
    assert recent.get("a") is None
    era.now = 2
    assert recent.get("a") is None
    remember(recent, "a", 3)
    assert recent.get("a") == 3


def test_a_value_read_in_another_era_is_not_kept() -> None:
    era = Era()
    recent: Recent[str, int] = Recent(2, era)
    recent.get("a")
    before = recent.mark()
    era.now = 2
    recent.keep("a", 1, before)
    assert recent.get("a") is None
