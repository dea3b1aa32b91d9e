"""The action's one step: the clone of this name is there, or, when the pull request is closed, it is gone.

Python's standard library only: it runs on whatever runner the workflow has. Everything comes from the environment, so
that no input is ever part of a command line.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

NAME_MOST = 100
WAIT = 20
"""Seconds one question about a job waits for news."""
AWAY = (429, 502, 503, 504)
"""Answers that mean: ask again."""
PAUSE, PAUSE_MOST = 1.0, 15.0


class Gone(Exception):
    """404."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key goes to the server that was named, and to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def say(text: str) -> None:
    """A line of the log that is never a command to the runner, whatever a site's name or message is."""
    text = "".join(c if c.isprintable() else " " for c in text).replace("##[", "## [")
    print(f"siteferry: {text}", flush=True)


def fail(text: str) -> NoReturn:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::error title=Siteferry::{text}", flush=True)
    sys.exit(1)


def output(**values: str) -> None:
    """Outputs of the step. The delimiter can not be guessed by whoever chose a value."""
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as file:
        for name, value in values.items():
            mark = secrets.token_hex(16)
            file.write(f"{name.replace('_', '-')}<<{mark}\n{value}\n{mark}\n")


class Server:
    """The REST API. A call is tried again until `until` while nobody answers it."""

    def __init__(self, url: str, api_key: str, until: float) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            fail("The input server must be an address like https://clones.example.com.")
        self._url, self._api_key, self._until = url.rstrip("/"), api_key, until
        self._opener = urllib.request.build_opener(NoRedirects)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, str]:
        """Status, body and ETag. Raises Gone for a 404; anything else that is an error ends the step."""
        request = urllib.request.Request(self._url + path, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if self._api_key:
            request.add_header("Authorization", f"Bearer {self._api_key}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        pause = PAUSE
        while True:
            try:
                with self._opener.open(request, timeout=WAIT + 20) as answer:
                    return answer.status, json.loads(answer.read() or b"null"), answer.headers.get("ETag", "")
            except urllib.error.HTTPError as error:
                if error.code == 304:
                    return 304, None, ""
                if error.code == 404:
                    raise Gone from error
                trouble = _problem(error)
                if error.code not in AWAY or time.monotonic() > self._until:
                    fail(trouble)
                pause = max(pause, float(error.headers.get("Retry-After") or 0))
            except (
                OSError,
                ValueError,
                http.client.HTTPException,
            ) as error:  # not reachable, cut off, or not JSON: something else answered
                trouble = f"No usable answer from {self._url}: {error}"
                if time.monotonic() > self._until:
                    fail(trouble)
            say(f"{trouble} Trying again.")
            time.sleep(min(pause, PAUSE_MOST))
            pause *= 2


def _problem(error: urllib.error.HTTPError) -> str:
    """What an answer of RFC 9457 says, in one line."""
    try:
        told = json.loads(error.read())
        return " ".join(filter(None, (f"{told['detail']}", told.get("hint"), f"({told.get('code')})")))
    except (ValueError, KeyError, TypeError, AttributeError):
        moved = error.headers.get("Location")
        return f"The server answered {error.code}." + (f" Use {moved} as server." if moved else "")


def event() -> dict[str, Any]:
    """What started the workflow."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    found = json.loads(Path(path).read_text()) if path and Path(path).exists() else {}
    return found if isinstance(found, dict) else {}


def name_of(happened: dict[str, Any]) -> str:
    if given := os.environ.get("CLONE_NAME"):
        return given
    number = happened.get("pull_request", {}).get("number")
    where = os.environ.get("GITHUB_REPOSITORY", "")
    name = f"{where}#{number}" if number else f"{where}@{os.environ.get('GITHUB_REF_NAME', '')}"
    return name if len(name) <= NAME_MOST else name[:83] + "-" + hashlib.sha256(name.encode()).hexdigest()[:16]


def named(server: Server, what: str, name: str, **more: str) -> list[dict[str, Any]]:
    """Clones or jobs of exactly this name, newest first."""
    found, cursor = [], ""
    while True:
        query = {"q": name, "limit": "200", **more, **({"cursor": cursor} if cursor else {})}
        page = server.call("GET", f"/{what}?{urllib.parse.urlencode(query)}")[1]
        found += [item for item in page[what] if item["name"] == name]
        cursor = page["next_cursor"]
        if not cursor:
            return found


def remove(server: Server, name: str) -> int:
    """Clones of this name go, and jobs that would make one. How many."""
    removed = 0
    for status in ("pending", "running"):
        for job in named(server, "jobs", name, status=status):
            server.call("POST", f"/jobs/{job['job_id']}/cancel")
            say(f"{job['job_id']}: cancelling")
            removed += 1
    for clone in named(server, "clones", name, state="active"):
        try:
            server.call("DELETE", f"/clones/{clone['clone_id']}")
        except Gone:
            continue
        say(f"{clone['clone_id']}: deleting")
        removed += 1
    return removed


def follow(server: Server, job_id: str, until: float) -> dict[str, Any]:
    """The job once it has ended."""
    told, etag = "", ""
    while time.monotonic() < until:
        headers = {"If_None_Match": etag, "Prefer": f"wait={WAIT}"} if etag else {}
        status, job, etag_now = server.call("GET", f"/jobs/{job_id}", None, **headers)
        if status == 304:
            continue
        etag = etag_now
        line = f"{job['progress']:5.1f}%  {job['message']}"
        if job["message"] != told:
            told = job["message"]
            say(line)
        if job["status"] in ("completed", "failed", "cancelled"):
            return dict(job)
    return fail(f"{job_id} has not ended in time; it goes on, and the next run takes it up. See timeout-minutes.")


def order() -> dict[str, Any]:
    """The body of POST /clone, without the name."""
    env = os.environ
    if env.get("PAIRING_KEY"):
        way: dict[str, Any] = {"pairing_key": env["PAIRING_KEY"]}
    elif env.get("USERNAME") and env.get("PASSWORD"):
        way = {"username": env["USERNAME"], "password": env["PASSWORD"]}
    else:
        fail(
            "Give username and password, or pairing-key. Secrets are empty in pull requests from forks and from "
            "Dependabot: leave those out with an `if` on the job."
        )
    try:
        options = json.loads(env.get("OPTIONS") or "{}")
        ttl = int(env.get("TTL_MINUTES") or 2880)
    except ValueError as error:
        fail(f"options must be JSON, ttl-minutes a whole number: {error}")
    return {"source_url": env["SOURCE_URL"], "ttl_minutes": ttl, "options": options, **way}


def make(server: Server, name: str, until: float) -> tuple[str, bool]:
    """Id of the clone of this name, and whether it was there already."""
    wish = order()
    if os.environ.get("FRESH") == "true":
        remove(server, name)
    for clone in named(server, "clones", name, state="active"):
        clone_id = str(clone["clone_id"])
        try:
            server.call("PATCH", f"/clones/{clone_id}", {"ttl_minutes": wish["ttl_minutes"]})
        except Gone:
            continue
        say(f"{clone_id}: is there already")
        return clone_id, True
    for status in ("running", "pending"):
        for job in named(server, "jobs", name, status=status):
            if job["phase"] != "cancelling":
                say(f"{job['job_id']}: another run is making it")
                return finished(server, str(job["job_id"]), until), False
    key = ":".join(os.environ.get(part, "") for part in ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"))
    key = hashlib.sha256(f"{key}:{name}:{json.dumps(wish, sort_keys=True)}".encode()).hexdigest()
    job = server.call("POST", "/clone", {**wish, "name": name}, Idempotency_Key=key)[1]
    say(f"{job['job_id']}: accepted")
    return finished(server, str(job["job_id"]), until), False


def finished(server: Server, job_id: str, until: float) -> str:
    job = follow(server, job_id, until)
    if job["status"] == "completed":
        return job_id
    error = job["error"] or {}
    fail(" ".join(filter(None, (f"{job_id} {job['status']}:", error.get("message"), error.get("hint")))))


def summary(text: str) -> None:
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def main() -> None:
    happened = event()
    until = time.monotonic() + 60 * float(os.environ.get("TIMEOUT_MINUTES") or 30)
    server = Server(os.environ["SERVER"], os.environ.get("API_KEY", ""), until)
    name = name_of(happened)
    if happened.get("action") == "closed":
        removed = remove(server, name)
        say(f"{name}: {removed} removed" if removed else f"{name}: nothing to remove")
        output(clone_url="", admin_url="", username="", password="", clone_id="", reused="false")
        return
    clone_id, reused = make(server, name, until)
    clone = server.call("GET", f"/clones/{clone_id}")[1]
    print(f"::add-mask::{clone['password']}", flush=True)
    output(
        clone_url=clone["clone_url"],
        admin_url=clone["admin_url"],
        username=clone["username"],
        password=clone["password"],
        clone_id=clone_id,
        reused="true" if reused else "false",
    )
    say(f"{clone['clone_url']} until {clone['expires_at']}")
    summary(f"Clone of {os.environ['SOURCE_URL']}: {clone['clone_url']}, until {clone['expires_at']}")


if __name__ == "__main__":
    try:
        main()
    except Gone:
        fail("The clone or job is gone: somebody deleted it meanwhile.")
