"""The command line's way to the gateway: where it is, how to ask, what its errors mean for an exit code."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from siteferry.embedded.instance import running_instance
from siteferry.environment import CommandLine, default_state_dir

if TYPE_CHECKING:
    import httpx2

DEFAULT_URL = "http://localhost:8080"
TIMEOUT = 15.0


class Exit(IntEnum):
    """Exit codes, part of the interface."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMEOUT = 4
    CANCELLED = 5
    INTERRUPTED = 130


class CliError(Exception):
    """Ends the command: a sentence, what to do next, and an exit code; `errors` has the fields the gateway refused."""

    def __init__(
        self, message: str, *, hint: str = "", code: Exit = Exit.FAILED, errors: list[dict[str, str]] | None = None
    ) -> None:
        super().__init__(message)
        self.errors = errors or []
        self.message = message
        self.hint = hint
        self.code = code


class Unreachable(CliError):
    """The gateway does not answer, or answers that it can not work now."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code=Exit.UNREACHABLE)


class Answer(dict[str, Any]):
    """An object in an answer. A field that is not there tells that something else than Siteferry answered."""

    def __missing__(self, field: str) -> Any:
        raise Stranger(f"The answer lacks the field {field}.")


class Stranger(Unreachable):
    """What answers is not Siteferry, or one of another major version."""

    def __init__(self, why: str = "") -> None:
        super().__init__(
            f"What answers is not Siteferry, or not of this version. {why}".rstrip(),
            hint="Say where Siteferry is with --url or SITEFERRY_URL.",
        )


def read_answer(response: httpx2.Response) -> Answer:
    """The object in a successful answer. Raises Stranger when there is none."""
    try:
        value = json.loads(response.content, object_hook=Answer)
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "").partition(";")[0] or "nothing"
        raise Stranger(f"{response.url} gave {kind} instead of JSON.") from None
    if not isinstance(value, Answer):
        raise Stranger(f"{response.url} gave no JSON object.")
    return value


@dataclass(frozen=True)
class Target:
    """Where the gateway is and how to show who we are."""

    url: str
    api_key: str | None = None


def find_target(url: str | None, api_key: str | None, state: Path | None, *, first_key: bool = False) -> Target:
    """Flags, then SITEFERRY_URL and SITEFERRY_API_KEY, then the `siteferry up` of this machine, then the default.

    Its first key is used where it needs one, or with `first_key`, by who may read it. Raises CliError when the address
    is none.
    """
    instance = running_instance(state or default_state_dir())
    told = CommandLine.read()
    found = url or told.url or (instance.edge_url if instance else DEFAULT_URL)
    if not found.startswith(("http://", "https://")):
        raise CliError(f"{found} is not an address like {DEFAULT_URL}.", code=Exit.USAGE)
    key = api_key or told.api_key
    found = found.rstrip("/")
    if not key and instance and found == instance.edge_url and (first_key or instance.keys_needed):
        with suppress(OSError, ValueError):
            key = Path(instance.first_key_file).read_text().strip()
    return Target(found, key or None)


class Api:
    """Calls to the gateway. Every method raises CliError with what the gateway said."""

    latest: ClassVar[Api | None] = None
    """The one made last, for whoever finds that its answers make no sense."""

    def __init__(self, target: Target) -> None:
        import httpx2

        Api.latest = self
        headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
        self.url = target.url
        self.api_key = target.api_key
        self._client = httpx2.Client(base_url=target.url, headers=headers, timeout=TIMEOUT, trust_env=False)

    def is_siteferry(self) -> bool:
        """Whether what answers says that it is Siteferry."""
        try:
            said: object = self.get("/version").get("name")
        except CliError:
            return False
        return said == "siteferry"

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET; parameters that are None are left out."""
        given = {key: value for key, value in params.items() if value is not None}
        return read_answer(self.request("GET", path, params=given))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return read_answer(self.request("POST", path, json=body))

    def submit(self, path: str, body: dict[str, Any]) -> Any:
        """POST what begins something, with a key of our own: should the answer get lost, trying again begins nothing
        twice."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return read_answer(self.request("POST", path, json=body, headers=headers))

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return read_answer(self.request("PATCH", path, json=body))

    def delete(self, path: str) -> Any:
        return read_answer(self.request("DELETE", path))

    def changed(self, path: str, etag: str | None, *, wait: int = 0) -> tuple[Any, str | None]:
        """What is at a path if it changed since `etag` (else None), and its ETag now.

        `wait`: seconds the server may hold the answer back for news.
        """
        headers = {"If-None-Match": etag} if etag else {}
        if wait:
            headers["Prefer"] = f"wait={wait}"
        response = self.request("GET", path, headers=headers)
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return None, etag
        return read_answer(response), response.headers.get("etag")

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One call. Raises Unreachable or CliError."""
        import httpx2

        try:
            response = self._client.request(method, path, **options)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # what came could not be read
            raise Stranger(f"{type(error).__name__} at {self.url}.") from None
        if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
            return response
        raise as_error(response, self.url)

    def _unreachable(self, error: httpx2.TransportError) -> Unreachable:
        import httpx2

        if isinstance(error, httpx2.ConnectError):
            hint = "Start it with: siteferry up. If it runs elsewhere, say where with --url or SITEFERRY_URL."
            return Unreachable(f"Nothing answers at {self.url}.", hint=hint)
        return Unreachable(f"{self.url} did not answer in time.", hint="Try again, or look with: siteferry doctor")


HINTS = {
    "job_not_found": "See which there are with: siteferry jobs",
    "batch_not_found": "See which there are with: siteferry batch list",
    "empty_filter": "Say which with --where, like --where status=failed",
    "clone_not_found": "See which there are with: siteferry clones --all",
    "snapshot_not_found": "See which there are with: siteferry snapshots --all",
    "webhook_not_found": "See which there are with: siteferry webhooks list",
    "key_not_found": "See which there are with: siteferry keys list",
    "mail_not_found": "See which there are with: siteferry mail CLONE",
}
"""What the API's hints are on the command line."""


def as_error(response: httpx2.Response, url: str = "The service") -> CliError:
    """What a problem document means on the command line; `url` is where it came from."""
    problem = _problem(response)
    said = f"{url} answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.is_redirect:
        return Stranger(f"{said} and sends us on to {response.headers.get('location', 'nowhere')}.")
    if (
        not isinstance(problem.get("detail"), str)
        and not response.is_server_error
        and response.status_code not in BEFORE_US
    ):
        return Stranger(f"{said}, and not as Siteferry does.")
    message = problem.get("detail") or f"{said}."
    hint = HINTS.get(problem.get("code", "")) or problem.get("hint") or ""
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return Unreachable(message, hint="Give a key with --api-key or SITEFERRY_API_KEY.")
    if response.status_code in (429, 502, 503, 504) or problem.get("code") == "scope_missing":
        return Unreachable(message, hint=hint)
    code = Exit.USAGE if response.status_code in (400, 422) else Exit.FAILED
    return CliError(message, hint=hint, code=code, errors=problem.get("errors"))


BEFORE_US = frozenset({401, 403, 429})
"""What a proxy in front of Siteferry may answer by itself."""


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        problem = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}
