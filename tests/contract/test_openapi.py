"""The OpenAPI document: valid, complete, stable names, and examples the models really take."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from html import unescape
from typing import Any

import jsonschema
import pytest
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel, ValidationError

from services.gateway import models
from services.gateway.app import create_app
from services.gateway.docs_page import render
from services.gateway.idempotency import KEY_MAX
from services.gateway.settings import GatewaySettings
from services.gateway.views import job_answer
from shared.contract.jobs import Job
from shared.contract.subjects import EventType
from shared.secrets.vault import KeyRing
from tests.contract.event_examples import JOB, examples

OPERATIONS = {
    "requestClone": ("post", "/clone"),
    "preflight": ("post", "/preflight"),
    "requestBatch": ("post", "/batches"),
    "listBatches": ("get", "/batches"),
    "getBatch": ("get", "/batches/{batch_id}"),
    "cancelBatch": ("post", "/batches/{batch_id}/cancel"),
    "listJobs": ("get", "/jobs"),
    "getJob": ("get", "/jobs/{job_id}"),
    "getJobStory": ("get", "/jobs/{job_id}/story"),
    "cancelJob": ("post", "/jobs/{job_id}/cancel"),
    "retryJob": ("post", "/jobs/{job_id}/retry"),
    "listClones": ("get", "/clones"),
    "refreshClone": ("post", "/clones/{clone_id}/refresh"),
    "getClone": ("get", "/clones/{clone_id}"),
    "deleteClone": ("delete", "/clones/{clone_id}"),
    "extendClone": ("patch", "/clones/{clone_id}"),
    "listCloneMail": ("get", "/clones/{clone_id}/mail"),
    "streamJob": ("get", "/jobs/{job_id}/events"),
    "openSocket": ("get", "/ws"),
    "getCloneMail": ("get", "/clones/{clone_id}/mail/{mail_id}"),
    "requestRestore": ("post", "/restore"),
    "listImages": ("get", "/images"),
    "deleteImage": ("delete", "/images/{image_id}"),
    "listSnapshots": ("get", "/snapshots"),
    "getSnapshot": ("get", "/snapshots/{snapshot_id}"),
    "rollBack": ("post", "/snapshots/{snapshot_id}/rollback"),
    "discardSnapshot": ("post", "/snapshots/{snapshot_id}/discard"),
    "downloadConnector": ("get", "/connector.zip"),
    "livez": ("get", "/livez"),
    "readyz": ("get", "/readyz"),
    "metrics": ("get", "/metrics"),
}
"""Generated clients are built on these names: never rename one."""


def every(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from every(child)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(GatewaySettings()).openapi()


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert OpenAPI.model_validate(document).openapi.startswith("3.1")
    json.dumps(document)


def test_operations_keep_their_names(document: dict[str, Any]) -> None:
    found = {
        operation["operationId"]: (method, path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert found.items() >= OPERATIONS.items()
    tags = {tag["name"] for tag in document["tags"]}
    for item in document["paths"].values():
        for operation in item.values():
            assert set(operation["tags"]) <= tags
            assert operation["summary"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for item in node for found in references(item)] if isinstance(node, list) else []

    there = {f"#/components/{kind}/{name}" for kind, parts in document["components"].items() for name in parts}
    assert set(references(document)) <= there


def test_every_call_about_jobs_documents_its_problems(document: dict[str, Any]) -> None:
    for name, (method, path) in OPERATIONS.items():
        if path.startswith(("/clone", "/batches", "/jobs", "/restore", "/snapshots")):
            responses = document["paths"][path][method]["responses"]
            assert {"401", "503"} <= set(responses), name
            for status, response in responses.items():
                if status[0] in "45":
                    assert list(response["content"]) == ["application/problem+json"], (name, status)


def test_every_idempotency_key_tells_its_length(document: dict[str, Any]) -> None:
    keys = [
        parameter["schema"]
        for path in document["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
        if parameter["name"].lower() == "idempotency-key"
    ]
    assert len(keys) >= 5
    assert [key.get("maxLength") for key in keys] == [KEY_MAX] * len(keys)


def test_examples_are_what_the_models_take(document: dict[str, Any]) -> None:
    shapes = {model.__name__: model for model in every(BaseModel) if model.__module__.startswith("services.gateway")}
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            shapes[name].model_validate_json(json.dumps(example))
            checked += 1
    assert checked >= 5


def test_examples_are_what_the_document_itself_takes(document: dict[str, Any]) -> None:
    """A client generated from the document takes them, too."""
    schemas = {name: {"$ref": f"#/components/schemas/{name}"} for name in document["components"]["schemas"]}
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        judge = jsonschema.Draft202012Validator(
            schemas[name] | {"components": document["components"]},
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )
        for example in schema.get("examples", []):
            judge.validate(example)
            checked += 1
    assert checked >= 10


def test_every_operation_tells_server_scope_and_fields_of_its_answers(document: dict[str, Any]) -> None:
    assert document["servers"][0]["url"] == "/"
    for path, item in document["paths"].items():
        for operation in item.values():
            name = operation["operationId"]
            wanted = [{"apiKey": [operation["x-scope"]]}, {}] if "x-scope" in operation else []
            assert operation["security"] == wanted, name
            for status, answer in operation["responses"].items():
                assert "X-Request-ID" in answer["headers"], (name, status)
                assert ("Deprecation" in answer["headers"]) is path.startswith("/api/v1/"), (name, status)
            if "requestBody" in operation:
                assert {"400", "413", "415"} <= operation["responses"].keys(), name


def test_answers_about_jobs_are_what_is_documented() -> None:
    keys = KeyRing([b"k" * 32])
    completed = examples()[EventType.COMPLETED].job.model_copy(deep=True)  # type: ignore[attr-defined]
    assert isinstance(completed, Job)
    assert completed.result
    completed.result.sealed_password = keys.seal("geheim", purpose=JOB)
    told = json.loads(job_answer(completed, None, keys).model_dump_json())
    answer = models.JobAnswer.model_validate(told)
    assert set(told) == set(models.JobAnswer.model_fields)
    assert answer.result
    assert answer.result.password == "geheim"
    assert set(told["result"]) == set(models.Result.model_fields)


LOGIN = {"username": "a", "password": "p"}
SITE = {"source_url": "https://shop.example.com"}
TARGET = {"target_url": "https://live.example.com", "target_username": "a", "target_password": "p"}
NIGHTLY = SITE | LOGIN | {"cron": "@daily"}
SOURCE = {"source_username": "a", "source_password": "p"}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        *(("CloneRequest", SITE | way) for way in (LOGIN, {"pairing_key": "k"}, LOGIN | {"pairing_key": None})),
        *(("CloneRequest", SITE | way) for way in ({}, {"username": "a"}, LOGIN | {"pairing_key": "k"})),
        *(("CloneRequest", SITE | way) for way in ({"pairing_key": "k", "username": None}, {"password": None} | {})),
        *(("RefreshRequest", way) for way in (LOGIN, {"pairing_key": "k"}, {}, LOGIN | {"pairing_key": "k"})),
        *(("RefreshRequest", LOGIN | way) for way in ({"overwrite": True}, {"overwrite": 1}, {"overwrite": None})),
        *(("PreflightRequest", SITE | way) for way in ({}, LOGIN, {"username": None}, {"username": "a"})),
        *(("RestoreRequest", TARGET | way) for way in ({}, {"clone_id": "c"}, {"clone_id": "c"} | SITE, SITE)),
        *(("RestoreRequest", TARGET | SITE | way) for way in (SOURCE, {"source_username": "a"})),
        ("RestoreRequest", TARGET | SOURCE | {"clone_id": "c"}),
        *(("ExtendRequest", way) for way in ({}, {"ttl_minutes": 5}, {"expires_at": None, "ttl_minutes": 5})),
        *(("ExtendRequest", way) for way in ({"expires_at": 1_900_000_000}, {"expires_at": "2030-01-01T00:00:00Z"})),
        ("ExtendRequest", {"ttl_minutes": 5, "expires_at": "2030-01-01T00:00:00Z"}),
        *(("CancelJobs", way) for way in ({}, {"ids": ["a"]}, {"filter": {"q": "x"}}, {"ids": ["a"], "filter": None})),
        *(("ForkRequest", {"ttl_minutes": minutes}) for minutes in (4, 5, 43_200, 43_201, 5.0, 5.5, "5", True)),
        *(("Defaults", {"ttl_minutes": minutes}) for minutes in (None, 4, 5)),
        *(("KeyRequest", {"name": "x", "slots": slots}) for slots in (None, 0, 1, 10_001)),
        *(("KeyRequest", {"name": name}) for name in ("", " ", "x" * 80, "x" * 81)),
        *(("KeyRequest", {"name": "x", "expires_at": at}) for at in (None, 1_900_000_000, "2030-01-01T00:00:00Z")),
        *(("SignIn", way) for way in ({}, {"api_key": "k"}, {"link": "l"}, {"api_key": "k", "link": "l"})),
        ("SignIn", {"api_key": "k", "link": None}),
        *(("ForkRequest", {"name": name}) for name in (" ", " x ", None)),
        *(
            ("ScheduleRequest", NIGHTLY | way)
            for way in ({}, {"overwrite": True}, {"overwrite": True, "clone_id": "c"})
        ),
        ("DeleteClones", {"ids": ["a"], "filter": {"q": "x"}}),
        ("ExtendClones", {"ids": ["a"], "ttl_minutes": 5}),
        ("ExtendClones", {"ids": ["a"]}),
        ("ExtendClones", {"ttl_minutes": 5}),
    ],
)
def test_either_or_is_in_the_document_as_it_is_in_the_models(
    document: dict[str, Any], name: str, body: dict[str, Any]
) -> None:
    """What the one takes the other takes, and what it refuses is refused."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    shapes = {model.__name__: model for model in every(BaseModel) if model.__module__.startswith("services.gateway")}
    try:
        shapes[name].model_validate_json(json.dumps(body))
        taken = True
    except ValidationError:
        taken = False
    assert jsonschema.Draft202012Validator(schema).is_valid(body) is taken


