"""A node for the bed's control plane: scheduler, kubelet and a containerd of its own, on a bridge of this machine.

    with Node(plane, directory) as node:
        node.load("siteferry-cells:latest")    from the Docker engine

Needs root and packages of Debian (`problem`). Pods get addresses of SUBNET, which this machine reaches; there is no
cluster DNS and no kube-proxy. What the kubelet changes of the machine is put back.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from siteferry.embedded.servers import Server, ServerError
from siteferry.embedded.servers.base import write_file
from siteferry.embedded.servers.process import ServerProcess, start
from tests.kubernetes.bed.plane import NODE, NODE_NAME, SCHEDULER, ControlPlane, Plane

BRIDGE, SUBNET, GATEWAY = "sfbed0", "10.213.77.0/24", "10.213.77.1"
PROGRAMS = {"containerd": "containerd", "ctr": "containerd", "ip": "iproute2", "gcc": "gcc", "docker": "docker.io"}
CNI = Path("/usr/lib/cni")
SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
PAUSE = "#include <unistd.h>\n#include <signal.h>\nint main(void) { signal(SIGTERM, _exit); for (;;) pause(); }\n"
PAUSE_IMAGE = "siteferry-bed/pause:1"

CONTAINERD = """\
version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{network}"
"""


def problem() -> str:
    """Why no node can run here, as a sentence; "" when one can."""
    if os.geteuid() != 0:
        return "only root can run a node"
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"a node needs {package}: apt-get install {package}"
    plugins = "containernetworking-plugins"
    return "" if CNI.is_dir() else f"a node needs {plugins}: apt-get install {plugins}"


class Containerd(Server):
    """Of this node alone."""

    name: ClassVar[str] = "containerd"
    ready_timeout: ClassVar[float] = 60.0
    stop_timeout: ClassVar[float] = 10.0

    @property
    def socket(self) -> Path:
        return self.directory / "containerd.sock"

    def prepare(self) -> None:
        super().prepare()
        network = self.directory / "network"
        network.mkdir(exist_ok=True)
        ranges = [[{"subnet": SUBNET, "gateway": GATEWAY}]]
        kept = str(network / "ips")
        ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": kept}
        bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
        write_file(network / "bed.conflist", json.dumps({"cniVersion": "0.4.0", "name": "bed", "plugins": [bridge]}))
        text = CONTAINERD.format(
            root=self.directory / "root",
            state=self.directory / "state",
            socket=self.socket,
            pause=PAUSE_IMAGE,
            cni=CNI,
            network=network,
        )
        write_file(self.directory / "config.toml", text)

    def argv(self) -> list[str]:
        return ["containerd", "--config", str(self.directory / "config.toml")]

    def is_ready(self) -> bool:
        return self.socket.exists() and self.ctr("version", check=False).returncode == 0

    def ctr(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=check)


class Scheduler(Plane):
    name: ClassVar[str] = "kube-scheduler"

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        super().__init__(plane.program, directory)
        self.api = plane.api

    def prepare(self) -> None:
        super().prepare()
        write_file(self.directory / "kubeconfig", json.dumps(self.api.kubeconfig(SCHEDULER)), mode=0o600)

    def options(self) -> dict[str, str]:
        return {
            "kubeconfig": str(self.directory / "kubeconfig"),
            "authentication-kubeconfig": str(self.directory / "kubeconfig"),
            "authorization-kubeconfig": str(self.directory / "kubeconfig"),
            "bind-address": "127.0.0.1",
            "secure-port": str(self.port),
            "cert-dir": str(self.directory),
            "leader-elect": "false",
        }

    def probe(self) -> str:
        return f"https://127.0.0.1:{self.port}/healthz"


class Kubelet(Plane):
    name: ClassVar[str] = "kubelet"

    def __init__(self, plane: ControlPlane, directory: Path, containerd: Containerd) -> None:
        super().__init__(plane.program, directory)
        self.api, self.containerd = plane.api, containerd

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def prepare(self) -> None:
        super().prepare()
        write_file(self.directory / "kubeconfig", json.dumps(self.api.kubeconfig(NODE)), mode=0o600)
        write_file(self.directory / "resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": self.port,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "resolvConf": str(self.directory / "resolv.conf"),
            "podLogsDir": str(self.directory / "pods"),
            "containerRuntimeEndpoint": f"unix://{self.containerd.socket}",
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }
        write_file(self.directory / "config.json", json.dumps(config))

    def options(self) -> dict[str, str]:
        return {
            "config": str(self.directory / "config.json"),
            "kubeconfig": str(self.directory / "kubeconfig"),
            "root-dir": str(self.root),
            "cert-dir": str(self.directory / "certificates"),
            "hostname-override": NODE_NAME,
            "node-ip": GATEWAY,
        }

    def probe(self) -> str:
        return f"https://127.0.0.1:{self.port}/healthz"


class Node:
    """Ready inside of `with`; its containers, mounts and bridge are gone afterwards."""

    def __init__(self, plane: ControlPlane, directory: Path) -> None:
        self.plane, self.directory = plane, directory
        self.containerd = Containerd(directory / "containerd")
        self.kubelet = Kubelet(plane, directory, self.containerd)
        self.scheduler = Scheduler(plane, directory)
        self.running: dict[str, ServerProcess] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Node:
        try:
            self._alone()
            self._sysctls()
            self._bridge()
            self._start(self.containerd)
            self._stack.callback(self._clear)
            self._pause()
            self._start(self.scheduler)
            self._start(self.kubelet)
            for condition in ("create", "condition=Ready"):
                self.plane.kubectl("wait", f"--for={condition}", f"node/{NODE_NAME}", "--timeout=50s")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def load(self, *images: str) -> None:
        """Give the node images of the Docker engine. Raises CalledProcessError."""
        command = ["ctr", "--address", str(self.containerd.socket), "--namespace", "k8s.io", "images", "import", "-"]
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
            subprocess.run(command, stdin=saving.stdout, capture_output=True, timeout=280, check=True)
        if saving.returncode:
            raise ServerError(f"docker save {' '.join(images)} failed")

    def restart(self, part: Server) -> None:
        """Kill a part and start it again."""
        self.running.pop(part.name).kill()
        self._start(part)

    def _start(self, part: Server) -> None:
        process = self.running[part.name] = start(part)
        self._stack.callback(lambda: process.stop() if process.alive() else None)

    def _pause(self) -> None:
        """What holds a Pod's network: does nothing, for ever."""
        folder = self.directory / "pause"
        folder.mkdir()
        (folder / "pause.c").write_text(PAUSE)
        compiler = ["gcc", "-static", "-Os", "-s", "-o", str(folder / "pause"), str(folder / "pause.c")]
        subprocess.run(compiler, check=True, capture_output=True)
        (folder / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
        subprocess.run(["docker", "build", "-q", "-t", PAUSE_IMAGE, str(folder)], check=True, capture_output=True)
        self.load(PAUSE_IMAGE)

    def _bridge(self) -> None:
        for command in (
            f"ip link add {BRIDGE} type bridge",
            f"ip address add {GATEWAY}/24 dev {BRIDGE}",
            f"ip link set {BRIDGE} up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)
        self._stack.callback(lambda: subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True))

    def _alone(self) -> None:
        """Two kubelets would clear away each other's control groups."""
        lock = self._stack.enter_context(open("/run/siteferry-bed.lock", "w"))
        fcntl.flock(lock, fcntl.LOCK_EX)

    def _sysctls(self) -> None:
        for name in SYSCTLS:
            path = Path("/proc/sys") / name
            self._stack.callback(path.write_text, path.read_text())

    def _clear(self) -> None:
        """End what still runs of Pods, while containerd can be asked."""
        for container in self.containerd.ctr("tasks", "list", "--quiet", check=False).stdout.split():
            self.containerd.ctr("tasks", "kill", "--signal", "SIGKILL", container, check=False)
            self.containerd.ctr("tasks", "delete", "--force", container, check=False)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounts if one.startswith(str(self.directory))), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        for tree in Path("/sys/fs/cgroup").glob("*/kubepods"):
            for folder in sorted(tree.rglob("*/"), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            with suppress(OSError):
                tree.rmdir()
