"""fhirsnake as its README shows it: a directory of resources beside it, served by uvicorn."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import uvicorn

directory = Path(tempfile.mkdtemp(dir=Path(sys.argv[1]).parent))
for path, resource in json.loads(Path(sys.argv[1]).read_text()).items():
    file = directory / "resources" / f"{path}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(resource))
os.chdir(directory)
sys.path.insert(
    0, str(Path(str(getattr(find_spec("fhirsnake"), "origin", ""))).parent)
)  # its modules import each other by bare name

uvicorn.run("main:app", host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
