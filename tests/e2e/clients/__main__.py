"""`python -m tests.e2e.clients`: install the clients of Node, then run all five real clients against a region."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.e2e.clients import INSTALLED, SCRIPTS, copied


def main() -> int:
    """Install what the lock names, and test."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not on this machine; it comes with Node 20 or later", file=sys.stderr)
        return 1
    copied()
    subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=INSTALLED, check=True, timeout=600)
    return int(pytest.main(["-q", str(SCRIPTS.parent / "test_clients.py")]))


if __name__ == "__main__":
    sys.exit(main())
