"""Is it alive, can it answer: for load balancers, without a token and without a record. Raw ASGI: it is asked first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.envelope import SECURITY_HEADERS, Receive, Scope, Send

ROUTES: Final = ("/health/live", "/health/ready")


@dataclass(frozen=True, slots=True)
class HealthApp:
    """`app(scope, receive, send)` for `/health/live` and `/health/ready`; `checks` says what must be true to answer."""

    checks: Callable[[], dict[str, bool]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        status, said = self._answer(scope["method"], scope["path"])
        body = msgspec.json.encode(said)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *SECURITY_HEADERS]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, dict[str, object]]:
        if path not in ROUTES:
            return 404, {"detail": "Not Found"}
        if method not in ("GET", "HEAD"):
            return 405, {"detail": "Method Not Allowed"}
        if path == "/health/live":
            return 200, {"status": "alive"}
        checks = self.checks()
        good = all(checks.values())
        return (200 if good else 503), {"status": "ready" if good else "not ready", "checks": checks}
