"""The rows of the specification, each asked of the engine."""

from __future__ import annotations

from tests.gateway.search.world import asked, holds, rows

LEAST = 400  # what was promised


def test_every_row_of_the_specification_holds() -> None:
    wrong = [f"{row}\n    expected {row.expected}\n    found    {asked(row)}" for row in rows() if not holds(row)]
    assert not wrong, f"{len(wrong)} rows:\n" + "\n".join(wrong)


def test_there_are_enough_rows_and_none_is_twice() -> None:
    found = [(row.type, row.query, str(row.records)) for row in rows()]
    assert len(found) >= LEAST
    assert len(found) == len(set(found))
