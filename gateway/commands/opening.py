"""The synchronous command around an asynchronous one that works on something it gets opened."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from gateway.errors import GatewayError, StartError

Opened = TypeVar("Opened")


def runner(
    opening: Callable[[argparse.Namespace], AbstractAsyncContextManager[Opened]],
    run: Callable[[argparse.Namespace, Opened], Awaitable[int]],
) -> Callable[[argparse.Namespace], int]:
    """Run with what was opened, and close it; what goes wrong is said in one line, with its exit code."""

    async def opened(options: argparse.Namespace) -> int:
        async with opening(options) as at:
            return await run(options, at)

    def synchronous(options: argparse.Namespace) -> int:
        try:
            return asyncio.run(opened(options))
        except GatewayError as error:
            raise StartError(error.text(), 3 if error.row.status >= 500 else 1) from None

    return synchronous
