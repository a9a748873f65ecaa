"""The coordinator in Debian's chromium: tasks in both languages, keyboard, no script, small and large, zoom, forced colors, axe, ARIA trees."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from consent.model import Statement
from tests.gateway.charts import BSN, condition, directive, person
from tests.gateway.world import GP
from tests.pages.browsing import log_in, own_requests_only, picture, violations
from tests.pages.test_coordinator import SCRIPTS
from tests.pages.town import DO_NOT, Town, visitor

pytestmark = [pytest.mark.slow, pytest.mark.network]

TREES: Final = Path(__file__).with_name("trees")
WAIT_MS: Final = 15_000


@contextmanager
def window(browser: Any, place: Town, **more: Any) -> Iterator[Any]:
    """A browser window of its own."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "nl-NL", **more})
    context.set_default_timeout(WAIT_MS)
    elsewhere = own_requests_only(context, place.base)
    try:
        yield context.new_page()
        assert elsewhere == [], "nothing comes from elsewhere"
    finally:
        context.close()


@contextmanager
def looking(browser: Any, place: Town, **more: Any) -> Iterator[tuple[Any, str]]:
    """A window of a coordinator with an open case whose patient was confirmed, and the address of its page."""
    with visitor(place, "coordinator") as person, window(browser, place, **more) as page:
        case = str(person.looks(script="1").url)
        page.context.add_cookies([{"name": "session", "value": person.http.cookies["session"], "url": place.base}])
        yield page, case


def refuse(place: Town, ura: str) -> None:
    """The patient objects, said inside the serving loop: the driver of the browser has one in this thread."""
    statement = Statement("objection", 1, "deny", place.world.patient, ura)
    place.do(lambda: place.world.consents.put("objection", None, b"{}", place.world.patient, (statement,)))


def looks(page: Any, place: Town) -> None:
    """Open a case and confirm who it is: two actions after the form is filled in."""
    page.goto(f"{place.base}/pages/cases/new")
    page.check("#origin")
    page.fill("#who", "J. Jansen, partner")
    page.fill("#why", "benauwd")
    page.fill("#bsn", BSN)
    page.fill("#birthDate", "29-02-1980")
    page.click("main form button")
    page.click("main .row button >> nth=0")
    page.wait_for_selector("#look")


def test_the_thirty_second_task(browser: Any, place: Town) -> None:
    """From BSN to "not to be resuscitated, two allergies, blood thinner": two actions, nothing scrolled, nothing opened."""
    with window(browser, place) as page:
        log_in(page, place.base, "coordinator")
        looks(page, place)
        bottom = page.evaluate("document.querySelector('.band').getBoundingClientRect().bottom")
        assert bottom <= 900
        seen = page.evaluate(
            "words => words.map(w => [...document.querySelectorAll('.band li, .band p')].some(e => e.innerText.includes(w)"
            " && e.getBoundingClientRect().top >= 0 && e.getBoundingClientRect().bottom <= innerHeight))",
            ["NIET uitvoeren", "Penicilline", "Latex", "Apixaban", "Diabetes"],
        )
        assert seen == [True] * 5
        assert page.evaluate("scrollY") == 0
        picture(page, "thirty", whole=False)


PAGES: Final[dict[str, str]] = {
    "cases": "/pages/cases", "new": "/pages/cases/new", "capacity": "/pages/capacity", "paper": "/pages/paper",
    "patient": "", "phone": "/phone", "print": "/print", "ask": "/ask", "report": "/report", "foreign": "/none",
}  # fmt: skip


def test_axe_finds_nothing_on_any_page(browser: Any, place: Town) -> None:
    """Every page in Dutch, and what differs by language in English."""
    found: dict[str, list[str]] = {}
    with looking(browser, place) as (page, case):
        for name, path in PAGES.items():
            page.goto(f"{place.base}{path}" if path.startswith("/pages") else f"{case}{path}")
            found[name] = violations(page)
            picture(page, name)
        page.goto(f"{place.base}/pages/language/en?back=/pages/cases/new")
        page.click("main form button")
        found["wrong"] = violations(page)
        assert page.evaluate("document.activeElement.id") == "problems", "who must mend is taken there"
        picture(page, "wrong-en")
        page.goto(case)
        assert page.evaluate("document.documentElement.lang") == "en"
        assert "Read first" in page.inner_text(".band")
        found["patient in English"] = violations(page)
        picture(page, "patient-en")
        page.click("header form button")
        found["ended"] = violations(page)
    assert {name: one for name, one in found.items() if one} == {}


