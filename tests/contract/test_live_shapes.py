"""What is pushed looks like what REST answers, so that a page may take either."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from services.gateway import views
from services.status.live import shape
from services.status.projection import State
from shared.contract.events import now
from shared.contract.jobs import Clone, CloneResult, Job, RestorePlan, RestoreResult, Snapshot, Status, Step
from shared.secrets.vault import KeyRing

KEYS = KeyRing([b"k" * 32])
SEALED = KEYS.seal("correct-horse", purpose="clone-0k3v9x2m7c1p5t8w")
RESTORE_ID = "restore-0k3v9x2m7c1p5t8w"
LATER = now() + timedelta(hours=3)
JOB = Job(
    job_id="clone-0k3v9x2m7c1p5t8w",
    type="clone",
    status=Status.COMPLETED,
    progress=99.96,
    steps=[Step(name="files", title="Copy files")],
    created_at=now(),
    updated_at=now(),
    result=CloneResult(
        clone_id="clone-0k3v9x2m7c1p5t8w",
        clone_url="http://c/",
        admin_url="http://c/wp-admin/",
        username="u",
        sealed_password=SEALED,
        expires_at=now(),
    ),
)
CLONE = Clone(
    clone_id=JOB.job_id,
    source_url="https://s/",
    clone_url="http://c/",
    admin_url="http://c/wp-admin/",
    username="u",
    sealed_password=SEALED,
    created_at=now(),
    expires_at=LATER,
)


def within(smaller: dict[str, Any], larger: dict[str, Any]) -> None:
    """Assert that everything in one is in the other. What became of a job's clone is pushed with the clone."""
    smaller = {name: value for name, value in smaller.items() if name != "clone_state"}
    assert {name: larger.get(name, "absent") for name in smaller} == smaller


def test_a_pushed_job_has_all_that_rest_answers_but_the_password() -> None:
    answer = views.job_answer(JOB, CLONE, KEYS).model_dump(mode="json")
    pushed = shape.job_detail(State(JOB, CLONE))
    result = answer.pop("result")
    assert result.pop("password") == "correct-horse"
    within(answer, pushed)
    assert result == pushed["result"], "a page that takes either must not see two shapes"


def test_a_pushed_restore_has_all_that_rest_answers() -> None:
    result = RestoreResult(target_url="https://t/", snapshot_id=RESTORE_ID, plan=RestorePlan(losses={"order": 2}))
    job = JOB.model_copy(update={"job_id": RESTORE_ID, "type": "restore", "target_url": "https://t/", "result": result})
    snapshot = Snapshot(snapshot_id=RESTORE_ID, target_url="https://t/", created_at=now())
    for made in (None, snapshot):
        answer = views.job_answer(job, made, KEYS).model_dump(mode="json")
        within(answer, shape.job_detail(State(job, snapshot=made)))
        within(answer, json.loads(shape.job_detail_text(State(job, snapshot=made))))


def test_pushed_summaries_have_all_that_rest_lists() -> None:
    within(views.job_summary(JOB).model_dump(mode="json"), shape.job_summary(JOB))
    within(views.clone_summary(CLONE).model_dump(mode="json"), shape.clone_summary(CLONE))


def test_the_short_way_writes_the_same() -> None:
    running = JOB.model_copy(update={"result": None, "status": Status.RUNNING, "message": 'Café "quoted"'})
    for state in (State(running), State(JOB), State(JOB, CLONE)):
        assert json.loads(shape.job_detail_text(state)) == shape.job_detail(state)


def test_nothing_pushed_holds_a_sealed_secret() -> None:
    for pushed in (shape.job_detail(State(JOB, CLONE)), shape.job_summary(JOB), shape.clone_summary(CLONE)):
        assert SEALED not in str(pushed)
