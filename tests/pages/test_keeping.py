"""The pages of auditors and administrators over HTTP: what each may see, what each look leaves, and who decides with whom."""

from __future__ import annotations

import re
import time
import tomllib
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.audit.record import Record
from profiles import exact
from tests.gateway.charts import BSN
from tests.gateway.world import GP, HOSPITAL, POST
from tests.pages.bureau import NAME, PAYLOADS, SECRET, Bureau, Keeper, bureau, keeper, letter, looked
from tests.slack import slack

pytestmark = [pytest.mark.slow, pytest.mark.network]

PACKAGE = Path(__file__).resolve().parents[2] / "gateway" / "routes" / "pages"
AUDITOR_PAGES = ("", "/log", "/report", "/export", "/verify", "/reviews", "/sample")
ADMIN_PAGES = (
    "",
    "/sources",
    "/sources/hospital",
    "/agreements",
    "/clients",
    "/keys",
    "/policy",
    "/policy/1",
    "/letters",
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    with bureau(tmp_path_factory.mktemp("bureau")) as made:
        yield made


@pytest.fixture(scope="module")
def auditor(office: Bureau) -> Iterator[Keeper]:
    with keeper(office, "auditor") as made:
        yield made


@pytest.fixture(scope="module")
def holder(office: Bureau) -> Iterator[Keeper]:
    """The auditor of the hospital."""
    with keeper(office, "hospital-auditor") as made:
        yield made


@pytest.fixture(scope="module")
def ada(office: Bureau) -> Iterator[Keeper]:
    with keeper(office, "administrator") as made:
        yield made


@pytest.fixture(scope="module")
def gert(office: Bureau) -> Iterator[Keeper]:
    with keeper(office, "second-administrator") as made:
        yield made


def added(office: Bureau, before: int) -> list[Record]:
    """What was put on the record since, without the tokens a login brings."""
    return [one for one in office.records()[before:] if one.kind != "token" and one.interaction != "login"]


def test_both_languages_of_both_desks_hold_the_same_keys() -> None:
    for part in ("auditor", "administrator"):
        tree = tomllib.loads((PACKAGE / "texts" / f"{part}.toml").read_text("utf-8"))
        assert _keys(tree["nl"]) == _keys(tree["en"]), part


def _keys(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: _keys(value) if isinstance(value, dict) else None for key, value in tree.items()}


def test_every_page_opens_and_leaves_one_record(office: Bureau, auditor: Keeper, ada: Keeper) -> None:
    for person, prefix, pages, type_ in (
        (auditor, "/pages/audit", AUDITOR_PAGES, "AuditEvent"),
        (ada, "/pages/admin", ADMIN_PAGES, "OperationOutcome"),
    ):
        for page in pages:
            person.get(f"{prefix}{page}")  # the token of the errand is on the record of its own
            before = len(office.records())
            answer = person.get(f"{prefix}{page}")
            assert answer.status_code == 200, (page, answer.text)
            (left,) = office.records()[before:]
            assert (left.kind, left.interaction, left.type, left.status) == ("outcome", "page", type_, 200), page
            assert left.query.startswith("page=")
            assert left.person


def test_the_desks_are_apart(office: Bureau, auditor: Keeper, ada: Keeper) -> None:
    with keeper(office, "coordinator") as coordinator:
        for person, path in (
            (coordinator, "/pages/audit"), (coordinator, "/pages/admin/sources"), (auditor, "/pages/admin"),
            (ada, "/pages/audit/log"), (coordinator, "/pages/audit/verify"),
        ):  # fmt: skip
            answer = person.get(path)
            assert answer.status_code == 403, path
            assert "role-refused" in answer.text
    with httpx2.Client(follow_redirects=True) as nobody:
        before = len(office.records())
        answer = nobody.get(f"{office.base}/pages/audit")
        assert "Uitloggen" not in answer.text
        assert "/pages/audit/record/" not in answer.text
        assert office.records()[before:] == []


def test_f1_an_auditor_sees_nothing_of_other_organizations(office: Bureau, auditor: Keeper, holder: Keeper) -> None:
    for person in (auditor, holder):
        for page in ("", "/log", "/log?overview=denied", "/log?overview=emergency"):
            text = person.get(f"/pages/audit{page}").text
            assert SECRET not in text, page
            assert "900000077" not in text, page
        found = person.post("/pages/audit/log", {"person": "900000077"}).text
        assert "Niets gevonden" in found
    hidden = [
        one
        for one in range(1, 40)
        if (name := f"1.1.{one}") and SECRET in auditor.get(f"/pages/audit/record/{name}").text
    ]
    assert hidden == []


def test_f1_sums_and_plots_are_the_same_whatever_others_do(office: Bureau, auditor: Keeper) -> None:
    def told() -> list[str]:
        text = auditor.get("/pages/audit").text
        return re.findall(r'class="figure">(\d+)|aria-label="([^"]*)"', text)

    office.write()
    before = told()
    assert any("vragen van" in "".join(one) for one in before), before
    office.write(
        *(
            looked(100 + n, organization=GP, custodians=(), kind="refusal", status=403, error="case-required")
            for n in range(5)
        )
    )
    assert told() == before


def test_a_custodian_reads_its_own_part_only(office: Bureau, holder: Keeper) -> None:
    page = holder.post("/pages/audit/log", {"person": "900000001"}).text
    assert "Ziekenhuis Oost" in page
    row = next(
        one
        for one in re.findall(r"/record/([0-9.]+)\"", page)
        if "bronhouder" in holder.get(f"/pages/audit/record/{one}").text
    )
    text = holder.get(f"/pages/audit/record/{row}").text
    assert "Huisarts De Linde" not in text
    assert "patiënt heeft bezwaar" in text, "its own reason, whole"


def test_the_overviews_find_by_patient_employee_day_denied_and_emergency(auditor: Keeper) -> None:
    def rows(**fields: str) -> int:
        answer = auditor.post("/pages/audit/log", fields)
        assert answer.status_code == 200
        return len(re.findall(r"<td>samenvatting", answer.text))

    day = {"since": "2026-03-02", "until": "2026-03-02"}
    assert rows(bsn=BSN, **day) == 3
    assert rows(person="900000001", **day) == 2
    assert rows(overview="denied", **day) >= 1
    assert rows(overview="emergency", **day) == 1
    assert rows(overview="emergency", bsn=BSN, person="900000009") == 1
    assert rows(bsn="999990020", **day) == 0
    assert rows(since="2026-02-01", until="2026-02-02") == 0


def test_no_number_of_a_patient_in_any_address_title_or_record(office: Bureau, auditor: Keeper) -> None:
    answer = auditor.post("/pages/audit/log", {"bsn": BSN})
    assert BSN not in answer.text
    assert BSN not in str(answer.url)
    refused = auditor.get(f"/pages/audit/log?bsn={BSN}")
    assert BSN not in refused.text
    assert not any(BSN in str(one) for one in office.records())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bsn": "123456789"}, "geen geldig BSN"),
        ({"since": "gisteren"}, "Vul een datum in"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "ligt na de laatste"),
        ({"since": "1990-01-01"}, "langer dan tien jaar"),
    ],
)
def test_a_form_says_what_is_wrong(auditor: Keeper, fields: dict[str, str], said: str) -> None:
    answer = auditor.post("/pages/audit/log", fields)
    assert answer.status_code == 400
    assert said in answer.text
    assert 'role="alert"' in answer.text


