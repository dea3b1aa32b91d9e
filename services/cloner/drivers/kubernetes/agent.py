"""Talks to the agent in a clone's Pod (`siteferry.pod.agent`), and brings it files.

Blocking, for worker threads and carriers. One connection for each request, TLS with the one certificate of that Pod.
The Pod runs a site's PHP sooner or later: every answer is bounded in size and time and read as a stranger's.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, BinaryIO
from urllib.parse import urlencode

from pydantic import TypeAdapter, ValidationError

from services.cloner.drivers.kubernetes.credentials import Credentials
from services.cloner.drivers.kubernetes.errors import PodAway
from shared.cells.client import AgentFailed
from shared.cells.pod_layout import AGENT_PORT
from shared.cells.pod_wire import BYTES, END, FILES, NAME, PLAN, BadFrames, Unpacker, packed
from shared.cells.stylesheets import LARGEST
from shared.errors import JobError
from shared.wordpress.connector.protocol import Frame
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.paths import relative
from shared.wordpress.transfer.digests import FileDigests
from shared.wordpress.transfer.errors import TargetDiskFull
from shared.wordpress.transfer.files import Arrangement, Received

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
MAX_ANSWER = 2_000_000
MAX_STYLESHEETS = 1 << 30
BLOCK = 1 << 18
ERRORS: dict[str, type[JobError]] = {TargetDiskFull.code: TargetDiskFull, ImplausibleSite.code: ImplausibleSite}
_RECEIVED = TypeAdapter(Received)


@dataclass(frozen=True)
class PodAgent:
    """The agent of one clone."""

    address: str
    """Of the Pod."""
    credentials: Credentials
    port: int = AGENT_PORT

    def write(self, name: str, text: str) -> None:
        """Write one of our own files. Raises PodAway."""
        self._ask("PUT", f"/own/{name}", text.encode())

    def call(self, call: str, values: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """Run a script where the site's PHP runs. Raises AgentFailed, PodAway."""
        body = json.dumps({"input": values, "seconds": seconds}).encode()
        try:
            answer = json.loads(self._ask("POST", f"/call/{call}", body, seconds=seconds + ANSWER_SECONDS))
        except ValueError as error:
            raise AgentFailed("the answer can not be read") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("output"), dict):
            said = answer.get("failed") if isinstance(answer, dict) else None
            raise AgentFailed(str(said or "the answer is no object"))
        return dict(answer["output"])

    def log(self) -> str:
        """The end of PHP's log. Raises PodAway."""
        return self._ask("GET", "/log").decode(errors="replace")

    def stylesheets(self, uploads: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Path and content of each below the uploads. Raises PodAway."""
        frames, name, total = Unpacker(), b"", 0
        with self._answer("GET", f"/stylesheets?{urlencode({'uploads': _encoded(uploads)})}") as answer, _trouble():
            while data := answer.read(BLOCK):
                for kind, payload in frames.feed(data):
                    total += len(payload)
                    if total > MAX_STYLESHEETS:
                        return
                    if kind == NAME:
                        name = payload
                    elif kind == BYTES and len(payload) <= LARGEST:
                        yield name, payload
                    elif kind == END:
                        return

    @contextmanager
    def head(self, names: list[bytes], size: int, *, held: bool) -> Iterator[BinaryIO]:
        """The first bytes of a file that was begun. Raises PodAway."""
        asked = {"path": _encoded(b"/".join(names)), "bytes": str(size), **({"held": "1"} if held else {})}
        with self._answer("GET", f"/head?{urlencode(asked)}") as answer, _trouble():
            yield answer

    def connection(self, seconds: float = ANSWER_SECONDS) -> HTTPSConnection:
        """Not connected yet; trusts the Pod's own certificate alone."""
        return HTTPSConnection(self.address, self.port, timeout=seconds, context=context(self.credentials.certificate))

    @property
    def headers(self) -> dict[str, str]:
        """What every request must say."""
        return {"Authorization": f"Bearer {self.credentials.token}"}

    def _ask(self, method: str, path: str, body: bytes | None = None, *, seconds: float = ANSWER_SECONDS) -> bytes:
        with self._answer(method, path, body, seconds=seconds) as answer, _trouble():
            return _bounded(answer)

    @contextmanager
    def _answer(
        self, method: str, path: str, body: bytes | None = None, *, seconds: float = ANSWER_SECONDS
    ) -> Iterator[HTTPResponse]:
        connection = self.connection(seconds)
        try:
            with _trouble():
                connection.request(method, path, body, self.headers)
                answer = connection.getresponse()
                if answer.status >= 300:
                    raise _refused(answer)
            yield answer
        finally:
            connection.close()


class PodSink:
    """A `Sink` whose files go to a Pod: one request for each response of the connector."""

    def __init__(
        self, agent: PodAgent, arrangement: Arrangement, received: Received, digests: FileDigests | None = None
    ) -> None:
        self._agent, self._arrangement, self._received, self._digests = agent, arrangement, received, digests
        self._connection: HTTPSConnection | None = None
        self._waiting = bytearray()

    def feed(self, frame: Frame) -> None:
        """Send one frame on. Raises PodAway, TargetDiskFull, ImplausibleSite."""
        if frame.type not in FILES:
            return
        self._begin(settle=False)
        self._note(frame)
        self._send(packed(frame.type, frame.payload))

    def cut(self) -> None:
        """All of a response was sent: it is there when this returns."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            self._waiting += packed(END, b"")
            with _trouble():
                self._flush(connection)
                connection.send(b"0\r\n\r\n")
                answer = connection.getresponse()
                said = _bounded(answer) if answer.status < 300 else None
                if said is None:
                    raise _refused(answer)
            self._learn(said)
        finally:
            connection.close()

    def settle(self) -> None:
        """Links that lead outside now that everything is there are taken away again."""
        self.cut()
        self._begin(settle=True)
        self.cut()

    def close(self) -> None:
        """Let go of a request that was not ended: what was written of it stays for the resume."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self, *, settle: bool) -> None:
        if self._connection is not None:
            return
        plan = {
            "roots": {name: _encoded(place) for name, place in self._arrangement.roots.items()},
            "content": _encoded(self._arrangement.content),
            "mu_plugins": _encoded(self._arrangement.mu_plugins),
            "received": vars(self._received),
            "settle": settle,
        }
        connection = self._agent.connection()
        try:
            with _trouble():
                connection.putrequest("POST", "/files")
                for name, value in {**self._agent.headers, "Transfer-Encoding": "chunked"}.items():
                    connection.putheader(name, value)
                connection.endheaders()
        except BaseException:
            connection.close()
            raise
        self._connection, self._waiting = connection, bytearray(packed(PLAN, json.dumps(plan).encode()))

    def _send(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= BLOCK and self._connection is not None:
            try:
                with _trouble():
                    self._flush(self._connection)
            except PodAway:
                self._hear_why()
                raise

    def _flush(self, connection: HTTPSConnection) -> None:
        if self._waiting:
            connection.send(b"%x\r\n%b\r\n" % (len(self._waiting), bytes(self._waiting)))
            self._waiting = bytearray()

    def _hear_why(self) -> None:
        """The agent may have refused before it let go."""
        connection, self._connection = self._connection, None
        assert connection is not None
        try:
            with suppress(HTTPException, OSError):
                answer = connection.getresponse()
                if answer.status >= 300:
                    raise _refused(answer)
        finally:
            connection.close()

    def _learn(self, said: bytes) -> None:
        """Counts of the agent: before a site's PHP has run they are ours, but nobody needs to believe that."""
        try:
            now = _RECEIVED.validate_python(json.loads(said)["received"])
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise PodAway("The clone's Pod answers what nobody understands.") from error
        vars(self._received).update(vars(now))

    def _note(self, frame: Frame) -> None:
        if frame.type == "B":
            self._received.size += len(frame.payload)  # for who watches; what counts is the agent's word at the end
        if self._digests is None:
            return
        if frame.type == "F":
            meta = frame.json()
            path, offset = base64.b64decode(meta["path_b64"]), int(meta.get("offset", 0))
            names = [*relative(self._arrangement.roots[meta["root"]].strip(b"/")), *relative(path)]
            held = self._arrangement.is_quarantined(b"/".join(names))
            self._digests.begin(meta["root"], path, offset, lambda: self._agent.head(names, offset, held=held))
        elif frame.type == "B":
            self._digests.add(frame.payload)
        elif frame.type == "C":
            self._digests.end()


def context(certificate: str) -> ssl.SSLContext:
    """TLS that trusts this one certificate, whatever address it is found at."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(cadata=certificate)
    return made


def _bounded(answer: HTTPResponse) -> bytes:
    said = answer.read(MAX_ANSWER + 1)
    if len(said) > MAX_ANSWER:
        raise PodAway("The clone's Pod answers more than it may.")
    return said


def _refused(answer: HTTPResponse) -> JobError:
    try:
        said = json.loads(answer.read(MAX_ANSWER))
        code, message = str(said["error"]), str(said["message"])[:300]
    except (ValueError, KeyError, TypeError):
        code, message = "", f"HTTP {answer.status}"
    if code in ERRORS:
        return ERRORS[code](message)
    return PodAway(f"The clone's Pod refuses ({message}).")


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, BadFrames) as error:
        raise PodAway(f"The clone's Pod does not answer ({error or type(error).__name__}).") from error


def _encoded(path: bytes) -> str:
    return base64.urlsafe_b64encode(path).decode()
