"""Two clients that others wrote for Node, each with a script that uses them; installed beside Python's libraries."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

SCRIPTS: Final = Path(__file__).parent
INSTALLED: Final = Path(sys.prefix) / "clients"
CLIENTS: Final = ("fhir-kit-client", "fhirclient")


def copied() -> None:
    """Put the scripts where the libraries are, as they are now."""
    shutil.copytree(SCRIPTS, INSTALLED, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