def test_axe_finds_what_was_put_wrong(browser: Any, place: Town) -> None:
    with looking(browser, place) as (page, case):
        page.goto(case)
        page.evaluate("""() => {
          document.documentElement.removeAttribute("lang");
          document.querySelector("h1").remove();
          const low = document.querySelector(".band .what"); low.setAttribute("style", "color:#ddd;background:#fff");
          document.querySelector("main").insertAdjacentHTML("beforeend", "<button></button><input type=text><img src=x>");
        }""")
        rules = {line.partition(" ")[0] for line in violations(page)}
        assert rules >= {"html-has-lang", "page-has-heading-one", "button-name", "label", "image-alt"}


def _conflict(place: Town) -> None:
    treatment = {
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "treatment"}]}
    }
    place.world.charts["hospital"].resources = [
        person("h1"), directive("d2", "h1", **treatment, dateTime="2026-02-20", provision={"type": "permit", "code": [DO_NOT]})]  # fmt: skip


def _dead(place: Town) -> None:
    place.world.charts["gp"].fails = "connection"


def _nothing(place: Town) -> None:
    place.world.charts["gp"].resources = [person("g1")]
    place.world.charts["hospital"].resources = [person("h1")]


def _long(place: Town) -> None:
    place.world.charts["gp"].resources = [person("g1"), *(condition(f"c{n}", "g1", code={"text": p.replace("\0", "")})
                                                          for n, p in enumerate(SCRIPTS))]  # fmt: skip


STATES: Final[dict[str, Callable[[Town], None]]] = {
    "data": lambda _: None, "conflict": _conflict, "unavailable": _dead, "unknown": _nothing, "payloads": _long,
}  # fmt: skip


