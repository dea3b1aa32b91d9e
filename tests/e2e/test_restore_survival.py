"""Whatever dies in the middle of a restore: production is entirely old or entirely new, and the job ends true."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from siteferry.embedded.servers import start
from tests.e2e.product import Product, product
from tests.e2e.restoring import Pair, files_of, rows_of, traces
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

FAST = {"SITEFERRY_ACK_WAIT": "6", "SITEFERRY_WATCH_SECONDS": "3"}
BIG = 24 << 20
STEPS = [("sign_in", "snapshot", "swap"), ("connector", "stage", "verify"), ("plan", "files", "watch")]
"""In which steps the restorer of one restore is killed."""
TRIES = 4
DATABASE, PHP = 0, 1
"""Places of the farm's servers."""
DEATHS = [("plan", PHP), ("stage", DATABASE), ("swap", DATABASE)]
if os.environ.get("THOROUGH"):
    DEATHS += [("plan", DATABASE), ("stage", PHP), ("files", DATABASE), ("files", PHP), ("swap", PHP)]


@pytest.fixture(scope="module")
def hurried() -> Iterator[Product]:
    """A Siteferry of its own whose restorer may be killed."""
    with product(environment=FAST) as running:
        yield running


@pytest.fixture(scope="module")
def pair(hurried: Product, farm: SourceFarm) -> Iterator[Pair]:
    site = farm.create(SiteSpec("afloat"))
    yield Pair(hurried, site, hurried.clone(site))
    site.destroy()


def change(pair: Pair) -> str:
    """New words and a new big file on the clone; the words."""
    words = f"Word {secrets.token_hex(8)}"
    pair.on_clone("UPDATE {p}posts SET post_content=%s WHERE ID=1", words)
    pair.on_clone(
        "INSERT INTO {p}postmeta (post_id, meta_key, meta_value)"
        " SELECT 1, %s, REPEAT(MD5(RAND()), 400) FROM {p}options LIMIT 100",
        words,
    )
    (pair.document_root / "wp-content" / "uploads" / "big.bin").write_bytes(os.urandom(BIG))
    return words


def is_live(pair: Pair, words: str) -> bool:
    return bool(pair.site.sql("SELECT 1 FROM {p}posts WHERE ID=1 AND post_content=%s", (words,)))


def assert_new(pair: Pair, words: str) -> None:
    """Rows and files of the clone, all of them, and nothing that was only staged."""
    assert is_live(pair, words)
    (count,) = pair.site.sql("SELECT COUNT(*) FROM {p}postmeta WHERE meta_key=%s", (words,))[0]
    assert count == pair.on_clone("SELECT COUNT(*) FROM {p}postmeta WHERE meta_key=%s", words)[0][0]
    theirs = (pair.document_root / "wp-content" / "uploads" / "big.bin").read_bytes()
    assert (pair.site.uploads / "big.bin").read_bytes() == theirs
    assert pair.site.get("/").status_code == 200


class Begun(NamedTuple):
    """A restore that is in the step it was waited for, and what was there before."""

    words: str
    rows: object
    files: object
    known: object
    job_id: str


def begin(pair: Pair, step: str) -> Begun:
    """A busy machine may let a step of milliseconds pass before anybody looks: then another restore."""
    for _ in range(TRIES):
        words = change(pair)
        begun = Begun(words, rows_of(pair.site), files_of(pair.site), traces(pair.site), pair.submit(accept_loss=True))
        job = reach(pair, begun.job_id, step)
        if job["status"] != "completed":
            return begun
        pair.snapshot("discard", begun.job_id)
    raise AssertionError(f"the step {step} was missed {TRIES} times")


def reach(pair: Pair, job_id: str, step: str) -> dict[str, Any]:
    """The job, as soon as it is known to be in the step, or beyond it."""

    def reached() -> dict[str, Any] | None:
        job = pair.siteferry.job(job_id)
        assert job["status"] in {"pending", "running", "completed"}, f"{step} was not reached: {job}"
        return job if any(s["name"] == step and s["state"] != "pending" for s in job["steps"]) else None

    return eventually(reached, timeout=120, what=f"step {step}")


@pytest.mark.parametrize("steps", STEPS, ids="-".join)
def test_the_restorer_is_killed_in_each_step(pair: Pair, steps: tuple[str, ...]) -> None:
    words, rows, files, known, job_id = begin(pair, steps[0])
    for step in steps:
        assert reach(pair, job_id, step)["status"] != "completed", f"{step} was missed"
        os.kill(pair.siteferry.pid("restorer"), signal.SIGKILL)
    job = pair.siteferry.wait(job_id, timeout=180)
    assert job["status"] == "completed", f"{job['error']}\n{pair.siteferry.log()[-4000:]}"
    assert job["attempt"] == 1, "a crash does not use up an attempt"
    assert_new(pair, words)
    pair.snapshot("rollback", job_id)
    assert rows_of(pair.site) == rows
    assert files_of(pair.site) == files
    assert traces(pair.site) == known


@pytest.mark.parametrize(("step", "server"), DEATHS)
def test_a_server_of_the_target_dies(pair: Pair, farm: SourceFarm, step: str, server: int) -> None:
    words, rows, files, known, job_id = begin(pair, step)
    process = farm._running[server]
    process.kill()
    time.sleep(1)
    farm._running[server] = start(process.server)
    job = pair.siteferry.wait(job_id, timeout=180)
    if job["status"] == "completed":
        assert_new(pair, words)
        pair.snapshot("discard", job_id)
    else:
        assert rows_of(pair.site) == rows, job["error"]
        assert files_of(pair.site) == files
    assert traces(pair.site) == known
    assert pair.site.get("/").status_code == 200


@pytest.mark.parametrize("step", ["files", "watch"])
def test_cancelled_before_the_exchange_and_after(pair: Pair, step: str) -> None:
    words, rows, files, known, job_id = begin(pair, step)
    pair.siteferry.http.post(f"/jobs/{job_id}/cancel")
    job = pair.siteferry.wait(job_id)
    assert job["status"] == "cancelled", job
    assert not is_live(pair, words)
    assert rows_of(pair.site) == rows
    assert files_of(pair.site) == files
    assert traces(pair.site) == known