def test_bounds_are_told_in_words_of_json_schema(document: dict[str, Any]) -> None:
    """Whoever writes a bound in front of a validator finds it in the document as `ge` or `le`, which nobody reads."""

    def keywords(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from (key for key, value in schema.items() if not isinstance(value, dict | list))
            for value in schema.values():
                yield from keywords(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from keywords(value)

    assert not {"ge", "le", "gt", "lt", "multiple_of"} & set(keywords(document))


def test_page_shows_every_operation_and_shape(document: dict[str, Any]) -> None:
    page = render(document)
    for name in OPERATIONS:
        assert f'id="{name}"' in page
    for name in document["components"]["schemas"]:
        assert f'id="shape-{name}"' in page
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/docs.js">']
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//", page)  # nothing from elsewhere


def test_page_shows_each_call_as_curl_takes_it(document: dict[str, Any]) -> None:
    told = [unescape(text) for text in re.findall(r"<h3>curl</h3><pre>(.*?)</pre>", render(document), re.DOTALL)]
    assert len(told) == sum(len(item) for item in document["paths"].values()) - 1  # a WebSocket is none
    for text in told:
        words = shlex.split(text.replace("\\\n", ""))
        assert words[:2] == ["curl", "-s"]
        if "-d" in words:
            assert isinstance(json.loads(words[words.index("-d") + 1]), dict)
    assert any('"$URL/jobs/$JOB_ID/cancel"' in text for text in told)
