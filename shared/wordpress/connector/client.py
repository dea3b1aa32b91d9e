"""A synchronous client for the connector, for use in worker threads.

    client = ConnectorClient(http, endpoints(home, siteurl), key)
    client.call("hello")
    for frame in client.stream("files.stream", {"roots": ["abspath"], "cursor": None}): ...

`call` repeats itself when the connection fails: small operations change nothing, and each try has a nonce of its own.
`stream` never does: what had arrived is the caller's, who resumes from the last cursor.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

import httpx2

from shared.errors import JobError, Temporary
from shared.wordpress import limits
from shared.wordpress.challenge import recognise_challenge
from shared.wordpress.connector import protocol
from shared.wordpress.connector.errors import (
    TYPED_FAULTS,
    ConnectorFault,
    ConnectorGone,
    ConnectorRefused,
    RequestTooLarge,
    TargetBusy,
)
from shared.wordpress.connector.protocol import Frame, FrameDecoder, TruncatedResponse, check_json
from shared.wordpress.errors import AnswerTooLarge, BasicAuthRequired, HostChallenge, SourceUnreachable
from shared.wordpress.http import map_transport_errors, retry_after
from shared.wordpress.unpacking import pieces

TRIES: Final = 4
PAUSE: Final = 0.3
"""Seconds before the second try; doubled each time."""
MAX_ERROR_BODY: Final = int(limits.REFUSAL.most)

HEADERS: Final = {
    "Content-Type": "application/octet-stream",
    "Accept": "application/octet-stream, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Cache-Control": "no-store",
}

REFUSALS: Final = frozenset(
    {"bad_signature", "expired", "no_key", "bad_version", "not_writable", "zlib_missing", "not_loaded"}
)
"""Refusals that another try can not change. `stale_request` and `replayed` are dealt with here."""
PERMANENT_FAULTS: Final = frozenset(
    {
        "database_denied",
        "unknown_op",
        "bad_params",
        "bad_cursor",
        "schema_changed",
        "read_only_key",
    }
)


def endpoints(home: str, siteurl: str) -> list[str]:
    """Where the connector answers: the early entry first, then wp-admin's Ajax entry for hosts that block the first."""
    return [f"{home.rstrip('/')}/?siteferry=1", f"{siteurl.rstrip('/')}/wp-admin/admin-ajax.php?action=siteferry"]


class Called(Protocol):
    """Hears of a request that is over: its operation, Unix seconds."""

    def __call__(self, what: str, began: float, ended: float, *, failed: bool) -> None: ...


class ConnectorClient:
    """Talks to one connector. May be shared by threads when the httpx2 client may.

    `endpoints` are tried in order until one speaks our protocol; that one is kept. `clock` gives Unix seconds; the
    source's clock is learnt from its answers.
    """

    def __init__(
        self,
        http: httpx2.Client,
        endpoints: Sequence[str],
        key: bytes,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        called: Called | None = None,
    ) -> None:
        """`called` hears of every request that is over."""
        if not endpoints:
            raise ValueError("at least one endpoint is needed")
        self._http = http
        self._endpoints = list(endpoints)
        self._key = key
        self._clock = clock
        self._sleep = sleep
        self._called = called
        self._skew = 0.0
        self._settled = False

    def call(self, op: str, params: dict[str, Any] | None = None, *, tries: int = TRIES) -> dict[str, Any]:
        """Run a small operation and return its result. Operations that write bear being repeated too.

        Raises ConnectorGone, ConnectorRefused, ConnectorFault, HostChallenge, BasicAuthRequired, TlsError,
        SourceUnreachable, TruncatedResponse (the last two after a few tries).
        """
        for attempt in range(tries):
            try:
                results = [frame for frame in self.stream(op, params or {}) if frame.type == "J"]
                return results[0].json() if results else {}
            except ConnectorGone:
                if op == "remove" and attempt:
                    return {"removed": True, "left": []}  # the first try worked; only its answer was lost
                raise
            except (SourceUnreachable, TruncatedResponse):
                if attempt == tries - 1:
                    raise
                self._sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable")

    def stream(self, op: str, params: dict[str, Any]) -> Iterator[Frame]:
        """Frames of one answer, verified one by one; the last is `E` with `cursor` and `done`.

        After `E` the signature over the whole answer is checked too; only then does the iterator end. Raises what
        `call` raises, at once. Closing the iterator early ends the request on the source.
        """
        refused: SkewedClock | ConnectorGone | HostChallenge | None = None
        for endpoint in self._candidates():
            for _ in range(2):
                try:
                    yield from self._exchange(endpoint, op, params)
                    return
                except SkewedClock as error:
                    self._skew = error.server_time - self._clock()
                    refused = error
                except (ConnectorGone, HostChallenge) as error:
                    refused = refused if isinstance(refused, HostChallenge) else error
                    break
        if isinstance(refused, SkewedClock):
            raise ConnectorRefused("The source's clock can not be followed.", fault="stale_request")
        assert refused is not None
        raise refused

    def elsewhere(self, endpoint: str) -> ConnectorClient:
        """The same connector at another address (its rescue.php)."""
        return ConnectorClient(
            self._http, [endpoint], self._key, clock=self._clock, sleep=self._sleep, called=self._called
        )

    def remove(self) -> dict[str, Any]:
        """Let the connector take itself off the source: `{removed, left}`. Fine when it is gone already."""
        try:
            return self.call("remove")
        except ConnectorGone:
            return {"removed": True, "left": []}

    def _candidates(self) -> list[str]:
        return self._endpoints[:1] if self._settled else list(self._endpoints)

    def _exchange(self, endpoint: str, op: str, params: dict[str, Any]) -> Iterator[Frame]:
        """One request, and word of it when it is over."""
        began, failed = time.time(), True
        try:
            yield from self._request(endpoint, op, params)
            failed = False
        except GeneratorExit:  # the reader has what it wants
            failed = False
            raise
        finally:
            if self._called is not None:
                self._called(op, began, time.time(), failed=failed)

    def _request(self, endpoint: str, op: str, params: dict[str, Any]) -> Iterator[Frame]:
        request = protocol.sign(op, params, self._key, now=self._clock() + self._skew)
        decoder = FrameDecoder(request.nonce, self._key)
        fault: Frame | None = None
        with contextlib.ExitStack() as stack:
            stack.enter_context(map_broken_answers(decoder))
            response = stack.enter_context(
                self._http.stream("POST", endpoint, content=request.body, headers=HEADERS, follow_redirects=False)
            )
            if response.status_code != 200:
                raise explain(response, read_start(response))
            start = b""
            began = time.monotonic()
            for data in pieces(response):
                limits.ANSWER_SECONDS.check(time.monotonic() - began)
                start = start if decoder.begun else (start + data)[:MAX_ERROR_BODY]
                for frame in self._decoded(decoder, data, response, start):
                    if frame.type == "X":
                        fault = frame
                    else:
                        yield frame
                if decoder.complete:
                    break
            if not decoder.begun:
                raise explain(response, start)
            decoder.finish()
        self._settle(endpoint)
        if fault is not None:
            raise fault_of(fault.json())

    def _decoded(self, decoder: FrameDecoder, data: bytes, response: httpx2.Response, start: bytes) -> Iterator[Frame]:
        try:
            yield from decoder.feed(data)
        except TruncatedResponse:
            if decoder.begun:
                raise
            raise explain(response, start) from None

    def _settle(self, endpoint: str) -> None:
        if not self._settled:
            self._endpoints = [endpoint, *(other for other in self._endpoints if other != endpoint)]
            self._settled = True


