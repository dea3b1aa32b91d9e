"""PHP inside of a clone that tries to get out. Every function is on: only the walls hold.

Runs as whoever runs it and, as root, once more under an ordinary account.
"""

from __future__ import annotations

import errno
import http.server
import os
import platform
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shared import system_calls
from shared.cells.isolation import isolation
from siteferry.embedded.servers import MariaDB, Nats, running
from tests.integration.house import alive, place
from tests.integration.ordinary import run_again
from tests.integration.test_cells import Yard, commands

pytestmark = pytest.mark.skipif(not isolation().cells, reason="this machine builds no walls")

THROUGH = "through"
"""What an attempt answers when it got something it must not have."""

SHOWS = "return is_string($r) && strpos($r, 'OUR-SECRET') !== false ? 'through' : 'held';"
READS = {
    "file_get_contents": "$r = @file_get_contents('{path}');",
    "fopen": "$f = @fopen('{path}', 'r'); $r = $f ? fread($f, 9999) : '';",
    "include": "ob_start(); @include '{path}'; $r = ob_get_clean();",
    "a link": "@unlink('/run/web/l'); @symlink('{path}', '/run/web/l'); $r = @file_get_contents('/run/web/l');",
    "a hard link": "@link('{path}', __DIR__ . '/hard'); $r = @file_get_contents(__DIR__ . '/hard');",
    "a copy": "@copy('{path}', __DIR__ . '/copy'); $r = @file_get_contents(__DIR__ . '/copy');",
    "curl with file://": "$c = curl_init('file://{path}'); curl_setopt($c, 19913, true); $r = @curl_exec($c);",
    "cat": "$r = (string) @shell_exec('cat {path} 2>&1');",
    "a path through root": "$r = @file_get_contents('/proc/1/root{path}');",
    "dots": "$r = @file_get_contents(__DIR__ . '/../../../../../../../..{path}');",
    "SplFileObject": "try {{ $r = (new SplFileObject('{path}'))->fread(999); }} catch (Throwable $e) {{ $r = ''; }}",
    "FFI": "try {{ $l = FFI::cdef('int open(const char*, int); long read(int, char*, long);', 'libc.so.6');"
    " $b = $l->new('char[999]'); $l->read($l->open('{path}', 0), $b, 998); $r = FFI::string($b); }}"
    " catch (Throwable $e) {{ $r = ''; }}",
    "PHP on the command line": "$r = (string) @shell_exec('php -r \"readfile(\\'{path}\\');\" 2>&1');",
    "XML entities": "$d = new DOMDocument(); @$d->loadXML('<!DOCTYPE a [<!ENTITY e SYSTEM \"file://{path}\">]><a>&e;</a>',"
    " LIBXML_NOENT | LIBXML_DTDLOAD); $r = (string) $d->textContent;",
}
"""Ways to read a file that holds OUR-SECRET."""

CONNECTS = {
    "fsockopen": "return @fsockopen('127.0.0.1', {port}, $n, $s, 2) ? 'through' : 'held';",
    "stream_socket_client": "return @stream_socket_client('tcp://127.0.0.1:{port}', $n, $s, 2) ? 'through' : 'held';",
    "socket_connect": "$s = socket_create(AF_INET, SOCK_STREAM, 0);"
    " return @socket_connect($s, '127.0.0.1', {port}) ? 'through' : 'held';",
    "socket_addrinfo_connect": "$a = socket_addrinfo_lookup('127.0.0.1', '{port}', ['ai_socktype' => SOCK_STREAM]);"
    " return $a && @socket_addrinfo_connect($a[0]) ? 'through' : 'held';",
    "curl": "$c = curl_init('http://127.0.0.1:{port}/'); curl_setopt($c, 19913, true);"
    " curl_setopt($c, CURLOPT_PROXY, ''); return @curl_exec($c) === false ? 'held' : 'through';",
    "curl through the proxy": "$c = curl_init('http://127.0.0.1:{port}/'); curl_setopt($c, 19913, true);"
    " return @curl_exec($c) === false ? 'held' : 'through';",
    "curl's telnet": "$c = curl_init('telnet://127.0.0.1:{port}'); curl_setopt($c, CURLOPT_TIMEOUT, 2);"
    " curl_setopt($c, CURLOPT_PROXY, ''); @curl_exec($c); return curl_errno($c) === 7 ? 'held' : 'through';",
    "file_get_contents": "return @file_get_contents('http://127.0.0.1:{port}/') === false ? 'held' : 'through';",
    "mysqli over TCP": "mysqli_report(0); $m = mysqli_init(); $m->options(MYSQLI_OPT_CONNECT_TIMEOUT, 2);"
    " @$m->real_connect('127.0.0.1', 'x', 'y', 'z', {port}); return $m->connect_errno === 2002 ? 'held' : 'through';",
    "FTP": "return function_exists('ftp_connect') && @ftp_connect('127.0.0.1', {port}, 2) ? 'through' : 'held';",
    "bash": "$r = (string) @shell_exec('exec 3<>/dev/tcp/127.0.0.1/{port} && echo yes');"
    " return trim($r) === 'yes' ? 'through' : 'held';",
}
"""Ways to reach a port of the machine's loopback."""

