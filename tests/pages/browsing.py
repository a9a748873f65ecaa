"""One Debian chromium for all page tests, driven by playwright; what it shows is checked by axe and kept as a picture."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

try:
    from axe_playwright_python.base import AXE_SCRIPT
    from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
except ImportError:  # pragma: no cover - the extra `dev` was not installed
    AXE_SCRIPT = ""

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or ""
OPTIONS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
TAGS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
PICTURES: Final = Path(__file__).resolve().parents[2] / "build" / "pages"
# What a test leaves switched off, and why.
DISABLED: Final[dict[str, str]] = {}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skipped with the reason where there is none (with CI=true a skip is a failure)."""
    if not CHROMIUM or not AXE_SCRIPT:
        pytest.skip("chromium, playwright or axe-playwright-python is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Page, *, context: str = "document", rules: dict[str, Any] | None = None) -> list[str]:
    """What axe has against what is on the screen now: rule, impact and elements, one line each."""
    if not page.evaluate("() => typeof window.axe !== 'undefined'"):
        page.evaluate(AXE_SCRIPT)
    options = {"runOnly": {"type": "tag", "values": list(TAGS)}, "resultTypes": ["violations"], "rules": rules or {}}
    found = page.evaluate(f"() => axe.run({context}, {json.dumps(options)})")
    return [
        f"{one['id']} ({one['impact']}): {'; '.join(' '.join(map(str, node['target'])) for node in one['nodes'][:4])}"
        for one in found["violations"]
    ]


def picture(page: Page, name: str, *, whole: bool = True) -> Path:
    """Keep what is on the screen for people to look at."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    place = PICTURES / f"{re.sub(r'[^a-z0-9-]+', '-', name.lower())}.png"
    page.screenshot(path=str(place), full_page=whole)
    return place


def log_in(page: Page, base: str, who: str, *, to: str = "", level: str = "substantial", second: bool = True) -> None:
    """Log in at the provider of the demo as one of its people."""
    page.goto(f"{base}/pages/login{'?to=' + to if to else ''}")
    page.check(f"input[value='{who}']")
    page.select_option("#level", level)
    if not second:
        page.uncheck("#second")
    page.click("button")


def own_requests_only(context: BrowserContext, base: str) -> list[str]:
    """The list of requests that go elsewhere than the gateway and its provider; it grows while the pages are used."""
    elsewhere: list[str] = []

    def look(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != urlsplit(base).hostname:
            elsewhere.append(request.url)

    context.on("request", look)
    return elsewhere


def in_ci() -> bool:
    """Claim that a skip is not allowed."""
    return os.environ.get("CI") == "true"
