"""deploy/ without a cluster: what each manifest must have, and that they fit the code and one another."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from services.cloner.settings import ClonerSettings
from services.gateway.settings import GatewaySettings
from services.restorer.settings import RestorerSettings
from services.status.settings import StatusSettings
from shared.cells import pod_layout
from shared.contract.rights import USERS
from shared.contract.streams import STREAMS, work_consumer
from shared.contract.subjects import KINDS, LANES
from shared.engine.settings import EngineSettings
from shared.secrets.key_file import digest, parse_keys
from shared.secrets.vault import KeyRing
from siteferry.cluster.parts import ClusterPlaces, nats_config
from siteferry.cluster.secrets import LOGIN, made
from siteferry.embedded.servers.base import find_binary
from tests.kubernetes.manifests import DEPLOY, ROOT, Object, kustomize, of_kind, overlay, rendered

pytestmark = pytest.mark.skipif(not kustomize(), reason="no kubectl here, which builds the manifests")
OVERLAYS = ("single", "ha")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SCHEMA = json.loads((Path(__file__).parent / "keda_scaledobject.json").read_text())
SERVICES = {
    "gateway": GatewaySettings,
    "status": StatusSettings,
    "cloner": ClonerSettings,
    "restorer": RestorerSettings,
}
NOT_READY_ASKED = frozenset({"keeper"})
"""Serves nobody, so there is nothing to ask it."""


def objects(name: str) -> tuple[Object, ...]:
    return rendered(DEPLOY / "overlays" / name)


def workloads(name: str) -> dict[str, Object]:
    return of_kind(objects(name), "Deployment", "StatefulSet")


def spec(workload: Object) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def configured(name: str) -> dict[str, str]:
    found: dict[str, str] = of_kind(objects(name), "ConfigMap")["siteferry"]["data"]
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_container_is_what_restricted_means_has_limits_probes_and_a_version(name: str) -> None:
    for who, workload in workloads(name).items():
        pod = spec(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            inner = container["securityContext"]
            assert inner["capabilities"] == {"drop": ["ALL"]}
            assert (inner["allowPrivilegeEscalation"], inner["readOnlyRootFilesystem"]) == (False, True)
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert container["image"].rpartition(":")[2] == VERSION
            probes = {"startupProbe", "readinessProbe", "livenessProbe"}
            assert probes <= set(container) or who in NOT_READY_ASKED


def test_every_service_and_every_part_of_a_clone_has_an_account_of_its_own() -> None:
    accounts = [spec(workload)["securityContext"]["runAsUser"] for workload in workloads("ha").values()]
    assert not {pod_layout.SITE_ACCOUNT, pod_layout.DATABASE_ACCOUNT} & set(accounts)
    assert len(set(accounts)) == len(accounts)


@pytest.mark.parametrize("name", OVERLAYS)
def test_nobody_but_the_cloner_has_a_token_of_the_cluster(name: str) -> None:
    accounts = of_kind(objects(name), "ServiceAccount")
    for who, workload in workloads(name).items():
        account = spec(workload)["serviceAccountName"]
        assert account == who, "each its own"
        assert spec(workload)["automountServiceAccountToken"] is (who == "cloner")
        assert who == "cloner" or accounts[account]["automountServiceAccountToken"] is False
    bound = {subject["name"] for one in of_kind(objects(name), "RoleBinding").values() for subject in one["subjects"]}
    assert bound == {"cloner"}
    assert not of_kind(objects(name), "ClusterRole", "ClusterRoleBinding")


@pytest.mark.parametrize("name", OVERLAYS)
def test_both_namespaces_are_restricted_and_closed(name: str) -> None:
    namespaces = of_kind(objects(name), "Namespace")
    assert set(namespaces) == {"siteferry", "siteferry-clones"}
    for each, namespace in namespaces.items():
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        closed = [
            one["spec"]
            for one in objects(name)
            if one["kind"] == "NetworkPolicy" and one["metadata"]["namespace"] == each
        ]
        assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in closed


def lets(policies: list[dict[str, Any]], labels: dict[str, str], direction: str, port: int) -> list[Any]:
    """Who reaches, or is reached by, Pods with these labels at a port."""
    peers: list[Any] = []
    for policy in policies:
        selector = policy["podSelector"]
        chosen = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
            labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", [])
        )
        if not chosen or direction.capitalize() not in policy["policyTypes"]:
            continue
        for rule in policy.get(direction, []):
            if "ports" not in rule or port in {one["port"] for one in rule["ports"]}:
                peers += rule["from" if direction == "ingress" else "to"]
    return peers


def test_what_must_flow_may_flow_on_both_sides_and_nothing_reaches_nats_else() -> None:
    policies = [
        one["spec"]
        for one in objects("ha")
        if one["kind"] == "NetworkPolicy" and one["metadata"]["namespace"] == "siteferry"
    ]
    labels = {who: one["spec"]["template"]["metadata"]["labels"] for who, one in workloads("ha").items()}

    def pods(peers: list[Any]) -> set[str]:
        wanted = [peer["podSelector"]["matchLabels"] for peer in peers if "namespaceSelector" not in peer]
        return {who for who, its in labels.items() if any(one.items() <= its.items() for one in wanted)}

    flows = {
        ("edge", "gateway", 8081),
        ("edge", "status", 8082),
        ("nats", "nats", 6222),
        *((who, "nats", 4222) for who in ("gateway", "status", "cloner", "restorer", "keeper")),
    }
    for source, target, port in flows:
        assert target in pods([one for one in lets(policies, labels[source], "egress", port) if "podSelector" in one])
        assert source in pods(lets(policies, labels[target], "ingress", port)), (source, target)
    assert pods(lets(policies, labels["nats"], "ingress", 4222)) == set(SERVICES) | {"keeper"}
    assert lets(policies, labels["nats"], "ingress", 8222) == [], "its monitor answers itself alone"
    for who in ("gateway", "edge", "nats", "keeper"):
        out = lets(policies, labels[who], "egress", 443)
        assert not any("ipBlock" in peer for peer in out), f"{who} has no business outside"


@pytest.mark.parametrize("name", OVERLAYS)
def test_settings_are_settings(name: str) -> None:
    known = {field for settings in SERVICES.values() for field in settings.model_fields}
    known |= set(KubernetesSettings.model_fields) | set(ClusterPlaces.model_fields)
    data = configured(name)
    assert {key for key in data if key.removeprefix("SITEFERRY_").lower() not in known} == set()
    values = {key.removeprefix("SITEFERRY_").lower(): value for key, value in data.items()}
    for settings in (*SERVICES.values(), KubernetesSettings, ClusterPlaces):
        settings(**{key: value for key, value in values.items() if key in settings.model_fields})
    nodes = ClusterPlaces(**{k: v for k, v in values.items() if k in ClusterPlaces.model_fields}).nodes
    nats = workloads(name)["nats"]
    assert nodes == nats["spec"]["replicas"] == len(values["nats_url"].split(",")) == int(values["replicas"])
    (claim,) = nats["spec"]["volumeClaimTemplates"]
    room = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))
    assert room > int(values["nats_store_gb"]), "the store is full before the volume is"
    for image in ("POD_IMAGE", "POD_DATABASE_IMAGE"):
        assert data[f"SITEFERRY_{image}"].rpartition(":")[2] == VERSION
    clone = data["SITEFERRY_CLONE_ADDRESS"]
    assert clone.startswith("https://")


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_secret_a_pod_wants_is_made_and_each_gets_its_own_only(name: str) -> None:
    there = {one["metadata"]["name"]: set(one["stringData"]) for one in made("k")}
    wanted: dict[str, set[str]] = {}
    for who, workload in workloads(name).items():
        for volume in spec(workload)["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                wanted.setdefault(who, set()).add(source["secret"]["name"])
                assert {item["key"] for item in source["secret"].get("items", [])} <= there[source["secret"]["name"]]
    assert wanted["nats"] == {f"nats-{user}" for user in (*USERS, "routes")}
    for who in SERVICES:
        assert {secret for secret in wanted[who] if secret.startswith("nats-")} == {f"nats-{who}"}
    assert [who for who in wanted if "pod-key" in wanted[who]] == ["cloner"]
    assert {who for who in wanted if "vault" in wanted[who]} == set(SERVICES)
    assert "edge" not in wanted
    for key in ("TOKEN_FILE", "VAULT_KEY_FILE", "API_KEYS_FILE", "POD_KEY_FILE"):
        path = next(value for name, value in configured(name).items() if name.endswith(key))
        assert Path(path).name in set().union(*there.values())


def test_workers_have_the_time_they_need_to_hand_their_jobs_back() -> None:
    for name in OVERLAYS:
        for who in ("cloner", "restorer"):
            grace = spec(workloads(name)[who])["terminationGracePeriodSeconds"]
            assert grace >= EngineSettings().stop_grace * 2 + 10, "a step that ends, a step that is cancelled, NATS"


def test_of_everything_that_serves_there_are_two_and_one_may_go() -> None:
    budgets = of_kind(objects("ha"), "PodDisruptionBudget")
    for who, workload in workloads("ha").items():
        if who == "keeper":
            continue  # what it made stays while it is away
        assert workload["spec"]["replicas"] >= 2
        assert budgets[who]["spec"]["maxUnavailable"] == 1
        selected = budgets[who]["spec"]["selector"]["matchLabels"].items()
        assert selected <= workload["spec"]["template"]["metadata"]["labels"].items()
        pod = spec(workload)
        assert "topologySpreadConstraints" in pod or "affinity" in pod
    rule = spec(workloads("ha")["nats"])["affinity"]["podAntiAffinity"]
    assert "requiredDuringSchedulingIgnoredDuringExecution" in rule


def test_a_clone_fits_the_limits_of_its_namespace() -> None:
    from services.cloner.drivers.kubernetes import objects as clones

    (limits,) = of_kind(objects("single"), "LimitRange")["clones"]["spec"]["limits"]
    pod = clones.pod("clone-0123456789abcdef", KubernetesSettings())["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        asked = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
        assert asked <= int(limits["max"]["memory"].removesuffix("Gi")) * 1024


@pytest.mark.parametrize("component", ["keda-nats", "keda-prometheus"])
def test_keda_is_told_what_its_schema_knows_and_what_there_is(component: str, tmp_path: Path) -> None:
    own = rendered(overlay(tmp_path, ["overlays/ha"], [f"components/{component}"]))
    scaled = of_kind(own, "ScaledObject")
    assert set(scaled) == {"cloner", "restorer"}
    for who, kind in zip(("cloner", "restorer"), KINDS, strict=True):
        jsonschema.validate(scaled[who], SCHEMA)
        triggers = scaled[who]["spec"]["triggers"]
        slots = SERVICES[who].model_fields[f"{who}_slots"].default
        if component == "keda-prometheus":
            (trigger,) = triggers
            assert trigger["metadata"]["query"] == f'sum(max by (lane) (siteferry_queue_lag{{kind="{kind}"}}))'
            assert int(trigger["metadata"]["threshold"]) == slots
            continue
        assert {one["metadata"]["consumer"] for one in triggers} == {work_consumer(kind, lane) for lane in LANES}
        assert {one["metadata"]["stream"] for one in triggers} == {STREAMS[kind]}
        assert {int(one["metadata"]["lagThreshold"]) for one in triggers} == {slots}
    if component == "keda-nats":
        assert of_kind(own, "ConfigMap")["siteferry"]["data"]["SITEFERRY_NATS_MONITOR"] == "0.0.0.0"
        assert 8222 in {port["port"] for port in of_kind(own, "Service")["nats"]["spec"]["ports"]}
        (rule,) = of_kind(own, "NetworkPolicy")["keda"]["spec"]["ingress"]
        assert [port["port"] for port in rule["ports"]] == [8222]


def test_a_schema_that_takes_anything_would_be_none() -> None:
    scaled = yaml.safe_load_all((DEPLOY / "components" / "keda-nats" / "scaled.yaml").read_text())
    one = next(iter(scaled))
    one["spec"]["triggers"][0]["metadata"]["lagTreshold"] = "5"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(one, SCHEMA)


def test_prometheus_finds_every_service_by_the_name_its_rules_use(tmp_path: Path) -> None:
    own = rendered(overlay(tmp_path, ["overlays/ha"], ["components/monitoring"]))
    alerts = yaml.safe_load((DEPLOY / "observability" / "alerts.yml").read_text())
    assert of_kind(own, "PrometheusRule")["siteferry"]["spec"] == {"groups": alerts["groups"]}
    deployments = of_kind(own, "Deployment")
    for who in SERVICES:
        monitor = of_kind(own, "PodMonitor")[f"siteferry-{who}"]["spec"]
        labels = deployments[who]["spec"]["template"]["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
        (endpoint,) = monitor["podMetricsEndpoints"]
        ports = {port["name"]: port["containerPort"] for port in spec(deployments[who])["containers"][0]["ports"]}
        assert endpoint["port"] in ports
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": f"siteferry-{who}"}]
        (rule,) = of_kind(own, "NetworkPolicy")["monitoring"]["spec"]["ingress"]
        assert ports[endpoint["port"]] in {port["port"] for port in rule["ports"]}


def test_a_canary_is_one_cloner_more_that_shares_everything_but_its_image_and_lanes() -> None:
    (canary,) = rendered(DEPLOY / "canary")
    stable = workloads("ha")["cloner"]
    assert canary["metadata"]["name"] == "cloner-canary"
    own, others = canary["spec"]["selector"]["matchLabels"], stable["spec"]["selector"]["matchLabels"]
    assert not own.items() <= stable["spec"]["template"]["metadata"]["labels"].items()
    assert not others.items() <= canary["spec"]["template"]["metadata"]["labels"].items()
    (container,) = spec(canary)["containers"]
    env = {one["name"]: one["value"] for one in container.pop("env")}
    assert ClonerSettings(lanes=env["SITEFERRY_LANES"]).own_lanes == (LANES[-1],)
    assert env["SITEFERRY_POD_IMAGE"] == container["image"] != spec(stable)["containers"][0]["image"]
    (usual,) = (one for one in spec(stable)["containers"])
    assert container | {"image": ""} == usual | {"image": ""}


def test_notes_of_cloners_can_be_on_one_volume_for_all(tmp_path: Path) -> None:
    own = rendered(overlay(tmp_path, ["overlays/ha"], ["components/shared-notes"]))
    (volume,) = (one for one in spec(of_kind(own, "Deployment")["cloner"])["volumes"] if one["name"] == "notes")
    claim = of_kind(own, "PersistentVolumeClaim")[volume.pop("persistentVolumeClaim")["claimName"]]
    assert volume == {"name": "notes"}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    mounts = {one["name"]: one["mountPath"] for one in spec(workloads("ha")["cloner"])["containers"][0]["volumeMounts"]}
    assert mounts["notes"] == configured("ha")["SITEFERRY_CLONES_DIR"]


def test_secrets_open_what_they_are_for(tmp_path: Path) -> None:
    first, second = made("one"), made("two")
    texts = {one["metadata"]["name"]: next(iter(one["stringData"].values())) for one in first}
    assert not set(texts.values()) & {text for one in second for text in one["stringData"].values()}
    (tmp_path / "vault.key").write_text(texts["vault"])
    KeyRing.load(tmp_path / "vault.key")
    assert len(base64.b64decode(texts["vault"])) == 32
    assert len(texts["pod-key"].strip()) >= 32
    keys = parse_keys(texts["api-keys"])
    assert [one.operator for one in keys.values()] == [True]
    assert set(keys) == {digest("one")}


@pytest.mark.parametrize("name", OVERLAYS)
def test_nats_understands_its_configuration(name: str, tmp_path: Path) -> None:
    values = {key.removeprefix("SITEFERRY_").lower(): value for key, value in configured(name).items()}
    places = ClusterPlaces(**{key: value for key, value in values.items() if key in ClusterPlaces.model_fields})
    for one in made("k"):
        if one["metadata"]["name"].startswith("nats-"):
            folder = tmp_path / "users" / one["metadata"]["name"].removeprefix("nats-")
            folder.mkdir(parents=True)
            (folder / LOGIN).write_text(one["stringData"][LOGIN])
    text = nats_config(places, name="nats-0", logins=tmp_path / "users", store=tmp_path / "store")
    (tmp_path / "nats.conf").write_text(text)
    done = subprocess.run(
        [find_binary("nats-server"), "-t", "--config", tmp_path / "nats.conf"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"@(nats-\d\.nats):6222", text) == [f"nats-{n}.nats" for n in range(1, places.nodes)]
    assert 'http: "127.0.0.1:8222"' in text


def test_the_kustomization_of_the_documents_builds_and_takes_every_image_from_its_registry(tmp_path: Path) -> None:
    doc = (ROOT / "docs" / "kubernetes.md").read_text()
    (text,) = re.findall(r"```yaml\n# mine/kustomization.yaml\n(.*?)```", doc, re.DOTALL)
    said = yaml.safe_load(text)
    bases = [one.removeprefix("../deploy/") for one in said.pop("resources")]
    parts = [one.removeprefix("../deploy/") for one in said.pop("components")]
    own = rendered(overlay(tmp_path, bases, parts, **said))
    images = {
        container["image"]
        for one in of_kind(own, "Deployment", "StatefulSet").values()
        for container in spec(one)["containers"]
    }
    data = of_kind(own, "ConfigMap")["siteferry"]["data"]
    images |= {data["SITEFERRY_POD_IMAGE"], data["SITEFERRY_POD_DATABASE_IMAGE"]}
    assert {image.rpartition("/")[0] for image in images} == {"registry.example.org"}
    assert {image.rpartition(":")[2] for image in images} == {VERSION}
    (rule,) = of_kind(own, "Ingress")["siteferry"]["spec"]["rules"]
    assert data["SITEFERRY_EDGE_URL"] == f"https://{rule['host']}"
