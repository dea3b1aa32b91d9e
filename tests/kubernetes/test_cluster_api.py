"""The adapter to a cluster, on a real API server with its controllers, with trouble in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from services.cloner.drivers.kubernetes import api
from services.cloner.drivers.kubernetes.answers import ApiError, Meaning
from services.cloner.drivers.kubernetes.api import PODS, QUOTAS, SECRETS, Cluster, Patience, configuration
from services.cloner.drivers.kubernetes.reflector import Reflector
from tests.kubernetes.bed.plane import ControlPlane
from tests.kubernetes.trouble import Trouble, busy, page, trouble
from tests.live.stack import eventually

pytestmark = pytest.mark.timeout(180)
LABEL = {"app.kubernetes.io/managed-by": "siteferry"}
OURS = "app.kubernetes.io/managed-by=siteferry"


def pod(name: str, **more: Any) -> dict[str, Any]:
    """A Pod that Pod Security lets in as `restricted`; no node will ever run it."""
    container = {
        "name": "web",
        "image": "nowhere.invalid/web",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"automountServiceAccountToken": False, "securityContext": security, "containers": [container], **more}
    return {"metadata": {"name": name, "labels": LABEL}, "spec": spec}


@pytest.fixture
async def cluster(plane: ControlPlane, namespace: str) -> AsyncIterator[Cluster]:
    async with Cluster.of(await configuration(plane.admin), namespace) as made:
        yield made


@asynccontextmanager
async def troubled(plane: ControlPlane, namespace: str, patience: Patience) -> AsyncIterator[tuple[Cluster, Trouble]]:
    """The same with trouble in between."""
    async with trouble(plane.api.url, plane.api.authority) as maker:
        reached = await configuration(plane.admin)
        reached.host = maker.url
        async with Cluster.of(reached, namespace, patience) as cluster:
            yield cluster, maker


HASTY = Patience(connect=2, answer=20, budget=40, first=0.05, longest=0.5)


async def meaning(call: Awaitable[Any]) -> Meaning:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value.meaning


async def test_what_is_applied_twice_is_there_once(cluster: Cluster) -> None:
    first = await cluster.apply(PODS, pod("clone-a"))
    again = await cluster.apply(PODS, pod("clone-a"))
    assert first["metadata"]["uid"] == again["metadata"]["uid"]
    assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]
    found, _ = await cluster.list(PODS, selector=OURS)
    assert [one["metadata"]["name"] for one in found] == ["clone-a"]
    other = pod("clone-a", activeDeadlineSeconds=60, hostname="other")
    assert await meaning(cluster.apply(PODS, other)) is Meaning.REFUSED


async def test_a_long_list_comes_in_pages(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "PAGE", 2)
    names = {f"page-{number}" for number in range(5)}
    for name in names:
        await cluster.apply(SECRETS, {"metadata": {"name": name, "labels": LABEL}})
    await cluster.apply(SECRETS, {"metadata": {"name": "strange"}})
    found, version = await cluster.list(SECRETS, selector=OURS)
    assert sorted(one["metadata"]["name"] for one in found) == sorted(names)
    assert version.isdecimal()


async def test_delete_may_be_repeated_and_names_the_very_one(cluster: Cluster) -> None:
    made = await cluster.apply(PODS, pod("clone-b"))
    assert await meaning(cluster.delete(PODS, "clone-b", uid="00000000-0000-0000-0000-000000000000")) is Meaning.LOST
    await cluster.delete(PODS, "clone-b", uid=made["metadata"]["uid"])
    await cluster.delete(PODS, "clone-b")
    assert await cluster.get(PODS, "clone-b") is None


async def test_what_a_pod_owns_goes_with_it(cluster: Cluster) -> None:
    owner = await cluster.apply(PODS, pod("clone-c"))
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "clone-c", "uid": owner["metadata"]["uid"]}
    await cluster.apply(
        SECRETS, {"metadata": {"name": "clone-c", "ownerReferences": [reference]}, "stringData": {"a": "b"}}
    )
    await cluster.apply(SECRETS, {"metadata": {"name": "kept"}})
    await cluster.delete(PODS, "clone-c")

    async def gone() -> bool:
        return await cluster.get(SECRETS, "clone-c") is None

    await eventually(gone, timeout=60, what="the collection of the secret")
    assert await cluster.get(SECRETS, "kept") is not None


async def test_a_full_namespace_is_no_failure(cluster: Cluster) -> None:
    """Six at once for two places: exactly two get one, and one that goes makes room for one."""
    await cluster.apply(QUOTAS, {"metadata": {"name": "clones"}, "spec": {"hard": {"pods": "2"}}})

    async def counted() -> bool:
        return "used" in (await cluster.get(QUOTAS, "clones") or {}).get("status", {})

    await eventually(counted, timeout=60, what="the count of the quota")

    async def got(name: str) -> str:
        try:
            await cluster.apply(PODS, pod(name))
        except ApiError as error:
            return error.meaning
        return "made"

    names = [f"clone-{number}" for number in range(6)]
    results = await asyncio.gather(*map(got, names))
    assert sorted(results) == ["made"] * 2 + [Meaning.NO_ROOM] * 4
    await cluster.delete(PODS, names[results.index("made")])
    waiting = names[results.index(Meaning.NO_ROOM)]

    async def made() -> bool:
        return await got(waiting) == "made"

    await eventually(made, timeout=60, what="room for one more")


async def test_what_can_never_work_is_said_at_once(plane: ControlPlane, cluster: Cluster) -> None:
    rootless = pod("clone-d")
    del rootless["spec"]["securityContext"]
    assert await meaning(cluster.apply(PODS, rootless)) is Meaning.REFUSED
    await cluster.apply(QUOTAS, {"metadata": {"name": "memory"}, "spec": {"hard": {"requests.memory": "1Gi"}}})

    async def refused() -> bool:
        with suppress(ApiError):
            await cluster.apply(PODS, pod("clone-e"))
            await cluster.delete(PODS, "clone-e")
            return False
        return True

    await eventually(refused, timeout=60, what="the quota that wants to know the memory")
    with pytest.raises(ApiError, match=r"must specify requests\.memory") as caught:
        await cluster.apply(PODS, pod("clone-e"))
    assert caught.value.meaning is Meaning.REFUSED
    plane.kubectl("create", "serviceaccount", "nobody", f"--namespace={cluster.namespace}")
    token = plane.kubectl("create", "token", "nobody", f"--namespace={cluster.namespace}").strip()
    reached = await configuration(plane.admin)
    reached.api_key["BearerToken"] = f"Bearer {token}"
    reached.refresh_api_key_hook = None
    async with Cluster.of(reached, cluster.namespace) as nobody:
        assert await meaning(nobody.list(SECRETS)) is Meaning.REFUSED


async def test_of_many_who_claim_one_only_one_gets_it(cluster: Cluster) -> None:
    made = await cluster.apply(PODS, pod("warm"))
    version = made["metadata"]["resourceVersion"]

    async def claimed(who: int) -> str:
        changes = {"metadata": {"resourceVersion": version, "annotations": {"claimed-by": str(who)}}}
        try:
            await cluster.change(PODS, "warm", changes)
        except ApiError as error:
            return error.meaning
        return "claimed"

    results = await asyncio.gather(*map(claimed, range(8)))
    assert sorted(results) == ["claimed"] + [Meaning.LOST] * 7


async def test_trouble_on_the_way_is_overcome(plane: ControlPlane, namespace: str) -> None:
    async with troubled(plane, namespace, HASTY) as (cluster, maker):
        maker.ordered = [busy(1), page, "lost", lambda: _status(409, 'cannot be fulfilled on resourcequotas "clones"')]
        begun = asyncio.get_running_loop().time()
        made = await cluster.apply(PODS, pod("clone-f"))
        assert asyncio.get_running_loop().time() - begun >= 1, "it was asked to wait a second"
        assert len(maker.seen) == 5
        found, _ = await cluster.list(PODS)
        assert [one["metadata"]["uid"] for one in found] == [made["metadata"]["uid"]], "the lost answer's was its own"


def _status(code: int, message: str) -> Any:
    from aiohttp import web

    text = json.dumps({"kind": "Status", "code": code, "reason": "Conflict", "message": message})
    return web.Response(status=code, text=text, content_type="application/json")


async def test_trouble_without_end_ends(plane: ControlPlane, namespace: str) -> None:
    async with troubled(plane, namespace, replace(HASTY, budget=1.0)) as (cluster, maker):
        maker.ordered = [page] * 1000
        assert await meaning(cluster.list(PODS)) is Meaning.AGAIN
        assert 3 <= len(maker.seen) <= 30
    async with troubled(plane, namespace, replace(HASTY, answer=0.5, budget=1.0)) as (cluster, maker):
        maker.ordered = ["silent"] * 10
        begun = asyncio.get_running_loop().time()
        assert await meaning(cluster.list(PODS)) is Meaning.AGAIN
        assert asyncio.get_running_loop().time() - begun < 10


@asynccontextmanager
async def followed(cluster: Cluster, **options: Any) -> AsyncIterator[Reflector]:
    reflector = Reflector(cluster, PODS, selector=OURS, longest_pause=0.5, **options)
    running = asyncio.create_task(reflector.run())
    try:
        yield reflector
        assert not running.done(), "it gave up"
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def shows(reflector: Reflector, *names: str) -> Callable[[], bool]:
    return lambda: set(reflector.items) == set(names)


async def test_a_copy_follows_whatever_happens_to_its_watch(plane: ControlPlane, namespace: str) -> None:
    async with troubled(plane, namespace, HASTY) as (cluster, maker), followed(cluster) as reflector:
        await cluster.apply(PODS, pod("clone-1"))
        await eventually(shows(reflector, "clone-1"), timeout=60, what="the first")
        await eventually(lambda: maker.watches, timeout=30, what="a watch")
        assert maker.cut() >= 1
        await cluster.apply(PODS, pod("clone-2"))
        await eventually(shows(reflector, "clone-1", "clone-2"), timeout=60, what="the second, after a cut")
        await eventually(lambda: maker.watches, timeout=30, what="a new watch")
        maker.cut()
        gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
        maker.ordered_watches = [page, lambda: _watch({"type": "ERROR", "object": gone}), "page"]
        await cluster.delete(PODS, "clone-1")
        await eventually(shows(reflector, "clone-2"), timeout=60, what="one less")
        await eventually(lambda: not maker.ordered_watches and maker.watches, timeout=60, what="a watch after all that")
        await cluster.apply(PODS, pod("clone-3"))
        await eventually(shows(reflector, "clone-2", "clone-3"), timeout=60, what="the third")
        assert reflector.healthy


def _watch(event: Any) -> Any:
    from aiohttp import web

    return web.Response(text=json.dumps(event) + "\n", content_type="application/json")


async def test_a_watch_that_ends_is_continued(cluster: Cluster) -> None:
    async with followed(cluster, window=2.0) as reflector:
        for number in range(4):
            await cluster.apply(PODS, pod(f"clone-{number}"))
            wanted = [f"clone-{n}" for n in range(number + 1)]
            await eventually(shows(reflector, *wanted), timeout=60, what=f"number {number}")
            await asyncio.sleep(0.8)


async def test_an_api_server_that_is_away_is_waited_for(plane: ControlPlane, cluster: Cluster) -> None:
    async with followed(cluster) as reflector:
        await cluster.apply(PODS, pod("clone-1"))
        await eventually(shows(reflector, "clone-1"), timeout=60, what="the first")
        await asyncio.to_thread(plane.stop, plane.api)
        asked = asyncio.create_task(cluster.apply(PODS, pod("clone-2")))
        await asyncio.sleep(2)
        assert not asked.done()
        assert set(reflector.items) == {"clone-1"}, "what was known stays known"
        await asyncio.to_thread(plane.start, plane.api)
        assert (await asked)["metadata"]["name"] == "clone-2"
        await eventually(shows(reflector, "clone-1", "clone-2"), timeout=60, what="the second")
