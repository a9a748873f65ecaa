"""The first-hour tutorial: its blocks run as they stand, in one shell, against a demo of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.documentation import ROOT
from tests.e2e.running import GATEWAY, environment

pytestmark = [pytest.mark.slow, pytest.mark.network]

PAGE: Final = ROOT / "docs/tutorial.md"
MARK: Final = "--- block ---"
SAID: Final = [  # what each block prints, as a pattern
    r"ready", r"http://127\.0\.0\.1:\d+/docs\n(read\nsearch-type|search-type\nread)\nhttp://.*/oauth/token", r"401", r"p1-\nbsn-in-url",
    r"<h1>bsn-in-url</h1>", r"amoxicilline\nlatex\npenicilline\npinda\n.*", r"unknown-parameter", r"3 pages of 26 observations",
    r"Volledigheid\n.*", r"200 OK\n200 OK", r"bsn-in-url\nunknown-parameter", r".*",
]  # fmt: skip


def blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.mark.timeout(300)
def test_every_block_of_the_tutorial_runs_and_says_what_the_page_promises(tmp_path: Path) -> None:
    missing = [name for name in ("bash", "curl", "jq") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the tutorial is for a shell with {', '.join(missing)}")
    script = "set -euo pipefail\n" + "".join(f"echo '{MARK}'\n{block}" for block in blocks())
    variables = environment(tmp_path) | {"PORT": "0", "PATH": f"{Path(GATEWAY).parent}:{environment(tmp_path)['PATH']}"}
    done = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            cwd=tmp_path, env=variables, start_new_session=True)  # fmt: skip
    try:
        out, err = done.communicate(timeout=280)
    finally:  # the demo is in the group of the shell, and stays when a block before the last one fails
        with suppress(ProcessLookupError):
            os.killpg(done.pid, signal.SIGKILL)
        done.wait(10)
    parts = [part.strip() for part in out.split(MARK)[1:]]
    assert done.returncode == 0, (parts[-1:], err[-1500:])
    assert len(parts) == len(SAID)
    for part, pattern in zip(parts, SAID, strict=True):
        assert re.fullmatch(pattern, part, re.DOTALL), (part, pattern)
