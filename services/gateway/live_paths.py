"""What the status service answers on the same origin, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Any

from services.gateway.routes.responses import Responses, problem

Json = dict[str, Any]

SSE_EXAMPLE = """retry: 1000

id: 812-4f1c
event: snap
data: {"type":"snap","id":"job","seq":812,"n":7,"epoch":"4f1c","job":{"job_id":"clone-0k3v9x2m7c1p5t8w",…}}

event: end
data: {"type":"end","id":"job","seq":940,"state":"completed"}
"""
LINE: Json = {
    "type": "object",
    "required": ["seq", "type", "time", "message"],
    "properties": {
        "seq": {"type": "integer", "description": "Send the last one as `after` to go on."},
        "type": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "message": {"type": "string"},
        "step": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "attempt": {"type": "integer"},
        "progress": {"type": "number", "minimum": 0, "maximum": 100},
    },
}
SCHEMAS: Json = {
    "JobEvent": {
        "type": "object",
        "description": "One server-sent event.",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": "Where to go on, as Last-Event-ID."},
            "event": {"enum": ["snap", "ev", "end", "ping", "bye", "err", "upstream"]},
            "data": {"type": "string", "description": "A frame in JSON, as `/asyncapi.json` describes it."},
        },
    },
    "JobLine": {**LINE, "description": "One line of what happened to a job, for people."},
    "JobLines": {
        "type": "object",
        "description": "What happened to a job so far.",
        "required": ["events"],
        "properties": {"events": {"type": "array", "items": {"$ref": "#/components/schemas/JobLine"}}},
    },
}


def _written(*statuses: int, also: Responses) -> Json:
    return {str(status): answer for status, answer in sorted(problem(*statuses, also=also).items())}


def _query(name: str, text: str, **schema: Any) -> Json:
    shape = {"type": "integer", **schema}
    return {"name": name, "in": "query", "required": False, "description": text, "schema": shape}


JOB_ID: Json = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "description": "The job's id, like clone-0k3v9x2m7c1p5t8w.",
    "schema": {"type": "string"},
}
EVENTS: Json = {
    "operationId": "streamJob",
    "tags": ["live"],
    "summary": "Follow a job",
    "description": "Server-sent events until the job has ended: `snap` with the whole job, `ev` for each change, "
    "`ping` while nothing happens, `end`, after which the stream ends. The data of each is a frame of the WebSocket "
    "protocol (`/asyncapi.json`). With `Accept: application/json`: what happened so far, in lines.",
    "parameters": [
        JOB_ID,
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "Id of the last event that was received: goes on behind it.",
            "schema": {"type": "string"},
        },
        _query("after", "With JSON: lines behind this `seq`.", minimum=0, default=0),
        _query("limit", "With JSON: the newest so many lines.", minimum=1, maximum=1000, default=500),
    ],
    "responses": _written(
        403,
        404,
        also={
            200: {
                "description": "The events, or the lines",
                "content": {
                    "text/event-stream": {"schema": {"$ref": "#/components/schemas/JobEvent"}, "example": SSE_EXAMPLE},
                    "application/json": {"schema": {"$ref": "#/components/schemas/JobLines"}},
                },
            },
            204: {"description": "The job has ended, and Last-Event-ID is its end: do not come back"},
        },
    ),
}
SOCKET: Json = {
    "operationId": "openSocket",
    "tags": ["live"],
    "summary": "Follow many jobs over a WebSocket",
    "description": "A WebSocket handshake (RFC 6455). Offer the sub-protocols `siteferry.v1` and, where keys are "
    "needed, `ticket.` and a ticket of `POST /tickets`. Frames are described at `/asyncapi.json`.",
    "responses": _written(
        403, 426, also={101: {"description": "The connection speaks the WebSocket protocol from here"}}
    ),
}
PATHS: Json = {"/jobs/{job_id}/events": {"get": EVENTS}, "/ws": {"get": SOCKET}}
