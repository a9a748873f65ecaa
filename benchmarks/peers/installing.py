"""The peers: a table of servers, each installed from its registry into a directory that is thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
_SECONDS: Final = 420  # for one installation
_WORDS: Final = 160  # of what an installer says when it fails


class NotInstalled(Exception):
    """A peer cannot be measured here; the text says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of peers.toml."""

    name: str
    registry: str
    packages: tuple[str, ...]
    server: str
    path: str  # what stands before "Patient/id"
    target: float
    configured: str
    without: str

    def install(self, directory: Path) -> tuple[str, str]:
        """Install it, unless it is there already; gives the program that runs it and where its modules are.

        Raises:
            NotInstalled: no installer, no registry, or the installation failed.
        """
        home = directory / self.name.strip("@").replace("/", "-")
        if self.registry == "npm":
            node, npm = shutil.which("node"), shutil.which("npm")
            if not (node and npm):
                raise NotInstalled("node and npm are not on this machine")
            if not (home / "node_modules").is_dir():
                home.mkdir(parents=True, exist_ok=True)
                _run(
                    [
                        npm,
                        "install",
                        "--prefix",
                        str(home),
                        "--no-audit",
                        "--no-fund",
                        "--ignore-scripts",
                        *self.packages,
                    ],
                    home,
                )
            return node, str(home)
        python = home / "bin" / "python"
        if not python.exists():
            _run([sys.executable, "-m", "venv", str(home)], directory)
            _run(
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.packages],
                directory,
            )
        return str(python), str(home)

    def command(self, program: str, modules: str, resources: Path, port: int) -> list[str]:
        """How its server is started."""
        return [program, str(HERE / "servers" / self.server), str(resources), str(port), modules]


def peers() -> tuple[Peer, ...]:
    """Every peer of the table."""
    rows = tomllib.loads((HERE / "peers.toml").read_text(encoding="utf-8"))["peers"]
    return tuple(Peer(**{**row, "packages": tuple(row["packages"])}) for row in rows)


def _run(command: list[str], directory: Path) -> None:
    environment = {**os.environ, "npm_config_update_notifier": "false", "npm_config_cache": str(directory / ".npm")}
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=_SECONDS, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"{Path(command[0]).name}: {type(error).__name__}"
        raise NotInstalled(message) from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-_WORDS:]
        message = f"{Path(command[0]).name} ended with {done.returncode}: {said}"
        raise NotInstalled(message)
