"""The coordinator over HTTP, without a script: case, look-up, the page in every state, asking, breaking the glass, paper (W7–W24)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from gateway.audit.record import decode
from gateway.logged import AuditQuery, Logged, RecordId
from gateway.routes.pages.open_cases import read_date
from gateway.routes.pages.spelling import spelled
from tests.gateway.charts import BIRTH, BSN, Json, allergy, condition, directive, medication, observation, person
from tests.gateway.world import GP, HOSPITAL
from tests.pages.town import DO_NOT, THIRTY, Town, Visitor, visitor

pytestmark = [pytest.mark.slow, pytest.mark.network]

BAND = ("directives", "allergies", "alerts", "medication", "problems")


def text(html: str) -> str:
    """What a reader reads."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def part(html: str, key: str) -> str:
    """One section of the page."""
    found = re.search(rf'<section class="part [^"]*" id="{key}".*?</section>', html, re.DOTALL)
    assert found is not None, key
    return found[0]


def state(html: str, key: str) -> str:
    return str(re.findall(r'class="part (\w+)', part(html, key))[0])


@pytest.fixture
def physician(place: Town) -> Iterator[Visitor]:
    with visitor(place, "physician") as made:
        yield made


# --- the case and who it is ------------------------------------------------------------------------


def test_b1_no_case_no_look_up(coordinator: Visitor) -> None:
    town = coordinator.town
    page = coordinator.opens()
    (case, raw) = next(iter(town.world.cases.kept.values()))
    assert (case.origin, case.client, case.person) == ("caller", "pages-90000006", "uzi|900000003")
    assert b"J. Jansen, partner" in raw
    assert b"benauwd" in raw
    shown = text(page.text)
    for word in ("Ada Jansen", "vrouw", "46 jaar", BIRTH, "BSN eindigt op 019"):
        assert word in shown
    assert "Penicilline" not in page.text, "nothing before who it is was confirmed"
    assert coordinator.get(f"/pages/cases/{case.id}").url.path.endswith("/person")
    assert BSN not in page.text
    mine = text(coordinator.get("/pages/cases").text)
    assert "benauwd" in mine
    with visitor(town, "colleague") as other:
        before = len(town.records)
        assert other.get(f"/pages/cases/{case.id}").status_code == 404
        assert [one.status for one in town.since(before) if one.interaction == "page"] == [404]
        assert "benauwd" not in other.get("/pages/cases").text


