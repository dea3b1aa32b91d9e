"""deploy/observability fits what the services really export, and every alert leads to what to do about it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.e2e.product import Product

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "deploy" / "observability"
OPERATIONS = ROOT / "docs" / "operations.md"
NAME = re.compile(r"\bsiteferry_[a-z0-9_]+")
PARTS_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus is not here")


@pytest.fixture(scope="module")
def exported(siteferry: Product) -> dict[str, str]:
    """What each service answers to Prometheus."""
    services = json.loads((siteferry.state / "run.json").read_text())["services"]
    return {name: httpx2.get(f"{url}/metrics").raise_for_status().text for name, url in services.items()}


def families(text: str) -> dict[str, str]:
    """Kind of each metric, by its name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def rules() -> list[dict[str, object]]:
    (group,) = yaml.safe_load((PLACE / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and what is asked."""
    for rule in rules():
        yield str(rule["alert"]), str(rule["expr"])
    for panel in json.loads((PLACE / "grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def promtool(*arguments: str | Path, given: str | None = None) -> str:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
def test_every_service_exports_well_formed_metrics_with_help(exported: dict[str, str]) -> None:
    assert set(exported) == {"gateway", "status", "cloner", "restorer"}
    for text in exported.values():
        assert promtool("check", "metrics", given=text) == ""


def test_whatever_is_asked_is_exported_by_some_service(exported: dict[str, str]) -> None:
    known = {name: kind for text in exported.values() for name, kind in families(text).items()}
    for where, expression in expressions():
        for name in NAME.findall(expression):
            base = next((name.removesuffix(end) for end in PARTS_OF_A_HISTOGRAM if name.endswith(end)), name)
            assert name in known or known.get(base) == "histogram", f"{where} asks for {name}"


def test_every_metric_of_ours_is_in_the_documents(exported: dict[str, str]) -> None:
    told = set(NAME.findall(OPERATIONS.read_text()))
    names = {name for text in exported.values() for name in families(text) if name.startswith("siteferry_")}
    assert sorted(name for name in names if not name.endswith("_created") and name not in told) == []


@needs_promtool
def test_rules_are_valid_and_each_alert_comes_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("check", "rules", PLACE / "alerts.yml")
    promtool("test", "rules", PLACE / "alerts.test.yml")
    tried = set(re.findall(r"labels: 'ALERTS\{alertname=\"(\w+)\"", (PLACE / "alerts.test.yml").read_text()))
    assert tried == {rule["alert"] for rule in rules()}


@needs_promtool
def test_the_example_of_how_services_are_found_is_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", PLACE / "prometheus.yml")


def test_every_alert_leads_to_its_own_part_of_the_documents() -> None:
    headings = re.findall(r"^### (Siteferry\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        address = rule["annotations"]["runbook_url"]  # type: ignore[index]
        assert address.endswith(f"/docs/operations.md#{str(rule['alert']).lower()}")
