"""The objects of one clone, as dictionaries. Pure.

The Pod is made first, for its quota is the gate, and owns the rest: whatever ends the Pod ends all. Two containers
start
before the site's web part and live as long (native sidecars): the database, and the agent, which makes the folders the
web part mounts. Everything is what Pod Security calls restricted. The web part sees none of the Pod's secrets but the
password of its own database, and of the clone's directory it may write to the site's folders only.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from services.cloner.drivers.kubernetes.credentials import Credentials
from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from shared.cells import pod_layout as layout

MANAGED, CLONE = "app.kubernetes.io/managed-by", "siteferry.dev/clone"
LABELS = {MANAGED: "siteferry", "app.kubernetes.io/component": "clone"}
SELECTOR = ",".join(f"{name}={value}" for name, value in LABELS.items())
START_SECONDS = 300
GRACE_SECONDS = 10
DAY = 24 * 3600


def labels(clone_id: str) -> dict[str, str]:
    """What everything of a clone bears."""
    return {**LABELS, CLONE: clone_id}


def pod(clone_id: str, settings: KubernetesSettings) -> dict[str, Any]:
    """The clone itself."""
    site = {
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": layout.SITE_ACCOUNT,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_database(clone_id, settings), _agent(clone_id, settings)],
        "containers": [_web(clone_id, settings)],
        "volumes": _volumes(clone_id, settings),
    }
    host = urlsplit(address(clone_id, settings)).hostname
    spec = {
        **site,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "activeDeadlineSeconds": settings.pod_days * DAY,
        # WordPress calls itself by its own name, which nobody resolves for it.
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": [host]}],
        "dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "1"}]},
        **({"priorityClassName": settings.pod_priority_class} if settings.pod_priority_class else {}),
    }
    return {"metadata": {"name": clone_id, "labels": labels(clone_id)}, "spec": spec}


def secret(clone_id: str, owner: dict[str, Any], known: Credentials) -> dict[str, Any]:
    """What the Pod proves itself with and lets the cloner in by."""
    data = {
        layout.TOKEN: known.token,
        layout.PASSWORD: known.password,
        layout.KEY: known.key,
        layout.CERTIFICATE: known.certificate,
    }
    return {**_owned(clone_id, owner), "stringData": data}


def service(clone_id: str, owner: dict[str, Any]) -> dict[str, Any]:
    """How the edge of the cluster finds the site; agent and database are reached at the Pod itself."""
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    return {**_owned(clone_id, owner), "spec": {"selector": {CLONE: clone_id}, "ports": ports}}


def ingress(clone_id: str, owner: dict[str, Any], settings: KubernetesSettings) -> dict[str, Any]:
    """The clone's host name. Its certificate is the controller's own, for all clones."""
    backend = {"service": {"name": clone_id, "port": {"name": "http"}}}
    rule = {
        "host": urlsplit(address(clone_id, settings)).hostname,
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    named = {"ingressClassName": settings.pod_ingress_class} if settings.pod_ingress_class else {}
    return {**_owned(clone_id, owner), "spec": {**named, "rules": [rule]}}


def http_route(clone_id: str, owner: dict[str, Any], settings: KubernetesSettings) -> dict[str, Any]:
    """The same for clusters with a Gateway."""
    namespace, _, name = settings.pod_gateway.rpartition("/")
    parent = {"name": name, **({"namespace": namespace} if namespace else {})}
    spec = {
        "parentRefs": [parent],
        "hostnames": [urlsplit(address(clone_id, settings)).hostname],
        "rules": [{"backendRefs": [{"name": clone_id, "port": 80}]}],
    }
    return {**_owned(clone_id, owner), "spec": spec}


def address(clone_id: str, settings: KubernetesSettings) -> str:
    """Origin of a clone."""
    return settings.clone_address.replace("{clone}", clone_id)


def _owned(clone_id: str, owner: dict[str, Any]) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": clone_id, "uid": owner["metadata"]["uid"]}
    return {"metadata": {"name": clone_id, "labels": labels(clone_id), "ownerReferences": [reference]}}


def _database(clone_id: str, settings: KubernetesSettings) -> dict[str, Any]:
    mounts = [
        _mount("data", layout.DATA),
        _mount("database", layout.DATABASE),
        _mount("database-secret", layout.SECRETS, readOnly=True),
        _mount("database-tmp", "/tmp"),  # noqa: S108 - in the container
    ]
    return {
        **_container("database", settings.pod_database_image, clone_id, layout.DATABASE_ACCOUNT, mounts),
        "restartPolicy": "Always",
        "ports": [{"name": "database", "containerPort": layout.DATABASE_PORT}],
        "startupProbe": _started({"tcpSocket": {"port": "database"}}),
        "resources": _resources(settings.pod_database_memory_mb, "1Gi"),
    }


def _agent(clone_id: str, settings: KubernetesSettings) -> dict[str, Any]:
    mounts = [
        _mount("clone", layout.CLONES / clone_id),
        _mount("cell", layout.CELL),
        _mount("agent-secret", layout.SECRETS, readOnly=True),
        _mount("agent-tmp", "/tmp"),  # noqa: S108 - in the container
    ]
    return {
        **_container("agent", settings.pod_image, clone_id, layout.SITE_ACCOUNT, mounts),
        "restartPolicy": "Always",
        "ports": [{"name": "agent", "containerPort": layout.AGENT_PORT}],
        "startupProbe": _started({"httpGet": {"path": "/ready", "port": "agent", "scheme": "HTTPS"}}),
        "resources": _resources(256, "1Gi"),
    }


def _web(clone_id: str, settings: KubernetesSettings) -> dict[str, Any]:
    clone = layout.CLONES / clone_id
    mounts = [
        _mount("clone", clone, readOnly=True),
        *(_mount("clone", clone / name, subPath=name) for name in layout.WRITABLE),
        _mount("cell", layout.CELL),
        _mount("database", layout.DATABASE, readOnly=True),
        _mount("web-tmp", "/tmp"),  # noqa: S108 - in the container
    ]
    robots = {"httpGet": {"path": "/robots.txt", "port": "http"}, "periodSeconds": 5}
    return {
        **_container("web", settings.pod_image, clone_id, layout.SITE_ACCOUNT, mounts),
        "ports": [{"name": "http", "containerPort": layout.WEB_PORT}],
        "startupProbe": _started({"httpGet": {"path": "/robots.txt", "port": "http"}}),
        "readinessProbe": {**robots, "timeoutSeconds": 5},
        "resources": _resources(settings.pod_memory_mb, f"{settings.pod_storage_gb}Gi"),
    }


def _container(name: str, image: str, clone_id: str, account: int, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "siteferry.pod", name],
        "env": [
            {"name": "SITEFERRY_CLONE_ID", "value": clone_id},
            {"name": "SITEFERRY_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "runAsUser": account,
            "runAsGroup": account,
        },
        "volumeMounts": mounts,
    }


def _started(probe: dict[str, Any]) -> dict[str, Any]:
    return {**probe, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": START_SECONDS}


def _resources(memory_mb: int, storage: str) -> dict[str, Any]:
    limits = {"cpu": "1", "memory": f"{memory_mb}Mi", "ephemeral-storage": storage}
    return {"requests": {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "256Mi"}, "limits": limits}


def _mount(volume: str, path: object, **more: Any) -> dict[str, Any]:
    return {"name": volume, "mountPath": str(path), **more}


def _volumes(clone_id: str, settings: KubernetesSettings) -> list[dict[str, Any]]:
    def keys(*names: str) -> dict[str, Any]:
        # Readable by the group that owns the Pod's volumes, which the database has too.
        items = [{"key": name, "path": name} for name in names]
        return {"secret": {"secretName": clone_id, "items": items, "defaultMode": 0o440}}

    tls = (layout.KEY, layout.CERTIFICATE)
    small = {"emptyDir": {"sizeLimit": "1Gi"}}
    return [
        {"name": "clone", **_storage(settings)},
        {"name": "data", **_storage(settings)},
        *({"name": name, **small} for name in ("cell", "database", "database-tmp", "agent-tmp", "web-tmp")),
        {"name": "database-secret", **keys(layout.PASSWORD, *tls)},
        {"name": "agent-secret", **keys(layout.TOKEN, *tls)},
    ]


def _storage(settings: KubernetesSettings) -> dict[str, Any]:
    size = f"{settings.pod_storage_gb}Gi"
    if not settings.pod_storage_class:
        return {"emptyDir": {"sizeLimit": size}}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": settings.pod_storage_class,
        "resources": {"requests": {"storage": size}},
    }
    # Owned by the Pod: it goes when the Pod goes.
    return {"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": LABELS}, "spec": spec}}}
