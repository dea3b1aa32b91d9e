"""Pictures and documents that stayed on the source come when they are asked for, and nothing else ever does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from shared import system_calls
from shared.cells.isolation import isolation
from siteferry.embedded.cells import fetching, keeping, source
from siteferry.embedded.cells.keeping import Keeper
from siteferry.embedded.cells.media import Place
from siteferry.embedded.cells.origins import Origin
from siteferry.embedded.cells.source import Away, Missing, Source
from siteferry.embedded.servers.caddy import UnixConnection
from tests.integration.cells import give
from tests.integration.house import eventually, place
from tests.integration.pictures import HOME, PNG, UPLOADS, Pictures, pictures
from tests.integration.test_cells import Yard, _status, descendants

pytestmark = pytest.mark.skipif(not isolation().cells, reason="this machine builds no walls")
ODD = "2024/05/Größe 1 (neu) ñ 日本.png"


@pytest.fixture(scope="module")
def shop() -> Iterator[Pictures]:
    with pictures() as server:
        yield server


@pytest.fixture(scope="module")
def yard() -> Iterator[Yard]:
    with place() as home:
        made = Yard(home)
        made.start()
        yield made
        assert made.process
        made.process.stop()


@pytest.fixture(scope="module")
def clone(yard: Yard, shop: Pictures) -> str:
    return yard.add(1, media=shop.media)


def ask(yard: Yard, clone: str, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = UnixConnection(yard.server.http / clone / "web.sock", timeout=60)
    with closing(connection):
        headers = {"Host": f"{clone}.localhost", "Connection": "close", "Cookie": "secret=1"}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def is_placeholder(answer: tuple[int, dict[str, str], bytes]) -> bool:
    status, headers, body = answer
    assert "script" not in body.decode()
    said = (status, headers.get("siteferry-media"), headers.get("content-type"), headers.get("cache-control"))
    return said == (200, "placeholder", "image/svg+xml; charset=utf-8", "no-store") and b"<svg" in body


def test_a_picture_comes_once_and_is_kept(yard: Yard, shop: Pictures, clone: str) -> None:
    for name in ("2024/05/a.png", ODD, "Deep/er/B.PNG"):
        path = UPLOADS + quote(name)
        asked = len(shop.asked)
        status, headers, body = ask(yard, clone, f"{path}?ver=3")
        assert (status, body, headers["content-type"]) == (200, PNG, "image/png"), name
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-robots-tag"] == "noindex, nofollow"
        assert "set-cookie" not in headers
        ((seen, said),) = shop.asked[asked:]
        assert unquote(seen) == UPLOADS + name, "no query"
        assert "cookie" not in said
        assert said["referer"] == f"{shop.origin}/"
        assert ask(yard, clone, path)[0::2] == (200, PNG)
        assert ask(yard, clone, path, "HEAD")[0::2] == (200, b"")
        assert ask(yard, clone, path, "POST")[0] == 405
        assert len(shop.asked) == asked + 1, "kept"


def test_what_the_clone_has_itself_comes_first_and_all_else_is_asked_of_nobody(
    yard: Yard, shop: Pictures, clone: str
) -> None:
    asked = len(shop.asked)
    uploads = yard.clones / clone / "site" / "wp-content" / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    (uploads / "mine.png").write_bytes(b"mine")
    for path in (uploads.parent, uploads, uploads / "mine.png"):
        give(path, clone)
    assert ask(yard, clone, f"{UPLOADS}mine.png")[0::2] == (200, b"mine")
    for path in ("/wp-content/uploads/a.svg", "/wp-content/uploads/a.html", "/wp-content/uploads/a.zip", "/a.png"):
        assert ask(yard, clone, path)[2] == f"front {path}".encode()
    for path in (f"{UPLOADS}a.php", f"{UPLOADS}.hidden.png", f"{UPLOADS}.well/a.png", f"{UPLOADS}a.php/b.png"):
        assert ask(yard, clone, path)[0] == 403, path
    assert len(shop.asked) == asked


def test_missing_is_a_placeholder_or_a_clear_404_and_not_kept(yard: Yard, shop: Pictures, clone: str) -> None:
    for name in ("gone.png", "denied.jpg", "page.png", "drawing.png", "bomb.png", "torn.png"):
        assert is_placeholder(ask(yard, clone, UPLOADS + name)), name
    status, headers, body = ask(yard, clone, f"{UPLOADS}gone.pdf")
    assert (status, headers["siteferry-media"]) == (404, "missing")
    assert b"document stayed on the source" in body
    assert not [path for path in (yard.clones / clone / "media").rglob("*") if "gone" in path.name]
    asked = shop.paths.count(f"{UPLOADS}gone.png")
    assert is_placeholder(ask(yard, clone, f"{UPLOADS}gone.png"))
    assert shop.paths.count(f"{UPLOADS}gone.png") == asked, "not again at once"


HOSTILE = [
    b"POST %sx.png HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"PUT %sx.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD %sx.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.png HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
    b"GET %sx.png HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET http://127.0.0.1/wp-content/uploads/x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //evil.localhost/wp-content/uploads/x.png HTTP/1.1\r\nHost: evil.localhost\r\n\r\n",
    b"GET /wp-login.php HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /wp-content/plugins/x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s../../wp-config.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s..%%2f..%%2fx.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s%%2e%%2e/x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s%%252e%%252e/x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sa%%252f..%%252fx.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s.%%2fx.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s/x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sa\\..\\x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx%%00.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx%%0d%%0aHost:%%20evil.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.php HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.php?a=.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.php/a.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.php.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.png%%3f.php HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.png#.php HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.svg HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.html HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s.htaccess HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s.new/x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %sx.png HTTP/1.1\r\nHost: a\r\nX: a\nb: c\r\n d\x00\r\n\r\n",
    b"GET %sx.png HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"GET %s" + b"d/" * 200 + b"x.png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET %s" + b"n" * 300 + b".png HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x05\x01\x00",
    b"GET",
    b"",
]


def test_nothing_else_gets_through_whatever_is_asked_in_the_cell(yard: Yard, shop: Pictures, clone: str) -> None:
    asked = list(shop.asked)
    for request in HOSTILE:
        sent = request.replace(b"%s", UPLOADS.encode(), 1).replace(b"%%", b"%")
        answer = spoken(yard, clone, sent)
        assert not answer.startswith(b"HTTP/1.1 200"), sent[:200]
        assert PNG not in answer
    assert shop.asked == asked
    head = f"GET {UPLOADS}straight.png HTTP/1.1\r\nHost: evil.example\r\nCookie: a=b\r\nX-Forwarded-Host: evil\r\n\r\n"
    assert spoken(yard, clone, head.encode()).endswith(PNG), "it answers those who ask as they should"
    seen, said = shop.asked[-1]
    assert (seen, said["host"]) == (f"{UPLOADS}straight.png", f"{HOME}:{shop.server_port}")
    assert {"cookie", "x-forwarded-host", "authorization"} & set(said) == set()


def spoken(yard: Yard, clone: str, request: bytes) -> bytes:
    """What the process that fetches answers to these bytes."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(yard.server.base / "c" / clone / "media.sock"))
        answer = b""
        try:
            stream.sendall(request)
            stream.shutdown(socket.SHUT_WR)
            while data := stream.recv(65536):
                answer += data
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer


