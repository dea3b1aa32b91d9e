"""`Prefer: wait` on `GET /jobs/{id}`: news at once, 304 when there are none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.gateway.waiting import LONGEST, wish
from tests.live.guarded import Guarded, guarded
from tests.live.simulator import Simulated
from tests.live.stack import eventually


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Guarded]:
    async with guarded(keys=False) as found:
        yield found


def test_what_prefer_asks_for() -> None:
    assert [wish(text) for text in (None, "", "respond-async", "wait=abc")] == [0, 0, 0, 0]
    assert wish("wait=10") == 10
    assert wish('respond-async, Wait = "7"') == 7
    assert wish("wait=9999") == LONGEST


async def test_a_waiting_call_is_answered_when_the_job_moves(it: Guarded) -> None:
    job = await Simulated(it.bus).submit()
    async with it.client() as client:
        path = f"/jobs/{job.job_id}"
        etag = await eventually(lambda: _settled(client, path), what="the projection of the job")
        waiting = [
            asyncio.create_task(client.get(path, headers={"If-None-Match": etag, "Prefer": "wait=25"}))
            for _ in range(5)
        ]
        began = time.monotonic()
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in waiting), "answered without news"
        await job.start()
        answers = await asyncio.gather(*waiting)
        assert time.monotonic() - began < 15
        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].json()["status"] == "running"
        assert answers[0].headers["preference-applied"] == "wait=25"


async def test_without_news_it_answers_304_after_the_time(it: Guarded) -> None:
    job = await Simulated(it.bus).submit()
    async with it.client() as client:
        path = f"/jobs/{job.job_id}"
        etag = await eventually(lambda: _settled(client, path), what="the projection of the job")
        began = time.monotonic()
        answer = await client.get(path, headers={"If-None-Match": etag, "Prefer": "wait=1"})
        assert answer.status_code == 304
        assert time.monotonic() - began >= 0.9
        other = await client.get(path, headers={"If-None-Match": '"older"', "Prefer": "wait=25"})
        assert other.status_code == 200
        assert "preference-applied" not in other.headers


async def _settled(client: object, path: str) -> str | None:
    """The ETag once two looks give the same."""
    first = await client.get(path)  # type: ignore[attr-defined]
    again = await client.get(path)  # type: ignore[attr-defined]
    return first.headers["etag"] if first.headers.get("etag") == again.headers.get("etag") else None
