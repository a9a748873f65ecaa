"""The frame of the pages over HTTP: login, second factor, sessions, forms, headers, languages (W1–W6; attacks 125, 126, 129, 130, 176, 184)."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.demo.configuration import people
from gateway.oauth.login import Identity
from gateway.routes.pages.frame import local
from gateway.routes.pages.sessions import MAXIMUM_SESSIONS, Sessions
from gateway.settings import LoginTable
from tests.fakes import NOON
from tests.gateway.charts import BIRTH, BSN
from tests.gateway.world import run
from tests.pages.town import Town, Visitor, visitor

pytestmark = [pytest.mark.slow, pytest.mark.network]

PACKAGE = Path(__file__).resolve().parents[2] / "gateway" / "routes" / "pages"


def test_who_is_not_logged_in_reads_how_to_and_sees_no_page(place: Town) -> None:
    with visitor(place) as guest:
        assert guest.get("/pages").status_code == 200
        answer = guest.get("/pages/cases/case-1")
        assert 'href="/pages/login?to=/pages/cases/case-1"' in answer.text
        assert guest.post("/pages/cases/new", {}, csrf="").status_code == 401


def test_a_login_with_two_factors_is_on_the_record(place: Town) -> None:
    before = len(place.records)
    with visitor(place) as person:
        answer = person.log_in("coordinator", to="/pages/capacity")
        assert (answer.status_code, answer.url.path) == (200, "/pages/capacity")
        assert "geen aansluiting" in answer.text
        (login,) = [one for one in place.since(before) if one.interaction == "login"]
        assert (login.person, login.role, login.assurance, login.status) == (
            "uzi|900000003",
            "zorgcoordinator",
            "substantial",
            200,
        )
        cookies = {cookie.name: cookie for cookie in person.http.cookies.jar}
        assert set(cookies) == {"session"}, "no __Host- on plain http of this machine"
        assert person.http.cookies["session"] not in "".join(str(one) for one in place.records)


@pytest.mark.parametrize(
    ("who", "more", "code"),
    [
        ("coordinator", {"second": False}, "login-refused"),
        ("stranger", {}, "oauth-client"),
        ("nobody", {}, "oauth-claims"),
    ],
)
def test_b3_nobody_comes_in_without_what_is_needed(place: Town, who: str, more: dict[str, Any], code: str) -> None:
    before = len(place.records)
    with visitor(place) as person:
        answer = person.log_in(who, **more)
        assert (answer.status_code in (400, 401, 403), code in answer.text) == (True, True), answer.text
        assert "session" not in person.http.cookies or "Uitloggen" not in person.get("/pages/cases").text
        assert any(one.interaction == "login" and one.status >= 400 for one in place.since(before))


def test_b3_a_weak_means_of_login_sees_no_patient(place: Town) -> None:
    with visitor(place, "coordinator", level="low") as person:
        answer = person.opens()
        assert answer.status_code == 403
        assert "assurance-insufficient" in answer.text
        assert "Jansen" not in answer.text


@pytest.mark.parametrize("wrong", ["state", "code", "browser", "nothing"])
def test_a_login_that_does_not_fit_opens_nothing(place: Town, wrong: str) -> None:
    with visitor(place) as person, visitor(place) as other:
        asked = person.http.get(f"{place.base}/pages/login")
        form = dict(asked.request.url.params) | {"person": "coordinator", "second_factor": "yes"}
        back = person.http.post(f"{place.provider}/authorize", data=form, follow_redirects=False).headers["location"]
        query = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
        if wrong in ("state", "code"):
            query[wrong] = "x" * 32
        who = other if wrong == "browser" else person
        answer = who.http.get(f"{place.base}/pages/callback", params={} if wrong == "nothing" else query)
        assert answer.status_code == 401
        assert "session" not in who.http.cookies


def test_a_code_works_once(place: Town) -> None:
    with visitor(place) as person:
        asked = person.http.get(f"{place.base}/pages/login")
        form = dict(asked.request.url.params) | {"person": "coordinator", "second_factor": "yes"}
        back = person.http.post(f"{place.provider}/authorize", data=form, follow_redirects=False).headers["location"]
        assert person.http.get(back).status_code == 200
        assert person.http.get(back).status_code == 401


def test_125_a_form_from_elsewhere_does_nothing(coordinator: Visitor) -> None:
    fields = {"origin": "caller", "who": "x", "why": "y", "bsn": BSN, "birthDate": BIRTH}
    good = coordinator.csrf()
    for answer in (
        coordinator.post("/pages/cases/new", fields, csrf=""),
        coordinator.post("/pages/cases/new", fields, csrf="00" * 32),
        coordinator.post("/pages/cases/new", fields, csrf="zz"),
        coordinator.post("/pages/cases/new", fields, csrf=good, sec_fetch_site="cross-site"),
        coordinator.post("/pages/cases/new", fields, csrf=good, sec_fetch_site="same-site"),
        coordinator.post("/pages/cases/new", fields, csrf=good, origin="https://evil.example"),
        coordinator.post("/pages/cases/new", fields, csrf=good, origin="null"),
        coordinator.post("/pages/logout", {}, csrf=""),
        coordinator.http.post(f"{coordinator.town.base}/pages/cases/new", json=fields),
    ):
        assert answer.status_code in (400, 403), answer.text[:300]
    assert not coordinator.town.world.cases.kept
    with visitor(coordinator.town, "colleague") as other:
        assert other.post("/pages/cases/new", fields, csrf=good).status_code == 403, "the secret of another session"


def test_125_a_link_on_a_foreign_page_looks_at_nobody(coordinator: Visitor) -> None:
    page = coordinator.looks()
    before = len(coordinator.town.records)
    answer = coordinator.get(page.url.path, sec_fetch_site="cross-site")
    assert (answer.status_code, "Jansen" in answer.text, f'href="{page.url.path}"' in answer.text) == (200, False, True)
    assert coordinator.town.since(before) == []


def test_after_a_login_a_page_of_ours_comes_between(place: Town) -> None:
    with visitor(place) as person:
        asked = person.http.get(f"{place.base}/pages/login")
        form = dict(asked.request.url.params) | {"person": "coordinator", "second_factor": "yes"}
        back = person.http.post(f"{place.provider}/authorize", data=form, follow_redirects=False).headers["location"]
        answer = person.http.get(back, headers={"sec-fetch-site": "cross-site"})
        assert '<meta http-equiv="refresh" content="0;url=/pages">' in answer.text
        assert "Uitloggen" in person.get("/pages/cases").text


def test_126_129_headers_of_every_answer(coordinator: Visitor) -> None:
    page = coordinator.looks().url.path
    for path in (
        "/pages",
        "/pages/cases",
        "/pages/cases/new",
        page,
        f"{page}/ask",
        "/pages/cases/case-none",
    ):
        answer = coordinator.get(path)
        for one in (answer, *answer.history):
            policy = one.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "form-action 'self'" in policy
            assert one.headers["cache-control"] == "no-store"
            assert one.headers["x-frame-options"] == "DENY"
            assert one.headers["referrer-policy"] == "no-referrer"
            assert "access-control-allow-origin" not in one.headers
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<iframe|https?://(?!127)", answer.text), path
        assert re.findall(r"<script[^>]*>", answer.text) == ['<script src="/pages/static/page.js" defer>']


def test_129_nothing_is_left_after_log_out(coordinator: Visitor) -> None:
    page, town = coordinator.looks().url.path, coordinator.town
    key = coordinator.http.cookies["session"]
    answer = coordinator.post("/pages/logout", {})
    assert "uitgelogd" in answer.text
    assert '"storage"' in answer.headers["clear-site-data"]
    coordinator.http.cookies.set("session", key)
    assert "Jansen" not in coordinator.get(page).text
    assert town.records[-1].interaction == "logout"
    withdrawn = run(town.world.revocations.withdrawn(town.world.clock.now()))
    assert withdrawn.tokens, "its tokens are refused everywhere"


@pytest.mark.parametrize(
    "to",
    ["//evil.example", "\\\\evil.example", "https://evil.example", "/\\evil", "/pages/../../x", "/pages//evil", "javascript:x",
     "/pages/cases?x=1", "/pagesx", "/fhir/metadata", "%2F%2Fevil", "/pages/cases\r\nx: y", "/pages/@evil.example", ""],
)  # fmt: skip
def test_130_nobody_is_sent_elsewhere(to: str) -> None:
    assert local(to) == "/pages"
    assert local("/pages/cases/case-1a") == "/pages/cases/case-1a"


def test_176_the_secret_of_a_form_is_another_text_each_time(coordinator: Visitor) -> None:
    assert len({coordinator.csrf() for _ in range(5)}) == 5


def test_184_what_a_stolen_cookie_may_not_do_asks_to_log_in_again(coordinator: Visitor) -> None:
    town = coordinator.town
    page = coordinator.looks().url.path
    town.world.clock.advance(timedelta(minutes=6))
    for path in ("ask", "print", "summary.pdf"):
        answer = coordinator.get(f"{page}/{path}")
        assert answer.request.url.path == "/authorize", path
        assert answer.request.url.params["prompt"] == "login"
    answer = coordinator.post(f"{page}/ask", {"said": "permit", "by": "patient", "identity": "adres"})
    assert (answer.status_code, "login-again" in answer.text) == (401, True)
    # ... and who does goes on where they were, under another key.
    key = coordinator.http.cookies["session"]
    asked = coordinator.get(f"{page}/ask")
    form = dict(asked.request.url.params) | {"person": "coordinator", "second_factor": "yes"}
    back = coordinator.http.post(f"{town.provider}/authorize", data=form)
    assert back.url.path == f"{page}/ask"
    assert coordinator.http.cookies["session"] != key


def test_a_session_ends_when_nobody_uses_it_and_after_a_day_of_work(coordinator: Visitor) -> None:
    clock = coordinator.town.world.clock
    for _ in range(3):
        clock.advance(timedelta(minutes=14))
        assert "Uitloggen" in coordinator.get("/pages/cases").text
    assert re.search(r"Uw sessie eindigt om \d\d:\d\d", coordinator.get("/pages/cases").text)
    clock.advance(timedelta(minutes=15))
    assert "Uitloggen" not in coordinator.get("/pages/cases").text
    assert "een tijd niets is gedaan" in coordinator.get("/pages/ended").text


def test_sessions_are_bounded() -> None:
    identity = Identity("https://login.example", "90000006", "uzi|1", ("zorgcoordinator",), "high", NOON)
    sessions = Sessions(LoginTable(issuer="https://login.example"))
    first = sessions.open(identity, "zorgcoordinator", NOON)
    for _ in range(3):
        sessions.open(identity, "zorgcoordinator", NOON)
    sessions._live.update({str(number): first for number in range(MAXIMUM_SESSIONS - 4)})
    sessions.open(identity, "zorgcoordinator", NOON)
    assert len(sessions) == MAXIMUM_SESSIONS
    assert sessions.find(first.key, NOON) is None, "the one used longest ago went"
    made = sessions.open(identity, "zorgcoordinator", NOON)
    for number in range(500):
        made.keep("seen", str(number), "x")
    assert len(made.kept) <= 128
    assert sessions.find(made.key, NOON + timedelta(hours=9)) is None


def test_a_person_with_two_roles_chooses_one(place: Town) -> None:
    with visitor(place) as person:
        answer = person.log_in("both")
        assert "In welke rol" in answer.text
        assert "triagist" in answer.text
        csrf = answer.text.partition('name="csrf" value="')[2].partition('"')[0]
        assert person.post("/pages/role", {"role": "administrator"}, csrf=csrf).status_code == 403
        assert person.post("/pages/role", {"role": "triagist"}, csrf=csrf).url.path == "/pages/cases"


def test_the_demo_has_people_of_every_role() -> None:
    kinds = {role for one in people() for role in one.roles}
    assert kinds >= {"zorgcoordinator", "triagist", "01.071", "ambulance", "auditor", "administrator"}
    assert len({one.person for one in people()}) == len(people())


def test_dutch_by_default_and_english_by_choice(coordinator: Visitor) -> None:
    assert '<html lang="nl">' in coordinator.get("/pages/cases").text
    answer = coordinator.get("/pages/language/en?back=/pages/cases")
    assert answer.url.path == "/pages/cases"
    assert '<html lang="en">' in answer.text
    assert "My cases" in answer.text
    assert coordinator.get("/pages/language/xx").status_code == 404
    assert coordinator.get("/pages/language/nl?back=//evil.example").url.path == "/pages/cases"


def test_both_languages_say_the_same_things() -> None:
    for file in sorted((PACKAGE / "texts").glob("*.toml")):
        tree = tomllib.loads(file.read_text("utf-8"))
        assert _keys(tree["nl"]) == _keys(tree["en"]), file.name


def _keys(table: dict[str, object], path: str = "") -> set[str]:
    found = set()
    for key, value in table.items():
        found |= _keys(value, f"{path}{key}.") if isinstance(value, dict) else {
            f"{path}{key} {sorted(re.findall(r'{(.+?)}', str(value)))}"}  # fmt: skip
    return found


def test_style_and_script_are_small_and_come_from_here() -> None:
    assert len((PACKAGE / "static" / "style.css").read_bytes()) <= 20_000
    assert len((PACKAGE / "static" / "page.js").read_bytes()) <= 3_000
    for file in (PACKAGE / "static").iterdir():
        text = file.read_text("utf-8")
        assert not re.search(r"https?://|@import|localStorage|sessionStorage|indexedDB|innerHTML|eval\(", text), (
            file.name
        )
    for file in (PACKAGE / "templates").iterdir():
        text = file.read_text("utf-8")
        assert not re.search(r"https?://|<style|\sstyle=|\son[a-z]+=\"|\stitle=\"", text), file.name
        assert text.count("|safe") == text.count("'|safe"), "only words of ours are not escaped"


def test_what_is_sent_too_large_or_badly_is_refused(coordinator: Visitor) -> None:
    assert coordinator.post("/pages/cases/new", {"why": "x" * 70_000}).status_code in (403, 413)
    assert coordinator.get("/pages/static/none.css").status_code == 404
    assert coordinator.get("/pages/static/style.css").headers["content-type"].startswith("text/css")


def test_no_record_no_page(coordinator: Visitor) -> None:
    page, audit = coordinator.looks().url.path, coordinator.town.world.audit
    audit.broken = True
    try:
        for path in (page, "/pages/cases", f"{page}/phone", f"{page}/summary.pdf"):
            answer = coordinator.get(path)
            assert answer.status_code == 503, path
            assert "Jansen" not in answer.text
            assert "Apixaban" not in answer.text
    finally:
        audit.broken = False
