"""Group commit on a real nats-server: every caller gets the answer to its own message."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError

from services.gateway.group import MANY, Group
from shared.bus.batch import Outgoing, publish_batch
from shared.bus.connection import connect
from shared.contract import streams
from shared.settings import Settings
from tests.integration.gateway_process import running_nats

STREAM = streams.STREAMS["clone"]


@pytest.fixture
async def js() -> AsyncIterator[JetStreamContext]:
    """JetStream with everything installed."""
    directory = Path(tempfile.mkdtemp(prefix="siteferry-"))
    try:
        with running_nats(directory / "nats") as (server, _):
            settings = Settings(nats_url=server.url, nats_token_file=server.token_file)
            async with connect(settings, service="test") as bus:
                await streams.install(bus.js)
                yield bus.js
    finally:
        shutil.rmtree(directory)


def subject(number: int) -> str:
    return f"clone.requested.normal.clone-{number:016}"


async def test_many_at_once_are_stored_in_few_batches_each_with_its_own_sequence(js: JetStreamContext) -> None:
    group = Group(js, timeout=5)
    acks = await asyncio.gather(*(group.publish(subject(number), str(number).encode()) for number in range(MANY + 50)))
    assert sorted(ack.seq for ack in acks) == list(range(1, MANY + 51))
    batches = set()
    for number, ack in enumerate(acks):
        stored = await js.get_msg(STREAM, ack.seq)
        assert (stored.subject, stored.data) == (subject(number), str(number).encode())
        batches.add((stored.headers or {}).get("Nats-Batch-Id"))
    assert len(batches) == 2


async def test_one_refused_message_fails_alone(js: JetStreamContext) -> None:
    group = Group(js, timeout=5)
    wrong = {"Nats-Expected-Last-Subject-Sequence": "999"}
    outcomes = await asyncio.gather(
        *(group.publish(subject(number), b"", headers=wrong if number == 7 else None) for number in range(20)),
        return_exceptions=True,
    )
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Exception)] == [7]
    assert isinstance(outcomes[7], APIError)
    assert (await js.stream_info(STREAM)).state.messages == 19


async def test_a_message_stored_before_is_not_stored_again(js: JetStreamContext) -> None:
    group = Group(js, timeout=5)
    first = await group.publish(subject(3), b"", headers={"Nats-Msg-Id": "3"})
    acks = await asyncio.gather(
        *(group.publish(subject(number), b"", headers={"Nats-Msg-Id": str(number)}) for number in range(20))
    )
    assert acks[3].duplicate
    assert acks[3].seq == first.seq
    assert (await js.stream_info(STREAM)).state.messages == 20


async def test_secrets_can_be_put_in_batches(js: JetStreamContext) -> None:
    bucket = await js.key_value(streams.VAULT)
    names = [f"clone-{number:016}" for number in range(20)]
    messages = [Outgoing(f"$KV.{streams.VAULT}.{name}", name.encode()) for name in names]
    await publish_batch(js, messages, timeout=5)
    assert [(await bucket.get(name)).value for name in names] == [name.encode() for name in names]


async def test_a_bucket_made_by_an_earlier_version_learns_to_take_batches(js: JetStreamContext) -> None:
    await js.delete_key_value(streams.VAULT)
    await js.create_key_value(streams.BUCKETS[streams.VAULT])
    before = (await js.stream_info(f"KV_{streams.VAULT}")).config
    await streams.install(js)
    after = (await js.stream_info(f"KV_{streams.VAULT}")).config
    assert not before.allow_atomic
    assert after == before.evolve(allow_atomic=True, metadata=after.metadata)  # the server counts versions there


async def test_who_waits_no_longer_holds_up_nobody(js: JetStreamContext) -> None:
    group = Group(js, timeout=5)
    gone = asyncio.create_task(group.publish(subject(0), b""))
    await asyncio.sleep(0)
    gone.cancel()
    acks = await asyncio.gather(*(group.publish(subject(number), b"") for number in range(1, 20)))
    assert len({ack.seq for ack in acks}) == 19


async def test_when_the_server_is_silent_everybody_is_told_in_time() -> None:
    directory = Path(tempfile.mkdtemp(prefix="siteferry-"))
    try:
        with running_nats(directory / "nats") as (server, process):
            settings = Settings(nats_url=server.url, nats_token_file=server.token_file)
            async with connect(settings, service="test") as bus:
                await streams.install(bus.js)
                group = Group(bus.js, timeout=0.5)
                os.kill(process.pid, signal.SIGSTOP)
                calls = (group.publish(subject(number), b"") for number in range(20))
                try:
                    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
                finally:
                    os.kill(process.pid, signal.SIGCONT)
        assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 20
    finally:
        shutil.rmtree(directory)
