"""docs/asyncapi.json: up to date, valid by the official schema, and true of what is really sent.

asyncapi/3.0.0.json.gz is the schema of AsyncAPI 3.0.0 as published, from the npm package @asyncapi/specs 6.11.1
(Apache-2.0).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from services.status.asyncapi import document, text
from shared.bus.connection import Bus
from shared.contract.subjects import EventType
from tests.contract.event_examples import examples
from tests.live.client import live
from tests.live.simulator import Simulated
from tests.live.stack import NatsHouse, nats_house, status_process

ROOT = Path(__file__).parents[2]
OFFICIAL = Path(__file__).parent / "asyncapi" / "3.0.0.json.gz"
Json = dict[str, Any]


def validator(name: str) -> Any:
    """A validator of one of the document's schemas."""
    whole = document()
    schema = {"$ref": f"#/components/schemas/{name}", "components": whole["components"]}
    return jsonschema.Draft202012Validator(schema)


def of_message(name: str) -> Any:
    reference = document()["components"]["messages"][name]["payload"]["$ref"]
    return validator(reference.rpartition("/")[2])


def test_the_committed_document_is_todays() -> None:
    committed = (ROOT / "docs" / "asyncapi.json").read_text()
    assert committed == text(), "run: python -m services.status.asyncapi > docs/asyncapi.json, and read the difference"


def test_it_is_valid_by_the_official_schema() -> None:
    official = json.loads(gzip.decompress(OFFICIAL.read_bytes()))
    jsonschema.Draft7Validator(official).validate(json.loads(text()))
    broken = json.loads(text())
    broken["channels"]["live"]["address"] = 7
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(official).validate(broken)


def test_every_reference_leads_somewhere() -> None:
    whole = json.loads(text())

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target = whole
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(whole)


@pytest.mark.parametrize("event", list(examples()))
def test_events_are_what_it_says(event: EventType) -> None:
    message = examples()[event]
    payload = json.loads(message.model_dump_json(exclude_none=True))
    of_message(f"{message.kind}.{event}").validate(payload)
    del payload["job_id"]
    with pytest.raises(jsonschema.ValidationError):
        of_message(f"{message.kind}.{event}").validate(payload)


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[NatsHouse]:
    with nats_house() as house:
        yield house


@pytest.fixture(scope="module")
async def bus(house: NatsHouse) -> AsyncIterator[Bus]:
    async with house.bus() as bus:
        yield bus


async def test_frames_of_a_real_connection_are_what_it_says(house: NatsHouse, bus: Bus) -> None:
    job = await Simulated(bus).submit()
    async with status_process(house) as status:
        async with live(status.ws_url, hello=False) as client:
            said: list[Json] = [{"type": "hello", "v": 1}, {"type": "sub", "id": "a", "job": job.job_id}]
            said += [{"type": "sub", "id": "b", "list": "jobs"}, {"type": "sub", "id": "c", "list": "clones"}]
            said += [{"type": "sub", "id": "x", "job": "clone-0000000000000000"}, {"type": "ping", "k": 1}]
            for frame in said:
                of_message(str(frame["type"]).title()).validate(frame)
                await client.say(**frame)
            await client.until("pong")
            await job.start()
            await job.run_steps()
            await job.complete()
            await client.until("ev", id="c")
            await client.say(type="sub", id="again", job=job.job_id)
            await client.until("end", id="again")
            await status.stop()
            await client.until("bye")
        seen = set()
        for frame in client.frames:
            name = {"snap": "Snap"}.get(frame["type"], frame["type"].title())
            for topic in ("jobs", "clones"):
                name = f"{topic.title()}Snap" if topic in frame else name
            of_message(name).validate(frame)
            properties = document()["components"]["schemas"][name]["properties"]
            assert set(frame) <= set(properties), "something is said that is not documented"
            seen.add(name)
        assert seen >= {"Ready", "Snap", "JobsSnap", "ClonesSnap", "Ev", "End", "Err", "Pong", "Bye"}
        details = set(document()["components"]["schemas"]["JobDetail"]["properties"])
        assert {key for frame in client.frames if "job" in frame for key in frame["job"]} <= details
