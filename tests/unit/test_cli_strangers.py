"""What the command line does when another server answers, and how tables and addresses come out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
]
ANSWERS = {
    "a page": (200, "text/html", b"<!doctype html><title>nginx</title>"),
    "other JSON": (200, "application/json", b'{"ok": true, "jobs": [{"id": 1}]}'),
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


@pytest.fixture(params=ANSWERS)
def stranger(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[list[str]]]]:
    """Its address, and commands worth trying there."""
    status, kind, body = ANSWERS[request.param]

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
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
    yield f"http://127.0.0.1:{server.server_address[1]}", COMMANDS if request.param == "other JSON" else COMMANDS[:4:3]
    server.shutdown()
    server.server_close()
    thread.join()


def test_another_server_is_told_from_siteferry(
    stranger: tuple[str, list[list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, commands = stranger
    for command in commands:
        code = app.run(["--url", url, *command])
        said = capsys.readouterr().err
        assert code in (Exit.UNREACHABLE, Exit.FAILED), command
        assert "siteferry: " in said, command
        assert "Traceback" not in said


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
