"""What the generated configurations do: a real Caddy, and behind it clones in real cells and a farm of real sites."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets.sync.client
from websockets.asyncio.server import ServerConnection, serve

from shared.cells.client import CellsClient
from siteferry.embedded.servers import (
    BasicAuth,
    Caddy,
    Cells,
    FarmSite,
    PhpFpm,
    edge_config,
    farm_config,
    free_port,
    running,
)
from siteferry.embedded.servers.base import running_as_root
from tests.integration.cells import account_of, make_clone
from tests.integration.house import eventually, place
from tests.sites.http import client

ONE = "clone-" + "1" * 16
TWO = "clone-" + "2" * 16
COULD_NOT_CONNECT = 7


class Edge:
    """The edge with two clones behind it; `run` executes PHP inside one of them."""

    def __init__(self, home: Path, caddy: Caddy) -> None:
        self.home, self.caddy = home, caddy
        self.http = client()
        self.client: CellsClient

    def get(self, host: str, path: str = "/", **more: Any) -> httpx2.Response:
        return self.http.get(self.caddy.site_url(host) + path, **more)

    def put(self, clone: str, path: str, content: str) -> Path:
        file = self.home / "clones" / clone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        for folder in [file, *file.parents]:
            if running_as_root() and folder.is_relative_to(self.home / "clones" / clone / "site"):
                os.chown(folder, account_of(clone), account_of(clone))
        return file

    def run(self, clone: str, code: str) -> Any:
        self.put(clone, "site/run.php", f"<?php echo json_encode((function () {{ {code} }})());")
        answer = self.get(clone, "/run.php")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with place() as home, ExitStack() as stack:
        for clone in (ONE, TWO):
            make_clone(home / "clones" / clone)
        cells = stack.enter_context(running(Cells(home / "cells", home / "clones", idle_seconds=600.0)))
        caddy = Caddy(
            home / "caddy",
            lambda c: edge_config(
                port=c.port,
                cells=cells.http,
                gateway=f"127.0.0.1:{free_port()}",
                status=f"127.0.0.1:{free_port()}",
                storage=c.storage,
            ),
            own_account=True,
        )
        stack.enter_context(running(caddy))
        edge = Edge(home, caddy)
        edge.client = CellsClient(cells.control)
        stack.callback(edge.http.close)
        yield edge


def test_everything_that_is_no_file_goes_to_the_front_controller(edge: Edge) -> None:
    edge.put(ONE, "site/wp-content/style.css", "a{}")
    edge.put(ONE, "site/wp-admin/index.php", "<?php echo 'admin';")
    assert edge.get(ONE, "/2024/01/a-post/?x=1").text == "front /2024/01/a-post/?x=1"
    assert edge.get(ONE, "/no/such.php").text == "front /no/such.php"
    assert edge.get(ONE, "/wp-content/").text == "front /wp-content/"
    assert edge.get(ONE, "/wp-admin/").text == "admin"
    assert edge.get(ONE, "/wp-admin?a=b").headers["location"] == "/wp-admin/?a=b"
    style = edge.get(ONE, "/wp-content/style.css")
    assert (style.text, style.headers["content-type"].split(";")[0]) == ("a{}", "text/css")


def test_no_clone_is_indexed(edge: Edge) -> None:
    edge.put(ONE, "site/robots.txt", "User-agent: *\nAllow: /\n")
    edge.put(ONE, "site/loud.php", "<?php header('X-Robots-Tag: all'); echo 1;")
    assert edge.get(ONE, "/robots.txt").text == "User-agent: *\nDisallow: /\n"
    for path in ("/", "/loud.php", "/robots.txt", "/wp-cron.php"):
        assert edge.get(ONE, path).headers.get_list("x-robots-tag") == ["noindex, nofollow"], path


@pytest.mark.parametrize(
    "path",
    [
        "/wp-cron.php",
        "/wp-cron.php?doing_wp_cron=1",
        "/WP-CRON.php",
        "/sub/wp-cron.php",
        "/wp-content/uploads/2024/shell.php",
        "/wp-content/uploads/shell.PHP",
        "/wp-content/uploads/shell.php/x.jpg",
        "/wp-content/uploads/shell.phtml",
        "/wp-content/uploads/%73hell.php",
        "/.env",
        "/.git/config",
        "/wp-content/.htaccess",
        "/old.php5",
        "/old.phar",
    ],
)
def test_forbidden_paths(edge: Edge, path: str) -> None:
    for file in ("wp-cron.php", "sub/wp-cron.php", ".env", ".git/config", "old.php5", "old.phar"):
        edge.put(ONE, f"site/{file}", "<?php echo 'ran';")
    for file in ("2024/shell.php", "shell.PHP", "shell.php", "shell.phtml"):
        edge.put(ONE, f"site/wp-content/uploads/{file}", "<?php echo 'ran';")
    answer = edge.get(ONE, path)
    assert answer.status_code == 403
    assert "ran" not in answer.text


def test_paths_that_only_look_forbidden_work(edge: Edge) -> None:
    edge.put(ONE, "site/.well-known/security.txt", "hello")
    edge.put(ONE, "site/wp-content/uploads/a.php.jpg", "picture")
    assert edge.get(ONE, "/.well-known/security.txt").text == "hello"
    assert edge.get(ONE, "/wp-content/uploads/a.php.jpg").text == "picture"


@pytest.mark.parametrize("host", ["clone-" + "9" * 16, "clone-short", "anything", "CLONE-" + "1" * 16 + "x"])
def test_a_host_without_a_clone_gets_a_friendly_page(edge: Edge, host: str) -> None:
    answer = edge.get(host)
    assert answer.status_code == 404
    assert "This clone does not exist, or its time is up." in answer.text


def test_a_new_clone_is_served_and_a_removed_one_gone_without_a_reload(edge: Edge) -> None:
    new = "clone-" + "3" * 16
    assert edge.get(new).status_code == 404
    make_clone(edge.home / "clones" / new)
    edge.client.ensure(new)
    assert edge.get(new).text == "front /"
    edge.client.forget(new)
    assert edge.get(new).status_code == 404


def raw(edge: Edge, host: str, path: str = "/") -> bytes:
    with socket.create_connection(("127.0.0.1", edge.caddy.port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


@pytest.mark.parametrize("host", ["evil.example", "rebound.example:8080", "sub.clone.localhost", f"{ONE}.example"])
def test_foreign_host_names_are_refused(edge: Edge, host: str) -> None:
    assert raw(edge, host).startswith((b"HTTP/1.1 421", b"HTTP/1.1 404"))


def test_paths_do_not_climb_out_of_the_clone(edge: Edge) -> None:
    edge.put(ONE, "site/index.php", "<?php echo 'front ', $_SERVER['REQUEST_URI'];")
    for path in ("/../wp-config.php", "/%2e%2e/wp-config.php", f"/../../{TWO}/wp-config.php", "/..%2fwp-config.php"):
        answer = raw(edge, f"{ONE}.localhost", path)
        assert b"SECRET" not in answer, path


def test_a_clone_sees_itself_only(edge: Edge) -> None:
    code = f"return [scandir('/'), @scandir('{edge.home}/clones'), @scandir('{edge.home}')];"
    top, clones, home = edge.run(ONE, code)
    assert set(top) - {".", ".."} <= {"bin", "dev", "etc", "lib", "lib64", "run", "sbin", "tmp", "usr"}
    assert clones is False, "it may be passed through, not looked at"
    assert home is False


def test_links_lead_nowhere_whoever_follows_them(edge: Edge) -> None:
    """The web server is inside of the cell: what a link names is looked up there."""
    theirs = edge.put(TWO, "site/secret.txt", "theirs")
    ours = edge.home / "vault.key"
    ours.write_text("ours")
    site = edge.home / "clones" / ONE / "site"
    edge.put(ONE, "site/real.txt", "real")
    goals = {"a.txt": theirs, "b.txt": ours, "c.txt": Path("/etc/shadow"), "d.txt": f"../../{TWO}/site/secret.txt"}
    goals |= {"e.txt": "../../../vault.key", "f": "/", "g": edge.home, "ok.txt": "real.txt"}
    for name, goal in goals.items():
        (site / name).symlink_to(goal)
    for path in ("/a.txt", "/b.txt", "/c.txt", "/d.txt", "/e.txt", "/f/etc/shadow", "/g/vault.key", "/f/root/file"):
        answer = edge.get(ONE, path)
        assert answer.text == f"front {path}", path
    assert edge.get(ONE, "/ok.txt").text == "real"


def test_temporary_files_and_logs_stay_inside_whoever_the_worker_served_before(edge: Edge) -> None:
    code = "error_log('a line of ' . __DIR__); return [sys_get_temp_dir(), session_save_path(), tempnam('', 'x')];"
    for clone in (ONE, TWO, ONE):
        tmp = str(edge.home / "clones" / clone / "tmp")
        system, sessions, made = edge.run(clone, code)
        assert (system, sessions) == (tmp, tmp)
        assert made.startswith(tmp + "/")
        log = (edge.home / "clones" / clone / "log" / "php.log").read_text()
        assert clone in log
        assert (TWO if clone == ONE else ONE) not in log


def test_uploads_arrive_in_the_clones_own_directory(edge: Edge) -> None:
    edge.put(TWO, "site/up.php", "<?php echo json_encode([$_FILES['f']['tmp_name'], $_FILES['f']['size']]);")
    url = edge.caddy.site_url(TWO) + "/up.php"
    name, size = edge.http.post(url, files={"f": ("a.bin", b"x" * 3_000_000)}).json()
    assert size == 3_000_000
    assert name.startswith(f"{edge.home}/clones/{TWO}/tmp/")


@pytest.mark.parametrize(
    "function",
    [
        *("exec", "shell_exec", "system", "passthru", "proc_open", "popen", "dl", "symlink", "posix_kill"),
        *("fsockopen", "stream_socket_client", "stream_socket_server", "socket_create", "ftp_connect"),
    ],
)
def test_programs_and_sockets_are_out_of_reach(edge: Edge, function: str) -> None:
    assert edge.run(ONE, f"return function_exists('{function}');") is False


def test_no_way_around_the_settings(edge: Edge) -> None:
    edge.put(ONE, "site/.user.ini", "memory_limit = 1G\nauto_append_file = /etc/passwd\n")
    assert edge.run(ONE, "return ini_get('auto_append_file');") == ""
    assert edge.run(ONE, "ini_set('memory_limit', '1G'); return ini_get('memory_limit');") == "256M"
    assert edge.run(ONE, "return ini_get('allow_url_fopen');") == "0"


def test_other_ways_to_read_files_end_at_the_same_wall(edge: Edge) -> None:
    secret = edge.home / "clones" / TWO / "wp-config.php"
    assert (
        edge.run(ONE, "try { FFI::cdef('int getpid(void);'); return 'in'; } catch (Throwable $e) { return 'out'; }")
        == "out"
    )
    curl = f"$c = curl_init('file://{secret}'); curl_setopt($c, CURLOPT_RETURNTRANSFER, true); return @curl_exec($c);"
    assert edge.run(ONE, curl) is False
    assert edge.run(ONE, f"return @copy('{secret}', __DIR__ . '/copy');") is False
    assert edge.run(ONE, f"return count(glob('{secret.parent}/*') ?: []);") == 0
    assert (
        edge.run(ONE, f"try {{ new SplFileObject('{secret}'); return 'in'; }} catch (Throwable $e) {{ return 'out'; }}")
        == "out"
    )
    assert edge.run(ONE, f"return @highlight_file('{secret}', true);") is False


def test_curl_behind_wordpress_back_reaches_nothing(edge: Edge) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        for scheme in ("http", "https", "gopher", "ftp"):
            url = f"{scheme}://127.0.0.1:{port}/"
            code = (
                f"$c = curl_init('{url}'); curl_setopt($c, CURLOPT_TIMEOUT, 3); curl_exec($c); return curl_errno($c);"
            )
            assert edge.run(ONE, f"ob_start(); try {{ {code} }} finally {{ ob_end_clean(); }}") != 0, scheme
            direct = code.replace("curl_exec", "curl_setopt($c, CURLOPT_PROXY, ''); curl_exec", 1)
            assert edge.run(ONE, f"ob_start(); try {{ {direct} }} finally {{ ob_end_clean(); }}") == 7, scheme
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_mail_of_php_lands_in_the_box_of_the_clone(edge: Edge) -> None:
    for clone in (ONE, TWO):
        assert edge.run(clone, f"return mail('someone@example.org', 'Hello {clone}', 'body');") is True
        box = edge.home / "clones" / clone / "mail"
        letters = eventually(lambda box=box: list(box.glob("*.eml")), what="the letter")  # type: ignore[misc]
        assert [f"Subject: Hello {clone}" in letter.read_text() for letter in letters] == [True]


def test_plain_http_is_not_taken_for_https(edge: Edge) -> None:
    edge.put(ONE, "site/server.php", "<?php echo json_encode($_SERVER);")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4", "Proxy": "http://evil"}
    server = edge.get(ONE, "/server.php", headers=headers).json()
    assert "HTTPS" not in server
    assert server["HTTP_X_FORWARDED_PROTO"] == "http"
    assert server["REMOTE_ADDR"] == server["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert server["SERVER_NAME"] == f"{ONE}.localhost"


# The services' side of the edge, with real servers standing for gateway and status.


class Events(http.server.BaseHTTPRequestHandler):
    """Two server-sent events, the second only when the first has been seen."""

    seen = threading.Event()
    name = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if self.path.endswith("/events") else "text/plain")
        self.end_headers()
        self.wfile.write(f"{self.name} {self.path}\n".encode())
        if self.path.endswith("/events"):
            self.wfile.flush()
            self.wfile.write(b"second\n" if self.seen.wait(5) else b"never seen\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def services() -> Iterator[dict[str, int]]:
    ports = {}
    with ExitStack() as stack:
        for name in ("gateway", "status"):
            server = stack.enter_context(
                http.server.ThreadingHTTPServer(("127.0.0.1", 0), type(name, (Events,), {"name": name}))
            )
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            ports[name] = server.server_address[1]
        yield ports


def serving(home: Path, *, gateway: int, status: int) -> Caddy:
    return Caddy(
        home / "caddy",
        lambda c: edge_config(
            port=c.port,
            cells=home,
            gateway=f"127.0.0.1:{gateway}",
            status=f"127.0.0.1:{status}",
        ),
    )


def test_one_origin_for_gateway_and_status(services: dict[str, int]) -> None:
    with place() as home, running(serving(home, **services)) as caddy, client(caddy.url) as http_client:
        Events.seen.set()
        for path in ("/", "/dashboard/x", "/jobs/clone-1/events"):
            assert http_client.get(path).text.startswith(f"status {path}"), path
        for path in ("/jobs", "/jobs/clone-1", "/clone", "/docs", "/openapi.json", "/livez", "/readyz", "/clones/x"):
            assert http_client.get(path).text.startswith(f"gateway {path}"), path


def test_events_arrive_when_they_happen(services: dict[str, int]) -> None:
    with place() as home, running(serving(home, **services)) as caddy, client(caddy.url) as http_client:
        Events.seen.clear()
        with http_client.stream("GET", "/jobs/clone-1/events") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "status /jobs/clone-1/events"
            Events.seen.set()
            assert next(lines) == "second"


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_websockets_pass() -> None:
    with place() as home:
        async with serve(_echo, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with running(serving(home, gateway=free_port(), status=port)) as caddy:

                def talk() -> str | bytes:
                    with websockets.sync.client.connect(f"ws://127.0.0.1:{caddy.port}/ws", proxy=None) as socket_:
                        socket_.send("hello")
                        return socket_.recv(timeout=5)

                assert await asyncio.to_thread(talk) == "hello"


# A farm of ordinary sites.


@pytest.fixture(scope="module")
def farm_edge() -> Iterator[Edge]:
    with place() as home, ExitStack() as stack:
        for name in ("small", "locked", "plain", "narrow"):
            site = home / "sites" / name / "site"
            site.mkdir(parents=True)
            (site / "index.php").write_text(
                "<?php echo json_encode([ini_get('memory_limit'), ini_get('max_execution_time'),"
                " ini_get('post_max_size'), function_exists('exec'), count($_POST)]);"
            )
        php = stack.enter_context(running(PhpFpm(home / "php", hardened=False, max_children=1)))
        limits = {"memory_limit": "64M", "max_execution_time": "30", "post_max_size": "8M"}
        sites = {
            "small": FarmSite(php_values=limits),
            "locked": FarmSite(basic_auth=BasicAuth("someone", "secret")),
            "narrow": FarmSite(max_body=1000),
        }
        caddy = Caddy(
            home / "caddy",
            lambda c: farm_config(port=c.port, sites_dir=home / "sites", php_socket=php.socket, sites=sites),
        )
        stack.enter_context(running(caddy))
        edge = Edge(home, caddy)
        stack.callback(edge.http.close)
        yield edge


def test_limits_of_one_site_do_not_reach_another(farm_edge: Edge) -> None:
    for _ in range(2):
        assert farm_edge.get("small").json() == ["64M", "30", "8M", True, 0]
        assert farm_edge.get("plain").json() == ["256M", "120", "128M", True, 0]
    url = farm_edge.caddy.site_url("{}") + "/"
    too_much = {"a": "x" * 9_000_000}
    counted = [farm_edge.http.post(url.format(name), data=too_much).text for name in ("small", "plain")]
    assert [json.loads(text[text.rindex("[") :])[4] for text in counted] == [0, 1]


def test_basic_auth_in_front_of_a_site(farm_edge: Edge) -> None:
    refused = farm_edge.get("locked")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="site"')
    assert farm_edge.get("locked", auth=("someone", "wrong")).status_code == 401
    assert farm_edge.get("locked", auth=("someone", "secret")).status_code == 200


def test_a_body_limit_of_the_web_server(farm_edge: Edge) -> None:
    url = farm_edge.caddy.site_url("narrow") + "/"
    assert farm_edge.http.post(url, content=b"x" * 900).status_code == 200
    assert farm_edge.http.post(url, content=b"x" * 2000).status_code == 413


def test_a_setting_nobody_would_set_back_is_refused() -> None:
    sites = {"odd": FarmSite(php_values={"precision": "3"})}
    with pytest.raises(ValueError, match="precision"):
        farm_config(port=1, sites_dir=Path("/x"), php_socket=Path("/y"), sites=sites)
