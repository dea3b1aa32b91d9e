"""Each server for real: it starts, is ready, keeps its data over restarts and kills, stops, leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nats
import pymysql
import pytest

from siteferry.embedded.servers import (
    Caddy,
    MariaDB,
    Nats,
    PhpFpm,
    Server,
    ServerError,
    farm_config,
    free_port,
    running,
    start,
)
from siteferry.embedded.servers.base import running_as_root, traversable_by_all
from siteferry.embedded.servers.sockets import LONGEST
from siteferry.embedded.services import Service
from tests.integration.house import members, place

TIMEOUT = 5


@pytest.fixture
def home() -> Iterator[Path]:
    with place() as path:
        yield path


def caddy_for(directory: Path, *, port: int = 0) -> Caddy:
    return Caddy(
        directory,
        lambda caddy: farm_config(
            port=caddy.port,
            sites_dir=directory / "sites",
            php_socket=directory / "none.sock",
            admin_socket=caddy.admin_socket,
            storage=caddy.storage,
        ),
        port=port,
    )


def every_server(home: Path) -> list[Server]:
    return [Nats(home / "nats"), MariaDB(home / "mariadb"), PhpFpm(home / "php"), caddy_for(home / "caddy")]


@pytest.mark.parametrize("number", range(4), ids=["nats", "mariadb", "php-fpm", "caddy"])
def test_starts_again_on_the_same_directory_and_leaves_no_process(
    home: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = every_server(home)[number]
    for _ in range(2):
        process = start(server)
        assert server.is_ready()
        assert members(process.pid)
        code = process.stop()
        assert code in (0, 1), server.log_file.read_text()[-2000:]  # nats-server answers SIGTERM with 1
        assert not members(process.pid)
        assert not server.is_ready()
    started = every_server(home)[number]  # a new object on the old directory: what the next `up` does
    with running(started):
        # Asked every two seconds: reading the system's certificates takes 70 ms.
        monkeypatch.setattr(ssl, "create_default_context", lambda *_args, **_more: pytest.fail("certificates are read"))
        assert started.is_ready()


@pytest.mark.parametrize("number", range(4), ids=["nats", "mariadb", "php-fpm", "caddy"])
def test_no_secret_on_a_command_line_and_no_environment_of_ours(
    home: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET_OF_OURS", "hush")
    server = every_server(home)[number]
    process = start(server)
    try:
        command = Path(f"/proc/{process.pid}/cmdline").read_text() + Path(f"/proc/{process.pid}/environ").read_text()
        secrets = [getattr(server, "token", "").partition(":")[2], getattr(server, "admin_password", "")]
        assert not any(secret in command for secret in [*secrets, "hush"] if secret)
    finally:
        process.stop()


def login(server: Nats) -> dict[str, str]:
    user, _, password = server.token.partition(":")
    return {"user": user, "password": password}


async def _publish(server: Nats, text: bytes) -> None:
    client = await nats.connect(server.url, connect_timeout=TIMEOUT, **login(server))
    stream = client.jetstream(timeout=TIMEOUT)
    await stream.add_stream(name="KEPT", subjects=["kept.>"])
    await stream.publish("kept.one", text)
    await client.close()


async def _last(server: Nats) -> bytes:
    client = await nats.connect(server.url, connect_timeout=TIMEOUT, **login(server))
    message = await client.jetstream(timeout=TIMEOUT).get_last_msg("KEPT", "kept.one")
    await client.close()
    return message.data or b""


def test_an_acknowledged_message_survives_kill_9(home: Path) -> None:
    server = Nats(home / "nats")
    process = start(server)
    port = server.port
    asyncio.run(_publish(server, b"kept"))
    process.kill()
    with running(Nats(home / "nats")) as again:
        assert again.port == port, "clients that reconnect must find it where it was"
        assert asyncio.run(_last(again)) == b"kept"


def test_nats_wants_the_token_and_keeps_it_private(home: Path) -> None:
    with running(Nats(home / "nats")) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client, client.makefile() as said:
            client.sendall(b"CONNECT {}\r\nPING\r\n")
            assert "Authorization Violation" in said.read()
        for path in (server.token_file, server.config_file):
            assert path.stat().st_mode & 0o777 == 0o600
            assert server.token.partition(":")[2] in path.read_text()
        assert server.token.partition(":")[2] not in server.log_file.read_text()


def query(server: MariaDB, statement: str) -> tuple[object, ...]:
    connection = pymysql.connect(
        unix_socket=str(server.socket), user=server.admin_user, password=server.admin_password, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() or ()


def test_mariadb_keeps_rows_over_kill_9_and_its_password_over_restarts(home: Path) -> None:
    server = MariaDB(home / "mariadb")
    process = start(server)
    query(server, "CREATE DATABASE kept")
    query(server, "CREATE TABLE kept.t (a INT PRIMARY KEY) ENGINE=InnoDB")
    query(server, "INSERT INTO kept.t VALUES (42)")
    process.kill()
    with running(MariaDB(home / "mariadb")) as again:
        assert again.admin_password == server.admin_password
        assert query(again, "SELECT a FROM kept.t") == (42,)


def test_mariadb_has_no_network_and_no_door_without_a_password(home: Path) -> None:
    with running(MariaDB(home / "mariadb")) as server:
        assert query(server, "SELECT @@skip_networking, @@local_infile, @@max_allowed_packet") == (1, 1, 256 << 20)
        assert server.admin_password_file.stat().st_mode & 0o777 == 0o600
        for user in ("root", "mysql", server.admin_user):
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                pymysql.connect(unix_socket=str(server.socket), user=user, password="")
        assert query(server, "SELECT GROUP_CONCAT(user ORDER BY user) FROM mysql.global_priv") == (
            "mariadb.sys,siteferry",
        )


def test_only_we_may_open_the_socket_of_php(home: Path) -> None:
    with running(PhpFpm(home / "php")) as server:
        assert server.socket.stat().st_mode & 0o777 == 0o600


def test_a_path_too_long_for_a_socket_gets_a_short_one_elsewhere(home: Path) -> None:
    deep = home / ("deep" * 20) / ("er" * 20)
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent):
        folder.chmod(0o711)
    with running(MariaDB(deep / "mariadb")) as server, running(PhpFpm(deep / "php")) as php:
        for path in (server.socket, php.socket):
            assert len(str(path)) <= LONGEST
            assert home not in path.parents
        assert MariaDB(deep / "mariadb").socket == server.socket, "the next start must find it again"
        query(server, "SELECT 1")
    for path in (server.socket, php.socket):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def test_a_busy_port_is_refused_and_its_owner_named(home: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        server = caddy_for(home / "caddy", port=busy.getsockname()[1])
        with pytest.raises(ServerError, match=rf"port {busy.getsockname()[1]} is in use by \S+ \(pid {os.getpid()}\)"):
            start(server)


def test_a_server_that_does_not_come_up_says_why(home: Path) -> None:
    server = PhpFpm(home / "php", admin_values={"no\nsuch": "thing"})
    with pytest.raises(
        ServerError, match=r"php-fpm ended while starting. Its last words:\n(?s:.*)ERROR: .*php-fpm.conf"
    ):
        start(server)


def test_a_directory_the_database_can_not_enter_is_named(home: Path) -> None:
    if not running_as_root():
        pytest.skip("only root starts servers under other accounts")
    shut = home / "shut"
    shut.mkdir(mode=0o700)
    with pytest.raises(ServerError, match=f"chmod o\\+x {shut}$"):
        start(MariaDB(shut / "mariadb"))


@pytest.mark.parametrize("name", ['quote"d', "dollar$", "new\nline", "colon:", "a blank", "(2)"])
def test_a_directory_that_settings_can_not_spell_is_refused(home: Path, name: str) -> None:
    with pytest.raises(ServerError, match="can not hold"):
        PhpFpm(home / name)


def test_temporary_files_go_where_other_accounts_can_enter(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = home / "own"
    own.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    told = Service("gateway", home, {}).env()["TMPDIR"]
    assert told == ("/tmp" if running_as_root() else str(own))
    own.chmod(0o711)
    if traversable_by_all(home):
        assert Service("gateway", home, {}).env()["TMPDIR"] == str(own)


def test_caddy_takes_a_new_configuration_without_a_restart(home: Path) -> None:
    caddy = caddy_for(home / "caddy", port=free_port())
    process = start(caddy)
    try:
        folder = home / "caddy" / "other" / "one" / "site"
        folder.mkdir(parents=True)
        (folder / "hello.txt").write_text("hello")
        caddy.configure = lambda c: farm_config(
            port=c.port, sites_dir=home / "caddy" / "other", php_socket=home / "none.sock", admin_socket=c.admin_socket
        )
        caddy.reload()
        assert fetch(caddy.port, "one.localhost", "/hello.txt") == b"hello"
        assert process.alive()
        caddy.configure = lambda c: {"apps": {"http": {"servers": {"edge": {"listen": ["nonsense:port:"]}}}}}
        with pytest.raises(ServerError, match="refused"):
            caddy.reload()
        assert fetch(caddy.port, "one.localhost", "/hello.txt") == b"hello"
    finally:
        process.stop()


def fetch(port: int, host: str, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer.partition(b"\r\n\r\n")[2]
