"""A copy of the objects of one kind that follows the cluster, and never gives up.

List, then watch from there. A watch ends after a while by itself (a connection that is half dead would otherwise stay
silent for ever); it is then continued, or everything is listed anew: when the cluster does not remember that far back,
after any trouble, and every few minutes. Whoever must be sure asks the cluster itself: this is an optimisation.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import aiohttp

from services.cloner.drivers.kubernetes.answers import ApiError, Meaning, failure
from services.cloner.drivers.kubernetes.api import Cluster, Kind
from shared.log import get

log = get(__name__)

QUICK = 1.0
"""A watch that ends sooner brought nothing: not again at once, and not from the same version for ever."""
SHORTEST = 0.1
"""Seconds until the first new list; the pause grows until the cluster has been followed for a while."""
GRACE = 10.0
"""Seconds of silence beyond the end the cluster promised."""


class Reflector:
    """`items` by name, once `run` has listed them."""

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        *,
        selector: str = "",
        window: float = 120.0,
        relist: float = 600.0,
        longest_pause: float = 10.0,
    ) -> None:
        """`window`: seconds one watch lasts; `relist`: after which everything is listed anew."""
        self._cluster = cluster
        self._kind = kind
        self._selector = selector
        self._window = window
        self._relist = relist
        self._longest_pause = longest_pause
        self.items: dict[str, dict[str, Any]] = {}
        self.heard_at: float | None = None
        """When the cluster last answered (`time.monotonic`); None before the first list."""
        self.changed = asyncio.Event()
        """Set with every change; whoever waits for it clears it."""

    @property
    def healthy(self) -> bool:
        """Whether `items` may be believed."""
        return self.heard_at is not None and time.monotonic() - self.heard_at < 2 * self._window + GRACE

    async def run(self) -> None:
        """Follow the cluster until cancelled. Raises nothing."""
        pause = SHORTEST
        while True:
            begun = time.monotonic()
            try:
                version = await self._list()
                while time.monotonic() - begun < self._relist:
                    watched = time.monotonic()
                    version = await self._watch(version)
                    if time.monotonic() - watched < QUICK:
                        break
            except ApiError as error:
                if error.meaning is not Meaning.EXPIRED:
                    log.warning("the cluster can not be followed", kind=self._kind.kind, error=str(error))
            except Exception:
                log.exception("following the cluster failed", kind=self._kind.kind)
            pause = SHORTEST if time.monotonic() - begun > self._longest_pause else min(pause * 2, self._longest_pause)
            await asyncio.sleep(random.uniform(pause / 2, pause))

    async def _list(self) -> str:
        found, version = await self._cluster.list(self._kind, selector=self._selector)
        self.items = {one["metadata"]["name"]: one for one in found}
        self._heard(changed=True)
        return version

    async def _watch(self, version: str) -> str:
        """One watch to its end; the version it came to. Raises ApiError."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(int(self._window)),
            **({"labelSelector": self._selector} if self._selector else {}),
        }
        connect = self._cluster.patience.connect
        timeout = aiohttp.ClientTimeout(sock_connect=connect, sock_read=self._window + GRACE)
        path = self._kind.path(self._cluster.namespace)
        response = await self._cluster.send("GET", path, query=query, timeout=timeout)
        try:
            async for line in response.content:
                version = self._take(line)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiError(Meaning.AGAIN, f"a watch was cut: {error!r}") from error
        finally:
            response.close()  # a watch that has not ended can not be used for anything else
        return version

    def _take(self, line: bytes) -> str:
        """One line of a watch: the version after it. Raises ApiError, ValueError for what is no event."""
        event = json.loads(line)
        if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
            raise ValueError(f"no event: {line[:100]!r}")
        kind, about = event.get("type"), event["object"]
        if kind == "ERROR":
            raise failure(int(about.get("code") or 500), json.dumps(about).encode())
        name, version = about["metadata"].get("name"), str(about["metadata"]["resourceVersion"])
        if kind in {"ADDED", "MODIFIED"}:
            self.items[name] = about
        elif kind == "DELETED":
            self.items.pop(name, None)
        self._heard(changed=kind != "BOOKMARK")
        return version

    def _heard(self, *, changed: bool) -> None:
        self.heard_at = time.monotonic()
        if changed:
            self.changed.set()
