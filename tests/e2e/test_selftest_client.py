"""`gateway selftest-client` as an integrator runs it: a client that does right, and one as people write it first."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.documentation import ROOT
from tests.e2e.running import GATEWAY, environment, here

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(300)]

NAIVE: Final = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from client import BASE, assertion, ask
from urllib.parse import urlencode
from urllib.request import Request
endpoint = ask(Request(BASE + "/.well-known/smart-configuration"))["token_endpoint"]
def get(url, form=None):
    body = {"grant_type": "client_credentials", "client_assertion": assertion(endpoint),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
    token = ask(Request(endpoint, urlencode(body).encode()))["access_token"]
    request = Request(url, urlencode(form).encode() if form else None, {"Authorization": "Bearer " + token})
    for _ in range(3):
        try:
            return ask(request)
        except Exception:
            pass
    return {}
number = "http://fhir.nl/fhir/NamingSystem/bsn|" + os.environ["GATEWAY_BSN"]
patient = get(BASE + "/Patient/_search", {"identifier": number})["entry"][0]["resource"]["id"]
get(BASE + "/Observation?_count=10&patient=" + patient)
get(BASE + "/Patient/" + patient + "/$summary")
"""


def command(*arguments: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run the kit to its end; a region is started in it, and a slow machine takes its time."""
    return subprocess.run(
        [GATEWAY, *arguments], capture_output=True, text=True, timeout=280, check=False, cwd=temporary,
        env=environment(temporary),
    )  # fmt: skip


def test_a_client_as_people_write_it_first_is_told_what_to_mend(tmp_path: Path) -> None:
    (tmp_path / "naive.py").write_text(NAIVE)
    line = shlex.join([sys.executable, str(tmp_path / "naive.py"), str(ROOT / "docs")])
    chosen = ["plain", "throttled", "wrong-cursor"]
    scenarios = [part for name in chosen for part in ("--scenario", name)]
    done = command("selftest-client", "--command", line, "--json", *scenarios, temporary=tmp_path)
    assert done.returncode == 1, done.stderr
    report = {one["name"]: one["findings"] for one in json.loads(done.stdout)["scenarios"]}
    wrong = {
        name: " ".join(one["text"] for one in found if one["verdict"] == "wrong") for name, found in report.items()
    }
    assert list(report) == chosen
    assert "keep a token" in wrong["plain"]
    assert "first page only" in wrong["plain"]
    assert "before Retry-After" in wrong["throttled"]
    assert "never asked what this scenario is about" in wrong["wrong-cursor"]


def test_the_client_of_the_tutorial_does_right(tmp_path: Path) -> None:
    line = shlex.join([sys.executable, str(ROOT / "docs/client.py")])
    chosen = ["--scenario", "expired", "--scenario", "wrong-cursor", "--scenario", "cut"]
    done = command("selftest-client", "--command", line, *chosen, temporary=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("nothing wrong")


def test_a_scenario_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    done = command("selftest-client", "--scenario", "nothing", temporary=tmp_path)
    assert (done.returncode, "there are: plain" in done.stderr) == (2, True)


@pytest.mark.parametrize("program", ["/nowhere/client --fast", "no-such-program", "'half a quotation", " "])
def test_a_program_that_cannot_be_started_is_said_in_one_sentence(program: str) -> None:
    gone = here("selftest-client", "--scenario", "plain", "--command", program)
    assert gone.returncode == 2
    assert "--command" in gone.stderr
    assert "Traceback" not in gone.stderr