def fetcher(yard: Yard) -> tuple[int, str]:
    assert yard.process
    found = [pid for pid in descendants(yard.process.pid) if f"\nPPid:\t{yard.process.pid}\n" in _status_of(pid)]
    ((pid, said),) = [(pid, _status_of(pid)) for pid in found if _status_of(pid).startswith("Name:\tpython")]
    return pid, said


def _status_of(pid: int) -> str:
    return _status(Path(f"/proc/{pid}/status"))


def test_who_fetches_has_given_up_its_rights_and_php_writes_nothing_of_it(
    yard: Yard, shop: Pictures, clone: str
) -> None:
    ask(yard, clone, f"{UPLOADS}rights.png")
    _, said = fetcher(yard)
    assert "\nNoNewPrivs:\t1\n" in said
    assert ("\nSeccomp:\t2\n" in said) == system_calls.known()
    if os.geteuid() == 0:
        assert "\nUid:\t0\t" not in said
    kept = yard.clones / clone / "media"
    assert (kept / UPLOADS.strip("/") / "rights.png").read_bytes() == PNG
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    for name in ("new.png", "wp-content/uploads/rights.png"):
        assert yard.run(clone, f"return @file_put_contents('{kept}/{name}', 'x');") is False
    assert yard.run(clone, f"return md5_file('{kept}/wp-content/uploads/rights.png');")


def test_killed_in_the_middle_of_a_file_it_leaves_no_half(yard: Yard, shop: Pictures, clone: str) -> None:
    path = f"{UPLOADS}hangs.png"
    aside = yard.clones / clone / "media" / UPLOADS.strip("/") / ".new"
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(ask, yard, clone, path)
        eventually(lambda: list(aside.glob("*")), timeout=20, what="half a file")
        assert not (yard.clones / clone / "media" / path.strip("/")).exists()
        os.kill(fetcher(yard)[0], signal.SIGKILL)
        assert is_placeholder(coming.result())
    assert list(aside.glob("*")), "the half file is there still"
    shop.go.set()
    assert ask(yard, clone, path)[0::2] == (200, PNG), "and is tried again at once"
    assert not list(aside.glob("*"))


