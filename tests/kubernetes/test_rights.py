"""What deploy/clones gives a cloner is all it may do, asked of a real API server; and Pods get in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from services.cloner.drivers.kubernetes import objects
from services.cloner.drivers.kubernetes.credentials import credentials
from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from shared.ids import new_id
from tests.kubernetes.bed.plane import ControlPlane

pytestmark = pytest.mark.timeout(180)
DEPLOY = Path(__file__).parents[2] / "deploy" / "clones"
CLONES, ACCOUNT = "siteferry-clones", "system:serviceaccount:siteferry:cloner"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
ALSO = ("pods/exec", "pods/attach", "pods/portforward", "pods/log", "pods/ephemeralcontainers", "serviceaccounts/token")


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> Iterator[ControlPlane]:
    plane.kubectl("apply", "-k", str(DEPLOY))
    yield plane
    plane.kubectl("delete", "-k", str(DEPLOY), "--wait=false")


def allowed() -> set[tuple[str, str]]:
    documents = yaml.safe_load_all((DEPLOY / "rights.yaml").read_text())
    role = next(one for one in documents if one["kind"] == "Role")
    return {(what, verb) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}


def reviewed(plane: ControlPlane, questions: list[dict[str, str]]) -> list[bool]:
    """What the API server says a cloner may do."""
    items = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": ACCOUNT, "groups": ["system:serviceaccounts"], "resourceAttributes": question},
        }
        for question in questions
    ]
    wanted = {"apiVersion": "v1", "kind": "List", "items": items}
    said = plane.kubectl("create", "-o", "jsonpath={.status.allowed} ", "-f", "-", stdin=wanted)
    return [word == "true" for word in said.split()]


def test_every_other_verb_is_refused(installed: ControlPlane) -> None:
    lines = installed.kubectl("api-resources", "--no-headers", "--verbs=list").splitlines()
    kinds = [(line.split()[0], line.split()[-3]) for line in lines]
    kinds += [("httproutes", "gateway.networking.k8s.io/v1"), *((name, "v1") for name in ALSO)]
    questions = [
        {"namespace": where, "verb": verb, "resource": name.partition("/")[0], "group": version.rpartition("/")[0]}
        | ({"subresource": name.partition("/")[2]} if "/" in name else {})
        for where in (CLONES, "siteferry", "")
        for name, version in kinds
        for verb in VERBS
    ]
    assert len(questions) > 800
    got = {
        (question["namespace"], question["resource"], question["verb"])
        for question, may in zip(questions, reviewed(installed, questions), strict=True)
        if may
    }
    assert got == {(CLONES, what, verb) for what, verb in allowed()}


def test_a_pod_is_let_in_and_is_what_restricted_means(installed: ControlPlane) -> None:
    """Every object of a clone, with volumes of the node and of a storage class, on a dry run in the real namespace."""
    clone = new_id("clone")
    owner = {"metadata": {"uid": "6b0c6822-0000-4000-8000-000000000000"}}
    for settings in (KubernetesSettings(), KubernetesSettings(pod_storage_class="fast", pod_ingress_class="web")):
        items = [
            {"apiVersion": "v1", "kind": "Pod", **objects.pod(clone, settings)},
            {"apiVersion": "v1", "kind": "Secret", **objects.secret(clone, owner, credentials(b"k" * 32, clone))},
            {"apiVersion": "v1", "kind": "Service", **objects.service(clone, owner)},
            {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", **objects.ingress(clone, owner, settings)},
        ]
        given = ("-n", CLONES, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
        assert (
            "warning"
            not in installed.kubectl(*given, stdin={"apiVersion": "v1", "kind": "List", "items": items}).lower()
        )
