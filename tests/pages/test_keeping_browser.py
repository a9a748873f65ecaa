"""The pages of auditors and administrators in a browser: axe on every page and state, narrow, wide, zoomed, by keyboard, without script."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest

from tests.gateway.charts import BSN
from tests.pages.browsing import chromium, log_in, own_requests_only, picture, violations
from tests.pages.bureau import Bureau, bureau, looked
from tests.slack import slack

pytestmark = [pytest.mark.slow, pytest.mark.network]

TREES: Final = Path(__file__).with_name("trees")
AUDITOR = ("/pages/audit", "/pages/audit/log", "/pages/audit/log?overview=emergency", "/pages/audit/report", "/pages/audit/export",
           "/pages/audit/verify", "/pages/audit/sample")  # fmt: skip
ADMINISTRATOR = ("/pages/admin", "/pages/admin/sources", "/pages/admin/sources/hospital", "/pages/admin/agreements",
                 "/pages/admin/clients", "/pages/admin/keys", "/pages/admin/policy", "/pages/admin/policy/1",
                 "/pages/admin/letters")  # fmt: skip


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with bureau(tmp_path_factory.mktemp("browsed")) as made:
        made.write(*(looked(50 + number, patient=made.patient) for number in range(3)))
        yield made


@pytest.fixture(scope="module")
def browser(office: Bureau) -> Iterator[Any]:
    """One chromium; its driver keeps an event loop in this thread, so the gateway is there before it."""
    assert office.base
    with chromium() as made:
        yield made


def opened(office: Bureau, browser: Any, who: str, **context: Any) -> Any:
    """A logged-in page in a context of its own."""
    made = browser.new_context(viewport={"width": 1280, "height": 900}, **context)
    page = made.new_page()
    page.set_default_timeout(20_000)
    log_in(page, office.base, who)
    page.wait_for_load_state()
    return page


def press(page: Any, button: str) -> None:
    """Send a form or follow a link, and wait until the answer is there."""
    with page.expect_navigation():
        page.click(button)


def same_tree(page: Any, name: str) -> None:
    """Claim that what a screen reader is told is what was looked at when the tree was kept; numbers are left out."""
    text = re.sub(
        r"\b(i1-[a-z]+|p1-[a-z2-7]+|[0-9a-f]{16,}|1\.1\.\d+|…[a-z2-7-]{8}|\d{2}-\d{2}-\d{4}( \d{2}:\d{2}:\d{2})?)",
        "#",
        page.locator("main").aria_snapshot(),
    )
    kept = TREES / f"{name}.yaml"
    if os.environ.get("WRITE_TREES"):
        kept.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == kept.read_text("utf-8"), name


def name_of(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.strip("/"))


SIZES = {"narrow": (320, 640), "zoom-200": (640, 450), "zoom-400": (320, 225), "wide": (1920, 1080)}  # of 1280 x 900


@pytest.mark.parametrize(("who", "paths"), [("auditor", AUDITOR), ("administrator", ADMINISTRATOR)])
def test_axe_has_nothing_against_any_page_and_nothing_runs_out_of_it(
    office: Bureau, browser: Any, who: str, paths: tuple[str, ...]
) -> None:
    page = opened(office, browser, who)
    elsewhere = own_requests_only(page.context, office.base)
    try:
        for path in paths:
            page.set_viewport_size({"width": 1280, "height": 900})
            assert page.goto(f"{office.base}{path}").status == 200, path
            assert violations(page) == [], path
            picture(page, name_of(path))
            for name, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                over = page.evaluate(
                    "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert over <= 0, (path, name)
                if name == "narrow" and path in (paths[0], paths[1]):
                    picture(page, f"narrow-{name_of(path)}")
        assert violations(page) == [], "at 1920 x 1080"
        page.emulate_media(forced_colors="active")
        page.goto(f"{office.base}{paths[0]}")
        assert violations(page) == [], "in forced colors"
        picture(page, f"forced-{name_of(paths[0])}")
        page.set_viewport_size({"width": 320, "height": 640})
        assert violations(page) == [], "narrow"
        assert elsewhere == []
        assert page.evaluate("() => [localStorage.length, sessionStorage.length]") == [0, 0]
    finally:
        page.context.close()


def test_axe_has_nothing_against_the_states_of_the_auditor(office: Bureau, browser: Any) -> None:
    page = opened(office, browser, "hospital-auditor")
    try:
        page.goto(f"{office.base}/pages/audit/log")
        page.fill("#bsn", "123456789")
        press(page, "main form button")
        assert "geen geldig BSN" in page.inner_text("main")
        assert violations(page) == []
        picture(page, "audit-log-wrong")
        page.fill("#bsn", BSN)
        page.fill("#since", "2026-03-01")
        press(page, "main form button")
        assert BSN not in page.url + page.title() + page.content()
        assert violations(page) == []
        picture(page, "audit-log-patient")
        press(page, "main table a")
        assert violations(page) == []
        picture(page, "audit-record")
        same_tree(page, "audit-record")
        press(page, "main a.button")
        assert "Op het scherm" in page.inner_text("h1")
        assert violations(page) == []
        picture(page, "audit-replay")
        same_tree(page, "audit-replay")
        page.goto(f"{office.base}/pages/audit/reviews")
        assert violations(page) == []
        picture(page, "audit-reviews")
        same_tree(page, "audit-reviews")
        page.goto(f"{office.base}/pages/audit/sample")
        press(page, "main form button")
        assert "Getrokken inzagen" in page.inner_text("main")
        assert violations(page) == []
        picture(page, "audit-sample-drawn")
        page.goto(f"{office.base}/pages/audit/verify")
        press(page, "main form button")
        assert violations(page) == []
        until = monotonic() + 30 * slack()
        while "Het logboek is heel" not in page.inner_text("main") and monotonic() < until:
            page.reload()
        assert "Het logboek is heel" in page.inner_text("main"), page.inner_text("main")
        picture(page, "audit-verified")
        same_tree(page, "audit-verified")
        assert page.goto(f"{office.base}/pages/audit/record/1.1.99999").status == 404
        assert violations(page) == []
        page.goto(f"{office.base}/pages/audit/log")
        page.evaluate(
            "() => { document.documentElement.removeAttribute('lang'); document.querySelector('label[for=bsn]').remove(); }"
        )
        seeded = {one.partition(" ")[0] for one in violations(page)}
        assert {"html-has-lang", "label"} <= seeded, "what is wrong is found"
    finally:
        page.context.close()


def test_two_administrators_by_keyboard_and_without_script(office: Bureau, browser: Any) -> None:
    page = opened(office, browser, "administrator", java_script_enabled=False)
    try:
        page.goto(f"{office.base}/pages/admin/agreements")
        page.focus("#name")
        page.keyboard.type("toets")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")  # the first organization may ask
        page.focus("#custodians-90000002")
        page.keyboard.press("Space")
        page.focus("#purpose-behandeling")
        page.keyboard.press("Space")
        page.fill("#start", "2026-03-01")
        page.fill("#end", "2026-12-31")
        page.focus("#end")
        for _ in range(4):
            page.keyboard.press("Tab")
            if page.locator("main form.form button").evaluate("one => one === document.activeElement") is True:
                break
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert "wacht op een tweede persoon" in page.inner_text("main")
        assert "eigen voorstel" in page.inner_text("main")
    finally:
        page.context.close()
    page = opened(office, browser, "second-administrator", locale="en-GB")
    try:
        page.goto(f"{office.base}/pages/language/en?back=/pages/admin/agreements")
        assert "Waits for a second person" in page.inner_text("main")
        assert violations(page) == []
        picture(page, "admin-agreements-waiting")
        same_tree(page, "admin-agreements-waiting")
        press(page, "button[value=accept]")
        assert "Approved and in force" in page.inner_text("main")
        assert violations(page) == []
    finally:
        page.context.close()