UNIX = (
    "return @stream_socket_client('unix://{path}', $n, $s, 2) ? 'through' : 'held';",
    "$c = curl_init('http://x/'); curl_setopt($c, CURLOPT_UNIX_SOCKET_PATH, '{path}');"
    " curl_setopt($c, CURLOPT_PROXY, ''); @curl_exec($c); return curl_errno($c) === 7 ? 'held' : 'through';",
)

OTHERS = {
    "processes of others": "return count(glob('/proc/[0-9]*') ?: []) > 0 ? 'through' : 'held';",
    "our environment": "$names = implode(' ', array_merge(array_keys(getenv()), array_keys($_ENV)));"
    " return preg_match('/SITEFERRY|TOKEN|VAULT/', $names) ? 'through' : 'held';",
    "a signal to one of us": f"return @posix_kill({os.getpid()}, 0) || @posix_kill({os.getppid()}, 0)"
    " ? 'through' : 'held';",
    "a new user namespace": "return trim((string) @shell_exec('unshare -Ur id -u 2>&1')) === '0' ? 'through' : 'held';",
    "becoming root": "return @posix_setuid(0) && posix_getuid() === 0 ? 'through' : 'held';",
    "the disk's device": "return glob('/dev/[svn][dv]*') || glob('/dev/mem') ? 'through' : 'held';",
    "kernel settings": "return @file_get_contents('/proc/sys/kernel/core_pattern') ? 'through' : 'held';",
    "control groups": "return @scandir('/sys/fs/cgroup') ? 'through' : 'held';",
    "other clones by name": "return @scandir('{clones}') ? 'through' : 'held';",
    "network interfaces": "$n = function_exists('net_get_interfaces') ? @net_get_interfaces() : [];"
    " return array_diff(array_keys($n ?: []), ['lo']) ? 'through' : 'held';",
    "writing to the runtime": "return @file_put_contents('/usr/lib/x', 'x') || @file_put_contents('/etc/x', 'x')"
    " || @file_put_contents('/run/runtime/x', 'x') || @file_put_contents('/run/cell/x', 'x') ? 'through' : 'held';",
    "shared memory of others": "return function_exists('shmop_open') && @shmop_open(0x5f3759df, 'a', 0, 0)"
    " ? 'through' : 'held';",
}

ASKS = (
    "$l = FFI::cdef('long syscall(long, ...); int *__errno_location(void);', 'libc.so.6');"
    " $r = $l->syscall({number}, {arguments}); $e = $l->__errno_location()[0];"
    " return $r === -1 && $e === {errno} ? 'held' : 'through';"
)
"""Asks the kernel itself. Only the filter's own answer counts as held, not that there was a fault in the question."""
NEW_USER_NAMESPACE, NEW_NETWORK, SIGCHLD = 0x10000000, 0x40000000, 17
STRANGE_SOCKETS = {"the host of a virtual machine": 40, "the kernel's ciphers": 38, "raw packets": 17, "Bluetooth": 31}


