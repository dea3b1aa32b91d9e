"""Getting in and out of a site, from the worker's side: whose connector is there, with which key, and until when.

The site itself is spoken to in the job's carrier (`shared.wordpress.visit`).
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from shared.bus.connector_registry import Connectors
from shared.engine.worker import JobContext
from shared.secrets.vault import KeyRing
from shared.wordpress.connector.errors import ConnectorGone, ConnectorRefused
from shared.wordpress.connector.package import build_connector_zip
from shared.wordpress.found import Found, believed, source_key
from shared.wordpress.visit import Visit, enter

KEYS = "keys"
"""Where the sealed keys of a job's connectors are in its memory, by visit; carriers do not see them."""

Confined = Callable[..., Awaitable[Any]]
"""Runs `function(visit, *arguments)` in the job's carrier."""


class Entrance:
    """One site of one job. Use from the event loop."""

    def __init__(
        self, context: JobContext, connectors: Connectors, keys: KeyRing, confined: Confined, *, name: str, url: str
    ) -> None:
        self.name = name
        self._context = context
        self._connectors = connectors
        self._keys = keys
        self._confined = confined
        self._url = url

    @property
    def key(self) -> bytes:
        """The connector's key; empty when there is none yet."""
        sealed = self._sealed
        return base64.b64decode(self._keys.open(sealed, purpose=self._context.job_id)) if sealed else b""

    async def sign_in(self) -> None:
        """Find the site and sign in. Raises the SignInError family."""
        await self._confined(enter)

    async def enter(self) -> None:
        """Have our connector on the site, installed by this job or by another that visits it too. Idempotent.

        Raises the InstallError family, ConnectorGone, ConnectorRefused.
        """
        await self._join()
        try:
            await self._confined(Visit.greet)
        except (ConnectorGone, ConnectorRefused):
            # Somebody took it off the site behind our back: install it once more.
            await self._join(broken=True)
            await self._confined(Visit.greet)

    async def leave(self) -> None:
        """Take the connector off again, unless other jobs still use it. Idempotent; what stays is said in a note."""
        if "site" not in self._state or not self._sealed:
            return
        source = source_key(self._found, self._url)
        if not await self._connectors.leave(source, self._context.job_id):
            return
        gone = await self._confined(Visit.remove)
        await self._connectors.forget(source, self._context.job_id, gone=gone is True)

    async def _join(self, *, broken: bool = False) -> None:
        context, found = self._context, self._found

        async def waiting() -> None:
            context.report(message=f"Waiting for the connector another job is installing on {found.home}")
            context.token.check()

        source = source_key(found, self._url)
        seat = await self._connectors.join(
            source, context.job_id, home=found.home, siteurl=found.siteurl, broken=broken, waiting=waiting
        )
        sealed = self._keys.seal(base64.b64encode(seat.key).decode(), purpose=context.job_id)
        context.state[KEYS] = {**context.state.get(KEYS, {}), self.name: sealed}
        await context.checkpoint()
        if seat.must_install:
            archive = await context.blocking(build_connector_zip, seat.key, context.job_id, seat.expires_at)
            await self._confined(Visit.install, archive)
            await self._connectors.installed(source, context.job_id)

    @property
    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = self._context.state.get(self.name, {})
        return found

    @property
    def _found(self) -> Found:
        return believed(Found, self._state.get("site"))

    @property
    def _sealed(self) -> str:
        # a job that an older version began has it with the rest of the visit
        sealed: str = self._context.state.get(KEYS, {}).get(self.name) or self._state.get("key", "")
        return sealed
