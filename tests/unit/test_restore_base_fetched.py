"""What a clone was when it was made decides what a restore overwrites: none begins without having asked for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, Any

import nats.errors
import pytest
from nats.js.errors import DigestMismatchError

from services.restorer.run import BASE
from services.restorer.workflow import RestoreWorkflow, _Hand
from shared.bus import base_store
from shared.contract.events import RestoreRequested
from shared.contract.subjects import Lane


class Context:
    """As much of a job as fetching a base asks for."""

    job_id, bus = "restore-578gqkbajqkft0mt", None
    command = RestoreRequested(
        job_id=job_id,
        lane=Lane.NORMAL,
        clone_id="clone-578gqkbajqkft0mt",
        source_url="http://clone.localhost",
        target_url="http://shop.example",
        secret_ref=job_id,
    )

    def __init__(self) -> None:
        self.hand = _Hand()

    def belonging(self, kind: type[_Hand]) -> _Hand:
        return self.hand


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def answering(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(bus: object, name: str, into: IO[bytes]) -> str | None:
        into.write(b"packed")
        if isinstance(answer, Exception):
            raise answer
        found: str | None = answer
        return found

    monkeypatch.setattr(base_store, "fetch", fetch)


async def fetched(context: Any) -> None:
    nobody: Any = None
    await RestoreWorkflow(nobody, nobody, nobody)._fetch_base(context)


@pytest.mark.parametrize("away", [nats.errors.TimeoutError(), nats.errors.NoServersError(), TimeoutError(), OSError()])
async def test_while_it_can_not_be_fetched_the_job_does_not_go_on(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, away: Exception
) -> None:
    context = Context()
    answering(away, monkeypatch)
    with pytest.raises(type(away)):
        await fetched(context)
    assert list(scratch.iterdir()) == [context.hand.directory]
    answering("clone-578gqkbajqkft0mt", monkeypatch)
    await fetched(context)
    assert (context.hand.directory / BASE).read_bytes() == b"packed", "asked for once more"
    await context.hand.close()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("answer", [None, DigestMismatchError()])
async def test_where_there_is_none_or_a_damaged_one_the_restore_goes_on_without(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    context = Context()
    answering(answer, monkeypatch)
    await fetched(context)
    assert list(context.hand.directory.iterdir()) == []
    assert list(scratch.iterdir()) == [context.hand.directory]
    answering(OSError(), monkeypatch)
    await fetched(context)
    await context.hand.close()
