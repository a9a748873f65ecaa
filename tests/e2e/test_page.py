"""The summary as a page in a real browser: Dutch and English, five states, no script, nothing from elsewhere, the urgent part in sight."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final

import httpx2
import pytest

from tests.e2e.running import Demo

pytestmark = [pytest.mark.slow, pytest.mark.network]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or ""
OPTIONS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--virtual-time-budget=4000",
)  # fmt: skip
STATES: Final = {
    "complete": "everything present",
    "withheld": "consent refused at one",
    "unavailable": "slow (5 s)",
    "conflict": "directives that conflict",
    "unknown": "unknown in the region",
}
VISIBLE: Final = {
    ("complete", "nl"): ["Willemijn van Voorbeeld", "amoxicilline", "WEL uitvoeren", "MRSA-drager", "3 van 3 bronnen"],
    ("complete", "en"): ["Willemijn van Voorbeeld", "amoxicilline", "MRSA-drager", "3 of 3 sources"],
    ("withheld", "nl"): ["afgeschermd", "Er kan meer zijn", "ibuprofen"],
    ("withheld", "en"): ["withheld", "There may be more", "ibuprofen"],
    ("unavailable", "nl"): ["niet beschikbaar", "1 van 2 bronnen", "Traagoord"],
    ("unavailable", "en"): ["unavailable", "1 of 2 sources", "Traagoord"],
    ("conflict", "nl"): ["NIET EENDUIDIG – verifieer", "Ja, maar niet langer dan drie dagen en zonder nierdialyse."],
    ("conflict", "en"): ["Ja, maar niet langer dan drie dagen en zonder nierdialyse."],
    ("unknown", "nl"): ["niet vastgelegd", "Dit betekent niet dat er niets is", "geen bron bevraagd"],
    ("unknown", "en"): ["not recorded"],
}
# Measures every page in a frame of 1280 × 900, and says so as JSON in its own document.
MEASURE: Final = """<!doctype html><meta charset="utf-8"><body><script>
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, band = page.querySelector(".band");
    found[frame.name] = {
      lang: page.documentElement.lang, text: page.body.innerText, scripts: page.scripts.length,
      band: band ? band.getBoundingClientRect().top : -1,
      first: band ? band.querySelector("section").getBoundingClientRect().bottom : -1,
      color: band ? getComputedStyle(band).borderTopColor : "", wide: page.documentElement.scrollWidth,
      loaded: frame.contentWindow.performance.getEntriesByType("resource").length,
      links: [...page.querySelectorAll("[src],link[href],a[href]")].map(e => e.getAttribute("src") || e.getAttribute("href")),
      tips: page.querySelectorAll("details,[title]").length, headings: page.querySelectorAll("h1").length,
    };
  }
  document.body.innerHTML = ""; document.body.textContent = JSON.stringify(found);
});
</script>FRAMES</body>"""


@dataclass
class Shelf:
    """Pages on a port of this machine, and every request that came for them."""

    pages: dict[str, tuple[bytes, dict[str, str]]]
    asked: list[str] = field(default_factory=list)
    measured: set[str] = field(default_factory=set)  # what was asked while all pages were measured
    base: str = ""


class Reply(BaseHTTPRequestHandler):
    """Gives a page with the headers the gateway gave it."""

    shelf: ClassVar[Shelf]

    def do_GET(self) -> None:
        self.shelf.asked.append(self.path)
        body, headers = self.shelf.pages.get(self.path, (b"", {}))
        self.send_response(200 if body else 404)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the standard library
        """Say nothing."""


@pytest.fixture(scope="module")
def pages(demo: Demo) -> dict[tuple[str, str], httpx2.Response]:
    """Every page, as the gateway gives it."""
    return {
        (state, language): demo.once(words, "text/html", language)
        for state, words in STATES.items()
        for language in ("nl", "en")
    }


@pytest.fixture(scope="module")
def shelf(pages: dict[tuple[str, str], httpx2.Response]) -> Iterator[Shelf]:
    """The pages twice: as given, and so that a page of the same origin may frame and measure them."""
    held: dict[str, tuple[bytes, dict[str, str]]] = {}
    for (state, language), answer in pages.items():
        given = {name: answer.headers[name] for name in ("content-type", "content-security-policy", "x-frame-options")}
        held[f"/{state}/{language}"] = (answer.content, given)
        policy = given["content-security-policy"].replace("frame-ancestors 'none'", "frame-ancestors 'self'")
        held[f"/framed/{state}/{language}"] = (
            answer.content,
            {"content-type": given["content-type"], "content-security-policy": policy},
        )
    frames = "".join(
        f'<iframe name="{state}/{language}" width="1280" height="900" src="/framed/{state}/{language}"></iframe>'
        for state, language in pages
    )
    held["/"] = (MEASURE.replace("FRAMES", frames).encode(), {"content-type": "text/html; charset=utf-8"})
    made = Shelf(held)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Reply,), {"shelf": made}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.base = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join(5)


def browse(directory: Path, *arguments: str) -> str:
    """Run chromium once, with a profile of its own."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    ended = subprocess.run(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={directory / 'profile'}", *arguments],
        capture_output=True, timeout=90, check=False, cwd=directory,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    return ended.stdout.decode()


