"""Pods of deploy/overlays/single as containers, without a cluster: they start, know one another, and lose nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx2
import pytest

from tests.compose.pods import Pods, pods
from tests.compose.stack import docker, images_missing
from tests.integration.house import eventually
from tests.kubernetes.manifests import DEPLOY, kustomize, rendered

pytestmark = pytest.mark.timeout(600)
KEY = "k" * 64
ORIGIN = "siteferry.example.org"
WISH = {"source_url": "https://shop.example.org", "username": "admin", "password": "not shown to anybody"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    why = "only root writes files of other accounts" if os.geteuid() else images_missing()
    if why := why or ("" if kustomize() else "no kubectl here, which builds the manifests"):
        (pytest.fail if os.environ.get("COMPOSE") else pytest.skip)(why)
    directory = tmp_path_factory.mktemp("pods")
    with pods(rendered(DEPLOY / "overlays" / "single"), directory, api_key=KEY) as made:
        yield made


@pytest.fixture
def http(running: Pods) -> Iterator[httpx2.Client]:
    """At the edge, as the Ingress controller comes to it."""
    headers = {"Host": ORIGIN, "Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=f"http://{running.address('edge')}:8080", headers=headers, timeout=20) as client:
        yield client


def test_one_origin_answers_for_all_and_opens_to_keys_only(running: Pods, http: httpx2.Client) -> None:
    assert http.get("/readyz").status_code == 200
    assert "<html" in http.get("/").text.lower(), "status' dashboard"
    assert http.get("/jobs").status_code == 200
    assert http.get("/jobs", headers={"Authorization": ""}).status_code == 401
    assert http.get("/jobs", headers={"Host": "somebody.example.com"}).status_code == 421


def test_workers_tell_their_health_and_numbers_at_their_own_address(running: Pods) -> None:
    for name, port in (("cloner", 8083), ("restorer", 8084)):
        said = httpx2.get(f"http://{running.address(name)}:{port}/metrics", timeout=20).text
        assert "siteferry_queue_readable 1.0" in said


def test_a_job_outlives_every_container(running: Pods, http: httpx2.Client) -> None:
    answer = http.post("/clone", json=WISH)
    assert answer.status_code == 202, answer.text
    job = answer.json()["job_id"]
    eventually(lambda: job in http.get("/jobs").text, timeout=30, what="the projection")
    for name in running.workloads:
        docker("kill", running.container(name))
        docker("start", running.container(name))
    running.wait()
    with httpx2.Client(base_url=f"http://{running.address('edge')}:8080", headers=http.headers, timeout=20) as again:
        eventually(lambda: job in again.get("/jobs").text, timeout=60, what="the same job")


def test_nothing_a_pod_is_given_stands_in_its_environment_or_command(running: Pods) -> None:
    for name in running.workloads:
        shown = docker("inspect", "--format", "{{json .Config}}", running.container(name))
        assert KEY not in shown
        assert "password" not in shown.lower()