class SkewedClock(Exception):
    """The source's clock differs from ours; the request is made again with its time."""

    def __init__(self, server_time: float) -> None:
        super().__init__("clock skew")
        self.server_time = server_time


@contextlib.contextmanager
def map_broken_answers(decoder: FrameDecoder) -> Iterator[None]:
    """A connection that ends inside an answer is a truncated answer; before it, the source is not reached."""
    with map_transport_errors():
        try:
            yield
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.ReadTimeout, httpx2.DecodingError) as error:
            if not decoder.begun:
                raise
            raise TruncatedResponse("The connection ended inside the source's answer.") from error


def read_start(response: httpx2.Response) -> bytes:
    """The first bytes of an answer that is not ours."""
    body = b""
    for data in pieces(response):
        body += data
        if len(body) >= MAX_ERROR_BODY:
            break
    return body


def explain(response: httpx2.Response, body: bytes) -> Exception:
    """What an answer that is not a stream of frames means."""
    status = response.status_code
    said = _refusal(body)
    if said is not None:
        return _refused(said)
    text = body.decode("utf-8", "replace")
    vendor = recognise_challenge(status, response.headers, text)
    if vendor is not None:
        host = response.request.url.host
        return HostChallenge(
            f"{host} answers the connector's requests with a bot check of {vendor}.",
            host=host,
            vendor=vendor,
            status=status,
        )
    if status == 401:
        return BasicAuthRequired()
    if status == 413:
        return RequestTooLarge()
    if status in (408, 425, 429) or status >= 500:
        return SourceUnreachable(
            f"The source answered with HTTP {status}.", retry_after=retry_after(response.headers), status=status
        )
    if 300 <= status < 400:
        target = response.headers.get("location", "").split("?")[0]
        return ConnectorGone(f"The source redirects the connector's address to {target}.", status=status)
    if status == 200 and not body:
        return TruncatedResponse("The source's answer is empty: PHP stopped before it could say why.")
    if status == 200:
        return ConnectorGone("WordPress answers with a page where the connector should.", status=status)
    return ConnectorGone(f"The source answers with HTTP {status} where the connector should.", status=status)


def fault_of(data: dict[str, Any]) -> JobError:
    """The error an `X` frame stands for."""
    code, message = str(data.get("code", "unknown")), str(data.get("message", ""))
    details = data.get("details")
    if code in TYPED_FAULTS:
        return TYPED_FAULTS[code](message, **(details if isinstance(details, dict) else {}))
    if code == TargetBusy.code:
        return TargetBusy(message)
    if code in PERMANENT_FAULTS:
        return ConnectorRefused(
            message, fault=code, hint="Start the job again; if it stays, report it with this message."
        )
    return ConnectorFault(message, fault=code)


def _refusal(body: bytes) -> dict[str, Any] | None:
    try:
        check_json(body)
        data = json.loads(body[body.index(b"{") :])
    except (ValueError, RecursionError, AnswerTooLarge):
        return None
    return data if isinstance(data, dict) and data.get("siteferry") == 1 else None


def _refused(said: dict[str, Any]) -> Exception:
    code, message = str(said.get("code")), str(said.get("message"))
    if code == "stale_request":
        said_time = said.get("server_time")
        return SkewedClock(float(said_time) if isinstance(said_time, int) and 0 < said_time < 1 << 40 else 0.0)
    if code in REFUSALS:
        return ConnectorRefused(message, fault=code)
    if code == "replayed":
        # The transport or a proxy sent the same bytes twice: the answer to the first copy is lost.
        return TruncatedResponse("A proxy sent the request twice.")
    return ConnectorFault(message, fault=code)


__all__ = [
    "BasicAuthRequired",
    "ConnectorClient",
    "ConnectorFault",
    "ConnectorGone",
    "ConnectorRefused",
    "Frame",
    "HostChallenge",
    "SourceUnreachable",
    "Temporary",
    "TruncatedResponse",
    "endpoints",
]