def test_pages_go_on_where_the_last_ended(office: Bureau, auditor: Keeper) -> None:
    office.write(*(looked(1_000 + number, person="uzi|900000088", custodians=()) for number in range(120)))
    seen: list[str] = []
    fields = {"person": "900000088"}
    for _ in range(5):
        text = auditor.post("/pages/audit/log", fields).text
        seen += re.findall(r"/pages/audit/record/([0-9.]+)\"", text)
        after = re.search(r'name="after" value="([^"]+)"', text)
        if after is None:
            break
        fields = {"person": "900000088", "after": after[1]}
    assert len(seen) == len(set(seen)) == 120
    assert auditor.post("/pages/audit/log", {"after": "1-2-3; DROP TABLE"}).status_code == 400


def test_one_record_is_explained_and_replayed(auditor: Keeper) -> None:
    page = auditor.post("/pages/audit/log", {"bsn": BSN, "person": "900000001"}).text
    given = next(
        one
        for one in re.findall(r"/record/([0-9.]+)\"", page)
        if "Toegestaan; 2" in auditor.get(f"/pages/audit/record/{one}").text
    )
    text = auditor.get(f"/pages/audit/record/{given}").text
    for said in ("behandeling", "pull", "c1/1", "antwoordde niet op tijd", "huisarts", "Condition 2", "hoog"):
        assert said in text, said
    shown = auditor.get(f"/pages/audit/record/{given}/replay").text
    assert "i1-abc" in shown
    assert "Niet op het scherm" in shown
    assert auditor.get("/pages/audit/record/1.1.999999").status_code == 404
    assert auditor.get("/pages/audit/record/x'--").status_code == 404


