"""Errors at the edge: RFC 9457 problem details, every one with a stable code, a hint and a trace id.

Nothing a client sent is ever echoed: it could be a password.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, OutboundBufferLimitError
from nats.js.errors import APIError
from starlette.responses import JSONResponse, Response

from shared.contract.jobs import Clone
from shared.web import HEAD_MAX, PROBLEM, problem_document

V1 = "/api/v1/"
UNAVAILABLE = (NatsError, OutboundBufferLimitError, TimeoutError, ConnectionError)
"""What a call to NATS raises when it can not be reached or does not answer in time."""


class Problem(Exception):
    """An answer that is an error.

    `detail` says what happened in one sentence, `hint` what to do next; neither may hold a secret. `extra` members are
    added to the answer, `headers` to its head.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self, *, instance: str, trace_id: str) -> dict[str, Any]:
        """The problem document."""
        return problem_document(
            self.status, self.code, self.detail, hint=self.hint, instance=instance, trace_id=trace_id, **self.extra
        )

    def response(self, *, instance: str, trace_id: str) -> Response:
        """The answer. To calls of /api/v1 in the form they know: `{"success": false, "error": …}`."""
        if instance.startswith(V1):
            old = {"success": False, "error": f"{self.detail} {self.hint}".strip(), "code": self.code}
            return JSONResponse(old, self.status, self.headers)
        body = json.dumps(self.body(instance=instance, trace_id=trace_id), ensure_ascii=False)
        return Response(body.encode(), self.status, self.headers, media_type=PROBLEM)


def job_not_found() -> Problem:
    return Problem(404, "job_not_found", "There is no such job.", hint="GET /jobs lists the jobs.")


def clone_gone(clone: Clone) -> Problem:
    return Problem(409, "clone_gone", f"The clone is {clone.state}.", hint="Clone the site again.")


def batch_not_found() -> Problem:
    return Problem(404, "batch_not_found", "There is no such batch.", hint="GET /batches lists the batches.")


def operation_not_found() -> Problem:
    return Problem(
        404,
        "operation_not_found",
        "There is no such operation.",
        hint="It is told about for seven days after it was asked for.",
    )


def clone_not_found() -> Problem:
    return Problem(404, "clone_not_found", "There is no such clone.", hint="GET /clones lists the clones.")


def snapshot_not_found() -> Problem:
    return Problem(404, "snapshot_not_found", "There is no such snapshot.", hint="GET /snapshots lists the snapshots.")


STORE_FULL = frozenset({10023, 10047, 10048, 10077})
"""JetStream: insufficient resources, insufficient storage or memory, maximum bytes exceeded."""


def unavailable(error: Exception | None = None) -> Problem:
    """NATS can not be reached or can not store: nothing is accepted that can not be stored.

    A message that is too large for it is no outage: 413.
    """
    if isinstance(error, MaxPayloadError):
        return http_problem(413)
    if isinstance(error, APIError) and error.err_code in STORE_FULL:
        return Problem(
            503,
            "unavailable",
            "The message store is full, so nothing can be accepted now.",
            hint="The operator has to make room: `siteferry log-size` shows what fills it. Nothing has been lost.",
            headers={"Retry-After": "60"},
        )
    return Problem(
        503,
        "unavailable",
        "The message store can not be reached, so nothing can be accepted or looked up now.",
        hint="Try again shortly; nothing has been lost. An Idempotency-Key makes trying again safe.",
        headers={"Retry-After": "2"},
    )


def internal() -> Problem:
    return Problem(
        500, "internal_error", "Something went wrong on our side.", hint="Report the trace id; the log has the details."
    )


def http_problem(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """What the framework itself refuses: unknown paths, wrong methods, bodies that are too large."""
    known = {
        404: ("not_found", "There is nothing at this address.", "The API is described at /docs."),
        413: (
            "body_too_large",
            "The body is larger than this API takes.",
            "A batch has at most 4 MB, any other request needs a few kilobytes.",
        ),
        431: (
            "head_too_large",
            "Address and header fields of this request are larger than this API takes.",
            f"Together they have at most {HEAD_MAX:,} bytes.",
        ),
    }
    code, detail, hint = known.get(status, ("request_refused", HTTPStatus(status).phrase + ".", ""))
    return Problem(status, code, detail, hint=hint, headers=headers)


def method_not_allowed(methods: Sequence[str]) -> Problem:
    """An address that is there, and takes these methods."""
    return Problem(
        405,
        "method_not_allowed",
        "This address does not take this method.",
        hint=f"It takes {', '.join(methods)}.",
        headers={"Allow": ", ".join(methods)},
    )


PLAIN = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be a JSON object",
    "datetime_parsing": "must be a date and time like 2026-11-30T12:00:00Z",
    "datetime_from_date_parsing": "must be a date and time like 2026-11-30T12:00:00Z",
    "timezone_aware": "must be a date and time with a time zone, like 2026-11-30T12:00:00Z",
}


TOLD = 5
"""Errors the sentence names."""
LISTED = 100
"""Errors the list names: one batch can hold thousands."""


def validation(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """What pydantic found wrong, field by field in plain words, without what was sent."""
    found = list(errors)
    if any(error["type"] == "json_invalid" for error in found):
        return Problem(400, "malformed_json", "The body is not valid JSON.", hint="Check quotes, commas and encoding.")
    fields = [{"field": _field(error["loc"]), "message": _sentence(error)} for error in found]
    told = "; ".join(f"{item['field']} {item['message']}" for item in fields[:TOLD])
    more = f" (and {len(fields) - TOLD} more)" if len(fields) > TOLD else ""
    return Problem(
        422,
        "invalid_request",
        f"The request is not valid: {told}{more}.",
        hint="Correct these fields.",
        errors=fields[:LISTED],
    )


def _field(loc: Sequence[str | int]) -> str:
    parts = [str(part) for part in loc if part not in ("body", "query", "path", "header")]
    return ".".join(parts) or "body"


def _sentence(error: Mapping[str, Any]) -> str:
    plain = PLAIN.get(error["type"])
    if plain:
        return plain
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    return message[:1].lower() + message[1:]
