"""`siteferry watch` over the WebSocket, through Caddy, with an API key: no poll, no change lost over a restart."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.guarded import KEYS, write_keys
from tests.live.simulator import Simulated
from tests.live.stack import eventually
from tests.live.stage import Stage, stage

SITEFERRY = str(Path(sys.executable).parent / "siteferry")


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name:
        key_file = Path(name) / "keys"
        write_keys(key_file, *KEYS)
        async with stage(api_keys_file=str(key_file)) as found:
            yield found


class Watching:
    """A running `siteferry watch`."""

    def __init__(self, it: Stage, *arguments: str, key: str = KEYS["agency"]) -> None:
        self._it, self._arguments, self._key = it, arguments, key
        self.out = ""
        self.err = ""

    async def __aenter__(self) -> Watching:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SITEFERRY_")}
        environment = kept | {
            "SITEFERRY_URL": self._it.url,
            "SITEFERRY_API_KEY": self._key,
            "SITEFERRY_STATE": "/nonexistent/siteferry",
            "NO_COLOR": "1",
            "COLUMNS": "120",
        }
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            SITEFERRY, "watch", *self._arguments, env=environment, stdout=pipe, stderr=pipe, limit=2**22
        )
        assert self.process.stdout
        assert self.process.stderr
        self._readers = [
            asyncio.create_task(self._read(self.process.stdout, "out")),
            asyncio.create_task(self._read(self.process.stderr, "err")),
        ]
        return self

    async def _read(self, stream: asyncio.StreamReader, name: str) -> None:
        async for line in stream:
            setattr(self, name, getattr(self, name) + line.decode())

    async def end(self, timeout: float = 20) -> int:
        async with asyncio.timeout(timeout):
            code = await self.process.wait()
            await asyncio.gather(*self._readers)
        return code

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(*self._readers)


async def job_of(it: Stage, **options: object) -> Simulated:
    return await Simulated(it.bus, tenant="agency", keys=it.keys, **options).submit()  # type: ignore[arg-type]


async def test_every_change_is_a_line_of_json_and_the_last_one_has_the_login(it: Stage) -> None:
    job = await job_of(it)
    async with Watching(it, job.job_id, "--json") as watching:
        await eventually(lambda: "pending" in watching.out, timeout=20)
        await job.start()
        await eventually(lambda: "running" in watching.out, timeout=20)  # from here on it watches live
        await job.run_steps()
        await job.complete()
        assert await watching.end() == 0
    lines = [json.loads(line) for line in watching.out.splitlines()]
    assert lines[-1]["status"] == "completed"
    assert lines[-1]["result"]["password"] == "correct-horse-7"
    steps = [line["step"] for line in lines]
    assert {"files", "database", "verify"} <= set(steps), "steps were missed: was it polled?"
    progress = [line["progress"] for line in lines]
    assert progress == sorted(progress)
    assert len({line["seq"] for line in lines if line["seq"]}) >= len(lines) - 1, "a change came twice"


async def test_a_restart_is_said_and_nothing_is_missed(it: Stage) -> None:
    job = await job_of(it)
    async with Watching(it, job.job_id) as watching:
        await eventually(lambda: "pending" in watching.err, timeout=20)
        await job.start()
        await job.run_steps(upto="files")
        await eventually(lambda: "Copy files" in watching.err, timeout=20)
        it.status.kill()
        await eventually(lambda: "reconnecting" in watching.err, timeout=20)
        await it.start_status(port=0).ready()
        await eventually(lambda: "connected again" in watching.err, timeout=20)
        await job.fail()
        assert await watching.end() == 1
    assert "Code: source_unreachable" in watching.err


async def test_without_names_all_live_jobs_are_watched_and_new_ones_join(it: Stage) -> None:
    first = await job_of(it, name="First")
    async with Watching(it) as watching:
        await eventually(lambda: first.job_id in watching.err, timeout=20)
        second = await job_of(it, name="Second")
        await eventually(lambda: second.job_id in watching.err, timeout=20)
        for job in (first, second):
            await job.start()
            await job.complete()
        assert await watching.end() == 0
    assert watching.out.count("Password") == 2


async def test_ctrl_c_detaches_and_a_wrong_key_is_refused(it: Stage) -> None:
    job = await job_of(it)
    async with Watching(it, job.job_id) as watching:
        await eventually(lambda: "pending" in watching.err, timeout=20)
        watching.process.send_signal(signal.SIGINT)
        assert await watching.end() == 130
    assert f"siteferry watch {job.job_id}" in watching.err
    async with Watching(it, job.job_id, key="wrong") as refused:
        assert await refused.end() == 3
    assert "--api-key" in refused.err
    async with Watching(it, job.job_id, key=KEYS["other"]) as stranger:
        assert await stranger.end() == 1
    assert "no such job" in stranger.err
