"""Idempotency-Key (IETF draft): the same key and body get the same answer, however often they are sent.

A record is claimed by create-if-absent before anything happens and holds the id of the job to be made; a request that
takes over an unfinished record makes the job under that id, so even a lost acknowledgement makes no second job.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from starlette.responses import Response

from services.gateway.problems import Problem
from shared.bus.connection import Bus
from shared.contract import streams
from shared.secrets.vault import KeyRing, SecretGone

TAKE_OVER = 5.0
"""Seconds after which an unfinished request is taken for dead; longer than any call to NATS may take."""
KEY_MAX = 255

Action = Callable[[str], Awaitable[Response]]
"""Does the work under an id and answers."""


class Idempotency:
    """Answers remembered in the `idempotency` bucket for a day."""

    def __init__(self, bus: Bus, keys: KeyRing) -> None:
        self._bus = bus
        self._keys = keys

    async def once(self, key: str | None, *, scope: str, body: bytes, new_id: str, action: Action) -> Response:
        """Run `action` once for this key within a scope (tenant, method and path).

        `new_id` is what `action` gets unless an earlier, unfinished request chose an id already. Raises a 422 problem
        when the key was used with another body, 409 while the first request is still being worked on.
        """
        if key is None:
            return await action(new_id)
        if not 0 < len(key) <= KEY_MAX:
            raise Problem(400, "invalid_idempotency_key", f"An Idempotency-Key has 1 to {KEY_MAX} characters.")
        name = _name(scope, key)
        claim = await self._claim(name, body, new_id)
        if isinstance(claim, Response):
            return claim
        record, revision = claim
        try:
            response = await action(record["id"])
        except Problem as problem:
            if problem.status < 500:  # refused for good: nothing happened, the key is free again
                await (await self._bus.bucket(streams.IDEMPOTENCY)).delete(name)
            raise
        await self._finish(name, record, revision, response)
        return response

    async def used(self, key: str, *, scope: str) -> tuple[str, float] | None:
        """The job id a key was first used for, and when (seconds since 1970); None when it was not used yet."""
        try:
            entry = await (await self._bus.bucket(streams.IDEMPOTENCY)).get(_name(scope, key))
        except KeyNotFoundError:
            return None
        record = json.loads(entry.value or b"{}")
        return record["id"], record["at"]

    async def _claim(self, name: str, body: bytes, new_id: str) -> Response | tuple[dict[str, Any], int]:
        bucket = await self._bus.bucket(streams.IDEMPOTENCY)
        # sealed, because a digest of a body with a password in it could be guessed offline
        sealed = self._keys.seal(hashlib.sha256(body).hexdigest(), purpose=name)
        record = {"id": new_id, "body": sealed, "at": time.time(), "answer": None}
        try:
            return record, await bucket.create(name, _encoded(record))
        except KeyWrongLastSequenceError:
            pass
        try:
            entry = await bucket.get(name)
        except KeyNotFoundError:  # refused and released in this very moment
            raise _in_flight() from None
        found = json.loads(entry.value or b"{}")
        if not self._same_body(found["body"], name, body):
            raise Problem(
                422,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request.",
                hint="Use a new key for a new request.",
            )
        if found["answer"] is not None:
            return _replayed(found["answer"])
        if time.time() - found["at"] < TAKE_OVER:
            raise _in_flight()
        found["at"] = time.time()
        try:
            return found, await bucket.update(name, _encoded(found), last=entry.revision)
        except KeyWrongLastSequenceError:
            raise _in_flight() from None

    def _same_body(self, sealed: str, name: str, body: bytes) -> bool:
        try:
            return self._keys.open(sealed, purpose=name) == hashlib.sha256(body).hexdigest()
        except SecretGone:
            return False

    async def _finish(self, name: str, record: dict[str, Any], revision: int, response: Response) -> None:
        headers = {key: value for key, value in response.headers.items() if key in ("location", "retry-after")}
        text = bytes(response.body).decode()
        answer = {"status": response.status_code, "headers": headers, "body": text}
        bucket = await self._bus.bucket(streams.IDEMPOTENCY)
        await bucket.update(name, _encoded({**record, "answer": answer}), last=revision)


def _name(scope: str, key: str) -> str:
    return hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest()


def _encoded(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def _in_flight() -> Problem:
    return Problem(
        409,
        "idempotency_in_flight",
        "A request with this Idempotency-Key is still being worked on.",
        hint="Try again in a moment to get its answer.",
        headers={"Retry-After": "1"},
    )


def _replayed(answer: dict[str, Any]) -> Response:
    headers = {**answer["headers"], "Idempotency-Replayed": "true"}
    return Response(answer["body"].encode(), answer["status"], headers, media_type="application/json")