def test_every_state_is_whole_in_tree_and_picture(browser: Any, place: Town) -> None:
    """One page for each state: axe, nothing wider than the window, the ARIA tree as it was kept."""
    with looking(browser, place) as (page, case):
        page.goto(case)
        for name, change in STATES.items():
            place.calm_sources()
            change(place)
            page.goto(case)
            assert violations(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280, name
            picture(page, f"state-{name}", whole=False)
            tree = _tree(page)
            kept = TREES / f"{name}.yaml"
            if os.environ.get("WRITE_TREES") and name != "payloads":
                kept.write_text(tree, "utf-8")
            if name == "payloads":
                assert page.evaluate("document.scripts.length") == 1
                continue
            assert tree == kept.read_text("utf-8"), (
                f"{name}: look at the page, then write the tree to {kept.name}:\n{tree}"
            )


def _tree(page: Any) -> str:
    """What a screen reader is told of the red band, without what differs from day to day."""
    text = page.locator(".band").aria_snapshot()
    return re.sub(r"\d{2}-\d{2}-\d{4} \d{2}:\d{2}|\b\d{2}:\d{2}\b", "<moment>", text) + "\n"


def test_no_payload_does_anything(browser: Any, place: Town) -> None:
    """Attacks 123 and 124 in the browser: nothing runs, nothing is asked from elsewhere."""
    _long(place)
    said: list[str] = []
    with looking(browser, place) as (page, case):
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("console", lambda message: said.append(message.text) if "alert" in message.text else None)
        page.goto(case)
        page.goto(page.url)
        assert (
            page.evaluate(
                "document.querySelectorAll('main script, main iframe, main img, main style, main object').length"
            )
            == 0
        )
    assert said == []


def test_late_sources_stream_in_and_mark_the_band(browser: Any, place: Town) -> None:
    with looking(browser, place) as (page, case):
        page.goto(case)
        charts = place.world.charts
        charts["gp"].seconds, charts["hospital"].seconds = 0.4, 0.9
        given = page.goto(case).text()
        assert 'data-late="' in given
        assert "Penicilline" not in given
        page.wait_for_selector(".band .alarm")
        page.wait_for_selector("#look:not([data-late])")
        shown = page.inner_text(".band")
        assert "Penicilline" in shown
        assert "Latex" in shown
        assert "GEWIJZIGD" in shown
        assert "Alle bronnen hebben geantwoord" in page.inner_text("#news")
        assert violations(page) == []
        picture(page, "late", whole=False)


def test_keyboard_only(browser: Any, place: Town) -> None:
    """A case, the look-up and the page, without a mouse; the focus is always in sight."""
    with window(browser, place) as page:
        log_in(page, place.base, "coordinator")
        page.goto(f"{place.base}/pages/cases")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/cases/new")
        page.focus("#origin")
        page.keyboard.press("Space")
        for words in ("J. Jansen", "benauwd", "", BSN, "29-02-1980"):
            page.keyboard.press("Tab")
            page.keyboard.type(words)
            box = page.evaluate(
                "(() => { const r = document.activeElement.getBoundingClientRect(); return [r.top, r.bottom] })()"
            )
            assert box[0] >= 0
            assert box[1] <= 900
        page.keyboard.press("Enter")
        page.wait_for_url("**/person")
        page.focus("main .row button")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.wait_for_selector("#look")
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.textContent.trim()"))
        assert {"Vraag de patiënt nu", "Telefoonweergave", "Afdrukken", "Melding sluiten"} <= reached


def test_without_script(browser: Any, place: Town) -> None:
    with window(browser, place, java_script_enabled=False) as page:
        log_in(page, place.base, "coordinator")
        place.world.charts["gp"].seconds = 0.3
        looks(page, place)
        assert "Penicilline" in page.inner_text(".band")
        page.click("text=Vraag de patiënt nu")
        page.check("#by")
        page.fill("#identity", "straat")
        page.check("#said")
        page.click("main form button")
        assert "Ontvangstbewijs" in page.inner_text("h1")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("320", {"viewport": {"width": 320, "height": 640}}),
        ("1920", {"viewport": {"width": 1920, "height": 1080}}),
        ("zoom-200", {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2}),
        ("zoom-400", {"viewport": {"width": 320, "height": 225}, "device_scale_factor": 4}),
        ("forced-colors", {"forced_colors": "active"}),
    ],
)
def test_small_large_enlarged_and_in_forced_colors(browser: Any, place: Town, name: str, more: dict[str, Any]) -> None:
    """Nothing is cut off or has to be scrolled in two directions (WCAG 1.4.10), targets are large enough (2.5.8)."""
    with looking(browser, place, **more) as (page, case):
        width = more.get("viewport", {"width": 1280})["width"]
        for path in ("/ask", ""):
            page.goto(case + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if name in ("320", "forced-colors"):
            assert violations(page) == []
        small = page.evaluate("""() => [...document.querySelectorAll("button, a.button, input:not([type=hidden])")]
          .map(e => [e.textContent, e.getBoundingClientRect()]).filter(([, r]) => r.width && (r.width < 24 || r.height < 24)).map(([t]) => t)""")
        assert small == []
        picture(page, f"patient-{name}", whole=False)


def test_nothing_of_a_person_stays_in_the_browser(browser: Any, place: Town) -> None:
    with looking(browser, place) as (page, case):
        page.goto(case)
        kept = page.evaluate("""async () => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, document.title,
          document.referrer, location.href, await indexedDB.databases(), await caches.keys(), history.state])""")
        assert BSN not in kept
        assert "Jansen" not in kept
        assert kept.startswith("[{},{},")
        assert page.context.storage_state()["origins"] == []
        with page.expect_navigation():  # a page that is on its way out cannot go back
            page.click("header form button")
        page.go_back()
        assert "Jansen" not in page.content()
        page.goto(case)
        assert "Penicilline" not in page.content()


def test_the_session_warns_before_it_ends(browser: Any, place: Town) -> None:
    with looking(browser, place) as (page, _):
        page.clock.install()
        page.goto(f"{place.base}/pages/capacity")
        assert not page.is_visible("#warning")
        page.clock.run_for(14 * 60 * 1000)
        assert page.is_visible("#warning")
        assert violations(page) == []
        page.click("#warning button")
        page.wait_for_selector("#warning", state="hidden")
        page.clock.run_for(16 * 60 * 1000)
        page.wait_for_url(re.compile(r"/pages/(ended|capacity|cases)$"))


def test_what_is_refused_is_said_on_a_whole_page(browser: Any, place: Town) -> None:
    kept = dict(place.world.consents.kept)
    try:
        with looking(browser, place) as (page, case):
            page.goto(case)
            refuse(place, GP)
            page.reload()
            assert violations(page) == []
            assert "er kan meer zijn" in page.inner_text(".band").lower()
            picture(page, "state-withheld")
    finally:
        place.world.consents.kept.clear()
        place.world.consents.kept.update(kept)
