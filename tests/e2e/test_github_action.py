"""The GitHub action, run as a runner does: its steps with their environment, on a real site and a real clone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.product import Product
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site

ACTION = Path(__file__).parents[2] / "integrations" / "github-action"
EXPRESSION = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")


@dataclass
class Run:
    """What a run of the action left."""

    code: int
    log: str
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


class Runner:
    """The part of a GitHub runner that a composite action meets."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs = 0
        self._action: dict[str, Any] = yaml.safe_load((ACTION / "action.yml").read_text())

    def run(self, event: dict[str, Any], **given: str) -> Run:
        """The action with these inputs (`_` for `-`), started by a pull request's event."""
        inputs = {name: str(spec.get("default", "")) for name, spec in self._action["inputs"].items()}
        inputs |= {name.replace("_", "-"): value for name, value in given.items()}
        assert set(inputs) == set(self._action["inputs"]), "no such input"
        self._runs += 1
        files = {name: self._directory / f"{name}-{self._runs}" for name in ("event", "output", "summary")}
        for file in files.values():
            file.write_text("")
        files["event"].write_text(json.dumps(event))
        (step,) = self._action["runs"]["steps"]
        environment = {
            "PATH": os.environ["PATH"],
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_REPOSITORY": "harbour/shop",
            "GITHUB_RUN_ID": str(self._runs),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_EVENT_PATH": str(files["event"]),
            "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_STEP_SUMMARY": str(files["summary"]),
            **{name: EXPRESSION.sub(lambda found: inputs[found[1]], text) for name, text in step["env"].items()},
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        return Run(done.returncode, done.stdout + done.stderr, _outputs(files["output"]), files["summary"].read_text())


def _outputs(file: Path) -> dict[str, str]:
    return {
        name: value for name, _, value in re.findall(r"^([a-z-]+)<<(\w+)\n(.*?)\n\2$", file.read_text(), re.M | re.S)
    }


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def pull_request(action: str) -> dict[str, Any]:
    return {"action": action, "pull_request": {"number": 12}}


def _inputs(siteferry: Product, site: Site, **more: str) -> dict[str, str]:
    known = {"server": siteferry.url, "source_url": site.url, "username": site.username, "password": site.password}
    return {**known, **more}


def test_a_pull_request_has_one_clone_until_it_is_closed(
    siteferry: Product, make_site: MakeSite, runner: Runner
) -> None:
    site = make_site("pull-request", content="bare")
    first = runner.run(pull_request("opened"), **_inputs(siteferry, site))
    assert first.code == 0, first.log
    clone = siteferry.http.get(f"/clones/{first.outputs['clone-id']}").json()
    assert first.outputs == {
        "clone-url": clone["clone_url"],
        "admin-url": clone["admin_url"],
        "username": clone["username"],
        "password": clone["password"],
        "clone-id": clone["clone_id"],
        "reused": "false",
    }
    assert clone["name"] == "harbour/shop#12"
    assert clone["clone_url"] in first.summary
    told = [line for line in first.log.splitlines() if clone["password"] in line]
    assert told == [f"::add-mask::{clone['password']}"], "the runner hides it from here on"
    assert site.password not in first.log

    again = runner.run(pull_request("synchronize"), **_inputs(siteferry, site, ttl_minutes="5000"))
    assert (again.code, again.outputs["clone-id"], again.outputs["reused"]) == (0, clone["clone_id"], "true"), again.log
    assert siteferry.http.get(f"/clones/{clone['clone_id']}").json()["expires_at"] > clone["expires_at"]

    closed = runner.run(pull_request("closed"), **_inputs(siteferry, site, username="", password=""))
    assert (closed.code, closed.outputs["clone-url"]) == (0, ""), closed.log
    assert siteferry.http.get(f"/clones/{clone['clone_id']}").json()["state"] in ("deleting", "deleted")
    assert "nothing to remove" in runner.run(pull_request("closed"), **_inputs(siteferry, site)).log


def test_what_goes_wrong_is_an_error_of_the_step(siteferry: Product, make_site: MakeSite, runner: Runner) -> None:
    site = make_site("pull-request-wrong", content="bare")
    wrong = runner.run(pull_request("opened"), **_inputs(siteferry, site, password="wrong", name="wrong"))
    assert wrong.code == 1
    assert re.search(r"^::error title=Siteferry::clone-\w+ failed: .*password", wrong.log, re.M), wrong.log
    fork = runner.run(pull_request("opened"), **_inputs(siteferry, site, password=""))
    assert fork.code == 1
    assert "from forks" in fork.log
    refused = runner.run(pull_request("opened"), **_inputs(siteferry, site, options='{"exclude_table":[]}'))
    assert refused.code == 1
    assert "options.exclude_table is not a field" in refused.log
    away = runner.run(
        pull_request("opened"), **_inputs(siteferry, site, server="http://127.0.0.1:9", timeout_minutes="0.01")
    )
    assert away.code == 1
    assert "No usable answer from http://127.0.0.1:9" in away.log


def test_nothing_a_site_says_is_a_command_to_the_runner(
    siteferry: Product, make_site: MakeSite, runner: Runner
) -> None:
    site = make_site("pull-request-hostile", content="bare")
    name = "x\n::set-output name=a::b ##[add-path]/tmp"
    run = runner.run(pull_request("closed"), **_inputs(siteferry, site, name=name))
    assert run.code == 0, run.log
    assert not [line for line in run.log.splitlines() if line.lstrip().startswith("::") or "##[" in line], run.log


def test_a_workflow_of_ten_lines_is_a_whole_one() -> None:
    text = (ACTION / "README.md").read_text()
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    workflow = yaml.safe_load("\n".join(lines))
    (step,) = workflow["jobs"]["clone"]["steps"]
    assert len(lines) <= 10
    assert set(step["with"]) <= set(yaml.safe_load((ACTION / "action.yml").read_text())["inputs"])
