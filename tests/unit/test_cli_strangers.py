"""What the command line does when another server answers, and how tables and addresses come out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from siteferry import __version__
from siteferry.cli import app, render
from siteferry.cli.client import CliError, Exit
from siteferry.cli.context import site_address
from siteferry.cli.render import Terminal

COMMANDS = [
    ["jobs"],
    ["job", "clone-1"],
    ["watch"],
    ["watch", "clone-1"],
    ["clones"],
    ["mail", "clone-1"],
    ["dead"],
    ["cancel", "clone-1"],
    ["extend", "clone-1", "--ttl", "1d"],
    ["delete", "clone-1"],
    ["batch", "list"],
    ["batch", "show", "batch-1"],
    ["snapshots"],
    ["webhooks", "list"],
    ["check", "shop.example"],
    ["clone", "shop.example", "-u", "a", "--password", "b"],
    ["replay", "clone-1"],
    ["retry", "clone-1"],
    ["open", "clone-1"],
]
LISTS = [
    *(["jobs"], ["clones"], ["mail", "clone-1"], ["dead"], ["workers"], ["audit"], ["statistics"], ["keys", "list"]),
    *(["schedules", "list"], ["webhooks", "list"], ["versions", "clone-1"]),
]
OUR_NAMES = (
    "jobs clones keys schedules webhooks batches snapshots records images versions workers mails status items type"
).split()
VERSION = b'{"name": "siteferry", "version": "9.9"}'
ANSWERS = {
    "a page": (200, "text/html", b"<!doctype html><title>nginx</title>"),
    "other JSON": (200, "application/json", b'{"ok": true, "jobs": [{"id": 1}]}'),
    "our names": (200, "application/json", json.dumps({name: [1] for name in OUR_NAMES}).encode()),
    "nothing in our names": (200, "application/json", json.dumps(dict.fromkeys(OUR_NAMES)).encode()),
    "objects in our names": (200, "application/json", json.dumps({name: [{}] for name in OUR_NAMES}).encode()),
    "a list": (200, "application/json", b"[1, 2]"),
    "a text": (200, "application/json", b'"hello"'),
    "nothing": (204, "", b""),
    "not found": (404, "text/html", b"<h1>Not Found</h1>"),
    "its own error": (400, "application/json", b'{"error": "bad"}'),
    "moved": (301, "text/html", b""),
    "broken": (500, "text/plain", b"oops"),
    "deep": (200, "application/json", b"[" * 50_000),
    "a lie": (200, "application/json", b"\xff\xfe\x00"),
}


@contextmanager
def answering(status: int, kind: str, said: bytes, *, ours: bool = False) -> Iterator[str]:
    """The address of a server that answers everything like this; `ours`: but for what it is."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = VERSION if ours and self.path == "/version" else said
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            if status == 301:
                self.send_header("Location", "https://elsewhere.example/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = do_PATCH = answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(params=ANSWERS)
def stranger(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[list[str]]]]:
    """Its address, and commands worth trying there."""
    tried = COMMANDS if request.param == "other JSON" else LISTS if "our names" in request.param else COMMANDS[:4:3]
    with answering(*ANSWERS[request.param]) as url:
        yield url, tried


@pytest.fixture
def api() -> Iterator[str]:
    """The address of a Siteferry with a job."""
    with answering(200, "application/json", b'{"jobs": [{"job_id": "clone-1"}]}', ours=True) as url:
        yield url


def test_another_server_is_told_from_siteferry(
    stranger: tuple[str, list[list[str]]], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    url, commands = stranger
    for command in commands:
        code = app.run(["--url", url, *command])
        said = capsys.readouterr().err
        assert code in (Exit.UNREACHABLE, Exit.FAILED) or "our names" in request.node.callspec.id, command
        assert code == Exit.OK or "siteferry: " in said, command
        assert "Traceback" not in said


def test_our_own_mistakes_are_not_called_a_stranger(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object, **__: object) -> None:
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(render, "state_word", mistaken)
    with pytest.raises(TypeError, match="a mistake of ours"):
        app.run(["--url", api, "jobs"])


def test_no_plugin_is_made_of_what_is_none(tmp_path: Path) -> None:
    plugin = tmp_path / "connector.zip"
    for answer in ("a page", "other JSON"):
        with answering(*ANSWERS[answer]) as url:
            assert app.run(["--url", url, "connector", "--output", str(plugin)]) == Exit.UNREACHABLE
    assert not plugin.exists()


def test_version_as_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == Exit.OK
    assert capsys.readouterr().out.strip() == __version__


def test_what_people_copy_is_never_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(render, "out", Terminal(soft_wrap=True, force_terminal=True, color_system=None, width=100))
    url = "http://clone-0k3v9x2m7c1p5t8w.localhost:41721/a-rather-long-path-of-a-site-in-a-folder/"
    row: list[str | render.Text] = [
        "clone-0k3v9x2m7c1p5t8w",
        "active",
        "2026-11-24 20:15 UTC, in 23 h",
        url,
        "Shop " * 9,
    ]
    render.table(["CLONE", "STATE", "EXPIRES", "URL", "SOURCE"], [row])
    printed = capsys.readouterr().out
    assert url in printed
    assert "clone-0k3v9x2m7c1p5t8w " in printed
    assert "…" not in printed


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("shop.example.com", "https://shop.example.com"),
        (" http://a.example/x ", "http://a.example/x"),
        ("localhost:8080/site", "https://localhost:8080/site"),
        ("[::1]:8080", "https://[::1]:8080"),
        ("a.example/x?u=http://b", "https://a.example/x?u=http://b"),
    ],
)
def test_an_address_as_it_is_typed(text: str, address: str) -> None:
    assert site_address(text) == address


@pytest.mark.parametrize("text", ["", "htp:/bad", "htp://bad", "ftp://a.example", "https:a.example", "not a url"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CliError) as refused:
        site_address(text)
    assert refused.value.code == Exit.USAGE


def test_times_are_for_people() -> None:
    assert render.when("2020-01-02T03:04:05.678901Z").startswith("2020-01-02 03:04 UTC, ")
    assert render.when("2020-01-02T03:04:05.678901Z").endswith(" ago")
    assert render.when(None) == ""
    assert render.when("some time") == "some time"
