"""`gateway demo`: a whole simulated region on this machine, in front of it a real gateway; Ctrl-C leaves nothing behind."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from gateway import logs, serving, settings
from gateway.adapters.guidelines import STORE
from gateway.app import Gateway, assemble, database_url
from gateway.clock import SystemClock
from gateway.crypto.ring import KeyRing
from gateway.demo import configuration, loading, output
from gateway.demo.region import SCENARIOS, Region
from gateway.errors import StartError
from gateway.oauth.discovery import token_endpoint
from gateway.storage import upgrade

_PICK_UP_SECONDS = 8.0
CONFIGURATION = "region.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--port", type=int, default=8080, help="port of the gateway; 0 is any free one")
    parser.add_argument("--host", default="127.0.0.1", help="loopback only: the demo's keys and tokens are for playing")
    parser.add_argument("--scenario", default="", metavar="NAME", help="one of " + ", ".join(SCENARIOS))
    parser.add_argument("--json", action="store_true", help="print one object on one line, then serve")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve the region until Ctrl-C."""
    listen = f"{options.host}:{options.port}"
    if not serving.is_loopback(listen):
        message = f"the demo serves loopback addresses only, not {options.host}"
        raise StartError(message, 2)
    logs.configure("warning")
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as directory:
        serving.run(_demo(options, serving.bind(listen), Path(directory)))
    return 0


async def _demo(options: argparse.Namespace, bound: Any, directory: Path) -> None:  # noqa: ANN401 - a socket
    host, port = bound.getsockname()[:2]
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    async with Region(base, options.scenario, directory=directory) as region:
        region.drop()  # before anybody looks: what lay there when the gateway was started
        gateway = await gateway_of(region, directory, f"{host}:{port}")
        door = serving.Serving(gateway, bound)
        try:
            await gateway.start()
            await door.start()
            await gateway.warm()
            shown = await loaded(region, gateway, directory / CONFIGURATION)
            print(output.as_object(shown) if options.json else output.as_text(shown), flush=True)
            serving.settle()
            await serving.until_signal()
        finally:
            await door.stop()
            await gateway.close()
    print("gateway: demo stopped, everything removed", file=sys.stderr)


async def gateway_of(region: Region, directory: Path, listen: str) -> Gateway:
    """The gateway in front of a region; it is not ready before every feed is in."""
    tree = region.settings_tree()
    tree["gateway"] |= {"listen": listen, "source_networks": ["127.0.0.0/8"], "token_lifetime": "8h"}
    tree["gateway"]["guidelines"] = str(STORE.absolute())  # those of the directory it was started in
    tree["database"] = {"url": "sqlite:///demo.db"}
    (directory / CONFIGURATION).write_text(configuration.written(tree), encoding="utf-8")
    read = settings.parse(tree, "demo")
    KeyRing.create(directory / read.gateway.keys, SystemClock().now())
    upgrade(database_url(read, directory))
    gateway = await assemble(read, directory)
    gateway.loading = True  # not ready before every feed is in
    return gateway


async def loaded(region: Region, gateway: Gateway, configured: Path) -> output.Shown:
    """Let custodians register, the ambulance push and the nursing homes drop files; then the gateway is ready."""
    pushes = [region.push(f"{host}:{port}") for host, port in gateway.addresses.values()]
    await asyncio.gather(loading.load(region), *pushes)
    await _picked_up(gateway)
    tokens = await loading.role_tokens(region)
    gateway.loading = False
    return output.Shown(region, tokens, token_endpoint(gateway.ports.settings), output.PAGES, configured)


async def _picked_up(gateway: Gateway) -> None:
    """Wait until the drop directories are empty: the gateway looks every few seconds, here it need not wait for the next look."""
    ports, latest = gateway.ports, asyncio.get_running_loop().time() + _PICK_UP_SECONDS
    while any(inbox.waiting() for inbox in gateway.background.inboxes):
        if asyncio.get_running_loop().time() > latest:
            raise StartError("the files of the nursing homes were not taken in", 3)
        for inbox in gateway.background.inboxes:
            await inbox.sweep(ports.now())
        await asyncio.sleep(0.01)
