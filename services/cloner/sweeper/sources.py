"""Takes connectors off sources whose jobs could not do it themselves."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol

from services.cloner.sweeper.verdict import Action, Known, Rules, Verdict, connector
from shared.bus.connector_registry import Connectors, Entry
from shared.engine.carriers.pool import Carriers
from shared.errors import JobError
from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.connector.errors import ConnectorGone
from shared.wordpress.http import site_client

HALF = (
    "its installation broke off and may have left the folder siteferry-connector among the plugins; "
    "the next job for this site removes it, or whoever runs the site"
)
PATIENCE = 180.0
"""Seconds a connector may take to remove itself, pauses between tries included."""


class Ask(Protocol):
    """What the log says about a job."""

    async def __call__(self, job_id: str) -> Known: ...


class Sources:
    """The entries of the bucket `connectors`. `owner` names the sweeper in an entry it holds."""

    def __init__(self, connectors: Connectors, carriers: Carriers, *, owner: str, allow_private: bool) -> None:
        self._connectors = connectors
        self._carriers = carriers
        self._owner = owner
        self._allow_private = allow_private

    async def judge(
        self, name: str, stored_at: datetime, ask: Ask, rules: Rules, now: datetime
    ) -> tuple[Verdict, int, str]:
        """The verdict about an entry, the revision it is about, and the source's address."""
        found = await self._connectors.look(name)
        if found is None:
            return Verdict(Action.KEEP), 0, ""
        entry, revision = found
        users = {*entry.jobs, *([entry.busy] if entry.busy not in {None, self._owner} else [])}
        known = [await ask(job_id) for job_id in users if job_id is not None]
        return connector(known, stored_at, entry.expires_at, rules, now), revision, entry.home or name

    async def take(self, name: str, revision: int) -> tuple[Entry, bytes] | None:
        """Hold the entry: itself, and the key of its connector. None when it was changed meanwhile."""
        found = await self._connectors.look(name)
        key = await self._connectors.seize(name, self._owner, revision)
        return (found[0], key) if found is not None and key is not None else None

    async def forget(self, name: str) -> None:
        """The connector is gone."""
        await self._connectors.drop(name, self._owner)

    async def release(self, name: str) -> None:
        """The connector stays: the next job for its source need not wait for us."""
        await self._connectors.release(name, self._owner)

    async def remove(self, entry: Entry, key: bytes) -> None:
        """Have the connector remove itself. Raises JobError when it stays or does not answer."""
        if not entry.home:
            return  # an entry of an older version: nobody knows where it is, and it ends by itself
        await self._carriers.once(remove_there, entry, key, self._allow_private, seconds=PATIENCE)


def remove_there(_context: object, entry: Entry, key: bytes, allow_private: bool) -> None:
    """Ask a connector to remove itself, in a carrier."""
    with site_client(allow_private=allow_private) as http:
        try:
            answer = ConnectorClient(http, endpoints(entry.home, entry.siteurl), key).call("remove")
        except ConnectorGone as error:
            if entry.begun and entry.expires_at > time.time():
                raise JobError(HALF) from error
            return
    if not answer.get("removed", True):
        raise JobError(f"left behind: {', '.join(answer['left'][:5])}")
