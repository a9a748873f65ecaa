"""What is pushed into the demo region, as its user meets it: the late feed, a file of one's own, a document, the desk beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import transfer
from gateway.demo.persons import persons
from gateway.oauth.client import assertion
from tests.e2e.running import BSN, Demo, code, command, of_type, running
from tests.slack import slack

pytestmark = [pytest.mark.slow, pytest.mark.network]

CDA = "application/cda+xml"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A region for tests that push into it."""
    with running(tmp_path_factory.mktemp("own")) as found:
        yield found
        assert found.process.stop() == (0, b"")
        assert "Traceback" not in found.process.said()


def configuration(demo: Demo) -> str:
    """The file the demo wrote beside its keys."""
    return str(Path(demo.client("ambulance-transfer")["key_file"]).parents[1] / "region.toml")


def beside(demo: Demo, tmp_path: Path, *words: str) -> list[list[str]]:
    """What a command of the desk prints beside the running demo."""
    ended = command(*words, "--config", configuration(demo), temporary=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert not [person["bsn"] for person in demo.said["patients"] if person["bsn"] and person["bsn"] in ended.stdout]
    return [line.split("\t") for line in ended.stdout.splitlines()]


def test_the_desk_says_which_feed_is_late(demo: Demo, tmp_path: Path) -> None:
    feeds = {row[0]: row for row in beside(demo, tmp_path, "inbox", "feeds")}
    assert {source: row[-1] for source, row in feeds.items()} == {
        "ambulance": "ok", "nursing-home": "ok", "nursing-feed": "late",
    }  # fmt: skip
    assert feeds["nursing-feed"][3] < feeds["nursing-feed"][4] < feeds["nursing-home"][3]


def test_the_desk_shows_every_message_and_which_were_replaced(demo: Demo, tmp_path: Path) -> None:
    rows = beside(demo, tmp_path, "inbox", "show", "--source", "nursing-home")
    assert sorted(row[5] for row in rows) == ["accepted", "accepted", "replaced", "replaced"]
    assert {row[5] for row in beside(demo, tmp_path, "inbox", "show")} <= {"accepted", "replaced"}


def test_the_configuration_of_the_demo_is_found_good(demo: Demo, tmp_path: Path) -> None:
    rows = command("check", "--config", configuration(demo), temporary=tmp_path).stdout.splitlines()
    said = {row.split("\t")[0]: row.split("\t")[1] for row in rows}
    assert {
        said[f"source {source}"] for source in ("gp-a", "gp-post", "nursing-home", "nursing-feed", "ambulance")
    } == {"ok"}


def transfer_token(demo: Demo, id_: str = "ambulance-transfer") -> str:
    client = demo.client(id_)
    key = json.loads(Path(client["key_file"]).read_text())
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion(id_, key, client["token_endpoint"], now=time.time()),
    }
    answer = demo.http.post(client["token_endpoint"], data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def posted(demo: Demo, body: bytes, source: str = "ambulance", token: str = "", media: str = CDA) -> Any:
    headers = {"Authorization": f"Bearer {token or transfer_token(demo)}", "Content-Type": media}
    return demo.http.post(f"{demo.root}/inbox/{source}", content=body, headers=headers)


@pytest.fixture
def document() -> bytes:
    (written,) = transfer.documents(persons(datetime.now(UTC)))
    return written.raw


def test_a_document_sent_again_is_known_and_one_nobody_reads_is_kept(own: Demo, document: bytes) -> None:
    changed = document.replace(b'value="86"', b'value="91"').replace(b"0012347-3-T", b"0012347-3-U")
    assert (posted(own, changed).status_code, posted(own, changed).status_code) == (201, 200)
    person = own.person("ambulance transfer document")
    told = own.summary(person).json()
    values = [one["valueQuantity"]["value"] for one in of_type(told, "Observation") if "valueQuantity" in one]
    assert 91 in values, "the newer version of the document stands"
    assert 86 not in values
    broken = posted(own, document[:300])
    assert (broken.status_code, code(broken)) == (422, "dead")


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><ClinicalDocument xmlns="urn:hl7-org:v3">&b;</ClinicalDocument>',
        b"<a>" * 100_000,
        b"<ClinicalDocument xmlns='urn:hl7-org:v3'>\x00</ClinicalDocument>",
    ],
)
def test_hostile_documents_are_dead_letters(own: Demo, body: bytes) -> None:
    began = time.monotonic()
    answer = posted(own, body)
    assert (answer.status_code, code(answer)) == (422, "dead")
    assert "passwd" not in answer.text
    assert time.monotonic() - began < 3 * slack()


def test_only_the_service_itself_posts_into_its_inbox(demo: Demo, document: bytes) -> None:
    assert (
        demo.http.post(f"{demo.root}/inbox/ambulance", content=document, headers={"Content-Type": CDA}).status_code
        == 401
    )
    assert code(posted(demo, document, token=demo.said["tokens"]["physician"])) in {
        "scope-insufficient",
        "write-refused",
    }
    assert posted(demo, document, source="nursing-home").status_code == 403
    assert posted(demo, document, source="gp-post").status_code == 404, "a source that is asked has no inbox"


def test_a_file_of_ones_own_is_picked_up_and_half_a_file_is_not(own: Demo, tmp_path: Path) -> None:
    drop = Path(configuration(own)).parent / "inbox" / "nursing-feed"
    client = {"clientNumber": "A9999", "bsn": own.person("nothing anywhere")["bsn"], "birthDate": "1990-01-01"}
    person = own.person("nothing anywhere")
    client |= {"birthDate": person["birthDate"], "familyName": "Leeg", "gender": "M"}
    client |= {"allergies": [{"id": "z1", "description": "pleisters", "status": "active"}]}
    feed = {"mode": "delta", "exportTime": "2026-11-22T10:00:00+01:00", "count": 1, "clients": [client]}
    (drop / "mine.json").write_text(json.dumps(feed))
    (drop / "half.json").write_text(json.dumps(feed)[:40])
    (drop / "mine.json.done").touch()
    latest = time.monotonic() + 30 * slack()
    while (drop / "mine.json").exists() and time.monotonic() < latest:
        time.sleep(0.2)
    assert (drop / "half.json").exists(), "a file without its marker is left alone"
    assert [one for one in (drop / "processed").iterdir() if one.name.endswith("-mine.json")]
    feeds = {row[0]: row[-1] for row in beside(own, tmp_path, "inbox", "feeds")}
    assert feeds["nursing-feed"] == "ok", "it was heard again"
    form = {"identifier": f"{BSN}|{person['bsn']}", "birthdate": person["birthDate"]}
    assert own.search("Patient", form).status_code == 200
