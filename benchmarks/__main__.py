"""`python -m benchmarks [decision|read|read_postgresql|search|summary|start|audit|mapping|feed|documents|overviews|pages|peers|all] [--json FILE] [--quick] [--base-url URL …]`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import pstats
import sys
import tempfile
from pathlib import Path

from benchmarks import (
    audit,
    decision,
    documents,
    feed,
    forms,
    mapping,
    overviews,
    pages,
    peers,
    read,
    read_postgresql,
    search,
    start,
    summary,
    validate,
)

BENCHMARKS = {
    "decision": decision,
    "read": read,
    "read_postgresql": read_postgresql,
    "search": search,
    "summary": summary,
    "start": start,
    "audit": audit,
    "mapping": mapping,
    "feed": feed,
    "documents": documents,
    "forms": forms,
    "overviews": overviews,
    "pages": pages,
    "peers": peers,
    "validate": validate,
}


def main() -> int:
    """Measure, print the tables, and write them as JSON when asked. A missed target is shown, not hidden, and no error."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="measure the gateway; see benchmarks/README.md"
    )
    parser.add_argument("which", nargs="?", choices=[*BENCHMARKS, "all"], default="all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there as well")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument(
        "--profile", action="store_true", help="say where the gateway's time goes; its figures mean nothing then"
    )
    parser.add_argument(
        "--base-url", action="append", default=[], metavar="URL", help="peers: a server that runs already"
    )
    parser.add_argument("--installed", type=Path, metavar="DIR", help="peers: keep them there for a next time")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="peers: a PNG, or text without matplotlib")
    options = parser.parse_args()
    reports = []
    for name in BENCHMARKS if options.which == "all" else (options.which,):
        benchmark = BENCHMARKS[name]
        size = benchmark.quick() if options.quick else benchmark.Size()
        if benchmark is peers:
            given = {"base_urls": tuple(options.base_url), "installed": options.installed, "picture": options.plot}
            size = dataclasses.replace(size, **given)
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as directory:
            profile = Path(directory) / "profile" if options.profile else None
            report = benchmark.run(Path(directory), size, profile)
            if profile:
                pstats.Stats(str(profile)).strip_dirs().sort_stats("tottime").print_stats(40)
        reports.append(report)
        print(report.text(), flush=True)
        print(
            f"load of the machine (1 min): {os.getloadavg()[0]:.1f}, Python {platform.python_version()}\n", flush=True
        )
    if options.json:
        options.json.write_text(
            json.dumps([report.as_object() for report in reports], indent=1) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
