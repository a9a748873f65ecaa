"""The page: safe, readable without color or script, and never confusing the five states."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import pytest

from gateway.model import Patient
from gateway.summary.view import page
from profiles.identifiers import BSN_SYSTEM
from tests.gateway.summary.region import (
    PERSON,
    REFUSED_BY_CALLER,
    REFUSED_BY_PATIENT,
    allergy,
    answer,
    directive,
    failed,
    item,
    material,
    no_allergies,
    observation,
    person,
    refused,
    told,
)

VOID = {"meta", "link", "br", "img", "hr"}


class Reader(HTMLParser):
    """Checks that tags nest and collects what an assistive technology would meet."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def read(html: bytes) -> Reader:
    reader = Reader()
    reader.feed(html.decode())
    reader.close()
    assert reader.open == []
    return reader


def rich(**changes: str) -> bytes:
    given = answer("hospital", person("b", deceasedBoolean=True), allergy("a2", verification="refuted"), directive("d1"),
                   directive("d2", "permit"), observation("o1", value="1.50"),
                   categories=told(Condition=failed(), Procedure=refused(REFUSED_BY_PATIENT), Alert=refused(REFUSED_BY_CALLER)))  # fmt: skip
    return page(material(answer("gp", person("a"), allergy("a1")), given), **changes)


@pytest.mark.parametrize("language", ["nl", "en"])
def test_landmarks_headings_and_tables(language: str) -> None:
    reader = read(rich(language=language))
    names = [tag for tag, _ in reader.tags]
    assert dict(reader.tags)["html"] == {"lang": language}
    assert names.count("main") == names.count("h1") == 1
    assert {attributes.get("scope") for tag, attributes in reader.tags if tag == "th"} == {"col", "row"}
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
    assert all(attributes["aria-labelledby"] in ids for _, attributes in reader.tags if "aria-labelledby" in attributes)
    assert "script" not in names
    assert not any(name.startswith("on") or name == "style" for _, attributes in reader.tags for name in attributes)


def test_the_red_band_comes_first_in_its_order() -> None:
    order = re.findall(r'<section class="part \S+" id="([a-z-]+)"', rich().decode())
    assert order[:5] == ["directives", "allergies", "alerts", "medication", "problems"]


def test_nothing_is_in_a_fold_or_tooltip() -> None:
    reader = read(rich())
    assert not {"details", "summary", "dialog"} & {tag for tag, _ in reader.tags}
    assert not any("title" in attributes for _, attributes in reader.tags)


def test_state_is_said_in_words() -> None:
    text = " ".join("".join(read(rich()).words).split())
    for words in ("Volgens Ziekenhuis Oost is deze persoon overleden", "NIET EENDUIDIG – verifieer", "niet beschikbaar",
                  "afgeschermd", "Er kan meer zijn", "er kunnen gegevens zijn die u niet ziet", "1.50 /min", "WEERLEGD",
                  "geslacht: vrouw", "45 jaar", "eindigt op 019"):  # fmt: skip
        assert words in text, words
    assert "999990019" not in text


def test_five_states_have_five_texts() -> None:
    worlds = {
        "none": answer("hospital", no_allergies("n")),
        "unknown": answer("hospital"),
        "withheld": answer("hospital", categories=told(AllergyIntolerance=refused(REFUSED_BY_CALLER))),
        "unavailable": answer("hospital", categories=told(AllergyIntolerance=failed())),
        "data": answer("hospital", allergy("a")),
    }
    found = {}
    for state, given in worlds.items():
        html = page(material(given)).decode()
        part = re.search(r'<section class="part (\S+)" id="allergies".*?</section>', html, re.DOTALL)
        assert part is not None
        assert part[1] == state
        found[state] = re.sub(r"<[^>]+>", " ", part[0])
    assert len(set(found.values())) == 5
    assert [state for state, text in found.items() if "geen bekend" in text] == ["none"]


def test_the_style_carries_the_nonce_and_is_small() -> None:
    html = rich(nonce="abc123").decode()
    assert '<style nonce="abc123">' in html
    assert html.count("<style") == 1
    assert len(files("gateway.summary").joinpath("style.css").read_bytes()) <= 20_000
    assert "url(" not in html
    assert "http" not in re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)


@pytest.mark.parametrize(
    "payload", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "javascript:x"]
)
def test_payloads_stay_text(payload: str) -> None:
    narrative = {"status": "generated", "div": f"<div>{payload}</div>"}
    note = [{"text": payload}]
    given = answer("hospital", person("p", name=[{"family": payload}]), allergy("a", display=payload),
                   item("Condition", "c", {"code": {"text": payload}, "text": narrative, "note": note}))  # fmt: skip
    given.custodian_name = payload
    reader = read(page(material(given)))
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert "49" not in "".join(reader.words) or payload != "{{ 7*7 }}"
    assert payload in "".join(reader.words)


def test_a_silent_refusal_changes_no_byte_of_the_page() -> None:
    silent = answer("ggz", categories=dict.fromkeys(told(), refused(REFUSED_BY_PATIENT)))
    known = answer("gp", person("p"), allergy("a"))
    assert page(material(known)) == page(material(silent, known))


def test_a_page_of_nobody() -> None:
    text = "".join(read(page(material(patient=Patient(PERSON, BSN_SYSTEM, "999990019")))).words)
    assert "naam onbekend" in text
    assert "Geen enkele bron is bevraagd" in text


def contrast(one: str, other: str) -> float:
    def light(color: str) -> float:
        full = color if len(color) == 7 else "#" + "".join(2 * digit for digit in color[1:])
        parts = [int(full[position : position + 2], 16) / 255 for position in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_enough_contrast() -> None:
    style = files("gateway.summary").joinpath("style.css").read_text()
    color = dict(re.findall(r"--(\w+): (#[0-9a-f]+);", style))
    for ink in ("ink", "quiet", "red", "warn", "blue"):
        for ground in ("paper", "ground"):
            assert contrast(color[ink], color[ground]) >= 4.5, (ink, ground)