@pytest.fixture(scope="module")
def measured(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser sees of every page."""
    shelf.asked.clear()
    dom = browse(tmp_path_factory.mktemp("measure"), "--window-size=1400,1000", "--dump-dom", f"{shelf.base}/")
    shelf.measured = set(shelf.asked)
    found = re.search(r"<body>(.*)</body>", dom, re.DOTALL)
    assert found is not None
    return dict(json.loads(unescape(found[1])))


@pytest.mark.parametrize("language", ["nl", "en"])
@pytest.mark.parametrize("state", STATES)
def test_the_page_itself(pages: dict[tuple[str, str], httpx2.Response], state: str, language: str) -> None:
    answer = pages[state, language]
    assert answer.status_code == 200
    assert re.match(rf'<!doctype html>\s*<html lang="{language}', answer.text, re.IGNORECASE)
    assert not re.search(r"<script|javascript:|\son\w+=|<iframe|<img|<link|@import|url\(", answer.text, re.IGNORECASE)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(("state", "language"), sorted(VISIBLE))
def test_what_a_reader_sees(measured: dict[str, Any], state: str, language: str) -> None:
    seen = measured[f"{state}/{language}"]
    assert seen["lang"].startswith(language)
    assert [words for words in VISIBLE[state, language] if words not in seen["text"]] == []
    assert (seen["scripts"], seen["tips"], seen["headings"]) == (0, 0, 1)  # nothing in a fold or a tooltip
    assert seen["wide"] <= 1280


def test_nothing_comes_from_elsewhere(measured: dict[str, Any], shelf: Shelf) -> None:
    assert shelf.measured - {"/favicon.ico"} == {"/", *(f"/framed/{name}" for name in measured)}
    for name, seen in measured.items():
        assert seen["loaded"] == 0, name
        assert all(link.startswith("#") for link in seen["links"]), name


@pytest.mark.parametrize("name", ["complete/nl", "complete/en", "conflict/nl"])
def test_the_urgent_part_is_in_sight_without_scrolling(measured: dict[str, Any], name: str) -> None:
    seen = measured[name]
    assert 0 < seen["band"] < 900
    red, green, blue = (int(part) for part in re.findall(r"\d+", seen["color"])[:3])
    assert red > 2 * max(green, blue)
    if name.startswith("complete"):
        assert seen["first"] < 900  # the directives whole


@pytest.mark.parametrize("state", STATES)
def test_a_screenshot(shelf: Shelf, tmp_path: Path, state: str) -> None:
    """The page as given, with all its headers, drawn by the browser."""
    shelf.asked.clear()
    picture = tmp_path / f"{state}.png"
    browse(tmp_path, "--window-size=1280,900", f"--screenshot={picture}", f"{shelf.base}/{state}/nl")
    drawn = picture.read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert (int.from_bytes(drawn[16:20]), int.from_bytes(drawn[20:24])) == (1280, 900)
    assert len(drawn) > 20_000  # an empty page is smaller
    assert set(shelf.asked) - {"/favicon.ico"} == {f"/{state}/nl"}
