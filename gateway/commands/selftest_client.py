"""`gateway selftest-client`: run an integrator's client through a region that misbehaves, and say what it did right and wrong."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from gateway import logs, serving
from gateway.clientkit.faults import Faults
from gateway.clientkit.scenarios import SCENARIOS, Finding, Scenario
from gateway.clientkit.seen import Run
from gateway.commands.demo import gateway_of, loaded
from gateway.demo.output import as_object
from gateway.demo.region import Region
from gateway.errors import StartError
from profiles import exact

CONFIGURATION = "region.toml"
_MARKS = {"right": "ok   ", "wrong": "WRONG", "look": "look "}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--command", default="", dest="program", help="your client; it finds where to go in GATEWAY_… variables"
    )
    parser.add_argument("--client", default="demo-system", help="the client of the demo that yours plays")
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a scenario may take")
    parser.add_argument("--port", type=int, default=0, help="port of the simulated gateway; 0 is any free one")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Go through the scenarios; exit code 1 when something was wrong."""
    unknown = set(options.scenario) - {one.name for one in SCENARIOS}
    if unknown:
        known = ", ".join(one.name for one in SCENARIOS)
        message = f"no scenario '{min(unknown)}'; there are: {known}"
        raise StartError(message, 2)
    if options.program:
        _startable(options.program)
    logs.configure("critical")
    with tempfile.TemporaryDirectory(prefix="gateway-selftest-") as directory:
        found = serving.run(_tested(options, Path(directory)))
    report = [_told(scenario, findings) for scenario, findings in found]
    print(exact.encode({"scenarios": report}).decode() if options.json else _text(found))
    return int(any(one.verdict == "wrong" for _, findings in found for one in findings))


def _startable(program: str) -> None:
    try:
        found = shutil.which(shlex.split(program)[0])
    except (ValueError, IndexError) as error:  # a quotation that does not end, or nothing but spaces
        message = f"--command is not a command line: {error}"
        raise StartError(message, 2) from None
    if found is None:
        message = f"--command: there is no program '{shlex.split(program)[0]}'; give its path"
        raise StartError(message, 2)


async def _tested(options: argparse.Namespace, directory: Path) -> list[tuple[Scenario, list[Finding]]]:
    bound = serving.bind(f"127.0.0.1:{options.port}")
    base = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with Region(base, "", directory=directory) as region:
        region.drop()
        gateway = await gateway_of(region, directory, base.removeprefix("http://"))
        faults = Faults(gateway)
        door = serving.Serving(faults, bound)
        try:
            await gateway.start()
            await door.start()
            await gateway.warm()
            shown = await loaded(region, gateway, directory / CONFIGURATION)
            return await _gone_through(
                options, faults, _variables(exact.decode(as_object(shown).encode()), options.client)
            )
        finally:
            await door.stop()
            await gateway.close()


def _variables(demo: dict[str, Any], client: str) -> dict[str, str]:
    """Where to go, as the client finds it in its environment; never on a command line."""
    chosen = next((one for one in demo["clients"] if one["id"] == client), None)
    if chosen is None:
        message = f"no client '{client}'; there are: {', '.join(one['id'] for one in demo['clients'])}"
        raise StartError(message, 2)
    person = demo["patients"][0]
    return {
        "GATEWAY_BASE": demo["base"],
        "GATEWAY_CLIENT_ID": chosen["id"],
        "GATEWAY_KEY_FILE": chosen["key_file"],
        "GATEWAY_BSN": person["bsn"],
        "GATEWAY_BIRTH_DATE": person["birthDate"],
    }


async def _gone_through(
    options: argparse.Namespace, faults: Faults, variables: dict[str, str]
) -> list[tuple[Scenario, list[Finding]]]:
    found = []
    if not options.program:
        print("Your client does this: token, find the patient, search Observation with _count=10 and follow")
        print(
            "every page, read the summary. Give it:",
            *(f"  {name}={value}" for name, value in variables.items()),
            sep="\n",
        )
    for scenario in SCENARIOS:
        if options.scenario and scenario.name not in options.scenario:
            continue
        went = faults.begin(scenario.decide)
        await (_command(options, variables, went) if options.program else _by_hand(scenario))
        found.append((scenario, scenario.judged(went)))
        if sys.stderr.isatty():
            print(f"gateway: {scenario.name} done", file=sys.stderr)
    return found


async def _command(options: argparse.Namespace, variables: dict[str, str], went: Run) -> None:
    """Run the client to its end; what it prints is searched for what it had to say."""
    environment = {**os.environ, **variables}  # noqa: TID251 - the client inherits what this command was given
    process = await asyncio.create_subprocess_exec(
        *shlex.split(options.program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), options.seconds)
        went.output, went.exit_code = output.decode("utf-8", "replace"), process.returncode or 0
    except TimeoutError:
        process.kill()
        await process.communicate()
        went.timed_out, went.exit_code = True, -1


async def _by_hand(scenario: Scenario) -> None:
    print(f"\n{scenario.name}: {scenario.text}. Run your client, then press Enter.", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def _told(scenario: Scenario, findings: list[Finding]) -> dict[str, Any]:
    rows = [{"verdict": one.verdict, "text": one.text} for one in findings]
    return {"name": scenario.name, "text": scenario.text, "findings": rows}


def _text(found: list[tuple[Scenario, list[Finding]]]) -> str:
    lines: list[str] = []
    for scenario, findings in found:
        lines += ["", f"{scenario.name}: {scenario.text}"]
        lines += [f"  {_MARKS[one.verdict]} {one.text}" for one in findings]
    wrong = sum(one.verdict == "wrong" for _, findings in found for one in findings)
    return "\n".join([*lines, "", f"{wrong} wrong" if wrong else "nothing wrong"])