def questions() -> dict[str, str]:
    """Calls of the kernel that a clone has no business with -> their PHP."""
    if not system_calls.known():
        return {}
    column = list(system_calls.ARCHITECTURES).index(platform.machine())
    found = {}
    for name, numbers in system_calls.DANGEROUS.items():
        if numbers[column] >= 0:
            arguments = "0, 0, 0, 0, 0" if name != "unshare" else f"{NEW_USER_NAMESPACE}"
            found[f"kernel: {name}"] = ASKS.format(number=numbers[column], arguments=arguments, errno=errno.EPERM)
    for name, family in STRANGE_SOCKETS.items():
        number, refused = system_calls.SOCKET[column], errno.EAFNOSUPPORT
        found[f"a socket to {name}"] = ASKS.format(number=number, arguments=f"{family}, 1, 0", errno=refused)
    for name, flag in {"user": NEW_USER_NAMESPACE, "network": NEW_NETWORK}.items():
        number, flags = system_calls.CLONE[column], flag | SIGCHLD
        arguments = f"{flags}, 0, 0, 0, 0"
        found[f"a process in a new {name} namespace"] = ASKS.format(
            number=number, arguments=arguments, errno=errno.EPERM
        )
    number = system_calls.CLONE3[column]
    found["a process by clone3"] = ASKS.format(number=number, arguments="0, 0", errno=errno.ENOSYS)
    return found


