"""Every user of the embedded NATS may do its work and nothing else: each tries the subjects of all."""

from __future__ import annotations

import http.client
import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.gateway.waiting import HEARD as WAKING
from shared.contract import streams
from shared.contract.rights import KEEPER, OPERATOR, SERVICES, USERS, inbox_prefix, rights
from siteferry.embedded.servers import Nats, running
from siteferry.embedded.servers.nats_probe import ask
from tests.integration.house import place

FOREIGN = [
    "$JS.API.STREAM.CREATE.CLONES",
    "$JS.API.STREAM.UPDATE.CLONES",
    "$JS.API.STREAM.DELETE.CLONES",
    "$JS.API.STREAM.DELETE.KV_vault",
    "$JS.API.STREAM.PURGE.KV_sessions",
    "$JS.API.STREAM.MSG.DELETE.CLONES",
    "$JS.API.STREAM.SNAPSHOT.KV_vault",
    "$JS.API.STREAM.RESTORE.KV_vault",
    "$JS.API.STREAM.INFO.KV_vault",
    "$JS.API.CONSUMER.DURABLE.CREATE.CLONES.spy",
    "$JS.API.CONSUMER.CREATE.KV_vault",
    "$JS.API.CONSUMER.CREATE.KV_sessions.spy",
    "$JS.API.CONSUMER.DELETE.CLONES.clone-work-high",
    "$JS.API.DIRECT.GET.KV_sessions.$KV.sessions.abc",
    "$JS.API.DIRECT.GET.KV_vault",
    "$JS.API.META.LEADER.STEPDOWN",
    "$JS.API.ACCOUNT.PURGE.x",
    "$KV.sessions.minted",
    "$KV.tickets.minted",
    "$KV.vault.clone-1",
    "$KV.jobs.clone-1",
    "$KV.webhooks.endpoint",
    "$KV.schedules.abc.schedule-1",
    "schedule.of.abc.schedule-1",
    "schedule.due.abc.schedule-1",
    "schedule.other.abc.schedule-1",
    "$JS.API.STREAM.PURGE.SCHEDULES",
    "$JS.API.STREAM.DELETE.SCHEDULES",
    "$JS.API.CONSUMER.CREATE.SCHEDULES.spy",
    "$KV.leases.clone-1",
    "clone.completed.high.clone-1",
    "clone.requested.high.clone-1",
    "restore.requested.high.restore-1",
    "webhook.due.a.b",
    "audit.abc.key.create.record-1",
    "$JS.API.DIRECT.GET.AUDIT",
    "$JS.API.STREAM.PURGE.AUDIT",
    "rpc.cloner.sweep",
    "rpc.cloner.mail",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.x.CONNZ",
    "anything.else",
    *(f"_INBOX.{user}.x" for user in USERS),
]
HEARD = [">", "$KV.>", "$JS.>", "clone.>", "rpc.>", "_INBOX.>", *(f"_INBOX.{user}.>" for user in USERS)]


@pytest.fixture(scope="module")
def server() -> Iterator[Nats]:
    with place() as home, running(Nats(home / "nats")) as started:
        yield started


class Client:
    """A bare connection that tells which of its wishes were refused."""

    def __init__(self, server: Nats, user: str) -> None:
        name, _, password = server.login(user).partition(":")
        self.stream = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self.lines = self.stream.makefile("rb")
        self.lines.readline()
        options = {"user": name, "pass": password, "verbose": False, "headers": True}
        self.stream.sendall(f"CONNECT {json.dumps(options)}\r\n".encode())
        assert self.refused("") == "", "the login itself"

    def refused(self, command: str) -> str:
        """The server's error, "" when there was none."""
        self.stream.sendall(f"{command}PING\r\n".encode())
        found = ""
        while (line := self.lines.readline()) != b"PONG\r\n":
            assert line, f"the server hung up: {command}"
            if line.startswith(b"-ERR"):
                found = line.decode()
        return found

    def close(self) -> None:
        self.stream.close()


def matches(patterns: tuple[str, ...], subject: str) -> bool:
    def expression(pattern: str) -> str:
        return re.escape(pattern).replace(r"\*", "[^.]+").replace(">", ".+")

    return any(re.fullmatch(expression(pattern), subject) for pattern in patterns)


def concrete(pattern: str) -> str:
    return pattern.replace("*", "some").replace(">", "some.more")


SUBJECTS = sorted({concrete(pattern) for user in SERVICES for pattern in rights(user).publish} | set(FOREIGN))


@pytest.mark.parametrize("user", [*SERVICES, OPERATOR])
def test_each_user_may_publish_its_own_subjects_and_no_other(server: Nats, user: str) -> None:
    client, tried = Client(server, user), 0
    for subject in SUBJECTS:
        allowed = matches(rights(user).publish, subject)
        error = client.refused(f"PUB {subject} 0\r\n\r\n")
        assert bool(error) is not allowed, f"{user} {'may not' if allowed else 'may'} publish to {subject}"
        tried += not allowed
    client.close()
    assert tried > 60


def test_the_gateway_hears_what_wakes_a_call_that_waits(server: Nats) -> None:
    client = Client(server, "gateway")
    for number, bucket in enumerate(WAKING, 1):
        assert not client.refused(f"SUB $KV.{bucket}.clone-1 {number}\r\n"), bucket
    client.close()


@pytest.mark.parametrize("user", [*SERVICES, OPERATOR])
def test_each_user_hears_its_own_answers_and_no_other(server: Nats, user: str) -> None:
    client = Client(server, user)
    may = rights(user)
    for number, subject in enumerate(HEARD, 1):
        error = client.refused(f"SUB {subject} {number}\r\n")
        allowed = subject in may.subscribe or (matches(may.subscribe, concrete(subject)) and subject != ">")
        assert bool(error) is not (allowed and subject not in may.not_heard), f"{user}: {subject}"
    speaker = Client(server, KEEPER)
    for other in USERS:
        if other != user:
            speaker.refused(f"PUB _INBOX.{other}.secret 0\r\n\r\n")
    client.stream.sendall(b"PING\r\n")
    heard = []
    while (line := client.lines.readline()) != b"PONG\r\n":
        heard.append(line)
    assert not [line for line in heard if b"secret" in line], "somebody else's answers"
    for each in (client, speaker):
        each.close()


def test_nobody_mints_a_session_but_who_signs_people_in(server: Nats) -> None:
    may = {user for user in USERS if matches(rights(user).publish, f"$KV.{streams.SESSIONS}.x")}
    assert may == {KEEPER, "gateway", "status"}
    assert {user for user in USERS if matches(rights(user).publish, "$JS.API.STREAM.CREATE.x")} == {KEEPER}


def test_a_wrong_password_and_none_are_refused(server: Nats) -> None:
    info = "$JS.API.INFO"
    assert ask(server.port, server.login(KEEPER), inbox_prefix(KEEPER), info) is not None
    for login in ("keeper:wrong", ":", f"cloner:{server.login('gateway').partition(':')[2]}"):
        assert ask(server.port, login, inbox_prefix(KEEPER), info) is None


def test_there_is_no_monitoring_port(server: Nats) -> None:
    """What nats-server listens on is the client port, which speaks no HTTP."""
    assert "http" not in server.config_file.read_text()
    for path in ("/varz", "/connz?subs=1", "/jsz?streams=1"):
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5).read()


def test_logins_are_readable_for_their_owner_alone(server: Nats) -> None:
    files: list[Path] = [server.config_file, *(server.login_file(user) for user in USERS)]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * len(files)
    assert len({server.login(user) for user in USERS}) == len(USERS)
