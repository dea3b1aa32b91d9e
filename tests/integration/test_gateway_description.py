"""The product does what its OpenAPI document says, whatever the document allows or forbids."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from shared.bus.connection import connect
from shared.contract import images
from shared.contract.preflight import Preview, Question, Reply
from shared.contract.subjects import rpc
from siteferry.embedded.servers.ports import free_port
from tests.integration.edge import caddy_before
from tests.integration.gateway_process import Gateway, running_gateway, running_status

EXAMPLES = int(os.environ.get("SITEFERRY_SCHEMATHESIS_EXAMPLES", "20"))
"""Of each operation. 100 are asked with SITEFERRY_SCHEMATHESIS_EXAMPLES=100, which takes minutes."""
SECONDS = 45 if EXAMPLES <= 20 else 1500
NOT_ASKED = "positive_data_acceptance"
"""JSON Schema has no words for some of what is refused: what is no address (all that take one), a moment that is over
(the end of a clone or of a key), a cursor nobody gave (the lists), a filter that says nothing (operations on many), a
name no server has (webhooks), what is no cron expression or time zone (schedules); and the tool sends one
Idempotency-Key with several bodies. The other operations pass."""


@asynccontextmanager
async def looker(gateway: Gateway) -> AsyncIterator[None]:
    """In place of a cloner: says of every site that nothing answers there, and keeps no images."""

    async def look(asked: Msg) -> None:
        question = Question.model_validate_json(asked.data)
        seen = Preview(ready=False, source_url=question.source_url, message="Nothing answers there.")
        await asked.respond(Reply(preview=seen).model_dump_json().encode())

    async def no_images(asked: Msg) -> None:
        await asked.respond(images.Reply().model_dump_json().encode())

    async with connect(gateway.settings, service="test") as bus:
        await bus.nc.subscribe(rpc("cloner", "preflight"), cb=look)
        await bus.nc.subscribe(rpc("cloner", "images"), cb=no_images)
        yield


@pytest.mark.timeout(2400)
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", "--no-color", "--continue-on-failure"]
    command += ["--checks", "all", "--exclude-checks", NOT_ASKED]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS)]
    status_port = free_port()
    with ExitStack() as stack:
        gateway = stack.enter_context(running_gateway(rate_limit_per_minute=0, sync_seconds=1))
        stack.enter_context(running_status(gateway, status_port))
        origin = stack.enter_context(caddy_before(gateway.port, status_port)).url
        async with looker(gateway):
            asked = await asyncio.to_thread(
                subprocess.run,
                [*command, f"{origin}/openapi.json"],
                cwd=tmp_path,  # where it keeps what it found
                capture_output=True,
                text=True,
                timeout=SECONDS + 600,
                check=False,
            )
        assert "Traceback" not in gateway.log, gateway.log[gateway.log.index("Traceback") - 600 :][:6000]
    print(asked.stdout[-3000:])
    assert asked.returncode == 0, asked.stdout[-12_000:] + asked.stderr[-2000:]
