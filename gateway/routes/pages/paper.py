"""What goes on paper: the summary and the form for when the gateway is down, as PDF; in memory only (attack 179)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from gateway.routes.pages.sheet import Part, Row, Sheet
from gateway.summary.texts import Words
from profiles.narrative import escape

MARGIN: Final = 42
_FONTS: Final = {"Vera": "Vera.ttf", "VeraBd": "VeraBd.ttf"}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What stands on every sheet of paper: whose it is, of when, and who made it."""

    title: str
    line: str
    note: str
    page: Callable[[int, int], str]


def summary_pdf(sheet: Sheet, stamp: Stamp, words: Words) -> bytes:
    """The summary on paper: the band first, with state and completeness of every section, then the rest.

    INVARIANT: nothing is written to disk.
    """
    made = _Writing()
    made.heading(sheet.name, 1)
    made.text(f"{sheet.sex} · {sheet.age} · {words['person_born']} {sheet.born} · {words['person_last']} {sheet.last}")
    made.text(stamp.line, bold=True)
    made.text(stamp.note)
    for banner in (*sheet.banners, *filter(None, (sheet.fixed,))):
        made.text(banner, bold=True)
    made.text(sheet.whole, bold=True)
    for mark, _, told in sheet.sources:
        del mark
        made.text(f"– {told}")
    made.heading(words["band_title"], 2)
    for part in sheet.band:
        _section(made, part, words)
    for part in sheet.rest:
        _section(made, part, words)
    return made.written(stamp, f"{sheet.name} · {words['person_born']} {sheet.born}")


def form_pdf(title: str, parts: Sequence[tuple[str, Sequence[str]]], stamp: Stamp) -> bytes:
    """An empty form to fill in by hand."""
    made = _Writing()
    made.heading(title, 1)
    made.text(stamp.note)
    for heading, fields in parts:
        made.heading(heading, 2)
        made.lines(fields)
    return made.written(stamp, title)


def _section(made: _Writing, part: Part, words: Words) -> None:
    made.heading(f"{part.title}: {part.state_word} – {part.completeness}", 3)
    if part.text:
        made.text(part.text)
    for conflict in part.conflicts:
        made.text(f"{words['conflict_title']}: {conflict.what}", bold=True)
        for row in conflict.rows:
            made.text(_said(row, words), indent=14)
    for remark in part.remarks:
        made.text(remark, bold=True)
    for row in part.rows:
        made.text(_said(row, words), indent=7)
    if part.moved:
        made.text(words.say("over_moved", count=part.moved))
    for told in part.sources:
        made.text(f"– {told}", small=True)


def _said(row: Row, words: Words) -> str:
    line = row.line
    dates = (
        f"{words['meta_fact']} {line.date or words['meta_none']}, {words['meta_recorded']} "
        f"{line.recorded or words['meta_none']}, {words['meta_fetched']} {line.fetched or words['meta_none']}"
    )
    return f"{line.sentence}{''.join(f' ▲ {note}' for note in row.notes)} ({line.source}; {dates})"