def test_123_names_and_reasons_are_inert(auditor: Keeper, ada: Keeper, holder: Keeper) -> None:
    pages = [
        auditor.get("/pages/audit/log").text, holder.get("/pages/audit/reviews").text,
        ada.get("/pages/admin/letters").text, auditor.post("/pages/audit/log", {"person": NAME[:90]}).text,
    ]  # fmt: skip
    for page in pages:
        for payload in PAYLOADS:
            if "<" in payload or '"' in payload:
                assert payload not in page
        for found in re.finditer("\u202e", page):
            before = page[: found.start()]
            assert before.rfind("<bdi>") > before.rfind("</bdi>") or 'value="' in before[-400:], (
                "turns nothing around it"
            )
        assert not re.search(r"<(script|svg|img)[^>]*(onerror|onload|>document)", page)
        assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|>49<", page)


def test_125_a_form_of_another_page_does_nothing(office: Bureau, auditor: Keeper, ada: Keeper) -> None:
    before = len(office.records())
    for person, path in (
        (auditor, "/pages/audit/verify"),
        (ada, "/pages/admin/clients/disable"),
        (ada, "/pages/admin/letters"),
    ):
        answer = person.post(path, {"id": "x"}, csrf="00" * 32)
        assert answer.status_code in (400, 403)
        assert "form-expired" in answer.text
    assert added(office, before) == []


def test_the_citizen_gets_an_overview_over_every_organization(office: Bureau, auditor: Keeper) -> None:
    before = len(office.records())
    answer = auditor.post("/pages/audit/report", {"bsn": BSN, "format": "json"})
    told = exact.decode(answer.content)
    assert len(told["events"]) >= 3
    assert answer.headers["content-disposition"].startswith("attachment")
    (left,) = added(office, before)[-1:]
    assert (left.interaction, left.patient) == ("export", office.patient)
    html = auditor.post("/pages/audit/report", {"bsn": BSN, "format": "html", "places": "hidden"}).text
    assert "Huisartsenpost Oost" not in html
    assert auditor.post("/pages/audit/report", {"bsn": ""}).status_code == 400


