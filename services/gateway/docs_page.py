"""Renders the OpenAPI document as one HTML page in the dashboard's look: no other server, under a strict CSP.

Everything is there without the script, which only makes calls that can be tried.
"""

from __future__ import annotations

import json
import re
import shlex
from html import escape
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
STYLE = (STATIC / "docs.css").read_text()
SCRIPT = (STATIC / "docs.js").read_text()
LIVE = frozenset({"openSocket"})
"""Nothing to be tried with one call."""

Json = dict[str, Any]


def render(document: Json) -> str:
    """The page."""
    schemas: Json = document["components"]["schemas"]
    sections = []
    for tag in document["tags"]:
        operations = [
            _operation(path, method, operation, schemas)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if tag["name"] in operation.get("tags", [])
        ]
        sections.append(
            f"<h2>{escape(tag['name'].title())}</h2><p>{escape(tag['description'])}</p>{''.join(operations)}"
        )
    shapes = "".join(_shape(name, schemas[name]) for name in sorted(schemas))
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title>"
        '<link rel="icon" href="/assets/icon.svg">'
        '<link rel="stylesheet" href="/assets/app.css"><link rel="stylesheet" href="/docs.css">'
        '<script type="module" src="/docs.js"></script>'
        '<header class="top"><div class="inner"><a class="brand" href="/">'
        f'<img src="/assets/icon.svg" alt="" width="28" height="28">{escape(info["title"])}</a>'
        '<nav><a href="/">Dashboard</a><a href="/docs" aria-current="page">API</a>'
        '<a href="/openapi.json">openapi.json</a></nav></div></header>'
        f"<main><h1>{escape(info['title'])} API</h1>"
        f'<p class="sub">{escape(info["summary"])} Version {escape(info["version"])}.</p>'
        f'<p class="lead">{escape(info["description"])}</p>'
        '<form class="card key" hidden><label for="key">API key</label>'
        '<input id="key" type="password" autocomplete="off" placeholder="only where keys are needed"></form>'
        f"{''.join(sections)}<h2>Shapes</h2>{shapes}</main></html>"
    )


def _operation(path: str, method: str, operation: Json, schemas: Json) -> str:
    name = escape(operation["operationId"])
    parts = [
        f'<details id="{name}"><summary><code><span class="method">{method.upper()}</span> {escape(path)}</code> '
        f"{escape(operation.get('summary', ''))}{_scope(operation)}</summary>",
        f"<p>{escape(operation.get('description', ''))}</p>",
        _parameters(operation.get("parameters", [])),
    ]
    if body := operation.get("requestBody"):
        parts.append("<h3>Body</h3>" + _content(body["content"], schemas))
    rows = []
    for status, response in operation["responses"].items():
        shown = _content(response.get("content", {}), schemas) if status.startswith("2") else ""
        rows.append(f"<tr><td><code>{escape(status)}</code><td>{escape(response['description'])}{shown}")
    parts.append(f"<h3>Answers</h3><table>{''.join(rows)}</table>")
    if operation["operationId"] not in LIVE:
        parts.append(f"<h3>curl</h3><pre>{escape(_curl(path, method, operation, schemas))}</pre>")
        parts.append(_try(path, method, operation, schemas))
    return "".join([*parts, "</details>"])


def _scope(operation: Json) -> str:
    return f' <span class="scope">{escape(operation["x-scope"])}</span>' if "x-scope" in operation else ""


def _example(operation: Json, schemas: Json) -> Json | None:
    """The first example of a body; {} where one is taken and none is given."""
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        name = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
        examples = schemas.get(name, {}).get("examples") or media.get("schema", {}).get("examples") or [{}]
        found: Json = examples[0]
        return found
    return None


def _curl(path: str, method: str, operation: Json, schemas: Json) -> str:
    """The call as one would type it; `$URL` and `$KEY` are the reader's."""
    words = ["curl -s"]
    if method != "get":
        words.append(f"-X {method.upper()}")
    there = re.sub(r"{(\w+)}", lambda name: f"${name[1].upper()}", path)
    words.append(f'"$URL{there}"')
    if operation.get("security"):
        words.append('-H "Authorization: Bearer $KEY"')
    if (body := _example(operation, schemas)) is not None:
        said = shlex.quote(json.dumps(body, ensure_ascii=False))
        words.append(f"-H 'Content-Type: application/json' \\\n  -d {said}")
    return " ".join(words)


def _try(path: str, method: str, operation: Json, schemas: Json) -> str:
    fields = [
        f"<label><code>{escape(item['name'])}</code>"
        f'<input name="{escape(item["name"])}" data-in="{escape(item["in"])}" autocomplete="off"></label>'
        for item in operation.get("parameters", [])
    ]
    if (body := _example(operation, schemas)) is not None:
        shown = escape(json.dumps(body, indent=2, ensure_ascii=False))
        fields.append(f'<label><code>body</code><textarea spellcheck="false">{shown}</textarea></label>')
    return (
        f'<form class="try" hidden data-method="{method.upper()}" data-path="{escape(path)}"><h3>Try it</h3>'
        f'{"".join(fields)}<div><button class="primary">Send</button></div><output><pre></pre></output></form>'
    )


def _parameters(parameters: list[Json]) -> str:
    rows = [
        f"<tr><td><code>{escape(item['name'])}</code><td>{escape(item['in'])}"
        f"<td>{_type(item.get('schema', {}))}<td>{escape(item.get('description', ''))}"
        for item in parameters
    ]
    return f"<h3>Parameters</h3><table>{''.join(rows)}</table>" if rows else ""


def _content(content: Json, schemas: Json) -> str:
    shown = []
    for media in content.values():
        schema = media.get("schema", {})
        shown.append(_type(schema))
        examples = schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get("examples", [])
        shown += [f"<pre>{escape(json.dumps(item, indent=2, ensure_ascii=False))}</pre>" for item in examples]
    return "".join(shown)


def _shape(name: str, schema: Json) -> str:
    required = set(schema.get("required", []))
    rows = [
        f"<tr><td><code>{escape(field)}</code>{' <b title=required>*</b>' if field in required else ''}"
        f"<td>{_type(item)}<td>{escape(item.get('description', ''))}"
        for field, item in schema.get("properties", {}).items()
    ]
    text = f"<p>{escape(schema.get('description', ''))}</p>"
    values = ", ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", []))
    table = f"<table>{''.join(rows)}</table>" if rows else f"<p>{values}</p>"
    return f'<details id="shape-{escape(name)}"><summary><code>{escape(name)}</code></summary>{text}{table}</details>'


def _type(schema: Json) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#shape-{name}">{name}</a>'
    if options := schema.get("anyOf") or schema.get("allOf"):
        return " or ".join(_type(option) for option in options)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", [schema.get("const")]))
    return escape(str(schema.get("format") or schema.get("type") or "any"))
