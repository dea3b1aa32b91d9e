"""Secrets at rest: sealed with AES-256-GCM, in a bucket whose entries expire; messages carry references.

A sealed text is `v1.<key id>.<base64url(nonce + ciphertext)>`, bound to a purpose (for a clone's password: its job id),
so it can not be moved elsewhere and opened there. Keys rotate: the first key of the file seals, all keys open.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from shared.errors import Permanent

KEY_BYTES = 32
NONCE_BYTES = 12

Put = Callable[[str, bytes], Awaitable[object]]
"""Stores the value of a key."""


class SecretGone(Permanent):
    """The stored credentials of this job have expired or can not be opened any more."""

    code = "secret_gone"
    hint = "Submit the job again with the credentials."


class KeyRing:
    """The keys of this installation."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("the vault key file must hold at least one base64 key of 32 bytes")
        self._ids = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])
        self._marking = keys[0]

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Read the key file; make it (mode 0600) when it does not exist: whole or not at all, for services that start
        together.

        Raises ValueError when the file holds no usable key.
        """
        if not path.exists():
            _make(path)
        return cls([base64.b64decode(line) for line in path.read_text().split()])

    def seal(self, text: str, *, purpose: str) -> str:
        """Seal a text for one purpose."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ids[self._current].encrypt(nonce, text.encode(), purpose.encode())
        return f"v1.{self._current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, purpose: str) -> str:
        """The text again. Raises SecretGone when no key opens it for this purpose."""
        try:
            _version, key_id, body = sealed.split(".")
            raw = base64.urlsafe_b64decode(body)
            return self._ids[key_id].decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()).decode()
        except (ValueError, KeyError, InvalidTag) as error:
            raise SecretGone from error

    def mark(self, data: bytes, *, purpose: str) -> str:
        """The same for the same data and purpose; whoever has no key can not even try guesses with it."""
        return hmac.digest(self._marking, purpose.encode() + b"\0" + data, "sha256").hex()


class Vault:
    """Sealed secrets in the `vault` bucket."""

    def __init__(self, bucket: KeyValue, keys: KeyRing, *, put: Put | None = None) -> None:
        """`put` stores an entry of the bucket in another way than alone."""
        self._bucket = bucket
        self._put: Put = put or bucket.put
        self.keys = keys

    async def put(self, reference: str, secret: dict[str, Any]) -> str:
        """Store a secret under a reference (the job id) and return the reference."""
        await self._put(reference, self.sealed(secret, purpose=reference).encode())
        return reference

    async def get(self, reference: str) -> dict[str, Any]:
        """The secret. Raises SecretGone when it has expired."""
        try:
            entry = await self._bucket.get(reference)
        except KeyNotFoundError as error:
            raise SecretGone from error
        return self.opened((entry.value or b"").decode(), purpose=reference)

    def sealed(self, secret: dict[str, Any], *, purpose: str) -> str:
        """The secret as it may be kept elsewhere, where it must outlive this bucket's entries."""
        return self.keys.seal(json.dumps(secret), purpose=purpose)

    def opened(self, sealed: str, *, purpose: str) -> dict[str, Any]:
        """What was sealed for this purpose. Raises SecretGone when no key opens it."""
        value: dict[str, Any] = json.loads(self.keys.open(sealed, purpose=purpose))
        return value

    async def forget(self, reference: str) -> None:
        """Remove a secret for good, including its history."""
        await asyncio.shield(self._bucket.purge(reference))


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"siteferry-key-id" + key).hexdigest()[:8]


def new_key_file() -> str:
    """What a key file with one new key holds."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n"


def _make(path: Path) -> None:
    """A new key in a file of its own; nothing where another was quicker."""
    making = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new_key_file())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(making, path)
    finally:
        making.unlink(missing_ok=True)
