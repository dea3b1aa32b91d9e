"""docs/reference/settings.md: every `SITEFERRY_…` variable with its type, default and meaning, from the classes."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings
from reference_words import docstrings, lines, type_of

from services.cloner.drivers.kubernetes.settings import KubernetesSettings
from services.cloner.settings import ClonerSettings
from services.gateway.settings import GatewaySettings
from services.restorer.settings import RestorerSettings
from services.status.settings import StatusSettings
from shared.settings import Settings
from shared.wordpress.nearby import Nearby
from siteferry.cluster.parts import ClusterPlaces
from siteferry.compose.parts import Places
from siteferry.embedded.cells.options import CellOptions
from siteferry.environment import CommandLine
from siteferry.variables import Edge, NatsStore

INTRODUCTION = """# Settings

Environment variables, read at start. Under `siteferry up` those of the parts' addresses, files and accounts are set by
it; the others reach the services from your environment. Several values of one variable have commas between them. What
they are for is in [operations](../operations.md#settings). Written by `scripts/reference.py`.
"""
READERS: Mapping[str, type] = {
    "gateway": GatewaySettings,
    "status": StatusSettings,
    "cloner": ClonerSettings,
    "restorer": RestorerSettings,
    "workers": Nearby,
    "cells": CellOptions,
    "kubernetes": KubernetesSettings,
    "edge": Edge,
    "siteferry up": NatsStore,
    "compose.yaml": Places,
    "deploy/": ClusterPlaces,
    "command line": CommandLine,
}
TITLES = {
    "all": "Every service",
    "gateway, status": "Gateway and status",
    "gateway, status, edge": "Gateway, status and edge",
    "gateway": "Gateway",
    "status": "Status",
    "cloner, restorer": "Workers: cloner and restorer",
    "workers": "Whatever reads a site",
    "cloner": "Cloner",
    "restorer": "Restorer",
    "cells": "Cells of clones, on one machine",
    "kubernetes": "Clones in a cluster",
    "siteferry up, compose.yaml, deploy/": "The message store",
    "compose.yaml, deploy/": "Servers of NATS",
    "compose.yaml": "compose.yaml",
    "deploy/": "In a cluster",
    "command line": "The command line",
}
"""Headings by who reads what is below them, in the order of the page."""


def fields(model: type) -> dict[str, FieldInfo]:
    """The settings of a class, by name."""
    if issubclass(model, BaseSettings):
        return model.model_fields
    assert dataclasses.is_dataclass(model)
    kinds = get_type_hints(model)
    return {
        each.name: FieldInfo.from_annotated_attribute(kinds[each.name], each.default)
        for each in dataclasses.fields(model)
    }


def readers(name: str) -> str:
    """Who reads a setting."""
    if name in Settings.model_fields:
        return "all"
    return ", ".join(who for who, model in READERS.items() if name in fields(model))


def settings() -> dict[str, tuple[type, FieldInfo]]:
    """Every setting by its name, with the class that says what it is."""
    found: dict[str, tuple[type, FieldInfo]] = {}
    for model in READERS.values():
        for name, field in fields(model).items():
            owner = next(each for each in model.__mro__ if name in inspect.get_annotations(each))
            found.setdefault(name, (owner, field))
    return found


def page() -> str:
    """docs/reference/settings.md. Raises LookupError for a setting that does not say what it means."""
    tables: dict[str, list[str]] = {who: [] for who in TITLES}
    for name, (owner, field) in settings().items():
        meaning = docstrings(owner).get(name)
        if not meaning:
            raise LookupError(f"{owner.__name__}.{name} does not say what it means: write a docstring below it")
        row = f"| `SITEFERRY_{name.upper()}` | {_type(field)} | {_default(field.default)} | {lines(meaning)} |"
        tables[readers(name)].append(row)
    head = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    sections = ["\n".join([f"## {TITLES[who]}", "", *head, *rows, ""]) for who, rows in tables.items()]
    return "\n".join([INTRODUCTION, *sections])


def _type(field: FieldInfo) -> str:
    return _kind(field.annotation) + _bounds(field.metadata)


def _kind(kind: Any) -> str:
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    return "path" if kind is Path else type_of(kind)


def _bounds(metadata: list[Any]) -> str:
    said = []
    for each in metadata:
        match each:
            case Ge(ge=least):
                said.append(f"from {least}")
            case Gt(gt=below):
                said.append(f"above {below}")
            case Le(le=most):
                said.append(f"to {most}")
    return f", {' '.join(said)}" if said else ""


def _default(value: Any) -> str:
    if value is None or value == "":
        return "none" if value is None else "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
