"""What docs/events shows is what is on the streams, and old messages are understood by today's code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.contract.events import MODELS, decode, fold
from shared.contract.subjects import EventType, parse
from tests.contract.event_examples import DIRECTORY, examples, rendered


def test_documented_events_are_todays_events() -> None:
    documented = {path.name: path.read_text() for path in DIRECTORY.glob("*.json")}
    assert documented == rendered(), "run: python -m tests.contract.event_examples, and read the difference"


@pytest.mark.parametrize("event", list(MODELS))
def test_documented_event_is_read_as_what_it_says(event: EventType) -> None:
    document = _document(event)
    assert parse(document["subject"])[1] is event
    assert decode(event, json.dumps(document["payload"]).encode()) == examples()[event]


@pytest.mark.parametrize("event", list(MODELS))
def test_fields_of_newer_writers_are_ignored(event: EventType) -> None:
    payload = _document(event)["payload"]
    payload["invented_later"] = True
    if "job" in payload:
        payload["job"]["invented_later"] = {"a": 1}
    assert decode(event, json.dumps(payload).encode()) == examples()[event]


def test_examples_in_their_order_make_a_job() -> None:
    job = None
    for seq, event in enumerate([EventType.REQUESTED, EventType.STARTED, EventType.PROGRESS, EventType.COMPLETED], 1):
        job = fold(job, examples()[event], seq)
    assert job
    assert (job.status, job.progress, job.seq, job.n) == ("completed", 100.0, 4, 4)


def _document(event: EventType) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DIRECTORY / f"{examples()[event].kind}.{event}.json").read_text())
    return document
