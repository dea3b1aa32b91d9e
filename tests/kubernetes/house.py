"""A whole cluster for tests: control plane, node, the product's own images, Traefik, and a namespace for clones."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.cloner.drivers.kubernetes.driver import KubernetesDriver
from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from siteferry.embedded.servers import running
from tests.compose.stack import docker, images_missing
from tests.kubernetes.bed.node import Node, problem
from tests.kubernetes.bed.plane import ADMIN, ControlPlane
from tests.kubernetes.bed.traefik import Traefik

IMAGES = ("siteferry-cells:latest", "siteferry-mariadb:latest")
DEPLOY = Path(__file__).parents[2] / "deploy" / "clones"


def missing() -> str:
    """Why no cluster with Pods can run here, as a sentence; "" when one can."""
    return problem() or images_missing()


class ClusterHouse:
    """What tests need to know of it."""

    def __init__(self, plane: ControlPlane, node: Node, traefik: Traefik, directory: Path) -> None:
        self.plane, self.node, self.traefik, self.directory = plane, node, traefik, directory
        self.namespace = "siteferry-clones"
        self.kubeconfig = directory / "cloner.kubeconfig"
        token = plane.kubectl("--namespace", "siteferry", "create", "token", "cloner", "--duration=2h").strip()
        way = plane.api.kubeconfig(ADMIN) | {"users": [{"name": ADMIN, "user": {"token": token}}]}
        self.kubeconfig.write_text(json.dumps(way))
        (directory / "pod.key").write_bytes(secrets.token_bytes(32))
        dialect = docker("run", "--rm", "--network", "none", IMAGES[0], "cat", "/opt/siteferry/dialect.json")
        (directory / "dialect.json").write_text(dialect)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the driver."""
        return {
            "kubeconfig": self.kubeconfig,
            "clones_namespace": self.namespace,
            "clone_address": f"http://{{clone}}.localhost:{self.traefik.port}",
            "pod_key_file": self.directory / "pod.key",
            "pod_dialect_file": self.directory / "dialect.json",
            "pod_ready_seconds": 120,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same for a cloner."""
        own = {f"SITEFERRY_{name.upper()}": str(value) for name, value in self.settings.items()}
        return {"SITEFERRY_DRIVER": "kubernetes", **own}

    def driver(self, **more: Any) -> KubernetesDriver:
        """A driver of this cluster."""
        return KubernetesDriver(KubernetesSettings(**self.settings | more), records=self.directory / "records")

    def kubectl(self, *arguments: str, stdin: Any = None) -> str:
        """In the namespace of the clones."""
        return self.plane.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def inside(self, clone_id: str, volume: str = "clone") -> Path:
        """Where the node keeps a volume of a clone's Pod."""
        uid = json.loads(self.kubectl("get", "pod", clone_id, "-o", "json"))["metadata"]["uid"]
        return self.node.kubelet.root / "pods" / uid / "volumes" / "kubernetes.io~empty-dir" / volume

    def containers(self, clone_id: str, name: str) -> list[str]:
        """Ids of one container of a clone's Pod."""
        status = json.loads(self.kubectl("get", "pod", clone_id, "-o", "json"))["status"]
        found = [*status["initContainerStatuses"], *status["containerStatuses"]]
        return [one["containerID"].rpartition("/")[2] for one in found if one["name"] == name]

    def objects(self, clone_id: str) -> list[str]:
        """Everything of a clone that exists."""
        kinds = "pods,services,secrets,ingresses,persistentvolumeclaims"
        return self.kubectl("get", kinds, "-l", f"siteferry.dev/clone={clone_id}", "-o", "name").split()

    def words(self) -> str:
        """What Pods and events say, for a test that fails."""
        logs = sorted(self.node.kubelet.directory.glob("pods/*/*/*.log"))
        said = "".join(f"\n{path}\n{path.read_text(errors='replace')[-1500:]}" for path in logs[-6:])
        return self.kubectl("get", "events", "--sort-by=.lastTimestamp")[-3000:] + said

    @contextmanager
    def quota(self, pods: int) -> Iterator[None]:
        """As long as it is there, no more Pods than that."""
        spec = {"hard": {"pods": str(pods)}}
        wanted = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": spec}
        self.kubectl("create", "-f", "-", stdin=wanted)
        try:
            self.kubectl("wait", "--for=jsonpath={.status.hard.pods}=" + str(pods), "resourcequota/few")
            yield
        finally:
            self.kubectl("delete", "resourcequota", "few")


@contextmanager
def cluster(plane: ControlPlane, directory: Path) -> Iterator[ClusterHouse]:
    """Ready inside of `with`; nothing of it is left afterwards."""
    with Node(plane, directory / "node") as node, running(Traefik(directory / "traefik", plane)) as traefik:
        node.load(*IMAGES)
        plane.kubectl("apply", "-k", str(DEPLOY))  # and drivers have no other rights than these
        plane.kubectl("--namespace", "siteferry-clones", "delete", "resourcequota", "clones")
        try:
            yield ClusterHouse(plane, node, traefik, directory)
        finally:
            plane.kubectl(
                "--namespace", "siteferry-clones", "delete", "pods", "--all", "--grace-period=1", "--timeout=60s"
            )
