"""A control plane of Kubernetes on loopback: etcd, API server, controllers, each a process of its own.

    with ControlPlane(program, directory) as plane:
        plane.kubeconfig()    an administrator's
        plane.kubectl("get", "pods")

No scheduler and no node (`node` has them): what the API server and the controllers promise is real (admission, quotas,
Pod Security, server-side apply, watches, collection of what is owned), but no Pod ever runs.
"""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from siteferry.embedded.servers import Server, ServerError
from siteferry.embedded.servers.base import write_file
from siteferry.embedded.servers.ports import free_port
from siteferry.embedded.servers.process import ServerProcess, start

KUBECTL_SECONDS = 60
ADMIN, CONTROLLERS = "siteferry-admin", "system:kube-controller-manager"
SCHEDULER, NODE_NAME = "system:kube-scheduler", "bed"
NODE = f"system:node:{NODE_NAME}"
GROUPS = {ADMIN: "system:masters", CONTROLLERS: "", SCHEDULER: "", NODE: "system:nodes"}


class Plane(Server):
    """One of the program's parts."""

    ready_timeout: ClassVar[float] = 120.0
    stop_timeout: ClassVar[float] = 4.0  # an API server would wait for its watches to end, longer than any test

    def __init__(self, program: Path, directory: Path) -> None:
        super().__init__(directory / self.name)
        self.program = program
        self.port = free_port()

    def argv(self) -> list[str]:
        return [str(self.program), self.name, *(f"--{name}={value}" for name, value in self.options().items())]

    def options(self) -> dict[str, str]:
        """Its flags, without the dashes."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        with suppress(OSError):
            unchecked = ssl._create_unverified_context()
            with urllib.request.urlopen(self.probe(), timeout=1, context=unchecked) as answer:
                return bool(answer.status == 200)
        return False

    def probe(self) -> str:
        """The address that answers 200 once it works."""
        raise NotImplementedError


class Etcd(Plane):
    name: ClassVar[str] = "etcd"

    def __init__(self, program: Path, directory: Path) -> None:
        super().__init__(program, directory)
        self.peers = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def options(self) -> dict[str, str]:
        peers = f"http://127.0.0.1:{self.peers}"
        return {
            "name": "bed",
            "data-dir": str(self.directory / "data"),
            "unsafe-no-fsync": "true",
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"bed={peers}",
            "log-level": "warn",
        }

    def probe(self) -> str:
        return f"{self.url}/health"


class ApiServer(Plane):
    name: ClassVar[str] = "kube-apiserver"

    def __init__(self, program: Path, directory: Path, etcd: Etcd) -> None:
        super().__init__(program, directory)
        self.etcd = etcd
        self.tokens = {user: secrets.token_hex(16) for user in GROUPS}
        self.accounts_key = self.directory / "accounts.key"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """Certificates its own is signed by; made when it starts."""
        return self.directory / "apiserver.crt"

    def prepare(self) -> None:
        super().prepare()
        if not self.accounts_key.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
            write_file(self.accounts_key, pem, mode=0o600)
        lines = [f'{self.tokens[user]},{user},{user},"{group}"\n' for user, group in GROUPS.items()]
        write_file(self.directory / "tokens.csv", "".join(lines), mode=0o600)

    def options(self) -> dict[str, str]:
        return {
            "etcd-servers": self.etcd.url,
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": str(self.port),
            "cert-dir": str(self.directory),
            "token-auth-file": str(self.directory / "tokens.csv"),
            "authorization-mode": "Node,RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": str(self.accounts_key),
            "service-account-signing-key-file": str(self.accounts_key),
            "service-cluster-ip-range": "10.96.0.0/16",
            "endpoint-reconciler-type": "none",  # it would refuse a control plane on loopback
            "profiling": "false",
        }

    def probe(self) -> str:
        return f"{self.url}/readyz"

    def kubeconfig(self, user: str) -> dict[str, Any]:
        """How a user reaches it."""
        cluster = {"server": self.url, "certificate-authority": str(self.authority)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bed", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": user}}],
            "current-context": "bed",
        }


class Controllers(Plane):
    name: ClassVar[str] = "kube-controller-manager"

    def __init__(self, program: Path, directory: Path, api: ApiServer) -> None:
        super().__init__(program, directory)
        self.api = api

    def prepare(self) -> None:
        super().prepare()
        write_file(self.directory / "kubeconfig", json.dumps(self.api.kubeconfig(CONTROLLERS)), mode=0o600)

    def options(self) -> dict[str, str]:
        return {
            "kubeconfig": str(self.directory / "kubeconfig"),
            "bind-address": "127.0.0.1",
            "secure-port": str(self.port),
            "cert-dir": str(self.directory),
            "service-account-private-key-file": str(self.api.accounts_key),
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "profiling": "false",
        }

    def probe(self) -> str:
        return f"https://127.0.0.1:{self.port}/healthz"


class ControlPlane:
    """The parts together; ready inside of `with`, gone afterwards."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program, self.directory = program, directory
        self.etcd = Etcd(program, directory)
        self.api = ApiServer(program, directory, self.etcd)
        self.controllers = Controllers(program, directory, self.api)
        self.running: dict[str, ServerProcess] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ControlPlane:
        try:
            for part in (self.etcd, self.api, self.controllers):
                self.start(part)
            write_file(self.admin, json.dumps(self.api.kubeconfig(ADMIN)), mode=0o600)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def admin(self) -> Path:
        """A kubeconfig that may do everything."""
        return self.directory / "admin.kubeconfig"

    def start(self, part: Plane) -> None:
        """Start a part, or start it again after `stop`."""
        process = self.running[part.name] = start(part)
        self._stack.callback(lambda: process.stop() if process.alive() else None)

    def stop(self, part: Plane) -> None:
        """Stop one part in order, for tests of what happens without it."""
        self.running.pop(part.name).stop()

    def kubectl(self, *argv: str, stdin: Any = None) -> str:
        """What kubectl prints; `stdin` is sent as JSON. Raises `ServerError` with its complaint."""
        done = subprocess.run(
            [str(self.program), "kubectl", f"--kubeconfig={self.admin}", *argv],
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=KUBECTL_SECONDS,
            check=False,
            env={"HOME": str(self.directory), "PATH": "/usr/bin:/bin"},
        )
        if done.returncode:
            raise ServerError(done.stderr.strip())
        return done.stdout
