"""Clones in a cluster. Blocking, for worker threads: the cluster's API is spoken to in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import httpx2

from services.cloner.drivers.cell import php_version
from services.cloner.drivers.kubernetes import objects
from services.cloner.drivers.kubernetes.answers import ApiError, Meaning
from services.cloner.drivers.kubernetes.api import (
    INGRESSES,
    PODS,
    QUOTAS,
    ROUTES,
    SECRETS,
    SERVICES,
    Cluster,
    configuration,
)
from services.cloner.drivers.kubernetes.credentials import Credentials, credentials
from services.cloner.drivers.kubernetes.errors import CloneGone, ClusterAway, ClusterRefused, PodAway, PodNotReady
from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from services.cloner.drivers.kubernetes.standing import Standing, standing
from services.cloner.drivers.kubernetes.target import PodTarget
from services.cloner.drivers.port import Capacity, LoginLink, MailMessage
from shared.cells.pod_layout import CLONES
from shared.engine.room import NoRoom, Places
from shared.errors import JobError
from shared.ids import is_job_id
from shared.log import get
from shared.wordpress.http import site_client
from shared.wordpress.transfer.ddl import Dialect

log = get(__name__)
T = TypeVar("T")

POLL_SECONDS = 0.5
CROWDED_SECONDS = 20.0
"""A Pod that no node takes for so long finds the cluster full."""
GONE_SECONDS = 90.0
ROUTE_SECONDS = 60.0
OURS = (PODS, SERVICES)
"""Kinds looked through for what is left of clones: a Pod, or what outlived it for a moment."""


class KubernetesDriver:
    """Provisioner of a cluster: one namespace, in which nothing else lives."""

    calls_out: ClassVar[bool] = False
    fetches_media: ClassVar[bool] = False
    states: ClassVar[None] = None
    images: ClassVar[None] = None
    """A Pod's volume is its own: no other one can begin with it."""

    def __init__(self, settings: KubernetesSettings, *, records: Path, most: int | None = None) -> None:
        """`records`: a directory of this machine for notes; `most`: clones at the same time, if the namespace's quota
        is not the only bound. Raises OSError, ValueError when a file of the settings can not be read."""
        self._settings, self._records, self._most = settings, records, most
        self._master = settings.pod_key_file.read_bytes().strip()
        credentials(self._master, "clone-0000000000000000")
        known = json.loads(settings.pod_dialect_file.read_text())
        self._dialect = set(known["collations"]), set(known["engines"]), set(known["functions"])
        self._stack = AsyncExitStack()
        self._cluster: Cluster | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the cluster."""
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- the port

    def place(self, clone_id: str) -> PodTarget:
        """Where the clone is or would be. Raises ValueError for what is no clone id."""
        if not is_job_id(clone_id):
            raise ValueError(f"not a clone id: {clone_id}")
        return PodTarget(
            clone_id=clone_id,
            url=objects.address(clone_id, self._settings),
            directory=CLONES / clone_id,
            records=self._records / clone_id / "records",
            credentials=credentials(self._master, clone_id),
            cluster=self,
        )

    def ensure(self, clone_id: str) -> None:
        """Make the Pod and what it owns, and wait until it works. Raises NoRoom, ClusterRefused, PodNotReady."""
        known = self.place(clone_id).credentials
        self._do(self._ensure(clone_id, known), seconds=self._settings.pod_ready_seconds + 120)

    def serve(self, clone_id: str) -> None:
        """Have the clone's address lead to it, and wait until it does."""
        self._do(self._route(clone_id))
        if self._settings.pod_route == "none":
            return
        url, deadline = objects.address(clone_id, self._settings), time.monotonic() + ROUTE_SECONDS
        with site_client(allow_private=True, only=(url,)) as http:
            while not _answers(http, url):
                if time.monotonic() > deadline:
                    raise ClusterAway(f"{url} does not lead to the clone: look at the cluster's Ingress controller.")
                time.sleep(POLL_SECONDS)

    def dialect(self) -> Dialect:
        """What the database of the image knows."""
        return Dialect(*self._dialect)

    def php_version(self) -> str:
        """The cloner's own image is that of the clones."""
        return php_version()

    def destroy(self, clone_id: str) -> None:
        """Remove the Pod and what it owns; the address first."""
        if not is_job_id(clone_id):
            raise ValueError(f"not a clone id: {clone_id}")
        self._do(self._destroy(clone_id), seconds=GONE_SECONDS + 60)
        shutil.rmtree(self._records / clone_id, ignore_errors=True)

    def ids(self) -> list[str]:
        """Clones of which a Pod or a Service exists."""
        return sorted(filter(is_job_id, self._do(self._ids(OURS))))

    def capacity(self) -> Capacity:
        """What one clone may take; whether a node has that is the scheduler's to know."""
        return Capacity(free_bytes=self._settings.pod_storage_gb << 30)

    def places(self) -> Places | None:
        """Pods of clones, against what the namespace's quota allows, and our own setting."""
        return self._do(self._places())

    def mails(self, clone_id: str) -> list[MailMessage]:
        """Captured mail, newest first."""
        try:
            return self.place(clone_id).mails()
        except CloneGone:
            return []

    def login_link(self, clone_id: str, user: str) -> LoginLink:
        """A link that signs in once. Raises FileNotFoundError when there is no such clone."""
        try:
            return self.place(clone_id).login_link(user)
        except CloneGone as error:
            raise FileNotFoundError(f"{clone_id} is not in this cluster") from error

    def address_of(self, clone_id: str) -> str:
        """Where the clone's Pod is. Raises CloneGone, PodAway, ClusterAway."""
        pod = self._do(self._get(clone_id))
        if pod is None or standing(pod).over:
            raise CloneGone(f"The Pod {clone_id} is not there any more.")
        address = (pod.get("status") or {}).get("podIP")
        if not address:
            raise PodAway(f"The Pod {clone_id} has no address yet.")
        return str(address)

    # --- in the thread of the cluster

    async def _ensure(self, clone_id: str, known: Credentials) -> None:
        cluster = await self._reached()
        pod = await cluster.get(PODS, clone_id)
        if pod is not None and standing(pod).over:
            await self._destroy(clone_id)
            pod = None
        if pod is None:
            pod = await cluster.apply(PODS, objects.pod(clone_id, self._settings))
        await asyncio.gather(
            cluster.apply(SECRETS, objects.secret(clone_id, pod, known)),
            cluster.apply(SERVICES, objects.service(clone_id, pod)),
        )
        await self._ready(clone_id)

    async def _ready(self, clone_id: str) -> None:
        cluster, begun, found = await self._reached(), time.monotonic(), Standing()
        while (waited := time.monotonic() - begun) < self._settings.pod_ready_seconds:
            pod = await cluster.get(PODS, clone_id)
            if pod is None:
                raise PodNotReady(f"The Pod {clone_id} went away while it started.")
            found = standing(pod)
            if found.ready:
                return
            if found.over:
                raise PodNotReady(f"The Pod {clone_id} ended while it started ({found.why}).")
            if found.crowded and waited > CROWDED_SECONDS:
                await self._destroy(clone_id)
                raise NoRoom
            await asyncio.sleep(POLL_SECONDS)
        raise PodNotReady(f"The Pod {clone_id} does not work after {waited:.0f} s ({found.why or 'no reason told'}).")

    async def _route(self, clone_id: str) -> None:
        cluster = await self._reached()
        pod = await cluster.get(PODS, clone_id)
        if pod is None:
            raise CloneGone(f"The Pod {clone_id} is not there any more.")
        if self._settings.pod_route == "ingress":
            await cluster.apply(INGRESSES, objects.ingress(clone_id, pod, self._settings))
        elif self._settings.pod_route == "gateway":
            await cluster.apply(ROUTES, objects.http_route(clone_id, pod, self._settings))

    async def _destroy(self, clone_id: str) -> None:
        cluster = await self._reached()
        kinds = {"ingress": [INGRESSES], "gateway": [ROUTES], "none": []}[self._settings.pod_route]
        for kind in (*kinds, SERVICES, PODS, SECRETS):
            await cluster.delete(kind, clone_id)
        end = time.monotonic() + GONE_SECONDS
        while await cluster.get(PODS, clone_id) is not None:
            if time.monotonic() > end:
                raise ClusterAway(f"The Pod {clone_id} was deleted and does not go.")
            await asyncio.sleep(POLL_SECONDS)

    async def _ids(self, kinds: tuple[Any, ...]) -> set[str]:
        cluster, found = await self._reached(), set()
        for kind in kinds:
            items, _ = await cluster.list(kind, selector=objects.SELECTOR)
            found |= {str(item["metadata"]["name"]) for item in items}
        return found

    async def _places(self) -> Places | None:
        cluster = await self._reached()
        quotas, _ = await cluster.list(QUOTAS)
        hard = [quota.get("spec", {}).get("hard", {}) for quota in quotas]
        limits = [int(of[name]) for of in hard for name in ("pods", "count/pods") if str(of.get(name, "")).isdigit()]
        limits += [self._most] if self._most is not None else []
        return Places(min(limits), frozenset(await self._ids((PODS,)))) if limits else None

    async def _get(self, clone_id: str) -> dict[str, Any] | None:
        return await (await self._reached()).get(PODS, clone_id)

    async def _reached(self) -> Cluster:
        if self._cluster is None:
            settings = self._settings
            way = await configuration(settings.kubeconfig, strict_tls=settings.kubernetes_strict_tls)
            self._cluster = await self._stack.enter_async_context(Cluster.of(way, settings.clones_namespace))
        return self._cluster

    def _do(self, work: Coroutine[Any, Any, T], *, seconds: float = 120.0) -> T:
        """Wait for the thread of the cluster. Raises what an answer of it means for a job."""
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result(seconds)
        except TimeoutError as error:
            doing.cancel()
            raise ClusterAway("The cluster does not get done with it.") from error
        except ApiError as error:
            raise _meant(error) from error


def _answers(http: httpx2.Client, url: str) -> bool:
    """Whether it is the clone's own web server that answers there; nothing of the site is asked."""
    try:
        return "x-robots-tag" in http.get(f"{url}/robots.txt").headers
    except (httpx2.HTTPError, JobError):
        return False


def _meant(error: ApiError) -> Exception:
    if error.meaning is Meaning.NO_ROOM:
        return NoRoom()
    if error.meaning in {Meaning.AGAIN, Meaning.CONTENDED, Meaning.LOST, Meaning.EXPIRED}:
        return ClusterAway(f"Waiting for the cluster: {error}")
    return ClusterRefused(f"The cluster refuses: {error}")
