"""The bed as an ordinary fixture: started when the first test asks for it, one per xdist worker."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.integration.house import place
from tests.kubernetes.bed.build import built
from tests.kubernetes.bed.plane import ControlPlane

if TYPE_CHECKING:
    from tests.kubernetes.house import ClusterHouse

NOT_BUILT = "Kubernetes is not built here: make test KUBERNETES=1 builds it, 10 minutes and 8 GB of disk, once"


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """A real control plane, about ten seconds to start."""
    program = built()
    if program is None:
        pytest.skip(NOT_BUILT)
    with place() as directory, ControlPlane(program, directory) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Iterator[ClusterHouse]:
    """The same with a node, on which Pods run; about half a minute to start, most of it the images' way to the node.

    One at a time on a machine: a module of another worker waits for this one's to end."""
    from tests.kubernetes import house

    if problem := house.missing():
        pytest.skip(problem)
    with place() as directory, house.cluster(plane, directory) as running:
        yield running


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A namespace for one test, with Pod Security as strict as it gets."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    plane.kubectl(
        "create",
        "-f",
        "-",
        stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
    )
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")
