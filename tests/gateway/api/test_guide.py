"""What the gateway tells about itself: complete, in two languages, from its own tables, and nothing loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI

from gateway.errors import TABLE as ERRORS
from gateway.fhir.interactions import TABLE
from gateway.fhir.recent import KEPT, Recent
from gateway.routes import oauth
from gateway.routes.guide.catalog import catalog
from gateway.routes.guide.examples import examples
from gateway.routes.guide.openapi import document
from gateway.routes.guide.router import open_elsewhere, router
from tests.documentation import REMARKS
from tests.gateway.charts import BSN
from tests.gateway.world import BASE, PHYSICIAN, World, run

HTML: Final = "text/html"


class Site:
    """The guide of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.web = FastAPI(openapi_url=None)
        self.web.state.ports, self.web.state.recent = world.ports, world.app.recent
        self.web.include_router(router)
        self.web.include_router(oauth.router)
        open_elsewhere(self.web)

    def get(self, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
        async def ask() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.web)
            async with httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await http.request(method, path, headers=named)

        return run(ask())


@pytest.fixture(scope="module")
def site() -> Site:
    return Site(World())


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == "$ref")
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_start_page_explains_itself_to_people_and_programs_in_both_languages(site: Site) -> None:
    told = site.get("/").json()
    assert told["fhir"] == f"{BASE}/fhir"
    assert told["smart-configuration"].endswith("/.well-known/smart-configuration")
    english, dutch = site.get("/", accept=HTML), site.get("/", accept=HTML, accept_language="nl")
    assert 'lang="en"' in english.text
    assert "Where to begin" in english.text
    assert 'lang="nl"' in dutch.text
    assert "Waar te beginnen" in dutch.text
    assert f"{BASE}/fhir/.well-known/smart-configuration" in dutch.text
    assert site.get("/", "HEAD").status_code == 200


def test_every_code_has_a_page_with_cause_and_cure_in_both_languages(site: Site) -> None:
    assert set(catalog()) >= ERRORS.keys() | REMARKS.keys()
    for code, entry in catalog().items():
        assert all(entry.cause), code
        assert all(entry.cure), code
        assert entry.cause[0] != entry.cause[1], code
    page = site.get("/errors/bsn-in-url", accept_language="nl")
    assert page.status_code == 200
    assert "Oorzaak" in page.text
    assert "HTTP 400" in page.text
    every = site.get("/errors").text
    assert all(f'href="/errors/{code}"' in every for code in catalog())
    assert site.get("/errors/nothing").status_code == 404


def test_pages_load_nothing_and_run_nothing(site: Site) -> None:
    for path in ("/", "/docs", "/docs/Observation", "/docs/deprecations", "/errors", "/errors/internal"):
        page = site.get(path, accept=HTML)
        assert page.status_code == 200, path
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert not re.search(r"<script|<link|<img|<iframe|src=|@import|url\(", page.text), path


def test_every_interaction_is_in_the_openapi_document_of_its_type(site: Site) -> None:
    for row in TABLE:
        for type_ in row.types or ("",):
            paths = document(type_, BASE)["paths"]
            operation = paths["/" + row.path.replace("{type}", type_)][row.method.lower()]
            assert operation["responses"]
            assert {one["name"] for one in operation["parameters"] if one["in"] == "query"} >= set(row.parameters)
    whole = site.get("/openapi.json").json()
    assert whole["openapi"] == "3.1.0"
    for tag in whole["tags"]:
        found = site.get(tag["externalDocs"]["url"].removeprefix(BASE))
        assert found.status_code == 200
        assert len(found.content) < 120_000, tag["name"]
    assert site.get("/openapi/Nothing.json").status_code == 404


def test_openapi_documents_hang_together() -> None:
    for type_ in ("", "Patient", "Observation", "Consent"):
        made = document(type_, BASE)
        names = [one["operationId"] for path in made["paths"].values() for one in path.values()]
        assert len(names) == len(set(names))
        for reference in references(made):
            node: Any = made
            for step in reference.removeprefix("#/").split("/"):
                node = node[step]
            assert node


