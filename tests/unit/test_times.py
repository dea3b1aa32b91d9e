"""Times of answers and events have one form, and no model has a time in another (docs/api.md)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel, PlainSerializer, TypeAdapter

import services.gateway
import shared.contract
from services.gateway.models import Body
from services.gateway.models_mail import Mail
from shared.contract.times import Time

TIMES: TypeAdapter[datetime] = TypeAdapter(Time)


def modules() -> Iterator[Any]:
    for package in (services.gateway, shared.contract):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def written() -> list[type[BaseModel]]:
    """Models that are answered or published; what is asked takes times in any form of RFC 3339."""
    found = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and not issubclass(value, Body)
    }
    return sorted(found, key=lambda model: (model.__module__, model.__name__))


def free(annotation: Any) -> bool:
    """Whether a time in it is written as the library likes."""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        return free(inner) and not any(isinstance(note, PlainSerializer) for note in notes)
    return annotation is datetime or any(free(part) for part in get_args(annotation))


def test_every_model_writes_times_in_the_one_form() -> None:
    assert (free(datetime | None), free(Time | None)) == (True, False)
    models = written()
    assert {"Job", "Clone", "Told", "Version", "Key", "Record", "OperationAnswer"} <= {
        model.__name__ for model in models
    }
    wrong = [
        f"{model.__module__}.{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if free(field.rebuild_annotation())
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 30, 12, tzinfo=UTC),
        datetime(2026, 11, 30, 13, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_a_whole_second_of_any_zone_has_microseconds_and_z(moment: datetime) -> None:
    assert TIMES.dump_json(moment) == b'"2026-11-30T12:00:00.000000Z"'
    assert TIMES.validate_json(TIMES.dump_json(moment)) == moment


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Mon, 30 Nov 2026 13:00:00 +0100", "2026-11-30T12:00:00.000000Z"),
        ("2026-11-30T12:00:00+00:00", "2026-11-30T12:00:00.000000Z"),
        ("2026-11-30 12:00:00", "2026-11-30T12:00:00.000000Z"),
        ("Mon, 99 Nov 2026", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("", None),
        (None, None),
    ],
)
def test_a_mail_says_when_it_was_written_or_nothing(said: str | None, told: str | None) -> None:
    mail = Mail.model_validate({"id": "1", "time": said, "to": [], "subject": ""})
    assert mail.model_dump(mode="json")["time"] == told
