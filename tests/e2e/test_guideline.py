"""A guideline with a profile, a section, a query, a category and a message type of its own works end to end, without a line of code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.running import Demo, command, of_type, process
from tests.e2e.test_pushed import posted, transfer_token

pytestmark = [pytest.mark.slow, pytest.mark.network]

PACK = Path(__file__).with_name("breathing")
PROFILE = "https://regio.example/fhir/StructureDefinition/breathing"
RULE = "roles.views.full"


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the guideline was added, its one changed rule by name."""
    found = tmp_path_factory.mktemp("region")
    refused = command("guideline", "add", str(PACK), temporary=found, cwd=found)
    assert refused.returncode == 1
    assert f"--allow {RULE}" in refused.stderr
    assert not (found / "guidelines").exists()
    added = command("guideline", "add", str(PACK), "--allow", RULE, temporary=found, cwd=found)
    assert (added.returncode, added.stdout) == (0, ""), added.stderr
    return found


@pytest.fixture(scope="module")
def demo_there(region: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    temporary = tmp_path_factory.mktemp("there")
    with process("demo", "--port", "0", "--json", temporary=temporary, cwd=region) as started:
        line = started.read()
        with httpx2.Client(timeout=30) as http:
            yield Demo(started, line, json.loads(line), http)
        assert started.stop() == (0, b"")
        assert "Traceback" not in started.said()


def test_what_it_adds_is_asked_filed_profiled_and_shown(demo_there: Demo) -> None:
    body = (PACK / "examples" / "run.input.hl7").read_bytes()
    sent = posted(demo_there, body, token=transfer_token(demo_there), media="x-application/hl7-v2+er7")
    assert sent.status_code == 201, sent.text
    told = demo_there.summary(demo_there.person("everything present")).json()
    sections = told["entry"][0]["resource"]["section"]
    titles = [one["title"] for one in sections]
    assert titles.index("Ademhaling") == titles.index("Vitale functies") - 1
    (breathing,) = [one for one in sections if one["title"] == "Ademhaling"]
    assert len(breathing["entry"]) == 1
    observations = of_type(told, "Observation")
    (pushed,) = [one for one in observations if PROFILE in one["meta"].get("profile", ())]
    assert pushed["valueQuantity"]["code"] == "kPa"
    assert '"value":4.70' in demo_there.summary(demo_there.person("everything present")).text.replace(" ", "")
    hospital = [one for one in observations if one["meta"]["source"].startswith("urn:roaz:hospital#")]
    assert 97 in [one["valueQuantity"]["value"] for one in hospital if "valueQuantity" in one], "its query was sent"


def test_who_may_not_see_it_does_not(demo_there: Demo) -> None:
    body = (PACK / "examples" / "run.input.hl7").read_bytes()
    posted(demo_there, body, token=transfer_token(demo_there), media="x-application/hl7-v2+er7")
    person = demo_there.person("everything present")
    told = demo_there.summary(person, role="coordinator")
    assert PROFILE not in told.text, "no view of a coordinator names the new category"


def test_a_profile_of_the_region_is_held_against_resources(region: Path) -> None:
    claimed = {
        "resourceType": "Observation",
        "status": "final",
        "meta": {"profile": [PROFILE]},
        "code": {"coding": [{"system": "http://loinc.org", "code": "9279-1"}]},
        "effectiveDateTime": "2026-01-05",
    }
    (region / "o.json").write_text(json.dumps(claimed))
    ended = command("validate", "o.json", "--profile", PROFILE, temporary=region, cwd=region)
    assert ended.returncode == 1
    assert "value" in ended.stdout


def test_a_rule_that_nobody_allowed_keeps_the_gateway_from_starting(region: Path, tmp_path: Path) -> None:
    shutil.copytree(region / "guidelines", tmp_path / "guidelines")
    (tmp_path / "guidelines" / "breathing" / "allowed.txt").unlink()
    ended = command("maps", "check", temporary=tmp_path, cwd=tmp_path)
    assert ended.returncode == 1
    assert f"changes {RULE}, which nobody allowed" in ended.stderr
    broken = tmp_path / "guidelines" / "breathing" / "sections.toml"
    broken.write_text('[[sections]]\nkey = "breathing"\n')
    (tmp_path / "guidelines" / "breathing" / "allowed.txt").write_text(f"{RULE}\n")
    ended = command("serve", "--config", "region.toml", temporary=tmp_path, cwd=tmp_path)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert "a table that guidelines lay over is not well formed (KeyError('code'))" in ended.stderr
