"""Pods of deploy/ as containers of a Docker engine: same image, command, account, settings, secrets, probes, limits.

What a cluster adds (scheduling, policies, its API) is not here; what a Pod's own description must get right is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from siteferry.cluster.secrets import made
from tests.compose.stack import docker
from tests.kubernetes.manifests import Object, of_kind

READY_SECONDS = 240


class Pods:
    """All of one overlay, one container each."""

    def __init__(self, project: str, objects: tuple[Object, ...], directory: Path, *, api_key: str) -> None:
        self.project, self._objects, self._directory = project, objects, directory
        self._settings = of_kind(objects, "ConfigMap")["siteferry"]["data"]
        self._secrets = {one["metadata"]["name"]: one["stringData"] for one in made(api_key)}
        self.workloads = of_kind(objects, "Deployment", "StatefulSet")

    def start(self, name: str) -> None:
        """Run a workload's one container, under the names a cluster gives it."""
        pod = self.workloads[name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        account = pod["securityContext"]["runAsUser"]
        assert pod["securityContext"]["fsGroup"] == account
        host, names = (f"{name}-0", [name, f"{name}-0.{name}"]) if name == "nats" else (name, [name])
        limit = container["resources"]["limits"]["memory"].removesuffix("i").lower()
        options = ["--name", self.container(name), "--hostname", host, "--network", self.project]
        options += [f"--network-alias={alias}" for alias in names]
        options += ["--user", f"{account}:{account}", "--read-only", "--memory", limit, "--init"]
        options += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        own = {one["name"]: one["value"] for one in container.get("env", [])}
        options += [f"--env={key}={value}" for key, value in {**self._settings, **own}.items()]
        volumes = {one["name"]: one for one in pod["volumes"]}
        for mount in container["volumeMounts"]:
            options += self._volume(name, mount, volumes.get(mount["name"], {}), account)
        docker("run", "--detach", *options, container["image"], *container["command"])

    def ready(self, name: str) -> bool:
        """What the kubelet would find."""
        (container,) = self.workloads[name]["spec"]["template"]["spec"]["containers"]
        probe = container.get("readinessProbe")
        if probe is None:
            return self.running(name)
        if "exec" in probe:
            command = ["docker", "exec", self.container(name), *probe["exec"]["command"]]
            return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
        asked = probe["httpGet"]
        (port,) = (one["containerPort"] for one in container["ports"] if one["name"] == asked["port"])
        headers = {one["name"]: one["value"] for one in asked["httpHeaders"]}
        try:
            answer = httpx2.get(f"http://{self.address(name)}:{port}{asked['path']}", headers=headers, timeout=5)
        except httpx2.TransportError:
            return False
        return 200 <= answer.status_code < 400

    def wait(self) -> None:
        """Until every one is ready. Raises AssertionError with what they said."""
        deadline = time.monotonic() + READY_SECONDS
        while late := [name for name in self.workloads if not self.ready(name)]:
            assert time.monotonic() < deadline, f"{late} not ready\n{self.log()}"
            time.sleep(0.5)

    def running(self, name: str) -> bool:
        return docker("inspect", "--format", "{{.State.Running}}", self.container(name), check=False) == "true"

    def address(self, name: str) -> str:
        """Where a container is."""
        found = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return docker("inspect", "--format", found, self.container(name))

    def container(self, name: str) -> str:
        return f"{self.project}-{name}"

    def log(self) -> str:
        """The last lines of each."""
        said = []
        for name in self.workloads:
            command = ["docker", "logs", "--tail", "15", self.container(name)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            said.append(f"--- {name}\n{done.stdout}{done.stderr}")
        return "\n".join(said)

    def end(self) -> None:
        """Nothing is left."""
        for name in self.workloads:
            docker("rm", "--force", "--volumes", self.container(name), check=False)
        docker("volume", "rm", "--force", f"{self.project}-store", check=False)
        docker("network", "rm", self.project, check=False)

    def _volume(self, name: str, mount: dict[str, Any], volume: dict[str, Any], account: int) -> list[str]:
        path = mount["mountPath"]
        if "projected" in volume:
            folder = self._projected(name, volume["projected"], account)
            return ["--volume", f"{folder}:{path}:ro"]
        if not volume:  # of the StatefulSet's own template: the one that outlives its container
            return ["--mount", f"type=volume,source={self.project}-store,destination={path}"]
        assert "emptyDir" in volume, volume
        return ["--tmpfs", f"{path}:uid=0,gid={account},mode=2770"]

    def _projected(self, name: str, projected: dict[str, Any], account: int) -> Path:
        """As the kubelet writes them: root's, readable by the Pod's group."""
        folder = self._directory / name
        for source in projected["sources"]:
            secret = source["secret"]
            data = self._secrets[secret["name"]]
            for item in secret.get("items") or [{"key": key, "path": key} for key in data]:
                file = folder / item["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(data[item["key"]])
                os.chown(file, 0, account)
                file.chmod(projected["defaultMode"])
        return folder


@contextmanager
def pods(objects: tuple[Object, ...], directory: Path, *, api_key: str) -> Iterator[Pods]:
    """All running and ready; nothing of them is left afterwards."""
    running = Pods(f"siteferry-pods-{os.getpid()}", objects, directory, api_key=api_key)
    docker("network", "create", running.project)
    try:
        for name in running.workloads:
            running.start(name)
        running.wait()
        yield running
    finally:
        running.end()
