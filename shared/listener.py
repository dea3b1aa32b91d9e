"""uvicorn's connection, with a bound on what comes before a request's body, and errors in our own form.

What can not be read as HTTP is answered below any application, so what every answer has must be given here too.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.web import HEAD_MAX, HEAD_READ, PROBLEM, problem_document, request_id

CODES = {HTTPStatus.BAD_REQUEST: "malformed_request", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "head_too_large"}
HINTS = {
    HTTPStatus.BAD_REQUEST: "Send HTTP/1.1 as RFC 9112 has it.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"Address and header fields together have at most {HEAD_MAX:,} bytes.",
}


class Listener(HttpToolsProtocol):
    """One connection. The parser itself keeps a header field in memory however long it is."""

    _unfinished = 0
    """Bytes of a head that has not ended."""
    _within_head = True

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head does not end."""
        super().data_received(data)
        self._unfinished = self._unfinished + len(data) if self._within_head else 0
        if self._unfinished > HEAD_READ and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of this request does not end.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._within_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._within_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        given = {name: value for name, value in self.headers or ()}.get(b"x-request-id", b"").decode("latin-1")
        content = json.dumps(problem_document(status, CODES[status], detail, hint=HINTS[status])).encode()
        head = (
            f"HTTP/1.1 {status:d} {status.phrase}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(content)}\r\n"
            f"x-request-id: {request_id(given)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + content)
        self.transport.close()
