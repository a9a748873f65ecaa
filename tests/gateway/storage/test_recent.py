"""What is remembered is bounded and can be forgotten."""

from __future__ import annotations

from gateway.storage.recent import Recent


def test_the_value_unused_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent.get("a") == 1
    recent.keep("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_a_forgotten_value_is_gone() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep("a", 1)
    recent.forget("a")
    recent.forget("never kept")
    assert recent.get("a") is None