@pytest.fixture(scope="module")
def world() -> Iterator[dict[str, object]]:
    """A launcher with two clones, a NATS, a MariaDB with a neighbour's database, and a server on loopback."""
    with place() as home, ExitStack() as stack:
        mariadb = stack.enter_context(running(MariaDB(home / "mariadb")))
        nats = stack.enter_context(running(Nats(home / "nats")))
        yard = Yard(
            home,
            mariadb_socket=str(mariadb.socket),
            disabled_functions="",
            php_values={"allow_url_fopen": "1", "allow_url_include": "1", "ffi.enable": "true"},
        )
        yard.start()
        assert yard.process
        stack.callback(yard.process.stop)
        attacker, victim = yard.add(1), yard.add(2)
        (home / "vault.key").write_text("OUR-SECRET")
        (yard.clones / victim / "wp-config.php").write_text("<?php /* */ ?>OUR-SECRET")
        (yard.clones / victim / "site" / "page.txt").write_text("OUR-SECRET")
        os.chmod(yard.clones / victim / "site" / "page.txt", 0o644)
        server = stack.enter_context(
            http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        # an abstract socket belongs to a network namespace: none of ours may be reached
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0siteferry-test-{os.getpid()}")
        abstract.listen()
        yield {
            "yard": yard,
            "attacker": attacker,
            "victim": victim,
            "home": home,
            "nats": nats,
            "mariadb": mariadb,
            "port": server.server_address[1],
        }


def attempts(world: dict[str, object]) -> dict[str, str]:
    """Name of each attempt -> its PHP."""
    yard, home, victim = world["yard"], world["home"], world["victim"]
    assert isinstance(yard, Yard)
    secrets = {
        "the vault's key": f"{home}/vault.key",
        "another clone's configuration": f"{yard.clones}/{victim}/wp-config.php",
        "another clone's file": f"{yard.clones}/{victim}/site/page.txt",
    }
    found = {}
    for name, path in secrets.items():
        for way, code in READS.items():
            found[f"{name} by {way}"] = code.format(path=path) + " " + SHOWS
    nats_port = int(str(world["nats"].url).rpartition(":")[2])  # type: ignore[attr-defined]
    for name, port in {"the gateway": world["port"], "NATS": nats_port}.items():
        for way, code in CONNECTS.items():
            found[f"{name} by {way}"] = code.format(port=port)
    sockets = {
        "the launcher": str(yard.server.control),
        "another clone's web server": str(yard.server.http / str(victim) / "web.sock"),
        "an abstract socket": f"\\0siteferry-test-{os.getpid()}",
    }
    for name, path in sockets.items():
        for number, code in enumerate(UNIX):
            if not path.startswith("\\0") or number == 0:
                quoted = '"' + f"unix://{path}" + '"'
                found[f"{name}, {number}"] = code.replace("'unix://{path}'", quoted).format(path=path)
    others = {name: code.replace("{clones}", str(yard.clones)) for name, code in OTHERS.items()}
    return found | others | questions()


def test_nothing_gets_through(world: dict[str, object]) -> None:
    tried = attempts(world)
    assert len(tried) >= 40
    yard = world["yard"]
    assert isinstance(yard, Yard)
    assert yard.run(str(world["attacker"]), "return function_exists('shell_exec') && ini_get('ffi.enable');")
    answers = {name: yard.run(str(world["attacker"]), code, timeout=60) for name, code in tried.items()}
    assert {name: answer for name, answer in answers.items() if answer != "held"} == {}


def test_the_attempts_would_be_noticed(world: dict[str, object]) -> None:
    """The same ways do read the clone's own files and reach its own web server."""
    yard, attacker = world["yard"], str(world["attacker"])
    assert isinstance(yard, Yard)
    own = yard.clones / attacker / "site" / "own.txt"
    own.write_text("OUR-SECRET")
    os.chmod(own, 0o644)
    working = [way for way, code in READS.items() if yard.run(attacker, code.format(path=own) + " " + SHOWS) == THROUGH]
    assert len(working) >= 8, working
    assert {"file_get_contents", "cat", "FFI", "a link"} <= set(working)


def test_mariadb_as_somebody_else(world: dict[str, object]) -> None:
    yard, attacker, mariadb = world["yard"], str(world["attacker"]), world["mariadb"]
    assert isinstance(yard, Yard)
    assert isinstance(mariadb, MariaDB)
    code = (
        "mysqli_report(0); $found = []; foreach (['root', 'mysql', 'siteferry', 'sf_2', ''] as $user) {"
        f" $m = @new mysqli('localhost', $user, '', '', 0, '{mariadb.socket}'); $found[$user] = $m->connect_errno; }}"
        " return $found;"
    )
    answers = yard.run(attacker, code)
    assert set(answers.values()) <= {1045, 1698}, answers  # reached, and refused


def test_no_process_stays_behind(world: dict[str, object]) -> None:
    yard, attacker = world["yard"], str(world["attacker"])
    assert isinstance(yard, Yard)
    mark = f"sleeper-{os.getpid()}"
    code = (
        f"$p = pcntl_fork(); if ($p === 0) {{ posix_setsid(); if (pcntl_fork() === 0) {{"
        f" cli_set_process_title('{mark}'); for (;;) {{ sleep(100); }} }} exit; }} return $p;"
    )
    spin = "while :; do :; done) >/dev/null 2>&1 &"
    shell = f'@shell_exec("({spin} (trap : TERM HUP; {spin}"); return 1;'
    for way in (code, shell):
        try:
            yard.run(attacker, way, timeout=20)
        except (OSError, AssertionError, ValueError):
            pass  # a forked child answers in its parent's place: what counts is what is left
    pids = yard.pids(attacker)
    assert pids
    yard.client.sleep(attacker)
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not [words for _, words in commands() if mark in words]


def test_the_agent_leaves_nothing_behind_either(world: dict[str, object]) -> None:
    """Making the administrator runs the site's own files: a hostile one tries to stay."""
    yard, attacker = world["yard"], str(world["attacker"])
    assert isinstance(yard, Yard)
    site = yard.clones / attacker / "site"
    (site / "wp-load.php").write_text(
        "<?php if (pcntl_fork() === 0) { posix_setsid(); for (;;) { sleep(100); } }"
        " echo json_encode(['user_id' => 1, 'seen' => array_keys(getenv()), 'root' => scandir('/')]); exit;"
    )
    os.chmod(site / "wp-load.php", 0o644)
    wanted = {"wordpress": str(site), "host": "x", "username": "u", "password": "p", "email": "e"}
    answer = yard.client.agent(attacker, "administrator", wanted, seconds=60)
    assert set(answer["seen"]) <= {"PATH", "PWD"}
    assert "home" not in answer["root"]
    deadline = time.monotonic() + 30
    while any("administrator.php" in words for _, words in commands()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_same_as_an_ordinary_user() -> None:
    """The whole file once more, under an account without rights."""
    with place() as home:
        assert "5 passed" in run_again(__file__, home)