def test_a_page_of_pictures_does_not_hang_on_a_dead_source(yard: Yard, shop: Pictures) -> None:
    with pictures() as other:
        media, port = other.media, other.server_port
        clone = yard.add(2, media=media)
        assert ask(yard, clone, f"{UPLOADS}before.png")[0::2] == (200, PNG)
    began = time.monotonic()
    with ThreadPoolExecutor(20) as visitors:
        answers = list(visitors.map(lambda n: ask(yard, clone, f"{UPLOADS}{n}.png"), range(200)))
    assert all(map(is_placeholder, answers))
    assert time.monotonic() - began < 20
    assert ask(yard, clone, f"{UPLOADS}before.png")[0::2] == (200, PNG), "what was kept is there"
    with pictures(port):
        eventually(lambda: ask(yard, clone, f"{UPLOADS}1.png")[2] == PNG, timeout=20, what="it comes back by itself")


# what a source answers, in this process


@pytest.fixture
def own(shop: Pictures) -> Iterator[Source]:
    made = Source(Origin(**shop.media), allow_private=True)
    yield made
    made.close()


@pytest.mark.parametrize(
    "name", ["gone page drawing bomb huge endless torn empty part".split(), [f"leads.{n}" for n in range(9)]][0:2],
    ids=["answers", "redirects"],
)  # fmt: skip
def test_what_is_no_whole_picture_of_the_source_is_missing(own: Source, name: list[str]) -> None:
    for one in name:
        with pytest.raises((Missing, Away)) as caught:
            own.fetch(f"{one}.png".encode(), "png", lambda _: None)
        assert caught.type is Missing, one


def test_redirects_lead_on_the_sources_own_server(own: Source, shop: Pictures) -> None:
    got: list[bytes] = []
    assert own.fetch(b"moved.png", "png", got.append)
    assert b"".join(got) == PNG
    assert shop.paths[-1] == f"{UPLOADS}here.png"


def test_a_private_address_is_refused_as_for_the_source_itself(shop: Pictures) -> None:
    asked = len(shop.asked)
    strict = Source(Origin(**shop.media), allow_private=False)
    with pytest.raises(Missing):
        strict.fetch(b"a.png", "png", lambda _: None)
    strict.close()
    assert len(shop.asked) == asked


def test_a_slow_body_ends(own: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(Missing):
        own.fetch(b"drips.png", "png", lambda _: None)
    assert time.monotonic() - began < 5


def test_without_room_it_is_shown_and_not_kept(tmp_path: Path, shop: Pictures) -> None:
    def files() -> list[Path]:
        return [path for path in tmp_path.rglob("*") if path.is_file()]

    keeper = Keeper(tmp_path, room=2 * keeping.BLOCK)
    with keeper.aside() as aside:
        aside.write(PNG)
        assert aside.settle(b"a.png").read(10_000, 0) == PNG
    assert files() == []
    keeper = Keeper(tmp_path, room=3 * keeping.BLOCK)
    for name in (b"a.png", b"b.png"):
        with keeper.aside() as aside:
            aside.write(PNG)
            aside.settle(name)
    assert files() == [tmp_path / "a.png"]


def test_where_landlock_forbids_renaming_between_folders_it_is_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def only_beside(old: bytes, new: bytes) -> None:
        if os.path.dirname(old) != os.path.dirname(new):
            raise OSError(18, "Invalid cross-device link")
        rename(old, new)

    monkeypatch.setattr(keeping.os, "rename", only_beside)
    keeper = Keeper(tmp_path, room=1 << 20)
    (tmp_path / ".new-half").write_bytes(b"half")
    with keeper.aside() as aside:
        aside.write(PNG)
        aside.settle(b"2024/a.png")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.png"]
    assert (tmp_path / "2024" / "a.png").read_bytes() == PNG


@pytest.fixture
def media(tmp_path: Path, shop: Pictures) -> Iterator[fetching.Media]:
    made = fetching.Media(Place(Origin(**shop.media), tmp_path, 1 << 30, True, 0, frozenset()))
    shop.go.clear()
    yield made
    shop.go.set()
    made.close()


def test_many_who_ask_for_one_picture_fetch_it_once(media: fetching.Media, shop: Pictures) -> None:
    threading.Timer(0.3, shop.go.set).start()
    asked = len(shop.asked)
    assert all_at_once(media, [b"hangs.png"] * 30) == [True] * 30
    assert len(shop.asked) == asked + 1


def test_few_are_fetched_at_the_same_time(media: fetching.Media, shop: Pictures) -> None:
    asked, seen = len(shop.asked), []

    def look() -> None:
        seen.append(len(shop.asked) - asked)
        shop.go.set()

    threading.Timer(1.0, look).start()
    assert all_at_once(media, [b"hangs.%d.png" % number for number in range(12)]) == [True] * 12
    assert seen == [fetching.AT_ONCE]
    assert len(shop.asked) == asked + 12


def all_at_once(media: fetching.Media, names: list[bytes]) -> list[bool]:
    """Whether each came."""

    async def ask() -> list[bool]:
        return [body is not None for body in await asyncio.gather(*map(media._get, names))]

    return asyncio.run(ask())
