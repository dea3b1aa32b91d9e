"""docs/operations.md lists every setting of every service, with its true default, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from services.cloner.settings import ClonerSettings
from services.gateway.settings import GatewaySettings
from services.restorer.settings import RestorerSettings
from services.status.settings import StatusSettings
from shared.settings import Settings
from shared.wordpress.nearby import Nearby
from siteferry.embedded.cells.options import CellOptions

DOC = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ROW = re.compile(r"^\| `SITEFERRY_([A-Z0-9_]+)` \| ([^|]*) \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)
ROWS = {name.lower(): (who.strip(), default.strip()) for name, who, default in ROW.findall(DOC)}
SERVICES = {
    "gateway": GatewaySettings,
    "cloner": ClonerSettings,
    "restorer": RestorerSettings,
    "status": StatusSettings,
    "cells": CellOptions,
    "workers": Nearby,
    "kubernetes": KubernetesSettings,
}
CLIENT = {"state", "url", "api_key", "nats_store_gb"}
"""Variables of the command line, which are no service's settings."""
FIELDS = sorted({name for service in SERVICES.values() for name in service.model_fields})


def readers(name: str) -> str:
    """Who reads a setting, as the table says it."""
    if name in Settings.model_fields:
        return "all"
    return ", ".join(who for who, service in SERVICES.items() if name in service.model_fields)


def defaults(name: str) -> set[str]:
    return {
        written(service.model_fields[name].default) for service in SERVICES.values() if name in service.model_fields
    }


def written(default: object) -> str:
    if default is None or default == "":
        return "none" if default is None else "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


@pytest.mark.parametrize("name", FIELDS)
def test_setting_is_documented(name: str) -> None:
    assert name in ROWS, f"SITEFERRY_{name.upper()} has no row in docs/operations.md"
    who, default = ROWS[name]
    assert who == readers(name)
    assert {default} == defaults(name)


def test_nothing_else_is_documented() -> None:
    assert set(ROWS) - set(FIELDS) == CLIENT