class _Writing:
    """One document while it grows."""

    def __init__(self) -> None:
        from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415 - heavy, and seldom needed

        _fonts()
        body = ParagraphStyle("body", fontName="Vera", fontSize=8.5, leading=11, spaceAfter=1.5)
        self._styles = {
            "body": body,
            "bold": ParagraphStyle("bold", body, fontName="VeraBd"),
            "small": ParagraphStyle("small", body, fontSize=7, leading=9),
            "1": ParagraphStyle("h1", body, fontName="VeraBd", fontSize=15, leading=19),
            "2": ParagraphStyle("h2", body, fontName="VeraBd", fontSize=11, leading=15, spaceBefore=7),
            "3": ParagraphStyle("h3", body, fontName="VeraBd", fontSize=9, leading=12, spaceBefore=5),
        }
        self._story: list[Any] = []

    def heading(self, text: str, level: int) -> None:
        self._paragraph(text, str(level))

    def text(self, text: str, *, bold: bool = False, small: bool = False, indent: int = 0) -> None:
        self._paragraph(text, "bold" if bold else "small" if small else "body", indent)

    def lines(self, fields: Sequence[str]) -> None:
        """A line to write on for each field."""
        from reportlab.platypus import Table, TableStyle  # noqa: PLC0415 - see above

        rows = [[self._made(one, "body", 0), ""] for one in fields]
        table = Table(rows, colWidths=[170, 340], rowHeights=[26] * len(rows))
        table.setStyle(
            TableStyle([("LINEBELOW", (1, 0), (1, -1), 0.6, "#47525f"), ("VALIGN", (0, 0), (-1, -1), "BOTTOM")])
        )
        self._story.append(table)

    def written(self, stamp: Stamp, subject: str) -> bytes:
        """The bytes of the file, with the stamp and "page n of m" on every page."""
        from reportlab.lib.pagesizes import A4  # noqa: PLC0415 - see above
        from reportlab.platypus import SimpleDocTemplate  # noqa: PLC0415

        out = BytesIO()
        document = SimpleDocTemplate(
            out, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN + 6, bottomMargin=MARGIN + 14,
            title=stamp.title, author="", creator="", subject="",
        )  # fmt: skip
        document.build(self._story, canvasmaker=_numbered(stamp, _shown(subject)))
        return out.getvalue()

    def _paragraph(self, text: str, style: str, indent: int = 0) -> None:
        self._story.append(self._made(text, style, indent))

    def _made(self, text: str, style: str, indent: int) -> Any:  # noqa: ANN401 - of a library without types
        from reportlab.platypus import Paragraph  # noqa: PLC0415 - see above

        chosen = self._styles[style]
        if indent:
            chosen = chosen.clone(f"{chosen.name}-{indent}", leftIndent=indent)
        return Paragraph(escape(_shown(text)), chosen)


def _numbered(stamp: Stamp, subject: str) -> Any:  # noqa: ANN401 - a class of a library without types
    from reportlab.pdfgen.canvas import Canvas  # noqa: PLC0415 - see above

    class Numbered(Canvas):  # type: ignore[misc]
        """Writes the foot of each page when it is known how many there are."""

        def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - passed on
            super().__init__(*given, **named)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - the name of the library
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                self.setFont("Vera", 7)
                self.drawString(MARGIN, 34, _shown(subject))
                self.drawString(MARGIN, 24, _shown(stamp.line))
                self.drawRightString(A4_WIDTH - MARGIN, 34, _shown(stamp.page(number, len(self._pages))))
                super().showPage()
            super().save()

    return Numbered


A4_WIDTH: Final = 595.28


@cache
def _fonts() -> frozenset[int]:
    """Register the fonts that come with the library; gives the characters they have."""
    import reportlab  # noqa: PLC0415 - see above
    from reportlab.pdfbase import pdfmetrics  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    place = Path(reportlab.__file__).with_name("fonts")
    fonts = [TTFont(name, str(place / file)) for name, file in _FONTS.items()]
    for font in fonts:
        pdfmetrics.registerFont(font)
    return frozenset.intersection(*(frozenset(font.face.charToGlyph) for font in fonts))


def _shown(text: str) -> str:
    """A text in the characters the paper has; another one is a question mark, never nothing."""
    known = _fonts()
    return "".join(_letters(text, known))


def _letters(text: str, known: frozenset[int]) -> Iterator[str]:
    for letter in unicodedata.normalize("NFC", text):
        if unicodedata.category(letter) in ("Cf", "Cc"):  # what steers the direction of text steers nothing here
            yield " " if letter in "\n\t" else ""
        elif ord(letter) in known:
            yield letter
        else:
            yield {"▲": "!", "–": "-", "−": "-"}.get(letter, "?")
