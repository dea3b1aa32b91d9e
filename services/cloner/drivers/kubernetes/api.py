"""The API of one cluster, in dictionaries: kubernetes-asyncio's configuration, credentials and transport, and our own
deadlines, retries and reading of errors, because it has none.

    async with Cluster.of(configuration, namespace) as cluster:
        pod = await cluster.apply(PODS, {"metadata": {"name": "clone-…"}, "spec": {…}})

Everything is written by server-side apply: the same object applied twice is applied once, so a request whose answer
was lost may be sent again.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import load_incluster_config, load_kube_config

from services.cloner.drivers.kubernetes.answers import ApiError, Meaning, failure

MANAGER = "siteferry"
"""Who owns the fields we set."""
JSON, APPLY, MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"
PAGE = 500
"""Objects in one answer of a list."""
CONTENTION = (0.05, 0.5)
"""Seconds until a request is sent again that met others at the same quota."""


@dataclass(frozen=True)
class Kind:
    """One kind of object that lives in a namespace."""

    kind: str
    plural: str
    version: str = "v1"
    """With its group, such as `networking.k8s.io/v1`."""

    def path(self, namespace: str, name: str = "") -> str:
        """Where it is found."""
        root = "apis" if "/" in self.version else "api"
        return f"/{root}/{self.version}/namespaces/{namespace}/{self.plural}" + (f"/{name}" if name else "")


PODS, SECRETS, SERVICES = Kind("Pod", "pods"), Kind("Secret", "secrets"), Kind("Service", "services")
INGRESSES = Kind("Ingress", "ingresses", "networking.k8s.io/v1")
ROUTES = Kind("HTTPRoute", "httproutes", "gateway.networking.k8s.io/v1")
QUOTAS = Kind("ResourceQuota", "resourcequotas")


@dataclass(frozen=True)
class Patience:
    """Seconds."""

    connect: float = 5.0
    answer: float = 30.0
    """Between two pieces of an answer."""
    budget: float = 60.0
    """For one call with everything that is tried again."""
    first: float = 0.2
    longest: float = 10.0


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, client: ApiClient, namespace: str, patience: Patience) -> None:
        self._client = client
        self.namespace = namespace
        self.patience = patience

    @classmethod
    @asynccontextmanager
    async def of(
        cls, configuration: Configuration, namespace: str, patience: Patience | None = None
    ) -> AsyncIterator[Cluster]:
        """A connection that is closed afterwards."""
        async with ApiClient(configuration) as client:
            yield cls(client, namespace, patience or Patience())

    async def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """The object; None when there is none."""
        return await self._unless_missing(self.call("GET", kind.path(self.namespace, name)))

    async def list(self, kind: Kind, *, selector: str = "") -> tuple[list[dict[str, Any]], str]:
        """All objects with these labels, and the version of the whole."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": PAGE, **({"labelSelector": selector} if selector else {})}
        while True:
            page = await self.call("GET", kind.path(self.namespace), query=query)
            found += page["items"]
            if not (more := page["metadata"].get("continue")):
                return found, str(page["metadata"]["resourceVersion"])
            query["continue"] = more

    async def apply(self, kind: Kind, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Make the object or bring it to what is wanted; what it then is."""
        body = {"apiVersion": kind.version, "kind": kind.kind, **wanted}
        path = kind.path(self.namespace, wanted["metadata"]["name"])
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self.call("PATCH", path, query=query, body=body, content=APPLY)

    async def change(self, kind: Kind, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Merge changes into an object. With a `metadata.resourceVersion` only if it is still that one, else LOST."""
        path = kind.path(self.namespace, name)
        return await self.call("PATCH", path, query={"fieldManager": MANAGER}, body=changes, content=MERGE)

    async def delete(self, kind: Kind, name: str, *, uid: str = "") -> None:
        """Remove the object and what it owns; nothing happens when there is none. `uid`: only that very one."""
        body = {"propagationPolicy": "Background", **({"preconditions": {"uid": uid}} if uid else {})}
        await self._unless_missing(self.call("DELETE", kind.path(self.namespace, name), body=body))

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: str = JSON,
    ) -> dict[str, Any]:
        """One request, sent again while that may help and the budget lasts. Raises ApiError."""
        patience = self.patience

        async def once(seconds: float) -> dict[str, Any]:
            timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=patience.connect, sock_read=patience.answer)
            response = await self.send(method, path, query=query, body=body, content=content, timeout=timeout)
            async with response:
                return _object(await response.read())

        return await _persistently(once, patience)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: str = JSON,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """One request, once. The answer is a success and must be released. Raises ApiError, also without an answer."""
        headers = {"Content-Type": content, "Accept": JSON, "User-Agent": MANAGER}
        with _no_answer():
            await self._client.update_params_for_auth(headers, [], ["BearerToken"])
            response: aiohttp.ClientResponse = await self._client.rest_client.request(
                method,
                f"{self._client.configuration.host}{path}",
                query_params=dict(query or {}),
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=timeout,
            )
            if response.status < 300:
                return response
            async with response:
                raise failure(response.status, await response.read(), retry_after=response.headers.get("Retry-After"))

    async def _unless_missing(self, call: Awaitable[dict[str, Any]]) -> dict[str, Any] | None:
        try:
            return await call
        except ApiError as error:
            if error.meaning is not Meaning.MISSING:
                raise
            return None


async def configuration(kubeconfig: Path | None, *, strict_tls: bool = True) -> Configuration:
    """How the cluster is reached: by a file, or, without one, as the Pod we run in.

    `strict_tls` off: for certificates without key identifiers, which Python 3.13 refuses.
    """
    found = Configuration()
    if kubeconfig is None:
        load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
    else:
        await load_kube_config(str(kubeconfig), client_configuration=found, persist_config=False)
    found.disable_strict_ssl_verification = not strict_tls
    return found


async def _persistently(once: Callable[[float], Awaitable[dict[str, Any]]], patience: Patience) -> dict[str, Any]:
    """Send again what may work when sent again, until the budget is spent. Raises the last ApiError."""
    clock = asyncio.get_running_loop().time
    deadline, pause = clock() + patience.budget, patience.first
    while True:
        try:
            with _no_answer():
                return await once(max(0.1, deadline - clock()))  # of 0 the transport makes: for ever
        except ApiError as error:
            if error.meaning is Meaning.CONTENDED:
                wait = random.uniform(*CONTENTION)
            elif error.meaning is Meaning.AGAIN:
                wait = max(error.retry_after or 0.0, random.uniform(pause / 2, pause))
                pause = min(pause * 2, patience.longest)
            else:
                raise
            if clock() + wait > deadline:
                raise
        await asyncio.sleep(wait)


@contextmanager
def _no_answer() -> Iterator[None]:
    """Whatever the transport raises is an ApiError that may be tried again."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ApiError(Meaning.AGAIN, f"the API of the cluster does not answer: {error!r}") from error


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):  # a page of something between us and the cluster
        raise ApiError(Meaning.AGAIN, f"no object in the answer: {body[:100]!r}")
    return found
