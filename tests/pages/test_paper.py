"""Paper: a PDF in memory, stamped and numbered on every page, that loses no text."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from gateway.routes.pages.paper import Stamp, _shown, form_pdf

PARTS = [("Deel", [f"Veld {number}" for number in range(15)]) for _ in range(5)]


def stamp(pages: list[tuple[int, int]]) -> Stamp:
    def page(number: int, all_: int) -> str:
        pages.append((number, all_))
        return f"Blad {number} van {all_}"

    return Stamp("Formulier", "Momentopname", "Bewaar", page)


def test_every_page_is_stamped_and_numbered() -> None:
    pages: list[tuple[int, int]] = []
    made = form_pdf("Formulier", PARTS, stamp(pages))
    assert made.startswith(b"%PDF-")
    count = int(max(re.findall(rb"/Count (\d+)", made), key=int))
    assert count > 1
    assert pages == [(number, count) for number in range(1, count + 1)]


def test_179_a_file_is_made_in_memory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    form_pdf("Formulier", PARTS, stamp([]))
    assert list(tmp_path.iterdir()) == []


def test_a_letter_the_paper_does_not_have_is_a_question_mark_never_nothing() -> None:
    assert _shown("Zoë\u202e 王 ▲\n\x07x") == "Zoë ? ! x"
