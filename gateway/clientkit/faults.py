"""A gateway that misbehaves as told: an ASGI application around the real one, which notes every request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.clientkit.seen import Run, Seen, digest
from gateway.envelope import ASGIApp, Receive, Scope, Send
from gateway.errors import Refused, Unavailable
from gateway.fhir.outcome import issue, outcome, rendered
from gateway.model import Outgoing
from profiles import exact

SLOW_SECONDS: Final = 4.0
WAIT_SECONDS: Final = 1
MARK: Final = "Bron Die Niet Antwoordt"
Decide = Callable[[Seen, Run], str]


@dataclass(slots=True)
class Faults:
    """`app(scope, receive, send)`: the real gateway, but for what `decide` says of a request."""

    app: ASGIApp
    decide: Decide = lambda _seen, _run: ""
    run: Run = field(default_factory=Run)
    began: float = 0.0

    def begin(self, decide: Decide) -> Run:
        """Start a scenario."""
        self.decide, self.run, self.began = decide, Run(), asyncio.get_running_loop().time()
        return self.run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as well or as badly as the scenario asks."""
        if scope["type"] != "http" or not scope["path"].startswith(("/fhir", "/oauth")):
            await self.app(scope, receive, send)
            return
        scope["headers"] = [
            pair for pair in scope["headers"] if pair[0] != b"accept-encoding"
        ]  # answers can be changed
        messages = await _read(receive)
        seen = self._noted(scope, b"".join(message.get("body", b"") for message in messages))
        seen.fault = self.decide(seen, self.run)
        made = _CANNED.get(seen.fault)
        if made is not None:
            await _answer(made(), send)
            seen.status = made().status
            return
        if seen.fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        await self.app(scope, _again(messages, receive, seen), _watched(send, seen))

    def _noted(self, scope: Scope, body: bytes) -> Seen:
        headers = dict(scope["headers"])
        seen = Seen(
            asyncio.get_running_loop().time() - self.began, scope["method"], scope["path"],
            scope["query_string"].decode("latin-1"), digest(headers.get(b"authorization", b"")),
            "" if scope["path"].startswith("/oauth") else digest(body),
        )  # fmt: skip
        self.run.requests.append(seen)
        return seen


async def _read(receive: Receive) -> list[Any]:
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _again(messages: list[Any], receive: Receive, seen: Seen) -> Receive:
    waiting = list(messages)

    async def next_message() -> Any:  # noqa: ANN401 - an ASGI message
        if waiting:
            return waiting.pop(0)
        message = await receive()
        seen.gone = seen.gone or (message["type"] == "http.disconnect" and not seen.status)
        return message

    return next_message


def _watched(send: Send, seen: Seen) -> Send:
    start: Any = None

    async def passed(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        nonlocal start
        if message["type"] == "http.response.start":
            seen.status, start = message["status"], message
            return
        body = message.get("body", b"")
        if seen.fault == "partial" and seen.status == 200:
            body = _partial(body)
            start["headers"] = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            start["headers"].append((b"content-length", b"%d" % len(body)))
        await send(start)
        if seen.fault == "cut":
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            raise ConnectionAbortedError  # the server closes what it cannot finish
        await send({**message, "body": body})

    return passed


def _partial(body: bytes) -> bytes:
    """The same searchset with an entry that says that a source did not answer."""
    bundle = exact.decode(body)
    said = issue("warning", "incomplete", "source-failed", f"{MARK} did not answer; this list is incomplete", "timeout")
    bundle.setdefault("entry", []).append({"resource": outcome(said), "search": {"mode": "outcome"}})
    return exact.encode(bundle)


_CANNED: Final[dict[str, Callable[[], Outgoing]]] = {
    "expired": lambda: rendered(Refused("token-invalid", why="it has expired; get a new one"), "en", "selftest"),
    "throttled": lambda: rendered(Refused("too-many-requests", retry_after=WAIT_SECONDS), "en", "selftest"),
    "unavailable": lambda: rendered(Unavailable("store-unavailable", retry_after=WAIT_SECONDS), "en", "selftest"),
    "wrong-cursor": lambda: rendered(
        Refused("invalid-parameter", name="_cursor", why="use the next link as it was given"), "en", "selftest"
    ),
}


async def _answer(answer: Outgoing, send: Send) -> None:
    headers = [(b"content-type", answer.content_type.encode()), (b"content-length", b"%d" % len(answer.body))]
    headers += [(name.encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