def test_a_closed_case_is_closed(coordinator: Visitor) -> None:
    page = coordinator.looks().url.path
    assert coordinator.post(f"{page}/close", {}).url.path == "/pages/cases"
    assert coordinator.get(page).status_code == 404
    coordinator.looks()
    coordinator.town.world.clock.advance(timedelta(hours=0))
    (one,) = [case for case, _ in coordinator.town.world.cases.kept.values() if case.closed is None]
    kept = coordinator.town.world.cases.kept
    kept[one.id] = (replace(one, expires=coordinator.town.world.clock.now()), kept[one.id][1])
    assert coordinator.get(f"/pages/cases/{one.id}").status_code == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bsn": "999990018"}, "elfproef"),
        ({"bsn": "12345"}, "8 of 9 cijfers"),
        ({"bsn": "99999001x"}, "8 of 9 cijfers"),
        ({"bsn": ""}, "8 of 9 cijfers"),
        ({"born": "31-02-1980"}, "geboortedatum in als"),
        ({"born": "1980"}, "geboortedatum in als"),
        ({"who": ""}, "wie er belt"),
        ({"why": ""}, "waarom deze persoon belt"),
        ({"why": "x" * 500}, "waarom deze persoon belt"),
        ({"origin": "whim"}, "wie er om hulp vraagt"),
    ],
)
def test_a_form_says_what_is_wrong_where_it_is_wrong(coordinator: Visitor, fields: dict[str, Any], said: str) -> None:
    answer = coordinator.opens(**fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text or "<fieldset" in answer.text
    assert not coordinator.town.world.cases.kept


@pytest.mark.parametrize(
    ("given", "date"),
    [("12-03-1954", "1954-03-12"), ("12/3/1954", "1954-03-12"), ("1954-03-12", "1954-03-12"), ("12.03.1954", "1954-03-12"),
     ("12 03 1954", "1954-03-12"), ("29-02-1954", ""), ("12-03-54", ""), ("", ""), ("٣-٣-1954", "")],
)  # fmt: skip
def test_dates_as_people_write_them(given: str, date: str) -> None:
    assert read_date(given) == date


def test_a_birth_date_that_is_not_theirs_shows_nobody(coordinator: Visitor) -> None:
    answer = coordinator.opens(born="01-03-1980")
    assert "Geen bron in de regio kent deze combinatie" in answer.text
    assert "Jansen" not in text(answer.text).replace("J. Jansen, partner", "")
    assert coordinator.post(answer.url.path, {}).url.path.endswith("/person"), "cannot be confirmed"


def test_e1_two_birth_dates_block_and_say_why(coordinator: Visitor) -> None:
    coordinator.town.world.charts["hospital"].resources = [person("h1", birthDate="1981-02-28")]
    answer = coordinator.opens()
    assert "verschillende geboortedata" in answer.text
    assert "Ada" not in answer.text


def test_sources_that_do_not_answer_leave_it_open_who_it_is(coordinator: Visitor) -> None:
    coordinator.town.world.with_source_down("gp", "hospital")
    answer = coordinator.opens()
    assert "antwoordden niet" in answer.text
    assert "Huisarts De Linde" in answer.text
    coordinator.town.calm()
    coordinator.town.world.cases.kept.clear()
    assert "Is dit de patiënt?" in coordinator.opens().text


def test_a_slow_source_does_not_keep_one_from_knowing_who_it_is(coordinator: Visitor) -> None:
    charts = coordinator.town.world.charts
    charts["hospital"].seconds = 5
    assert "Is dit de patiënt?" in coordinator.opens().text
    coordinator.town.world.cases.kept.clear()
    charts["gp"].seconds, charts["hospital"].seconds = 0.4, 0.0
    charts["hospital"].resources = []
    coordinator.town.world.charts["gp"].asked.clear()
    assert "Is dit de patiënt?" in coordinator.opens().text, "only the slow one knows: it is waited for"
    assert len(charts["gp"].asked) == 1, "and asked once"


def test_a_case_opened_elsewhere_asks_the_birth_date(coordinator: Visitor) -> None:
    case = coordinator.town.world.opens_case(client="pages-90000006", person="uzi|900000003")
    answer = coordinator.get(f"/pages/cases/{case.id}")
    assert "Vul de geboortedatum in" in answer.text
    assert coordinator.post(answer.url.path, {"birthDate": "x"}).status_code == 422
    assert "Is dit de patiënt?" in coordinator.post(answer.url.path, {"birthDate": "29-02-1980"}).text


# --- the page --------------------------------------------------------------------------------------


def test_the_page_says_first_what_matters_first(coordinator: Visitor) -> None:
    before = len(coordinator.town.records)
    html = coordinator.looks().text
    shown = text(html)
    keys = re.findall(r'<section class="part [^"]*" id="([a-z-]+)"', html)
    assert tuple(keys[:5]) == BAND
    assert "NIET uitvoeren" in part(html, "directives")
    assert shown.index("Penicilline") < shown.index("Latex"), "the dangerous one first"
    assert "Apixaban" in part(html, "medication")
    assert "er kunnen gegevens zijn die u niet ziet" in shown
    assert "Pijn op de borst" in html.partition('id="h-recent"')[2].partition("</section>")[0]
    assert re.search(r'<polyline class="line" points="10.0,86.0 310.0,10.0"', html)
    for word in ("feit 2026-01-10", "vastgelegd", "opgehaald", "Huisarts De Linde", "Ziekenhuis Oost"):
        assert word in shown
    assert len(gzip.compress(html.encode())) <= 60_000
    looks = [one for one in coordinator.town.since(before) if one.interaction == "summary" and one.kind == "outcome"]
    assert len(looks) == 1, "each view once in the log"
    assert looks[0].case
    assert {one.type for asked in looks[0].custodians for one in asked.shown} >= {"AllergyIntolerance", "Consent"}


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "dead": ({"fails": "connection"}, "unavailable", "Huisarts De Linde: niet beschikbaar"),
    "slow": ({"seconds": 5.0}, "unavailable", "Huisarts De Linde: niet beschikbaar"),
    "lying": ({"resources": [person("z9", bsn="999990020"), allergy("a1", "z9")], "lies": True}, "", ""),
    "broken": ({"body": b'{"resourceType":"Bundle"'}, "unavailable", "Huisarts De Linde: niet beschikbaar"),
    "raising": ({"raises": RuntimeError("x")}, "unavailable", "Huisarts De Linde: niet beschikbaar"),
    "silent": ({"resources": [person("g1")]}, "unknown", "Huisarts De Linde: niet vastgelegd"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_section_shows_a_faulty_source_as_what_it_is(coordinator: Visitor, fault: str) -> None:
    """No fault of a source ever reads as "none known"."""
    changes, expected, words = FAULTS[fault]
    town = coordinator.town
    town.world.charts["hospital"].resources = [person("h1")]
    page = coordinator.looks().url.path
    for name, value in changes.items():
        setattr(town.world.charts["gp"], name, value)
    html = coordinator.get(page).text
    for key in re.findall(r'<section class="part [^"]*" id="([a-z-]+)"', html):
        said = part(html, key)
        assert state(html, key) != "none", (fault, key)
        if key == "care-team":
            continue
        if expected:
            assert state(html, key) in (expected, "withheld"), (fault, key)  # some the role does not see
            assert words in text(said) or state(html, key) == "withheld", (fault, key)
        if fault != "silent":
            assert "✓ volledig" not in text(said), (fault, key)
            assert "onvolledig" in text(said), (fault, key)
        assert "Geen bekend" not in text(said), (fault, key)
    assert "Penicilline" not in html


def test_what_may_not_be_seen_is_not_none_either(coordinator: Visitor) -> None:
    town = coordinator.town
    town.world.charts["hospital"].resources = [person("h1")]
    kept = dict(town.world.consents.kept)
    try:
        page = coordinator.looks().url.path
        town.world.says("deny", GP)
        html = coordinator.get(page).text
        for key in BAND:
            assert state(html, key) == "withheld", key
            assert "er kan meer zijn" in text(part(html, key)).lower()
            assert "Huisarts De Linde" not in part(html, key), "whose choice it was is not told"
    finally:
        town.world.consents.kept.clear()
        town.world.consents.kept.update(kept)


def test_none_known_is_said_only_when_everybody_said_so(coordinator: Visitor) -> None:
    none = {"coding": [{"system": "http://snomed.info/sct", "code": "716186003", "display": "Geen allergie"}]}
    charts = coordinator.town.world.charts
    charts["gp"].resources = [person("g1"), allergy("a1", "g1", code=none)]
    charts["hospital"].resources = [person("h1"), allergy("a2", "h1", code=none)]
    page = coordinator.looks()
    assert state(page.text, "allergies") == "none"
    charts["hospital"].fails = "connection"
    html = coordinator.get(page.url.path).text
    assert state(html, "allergies") == "unavailable"
    assert "niet bevestigd" in part(html, "allergies")


def test_conflicts_stand_side_by_side_and_nobody_wins(coordinator: Visitor) -> None:
    treatment = {
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "treatment"}]}
    }
    charts = coordinator.town.world.charts
    charts["hospital"].resources = [
        person("h1"), directive("d2", "h1", **treatment, dateTime="2026-02-20", provision={"type": "permit", "code": [DO_NOT]})]  # fmt: skip
    said = part(coordinator.looks().text, "directives")
    (group,) = re.findall(r'<div class="conflict".*?</div>', said, re.DOTALL)
    assert "NIET EENDUIDIG – verifieer" in group
    assert len(re.findall(r"<li class=\"item", group)) == 2
    assert "WEL uitvoeren" in group
    assert "NIET uitvoeren" in group


