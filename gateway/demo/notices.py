"""Where a simulated organization takes notices of emergency accesses: checks who sends them, keeps them, and says so."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.adapters.notices import TYPE
from gateway.demo.context import Door, Unproven
from profiles import exact

Json = dict[str, Any]

MAXIMUM_BYTES: Final = 65_536


@dataclass(slots=True)
class NoticeDesk:
    """The desk of one organization; `address` is where it takes a Communication."""

    organization: str
    address: str
    door: Door
    taken: list[Json] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        """Take one notice, or refuse what the gateway did not sign for these bytes."""
        body = await request.body()
        try:
            notice = await self._proven(request.headers.get("authorization", ""), body)
        except (Unproven, exact.NotExact) as error:
            return Response(str(error), 401, media_type="text/plain")
        self.taken.append(notice)
        (category,), (review,) = notice["category"][0]["coding"], notice["identifier"]
        told = f"notice: {self.organization} was told: {category['code']}, review {review['value']}\n"
        sys.stderr.write(told)
        return Response(status_code=201)

    async def _proven(self, authorization: str, body: bytes) -> Json:
        if len(body) > MAXIMUM_BYTES:
            raise Unproven("larger than a notice")
        claims = await self.door.claims(
            authorization.removeprefix("Bearer "),
            kind=TYPE,
            issuer=self.door.gateway_base,
            audience=self.address,
            seconds=60,
        )
        if claims.get("body_sha256") != hashlib.sha256(body).hexdigest():
            raise Unproven("signed for other bytes")
        return exact.decode(body)
