"""What the API server's answers mean. The texts are those of a real one (Kubernetes 1.36) where it says any."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from services.cloner.drivers.kubernetes.answers import Meaning, failure

QUOTA = 'pods "clone-1" is forbidden: exceeded quota: clones, requested: pods=1, used: pods=4, limited: pods=4'
UNSAID = 'pods "clone-1" is forbidden: failed quota: clones: must specify requests.memory for: web'
SECURITY = 'pods "clone-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
RIGHTS = 'secrets is forbidden: User "system:serviceaccount:x:y" cannot list resource "secrets" in API group ""'
NEW = 'pods "clone-1" is forbidden: error looking up service account new/default: serviceaccount "default" not found'
COUNTED = (
    'Operation cannot be fulfilled on resourcequotas "clones": the object has been modified; please apply your changes '
    "to the latest version and try again"
)
CHANGED = (
    'Operation cannot be fulfilled on pods "clone-1": the object has been modified; please apply your changes to the '
    "latest version and try again"
)
CASES = [
    (403, "Forbidden", QUOTA, Meaning.NO_ROOM),
    (403, "Forbidden", UNSAID, Meaning.REFUSED),
    (403, "Forbidden", SECURITY, Meaning.REFUSED),
    (403, "Forbidden", RIGHTS, Meaning.REFUSED),
    (403, "Forbidden", NEW, Meaning.AGAIN),
    (401, "Unauthorized", "Unauthorized", Meaning.REFUSED),
    (422, "Invalid", 'Pod "clone-1" is invalid: spec: Forbidden: pod updates may not change fields', Meaning.REFUSED),
    (409, "Conflict", COUNTED, Meaning.CONTENDED),
    (409, "Conflict", CHANGED, Meaning.LOST),
    (409, "AlreadyExists", 'pods "clone-1" already exists', Meaning.EXISTS),
    (404, "NotFound", 'pods "clone-1" not found', Meaning.MISSING),
    (410, "Expired", "too old resource version: 1 (700)", Meaning.EXPIRED),
    (429, "TooManyRequests", "too many requests, please try again later", Meaning.AGAIN),
    (500, "InternalError", "etcdserver: leader changed", Meaning.AGAIN),
    (503, "ServiceUnavailable", "apiserver not ready", Meaning.AGAIN),
    (504, "Timeout", "request did not complete within the allotted timeout", Meaning.AGAIN),
]


@pytest.mark.parametrize(("status", "reason", "message", "meaning"), CASES)
def test_status(status: int, reason: str, message: str, meaning: Meaning) -> None:
    body = json.dumps({"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status})
    error = failure(status, body.encode())
    assert error.meaning is meaning
    assert message in str(error)


@pytest.mark.parametrize("body", [b"<html>504 Gateway Time-out</html>", b"", b"[1]", b'"text"', b"\xff\xfe", b"null"])
def test_a_page_of_something_on_the_way(body: bytes) -> None:
    assert failure(504, body).meaning is Meaning.AGAIN
    assert failure(403, body).meaning is Meaning.REFUSED


@pytest.mark.parametrize(("said", "seconds"), [("3", 3.0), (None, None), ("soon", None), ("-1", None), ("²", None)])
def test_how_long_to_wait(said: str | None, seconds: float | None) -> None:
    assert failure(429, b"", retry_after=said).retry_after == seconds


def test_nothing_that_runs_loads_the_client_of_clusters() -> None:
    """It takes most of a second and 70 MB, which who has no cluster need not pay."""
    look = "import services.cloner.app, siteferry.cli, sys; sys.exit('kubernetes_asyncio' in sys.modules)"
    subprocess.run([sys.executable, "-c", look], check=True)
