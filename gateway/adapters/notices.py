"""Sends what waits in the outbox: signed, over TLS, and again with growing pauses until it was taken."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Final, Protocol

import msgspec

from gateway.adapters.http import HttpClient, HttpError
from gateway.audit.notices import address_of
from gateway.audit.record import Asked, Record, encode
from gateway.ids import new_id
from gateway.model import instant
from gateway.ports import Ports
from gateway.watched import Notice

TYPE: Final = "notice+jwt"
SECONDS: Final = 5.0
ANSWER_BYTES: Final = 65_536
AT_ONCE: Final = 20
FIRST: Final = timedelta(seconds=5)
LONGEST: Final = timedelta(hours=1)


class Signer(Protocol):
    """The part of the key ring that signs for the gateway."""

    def sign_jwt(self, claims: dict[str, object], *, typ: str) -> str:
        """A compact JWS of these claims."""
        ...


class Messenger:
    """Empties the outbox.

    INVARIANT: a notice is taken when its organization said so; until then it is tried again, however long that takes.
    """

    def __init__(self, ports: Ports, http: HttpClient, signer: Signer) -> None:
        self._ports = ports
        self._http = http
        self._signer = signer

    async def send_due(self) -> int:
        """Send what is due; give how many were taken."""
        ports = self._ports
        if ports.notices is None:
            return 0
        waiting = await ports.notices.due(ports.now(), AT_ONCE)
        return sum(await asyncio.gather(*(self._send(one) for one in waiting)))

    async def _send(self, notice: Notice) -> bool:
        assert self._ports.notices is not None
        failure = await self._posted(notice)
        now = self._ports.now()
        if failure:
            pause = min(FIRST * 2 ** min(notice.attempts, 20), LONGEST)
            await self._ports.notices.failed(notice, failure, now + pause)
            return False
        await self._ports.audit.append(encode(self._record(notice)))
        await self._ports.notices.sent(notice, now)
        return True

    async def _posted(self, notice: Notice) -> str:
        """Why it was not taken; empty when it was."""
        address = address_of(notice, self._ports)
        if not address:
            return "no-address"
        headers = {
            "content-type": "application/fhir+json",
            "accept": "application/fhir+json",
            "authorization": f"Bearer {self._proof(notice, address)}",
        }
        try:
            answer = await self._http.request(
                "POST",
                address,
                headers=headers,
                body=notice.body,
                deadline=asyncio.get_running_loop().time() + SECONDS,
                limit_bytes=ANSWER_BYTES,
            )
        except HttpError as error:
            return str(error.code)
        return "" if 200 <= answer.status < 300 else f"status-{answer.status}"

    def _proof(self, notice: Notice, address: str) -> str:
        """Who sends this, for a minute, for these bytes only; the receiver finds the key at our jwks_uri."""
        now = int(self._ports.now().timestamp())
        claims: dict[str, object] = {
            "iss": self._ports.settings.gateway.base.rstrip("/"),
            "aud": address,
            "iat": now,
            "exp": now + 60,
            "jti": new_id(),
            "body_sha256": hashlib.sha256(notice.body).hexdigest(),
        }
        return self._signer.sign_jwt(claims, typ=TYPE)

    def _record(self, notice: Notice) -> Record:
        return msgspec.convert(
            {
                "kind": "emergency",
                "at": instant(self._ports.now()),
                "request": notice.request,
                "interaction": "notice",
                "action": "E",
                "status": 200,
                "patient": notice.patient,
                "policy": self._ports.policy.revision,
                "custodians": (Asked(notice.organization, "", consent=notice.desk),),
            },
            Record,
        )
