"""deploy/ as whoever applies it gets it: built by kubectl's own kustomize, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.bed.build import built

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
Object = dict[str, Any]


def kustomize() -> list[str]:
    """The command before a directory; [] where there is none."""
    if found := shutil.which("kubectl"):
        return [found, "kustomize"]
    return [str(program), "kubectl", "kustomize"] if (program := built()) else []


@cache
def rendered(directory: Path) -> tuple[Object, ...]:
    """All objects of a kustomization. Raises CalledProcessError."""
    done = subprocess.run([*kustomize(), str(directory)], capture_output=True, text=True, check=True, timeout=60)
    return tuple(one for one in yaml.safe_load_all(done.stdout) if one)


def overlay(directory: Path, bases: list[str], components: list[str] = [], **more: Any) -> Path:  # noqa: B006
    """A kustomization of somebody's own on top of ours; `bases` and `components` are named from deploy/."""

    def ways(names: list[str]) -> list[str]:
        return [os.path.relpath(DEPLOY / name, directory.resolve()) for name in names]

    text = {"resources": ways(bases), "components": ways(components), **more}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(text))
    return directory


def of_kind(objects: tuple[Object, ...], *kinds: str) -> dict[str, Object]:
    """Objects of these kinds by their names."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}