HAZARDS: dict[str, tuple[list[Json], list[str]]] = {
    "deceased at one": ([person("h1", deceasedDateTime="2026-01-01")], ["is deze persoon overleden", "Penicilline"]),
    "baby of a multiple": ([person("h1", multipleBirthInteger=2)], ["Meerling, volgorde: 2"]),
    "partial dates": ([person("h1"), condition("c9", "h1", onsetDateTime="2003")], ["sinds 2003"]),
    "units as sent": (
        [person("h1"), observation("w1", "h1", valueQuantity={"value": 79200, "unit": "g", "system": "http://unitsofmeasure.org", "code": "g"})],
        ["79200 g"],
    ),
    "gender differs": ([person("h1", gender="male")], ["verschillend geslacht"]),
    "another name": ([person("h1", name=[{"family": "Pietersen"}])], ["verschillende namen"]),
    "a stop": (
        [person("h1"), medication("m9", "h1", status="stopped", medicationCodeableConcept={"text": "Oud middel"})],
        ["niet meer actueel: staat onder de rode band", "Oud middel"],
    ),
    "unknown modifier": (
        [person("h1"), condition("c9", "h1", modifierExtension=[{"url": "http://x.example/not", "valueBoolean": True}])],
        ["niet veilig te tonen"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("hazard", HAZARDS)
def test_persons_of_the_hazard_list(coordinator: Visitor, hazard: str) -> None:
    held, words = HAZARDS[hazard]
    coordinator.town.world.charts["hospital"].resources = held
    shown = text(coordinator.looks().text)
    assert [word for word in words if word not in shown] == []


def test_what_changed_since_the_last_look(coordinator: Visitor) -> None:
    page = coordinator.looks()
    assert "sinds u hier het laatst keek" not in page.text
    assert "Niets veranderd" in coordinator.get(page.url.path).text
    gp = coordinator.town.world.charts["gp"]
    gp.resources = [one for one in gp.resources if one["resourceType"] != "Condition"]
    gp.resources = [
        {**one, "criticality": "low"} if one["resourceType"] == "AllergyIntolerance" else one for one in gp.resources
    ]
    gp.resources.append(medication("m2", "g1"))
    shown = text(coordinator.get(page.url.path).text)
    assert "Medicatie: 1 nieuw, 0 anders, 0 niet meer gemeld" in shown
    assert "Actuele problemen: 0 nieuw, 0 anders, 1 niet meer gemeld" in shown
    assert "Allergieën en intoleranties: 0 nieuw, 1 anders, 0 niet meer gemeld" in shown
    assert "nieuw sinds de vorige keer" in shown


class FromList:
    """The log as a list that can be asked."""

    def __init__(self, town: Town) -> None:
        self.town = town

    async def find(self, query: AuditQuery, limit: int, after: str = "") -> tuple[list[Logged], str]:
        found = [
            Logged(RecordId(1, 1, number), query.start, raw)
            for number, raw in enumerate(self.town.world.audit.records, 1)
            if (record := decode(raw)).kind in query.kinds
            and record.interaction in query.interactions
            and f"Task/{record.case}" == query.entity
        ]
        return found[::-1][:limit], ""

    async def get(self, record: RecordId) -> Logged | None:
        return None


def test_what_changed_outlives_the_session(coordinator: Visitor) -> None:
    """The manifest in the log tells it (rule F5)."""
    town = coordinator.town
    page = coordinator.looks().url.path
    town.world.charts["gp"].resources.append(medication("m2", "g1"))
    state_ = town.web.state
    ports = state_.ports
    state_.ports = replace(ports, queries=FromList(town))
    try:
        with visitor(town, "coordinator") as again:
            asked = again.get(page)
            asked = again.post(asked.url.path, {"birthDate": "29-02-1980"})
            shown = text(again.post(asked.url.path, {}).text)
        assert "Medicatie: 1 nieuw, 0 anders, 0 niet meer gemeld" in shown
        assert "Allergie" not in shown.partition("Veranderd sinds")[2].partition("Contacten")[0]
    finally:
        state_.ports = ports


def test_without_script_the_page_is_whole_at_the_deadline(coordinator: Visitor) -> None:
    coordinator.town.world.charts["gp"].seconds = 0.5
    page = coordinator.looks()
    assert "Penicilline" in page.text
    assert "data-late" not in page.text
    assert "Opnieuw opvragen" in page.text


def test_with_script_what_comes_late_is_streamed_and_each_part_is_on_the_record(coordinator: Visitor) -> None:
    town, charts = coordinator.town, coordinator.town.world.charts
    asked = coordinator.opens(script="1")
    charts["gp"].seconds, charts["hospital"].seconds = 0.35, 1.1
    charts["gp"].asked.clear()
    before = len(town.records)
    page = coordinator.post(asked.url.path, {"script": "1"})
    assert "Penicilline" not in page.text
    assert 'data-late="' in page.text
    assert "Nog niet alle bronnen hebben geantwoord" in page.text
    assert state(page.text, "allergies") == "unavailable"
    parts = coordinator.get(f"{page.url.path}/late").text.split("<!--end-->")
    assert len(parts) == 3, "a part for each source that came, and nothing after"
    assert "Penicilline" in parts[0]
    assert "Latex" not in parts[0]
    assert "data-late" in parts[0]
    assert "Latex" in parts[1]
    assert "data-late" not in parts[1]
    for one in parts[:2]:
        assert "GEWIJZIGD" in one
    looks = [one for one in town.since(before) if one.interaction == "summary" and one.kind == "outcome"]
    assert len(looks) == 3, "each part is a look of its own (F2)"
    assert len(charts["gp"].asked) == 1, "nobody is asked twice for one view"
    assert coordinator.get(f"{page.url.path}/late").status_code in (200, 204)


def test_171_what_is_withdrawn_between_two_parts_is_in_neither(coordinator: Visitor) -> None:
    town, charts = coordinator.town, coordinator.town.world.charts
    kept = dict(town.world.consents.kept)
    asked = coordinator.opens(script="1")
    charts["gp"].seconds = 0.5
    try:
        page = coordinator.post(asked.url.path, {"script": "1"})
        town.world.says("deny", GP)
        late = coordinator.get(f"{page.url.path}/late").text
        assert "Penicilline" not in late
        assert "Latex" in late
    finally:
        town.world.consents.kept.clear()
        town.world.consents.kept.update(kept)


# --- what can be done ------------------------------------------------------------------------------


def test_b2_the_patient_is_asked_now(coordinator: Visitor) -> None:
    town = coordinator.town
    kept = dict(town.world.consents.kept)
    try:
        town.world.consents.kept.clear()
        answer = coordinator.opens()
        assert "Niemand met zekerheid gevonden" in answer.text
        case = answer.url.path.removesuffix("/person")
        script = coordinator.get(f"{case}/ask")
        assert "Mag ik uw gegevens bekijken?" in script.text
        assert coordinator.post(f"{case}/ask", {"said": "permit"}).status_code == 422
        said = {"by": "patient", "identity": "geboortedatum en straat", "said": "permit"}
        receipt = text(coordinator.post(f"{case}/ask", said).text)
        assert "De patiënt zei JA" in receipt
        assert "Huisarts De Linde vastgelegd" in receipt
        assert "roaz-ask-now-1" in receipt
        page = coordinator.post(answer.url.path, {})
        assert "Is dit de patiënt?" in coordinator.get(answer.url.path).text
        page = coordinator.post(answer.url.path, {})
        assert "Penicilline" in page.text
        town.world.clock.advance(timedelta(minutes=1))
        refused = text(coordinator.post(f"{case}/ask", said | {"said": "deny"}).text)
        assert "De patiënt zei NEE" in refused
        assert "Penicilline" not in coordinator.get(case).text
        by = {"by": "representative", "name": "Zus", "relation": "", "identity": "x", "said": "permit"}
        assert coordinator.post(f"{case}/ask", by).status_code == 422
        written = [one for one in town.records if one.interaction == "create" and one.type == "Consent"]
        assert all(one.case for one in written)
    finally:
        town.world.consents.kept.clear()
        town.world.consents.kept.update(kept)


def test_b2_a_coordinator_does_not_break_the_glass(coordinator: Visitor) -> None:
    page = coordinator.looks()
    assert "/glass" not in page.text
    assert coordinator.get(f"{page.url.path}/glass").status_code == 403
    assert coordinator.post(f"{page.url.path}/glass", {}).status_code == 403


def test_b2_a_physician_breaks_the_glass_on_grounds_and_is_reviewed(physician: Visitor) -> None:
    town = physician.town
    kept = dict(town.world.consents.kept)
    try:
        page = physician.looks()
        assert "/glass" in page.text
        town.world.consents.kept.clear()
        url = page.url.path
        assert "Penicilline" not in physician.get(url).text
        assert physician.post(f"{url}/glass", {"cannot_consent": "unconscious", "text": "kort"}).status_code == 422
        broken = physician.post(
            f"{url}/glass", {"cannot_consent": "unconscious", "threats": "life", "text": "reanimatie op straat"}
        )
        assert "NOODTOEGANG" in broken.text
        assert "Penicilline" in broken.text
        assert any(one.kind == "emergency" for one in town.records)
        assert town.world.reviews.kept
        town.world.clock.advance(timedelta(minutes=14))
        physician.get("/pages/cases")
        assert "NOODTOEGANG" in physician.get(url).text
    finally:
        town.world.consents.kept.clear()
        town.world.consents.kept.update(kept)
        town.world.reviews.kept.clear()


def test_paper_is_a_print_on_the_record(coordinator: Visitor) -> None:
    page = coordinator.looks().url.path
    before = len(coordinator.town.records)
    html = coordinator.get(f"{page}/print").text
    for word in ("Momentopname van 02-03-2026", "Co Ordinator", "Zorgcoordinatie Oost", "Penicilline", "volledig"):
        assert word in text(html), word
    file = coordinator.get(f"{page}/summary.pdf")
    assert file.headers["content-type"] == "application/pdf"
    assert file.headers["cache-control"] == "no-store"
    assert "attachment" in file.headers["content-disposition"]
    assert file.content.startswith(b"%PDF-")
    assert BSN.encode() not in file.content
    prints = [one for one in coordinator.town.since(before) if one.interaction == "print" and one.kind == "outcome"]
    assert len(prints) == 2
    assert all(one.custodians for one in prints)
    assert coordinator.get("/pages/paper.pdf").content.startswith(b"%PDF-")
    form = text(coordinator.get("/pages/paper").text)
    assert "wel of niet reanimeren" in form


def test_the_phone_view_spells_names(coordinator: Visitor) -> None:
    page = coordinator.looks().url.path
    shown = text(coordinator.get(f"{page}/phone").text)
    assert "Anton, Dirk, Anton, spatie, Johan, Anton, Nico, Simon, Eduard, Nico" in shown
    assert "Lees voor: Penicilline" in shown
    assert "Teruggelezen" in shown
    assert spelled("Zoë", "en") == "Zulu, Oscar, Echo (ë)"
    assert spelled("5 mg", "nl") == "5, spatie, Maria, Gerard"


class Told:
    """Errors custodians were told of, as a list."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    async def tell(self, error: Any) -> None:
        self.kept.append(error)


def test_an_error_is_told_to_its_source(coordinator: Visitor) -> None:
    town, told = coordinator.town, Told()
    page = coordinator.looks().url.path
    ports = town.web.state.ports
    town.web.state.ports = replace(ports, errors=told)
    try:
        form = coordinator.get(f"{page}/report").text
        (item,) = re.findall(r'<option value="(AllergyIntolerance/[^"]+)">[^<]*Latex', form)
        assert coordinator.post(f"{page}/report", {"item": item, "about": "kort"}).status_code == 422
        assert (
            coordinator.post(f"{page}/report", {"item": "AllergyIntolerance/x", "about": "deze klopt niet"}).status_code
            == 422
        )
        done = coordinator.post(f"{page}/report", {"item": item, "about": "patiënt draagt latex handschoenen"})
        assert "Ziekenhuis Oost krijgt uw melding" in done.text
        (kept,) = told.kept
        assert (kept.custodian, kept.item, kept.section) == (HOSPITAL, item, "allergies")
        assert "handschoenen" not in "".join(str(one) for one in town.records)
        assert kept.id in "".join(one.reasons[0] for one in town.records if one.query == "page=report" and one.reasons)
    finally:
        town.web.state.ports = ports


def test_there_is_no_connection_for_capacity_and_the_page_says_so(coordinator: Visitor) -> None:
    shown = text(coordinator.get("/pages/capacity").text)
    assert shown.count("geen aansluiting") >= 4


# --- nothing of a person where it does not belong --------------------------------------------------

SCRIPTS = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", '"><script>x</script>',
           "' onmouseover='x", "javascript:alert(1)", "<iframe src=//evil.example>", "<style>*{display:none}</style>",
           "</section></main><h1>x", "{{ 7*7 }}", "{% raw %}", "${jndi:ldap://x}", "<!--", "]]>", "&lt;script&gt;", "<a href=data:text/html,x>",
           "<link rel=stylesheet href=//evil.example>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0;url=//x>",
           "<form action=//evil.example>", "\u202egnp.exe", "\u2066x\u2069", "\u0000x", "x" * 10_000, "<b onclick=x>", "<math><mtext>",
           "<object data=x>", "<embed src=x>", "<video src=x>", "<details ontoggle=x open>", "<input autofocus onfocus=x>",
           "<marquee onstart=x>", "<svg><script>x</script></svg>")  # fmt: skip


@pytest.mark.parametrize("place_", ["code", "note"])
def test_123_124_words_of_sources_are_words(coordinator: Visitor, place_: str) -> None:
    """66 payloads, in names and in remarks: each is text and nothing else."""
    gp = coordinator.town.world.charts["gp"]
    held = [
        person(
            "g1",
            text={
                "status": "generated",
                "div": '<div xmlns="http://www.w3.org/1999/xhtml"><img src="http://evil.example/x"/></div>',
            },
        )
    ]
    for number, payload in enumerate(SCRIPTS):
        payload_ = payload.replace("\u0000", "")
        other: Json = {"code": {"text": payload_}} if place_ == "code" else {"note": [{"text": payload_}]}
        held.append(condition(f"c{number}", "g1", **other))
    gp.resources = held
    html = coordinator.looks().text
    assert html.count("<script") == 1
    body = html.partition('<main id="main"')[2].partition("</main>")[0]
    names = {name.lower() for name in re.findall(r"<([a-zA-Z!/][a-zA-Z0-9]*)", body)}
    assert {name.lstrip("/") for name in names} <= {
        "div", "section", "h1", "h2", "h3", "p", "span", "strong", "em", "bdi", "ul", "li", "a", "nav", "form", "input", "button",
        "dl", "dt", "dd", "figure", "figcaption", "svg", "path", "polyline", "circle", "table", "caption", "thead", "tbody", "tr",
        "th", "td", "noscript", "br"}  # fmt: skip
    assert not re.search(r"<[^>]+\s(on\w+|style|src)=", body)
    assert all(link.startswith(("/pages", "#")) for link in re.findall(r'(?:href|action)="([^"]*)"', html))
    assert re.search(r"<bdi>[^<]*\u202egnp.exe</bdi>", html), (
        "what steers the direction of text stays inside its own element"
    )


def test_the_number_of_a_person_is_nowhere_it_does_not_belong(
    coordinator: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        page = coordinator.looks()
        url = page.url.path
        pages = [page, *(coordinator.get(f"{url}{more}") for more in ("", "/phone", "/ask", "/report", "/print"))]
        pages.append(coordinator.get("/pages/cases"))
    for answer in pages:
        for one in (answer, *answer.history):
            assert BSN not in str(one.url)
            assert BSN not in str(one.headers)
            assert BSN not in one.text
        title = re.findall(r"<title>(.*?)</title>", answer.text)[0]
        assert not {"Jansen", "Ada"} & set(re.findall(r"\w+", title))
    assert BSN not in caplog.text
    assert "Jansen" not in caplog.text
    assert BSN not in "".join(str(one) for one in coordinator.town.records)


def test_pages_and_interface_see_the_same(coordinator: Visitor) -> None:
    """The same line: the summary over the API holds the same items as the page, and its record the same manifest."""
    town = coordinator.town
    coordinator.looks()
    (case,) = [case for case, _ in town.world.cases.kept.values()]
    manifest = [one for one in town.records if one.interaction == "summary" and one.kind == "outcome"][-1].custodians
    caller = town.web.state.sessions._live[coordinator.http.cookies["session"]].tokens
    token = next(token for token, found in caller.values() if found.case == case.id)
    answer = town.do(
        lambda: town.world.send(
            "GET", f"Patient/{case.patient}/$summary", None, headers={"authorization": f"Bearer {token}"}
        )
    )
    assert answer.status == 200
    other = [one for one in town.records if one.interaction == "summary" and one.kind == "outcome"][-1].custodians
    assert {(a.source, one) for a in manifest for one in a.shown} == {(a.source, one) for a in other for one in a.shown}


def test_the_held_charts_are_as_they_should_be() -> None:
    assert {one["resourceType"] for one in THIRTY["gp"]} >= {"Consent", "AllergyIntolerance", "MedicationStatement"}