def test_examples_hold_every_interaction_and_no_bsn_in_a_url() -> None:
    text = examples(BASE)
    for row in TABLE:
        assert f"### {row.summary}\n{row.method} " in text
    lines = [line for line in text.splitlines() if re.match(r"(GET|POST|PUT|DELETE) ", line)]
    assert len(lines) == sum(len(row.types) or 1 for row in TABLE)
    assert not any("bsn" in line.lower() or re.search(r"\d{9}", line) for line in lines)


def test_what_is_not_here_is_an_error_like_any_other(site: Site) -> None:
    for path in ("/nothing", "/fhir.json", "/docs/x/y"):
        found = site.get(path, accept_language="nl")
        assert (found.status_code, found.headers["content-type"]) == (404, "application/fhir+json; charset=utf-8"), path
        issue = found.json()["issue"][0]
        assert issue["details"]["coding"][0]["code"] == "not-found"
        assert found.headers["x-request-id"] in issue["diagnostics"]
    wrong = site.get("/docs", "DELETE")
    assert (wrong.status_code, sorted(wrong.headers["allow"].split(", "))) == (405, ["GET", "HEAD"])
    assert wrong.json()["issue"][0]["details"]["coding"][0]["code"] == "method-not-allowed"
    oauth_says = site.get("/oauth/token")
    assert (oauth_says.status_code, oauth_says.headers["allow"], oauth_says.json()["error"]) == (
        405,
        "POST",
        "invalid_request",
    )
    for path in ("/oauth/jwks", "/.well-known/oauth-authorization-server"):
        looked = site.get(path, "HEAD")
        assert (looked.status_code, looked.content) == (200, b"")


def test_docs_follow_the_tables(site: Site) -> None:
    page = site.get("/docs/Observation", accept=HTML).text
    assert "GET Observation/$lastn" in page
    assert "component-code-value-quantity" in page
    assert site.get("/docs/Nothing").status_code == 404
    assert "Observation/_search" in site.get("/docs/examples.http").text


def test_a_client_sees_its_own_last_requests_with_the_reasons_it_was_given() -> None:
    world = World()
    site, token = Site(world), f"Bearer {world.token(PHYSICIAN)}"
    assert site.get("/client/requests").status_code == 401
    from dataclasses import replace

    from gateway.throttle import Allowances, Quota

    world.ports = replace(world.ports, allowances=Allowances((Quota("minute", 1000, 60),)))
    world.app = replace(world.app, ports=world.ports)
    site = Site(world)
    world.search()
    world.get("Condition")
    world.post("Patient/_search", f"identifier=http://fhir.nl/fhir/NamingSystem/bsn|{BSN}")
    answer = site.get("/client/requests", authorization=token, accept_language="nl")
    rows = answer.json()["requests"]
    assert [(row["interaction"], row["status"]) for row in rows] == [
        ("search-type", 200),
        ("search-type", 400),
        ("search-type", 200),
    ]
    assert rows[1]["error"] == "patient-required"
    assert "patiënt" in rows[1]["reason"]
    assert BSN not in answer.text
    assert world.patient not in answer.text
    assert (world.records[-1].interaction, world.records[-1].count) == ("own-requests", 3)
    other = replace(PHYSICIAN, requester=replace(PHYSICIAN.requester, client="other-app"), token_id="t6")
    assert site.get("/client/requests", authorization=f"Bearer {world.token(other)}").json()["requests"] == []


def test_what_is_remembered_is_bounded() -> None:
    recent, world = Recent(), World()
    reply = world.get("metadata", None)
    from gateway.model import Incoming
    from tests.fakes import NOON

    asked = Incoming("GET", "x", "", {}, b"", "", "r", "r", NOON)
    for _ in range(KEPT + 20):
        recent.note("client", asked, "read", reply.status, 0.1, None)
    assert len(recent.of("client", "en")) == KEPT
    assert recent.of("nobody", "en") == []
