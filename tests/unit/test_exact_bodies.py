"""Every number and every switch of every body is what JSON calls so (ADR 47)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from services.gateway.app import create_app
from services.gateway.models import Body, CloneChoices, CloneRequest
from services.gateway.models_restore import RestoreChoices
from services.gateway.settings import GatewaySettings

create_app(GatewaySettings())  # so that every route's bodies are known


def every(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from every(child)


def fields(kind: str) -> list[tuple[type[BaseModel], str]]:
    """Fields of bodies that are of this type of JSON Schema."""
    found = []
    for model in {*every(Body), CloneChoices, RestoreChoices}:
        for name, schema in model.model_json_schema()["properties"].items():
            if kind in {each.get("type") for each in (schema, *schema.get("anyOf", ()))}:
                found.append((model, name))
    return sorted(found, key=lambda pair: (pair[0].__name__, pair[1]))


def takes(model: type[BaseModel], name: str, value: str) -> bool:
    """Whether a field takes this JSON, by the library's ways of reading both: from text, and from what was parsed."""
    field = model.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    answers = set()
    for read in (lambda: adapter.validate_json(value), lambda: adapter.validate_python(json.loads(value))):
        try:
            read()
            answers.add(True)
        except ValidationError:
            answers.add(False)
    assert len(answers) == 1
    return answers.pop()


@pytest.mark.parametrize(("model", "name"), fields("integer"), ids=lambda value: getattr(value, "__name__", value))
def test_a_number_is_a_number(model: type[BaseModel], name: str) -> None:
    assert [value for value in ("60", "60.0") if not takes(model, name, value)] == []
    assert [value for value in ('"60"', "true", "60.5", '"x"') if takes(model, name, value)] == []


@pytest.mark.parametrize(("model", "name"), fields("boolean"), ids=lambda value: getattr(value, "__name__", value))
def test_a_switch_is_true_or_false(model: type[BaseModel], name: str) -> None:
    assert [value for value in ("true", "false") if not takes(model, name, value)] == []
    assert [value for value in ("1", "0", "1.0", '"true"', '"yes"', '"1"') if takes(model, name, value)] == []


def test_all_of_them_are_looked_at() -> None:
    assert {name for _, name in fields("integer")} >= {"ttl_minutes", "snapshot_hours", "slots", "overlap_minutes"}
    assert {name for _, name in fields("boolean")} >= {"dry_run", "accept_loss", "keep_transients", "operator"}


def test_what_a_wrong_type_is_told() -> None:
    wish = {"source_url": "https://shop.example.com", "username": "a", "password": "b"}
    with pytest.raises(ValidationError) as refused:
        CloneRequest.model_validate({**wish, "ttl_minutes": "60"})
    assert [error["type"] for error in refused.value.errors()] == ["int_type"]
