"""docs/api.md explains every code a job or a call can end with, and none that does not exist."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import services
import shared
from shared.engine.token import Draining
from shared.errors import Cancelled, JobError, LeaseLost, Permanent, Temporary

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "api.md").read_text()
JOBS, CALLS = DOC.index("## Errors of jobs"), DOC.index("## Errors of calls")
ROW = re.compile(r"^\| `([a-z_]+)` \|", re.MULTILINE)
NO_CLASS = {"invalid_command", "newer_version", "poison"}
"""Codes the engine gives without an error class."""
PLUMBING = {Cancelled, LeaseLost, Draining}
"""Never the error of a failed job."""


def every(kind: type[JobError]) -> Iterator[type[JobError]]:
    for child in kind.__subclasses__():
        yield child
        yield from every(child)


def job_codes() -> set[str]:
    for package in (shared, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    known = {JobError, Temporary, Permanent, *every(JobError)} - PLUMBING
    return {kind.code for kind in known if kind.__module__.partition(".")[0] in ("shared", "services")} | NO_CLASS


def call_codes() -> set[str]:
    """Codes in the sources of what answers calls: where a problem is made, or in the table of the framework's own."""
    folders = (ROOT / "services" / "gateway", ROOT / "services" / "status")
    text = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    found = set(re.findall(r'[Pp]roblem\(\s*\d{3},\s*"([a-z_]+)"', text))
    found |= set(re.findall(r'HTTPStatus\.\w+: "([a-z_]+)"', (ROOT / "shared" / "listener.py").read_text()))
    edge = (ROOT / "siteferry" / "embedded" / "servers" / "caddy_config.py").read_text()
    found |= set(re.findall(r'problem_document\(\s*\d{3},\s*"([a-z_]+)"', edge))
    return found | set(re.findall(r'\d{3}: \(\s*"([a-z_]+)"', text)) | {"request_refused", "secret_gone"}


def test_every_code_of_a_job_is_documented() -> None:
    assert set(ROW.findall(DOC[JOBS:CALLS])) == job_codes()


def test_every_code_of_a_call_is_documented() -> None:
    found = call_codes()
    assert {"job_not_found", "body_too_large", "rate_limited", "malformed_request", "service_away"} <= found, (
        "the sources are no longer read aright"
    )
    assert set(ROW.findall(DOC[CALLS:])) == found