def test_184_what_is_taken_along_asks_a_login_of_the_last_minutes(office: Bureau) -> None:
    with keeper(office, "auditor") as person:
        token = person.csrf()
        office.clock.advance(timedelta(minutes=6))
        try:
            assert person.get("/pages/audit/log").status_code == 200, "the session goes on"
            assert person.get("/pages/audit/export").url.path == "/authorize"
            before = len(office.records())
            for path, fields in (("/export", {"format": "csv"}), ("/report", {"bsn": BSN})):
                answer = person.post(f"/pages/audit{path}", fields, csrf=token)
                assert (answer.status_code, "login-again" in answer.text) == (401, True)
            assert added(office, before) == []
        finally:
            office.step(-timedelta(minutes=6))


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
def test_127_an_export_is_signed_and_no_formula(office: Bureau, auditor: Keeper, kind: str) -> None:
    office.write(looked(7_000, person="uzi|900000066", person_name="=HYPERLINK(1)", custodians=()))
    answer = auditor.post("/pages/audit/export", {"format": kind})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(BytesIO(answer.content)) as pack:
        name, manifest = pack.namelist()
        text = pack.read(name).decode()
        assert SECRET not in text
        assert manifest == f"{name}.manifest.jws"
        header, claims, _ = pack.read(manifest).decode().split(".")
        from base64 import urlsafe_b64decode
        from hashlib import sha256

        said = exact.decode(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        assert said["sha256"] == sha256(pack.read(name)).hexdigest()
        assert (said["organization"], said["by"]) == (POST, "uzi|900000021")
        assert header
    if kind == "csv":
        assert '"\'=HYPERLINK(1)"' in text
    left = office.records()[-1]
    assert (left.interaction, left.type) == ("export", "AuditEvent")
    assert left.count > 0


def test_a_verification_runs_beside_and_says_what_it_found(office: Bureau, auditor: Keeper) -> None:
    before = len(office.records())
    answer = auditor.post("/pages/audit/verify")
    assert answer.url.path == "/pages/audit/verify"
    until = time.monotonic() + 30 * slack()
    while "Bezig sinds" in answer.text and time.monotonic() < until:
        time.sleep(0.05)
        answer = auditor.get("/pages/audit/verify")
    assert "Het logboek is heel" in answer.text
    assert "geen getuige" in answer.text
    assert "Per log" not in answer.text, "how much others do is not for this auditor"
    started = [one for one in office.records()[before:] if one.interaction == "audit-verify"]
    assert [one.reasons for one in started] == [("started",)]


def test_an_emergency_is_reviewed_by_somebody_else_and_once(office: Bureau, holder: Keeper) -> None:
    page = holder.get("/pages/audit/reviews").text
    assert "te laat" in page
    assert "Dit is uw eigen noodtoegang" in page
    own = holder.post("/pages/audit/reviews", {"id": "r-2", "finding": "justified"})
    assert own.status_code == 404, "never one's own"
    before = len(office.records())
    done = holder.post("/pages/audit/reviews", {"id": "r-1", "finding": "not-justified", "text": "geen spoed"})
    assert "vastgelegd" in done.text
    assert "life" in done.text, "the other still waits"
    left = [one for one in added(office, before) if one.interaction == "review" and one.kind == "outcome"]
    assert [one.person for one in left] == ["uzi|900000022"]
    assert holder.post("/pages/audit/reviews", {"id": "r-1", "finding": "justified"}).status_code == 404
    assert holder.post("/pages/audit/reviews", {"id": "r-2", "finding": "x"}).status_code in (400, 404)


def test_f6_a_sample_is_drawn_and_its_review_on_record(office: Bureau, auditor: Keeper) -> None:
    assert "geen steekproef beoordeeld" in auditor.get("/pages/audit/sample").text
    drawn = auditor.post("/pages/audit/sample", {"size": "2"}).text
    number = re.findall(r'name="sample" value="([0-9a-f]{8})"', drawn)[0]
    assert (
        auditor.post(
            "/pages/audit/sample/review", {"sample": number, "outcome": "in-order", "findings": "9"}
        ).status_code
        == 400
    )
    assert (
        auditor.post(
            "/pages/audit/sample/review", {"sample": "00000000", "outcome": "in-order", "findings": "0"}
        ).status_code
        == 404
    )
    done = auditor.post("/pages/audit/sample/review", {"sample": number, "outcome": "question", "findings": "1"})
    assert "Vraag aan de organisatie" in done.text
    assert "1 van 2" in done.text
    kept = [one for one in office.records(interactions=("audit-review",)) if one.status == 200]
    assert [{f"sample={number}", "outcome=question", "findings=1"} <= set(one.reasons) for one in kept] == [True]
    assert auditor.post("/pages/audit/sample", {"size": "0"}).status_code == 400


def test_c8_two_people_make_an_agreement(office: Bureau, ada: Keeper, gert: Keeper) -> None:
    form = {
        "name": "nieuw", "requesters": [POST], "custodians": [HOSPITAL], "purposes": ["behandeling"],
        "categories": ["Alert"], "basis": "explicit", "emergency": "none", "start": "2026-03-01", "end": "2026-12-31",
    }  # fmt: skip
    assert ada.post("/pages/admin/agreements", form | {"end": "2025-01-01"}).status_code == 400
    mine = ada.post("/pages/admin/agreements", form)
    assert "wacht op een tweede persoon" in mine.text
    assert "eigen voorstel" in mine.text
    id_, version = re.findall(
        r'name="id" value="(contract-[^"]+)"><input type="hidden" name="version" value="(\d+)"', mine.text
    )[0]
    own = ada.post("/pages/admin/agreements/decide", {"id": id_, "version": version, "do": "accept"})
    assert own.status_code == 403
    assert "nieuw" not in {one.id for one in office.gateway.ports.policy.agreements}
    page = gert.get("/pages/admin/agreements").text
    assert "could see Alert" in page, "who could newly see what, in words"
    stale = gert.post("/pages/admin/agreements/decide", {"id": id_, "version": "9", "do": "accept"})
    assert stale.status_code == 409
    done = gert.post("/pages/admin/agreements/decide", {"id": id_, "version": version, "do": "accept"})
    assert "Goedgekeurd" in done.text
    assert "nieuw" in {one.id for one in office.gateway.ports.policy.agreements}
    version = re.findall(rf'value="{id_}"><input type="hidden" name="version" value="(\d+)"', done.text)[0]
    ended = ada.post("/pages/admin/agreements/decide", {"id": id_, "version": version, "do": "end"})
    assert "beëindigd" in ended.text
    assert "nieuw" not in {one.id for one in office.gateway.ports.policy.agreements}


JWKS = (
    '{"keys":[{"kty":"EC","crv":"P-384","kid":"k1","x":"XNHn_z7_Ouj5oE2AW4h_cF4xdFGZwiuZQDCT8O-gdq5UK9jFfqFSPFYgU4PIm3Bw",'
    '"y":"Wx4eFgAAbwVK0n0nTDxDI9hHJFvxKAPg6jbRQQJlJLnWVvK7Vf9DRmVMR_UgPHYX"}]}'
)


def test_c8_two_people_let_a_client_in(office: Bureau, ada: Keeper, gert: Keeper) -> None:
    form = {
        "name": "new-app", "organization": POST, "person": "claim", "scopes": "system/*.rs", "roles": "01.015",
        "purposes": ["behandeling"], "jwks_uri": "https://app.example/jwks", "reason": "een nieuw systeem van de post",
    }  # fmt: skip
    wrong = [
        {"name": "New App!"}, {"organization": "99999999"}, {"scopes": "everything"}, {"roles": "baas"}, {"jwks_uri": ""},
        {"jwks_uri": "http://app.example/jwks"}, {"reason": "kort"}, {"reason": f"voor patient {BSN} nodig"},
        {"jwks": "{", "jwks_uri": ""}, {"person": "x"}, {"name": f"pages-{POST}"},
    ]  # fmt: skip
    for one in wrong:
        assert ada.post("/pages/admin/clients", form | one).status_code == 400, one
    mine = ada.post("/pages/admin/clients", form)
    assert "eigen voorstel" in mine.text
    id_ = re.findall(r'value="(offer-[0-9a-f]+)"', mine.text)[0]

    async def known() -> Any:
        return await office.gateway.ports.clients.client("new-app")

    assert ada.post("/pages/admin/clients/decide", {"id": id_, "do": "accept"}).status_code == 404
    assert office.do(known) is None
    assert "Goedgekeurd" in gert.post("/pages/admin/clients/decide", {"id": id_, "do": "accept"}).text
    assert office.do(known).jwks_uri == "https://app.example/jwks"
    assert gert.post("/pages/admin/clients/decide", {"id": id_, "do": "accept"}).status_code == 404, "once"
    assert "vanaf nu geweigerd" in ada.post("/pages/admin/clients/disable", {"id": "new-app"}).text
    assert office.do(known) is None
    acts = [
        (one.interaction, one.person)
        for one in office.records()
        if one.interaction.startswith("client-") and one.status == 200
    ]
    assert ("client-offer", "uzi|900000023") in acts
    assert ("client-decide", "uzi|900000024") in acts
    assert ("client-disable", "uzi|900000023") in acts


def test_dead_letters_are_read_anew_or_dropped_with_a_reason(office: Bureau, ada: Keeper) -> None:
    page = ada.get("/pages/admin/letters").text
    assert "MSH|broken" not in page, "content is data of a patient"
    one, two = letter("m1").receipt, letter("m2").receipt
    assert one in page
    assert "nog steeds onleesbaar" in ada.post("/pages/admin/letters", {"receipt": one, "do": "replay"}).text
    assert ada.post("/pages/admin/letters", {"receipt": two, "do": "drop", "reason": "kort"}).status_code == 400
    assert two in ada.get("/pages/admin/letters").text
    dropped = ada.post(
        "/pages/admin/letters", {"receipt": two, "do": "drop", "reason": "proefbericht van de leverancier"}
    )
    assert "weggegooid" in dropped.text
    assert two not in dropped.text
    (act,) = [one for one in office.records(interactions=("inbox-drop",)) if one.status == 200]
    assert act.person == "uzi|900000023"
    assert "proefbericht van de leverancier" in act.reasons
    again = ada.post("/pages/admin/letters", {"receipt": two, "do": "drop", "reason": "nog een keer weggooien"})
    assert again.status_code == 404


def test_sources_keys_and_policy_are_said_as_they_are(office: Bureau, ada: Keeper) -> None:
    page = ada.get("/pages/admin/sources/hospital").text
    assert "12 gegevens nagekeken" in page
    assert "Observation.code" in page
    assert ada.get("/pages/admin/sources/nobody").status_code == 404
    assert "nog niet gehoord" in ada.get("/pages/admin/sources").text
    keys = ada.get("/pages/admin/keys").text
    assert keys.count("in gebruik") == 5
    files = Path(office.gateway.ports.keys._directory).glob("*.json")  # type: ignore[attr-defined]
    held = [text for path in files for text in re.findall(r'"([^"]{24,})"', path.read_text())]
    assert held
    assert not any(text in keys for text in held if not text.endswith("Z"))
    assert "eerste versie" in ada.get("/pages/admin/policy/1").text
    assert ada.get("/pages/admin/policy/99").status_code == 404


def test_english_is_said_on_both_desks(auditor: Keeper, ada: Keeper) -> None:
    for person, path, said in (
        (auditor, "/pages/audit", "Supervision of use"),
        (ada, "/pages/admin", "Keeping the region"),
    ):
        person.http.cookies.set("language", "en")
        assert said in person.get(path).text
        person.http.cookies.delete("language")
