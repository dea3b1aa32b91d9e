"""Renders the OpenAPI document as one HTML page: no script, no other server, works offline under a strict CSP."""

from __future__ import annotations

import json
from html import escape
from typing import Any

STYLE = """\
:root { color-scheme: light dark; --line: light-dark(#d9dce3, #353a45); --soft: light-dark(#f5f6f9, #1c1f26);
  --text: light-dark(#1d2129, #e4e7ee); --faint: light-dark(#5b6474, #9aa3b4); --accent: light-dark(#0b5cad, #7ab7f5); }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 6rem; font: 16px/1.55 system-ui, sans-serif;
  color: var(--text); background: light-dark(#fff, #14161b) }
h1 { margin-bottom: 0 } h2 { margin-top: 3rem } h3 { margin: 1rem 0 .25rem; font-size: .95rem }
p, li { max-width: 46rem } .faint { color: var(--faint) } a { color: var(--accent) }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .6rem 0; padding: 0 1rem }
details[open] { padding-bottom: 1rem }
summary { padding: .7rem 0; cursor: pointer }
summary code { font-weight: 600 } .method { display: inline-block; min-width: 4.2rem; color: var(--accent) }
code, pre { font: .88rem/1.5 ui-monospace, monospace }
pre { overflow: auto; padding: .8rem 1rem; border-radius: .4rem; background: var(--soft) }
table { width: 100%; border-collapse: collapse; font-size: .92rem }
th, td { padding: .35rem .8rem .35rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top }
"""

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
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document['info']['title'])} API</title>"
        '<link rel="stylesheet" href="/docs.css">'
        f"<h1>{escape(document['info']['title'])} API</h1>"
        f'<p class="faint">{escape(document["info"]["summary"])} Version {escape(document["info"]["version"])}, '
        '<a href="/openapi.json">openapi.json</a>. Errors are problem details (RFC 9457).</p>'
        f"{''.join(sections)}<h2>Shapes</h2>{shapes}</html>"
    )


def _operation(path: str, method: str, operation: Json, schemas: Json) -> str:
    name = escape(operation["operationId"])
    parts = [
        f'<details id="{name}"><summary><code><span class="method">{method.upper()}</span> {escape(path)}</code> '
        f"{escape(operation.get('summary', ''))}</summary>",
        f"<p>{escape(operation.get('description', ''))}</p>",
        _parameters(operation.get("parameters", [])),
    ]
    if body := operation.get("requestBody"):
        parts.append("<h3>Body</h3>" + _content(body["content"], schemas))
    rows = []
    for status, response in operation["responses"].items():
        shown = _content(response.get("content", {}), schemas) if status.startswith("2") else ""
        rows.append(f"<tr><td><code>{escape(status)}</code><td>{escape(response['description'])}{shown}")
    parts.append(f"<h3>Answers</h3><table>{''.join(rows)}</table></details>")
    return "".join(parts)


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
