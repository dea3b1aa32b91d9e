"""SITEFERRY_ISOLATION=best where no namespaces can be had: the same servers, kept apart as far as that goes.

And as root without user namespaces, where bubblewrap is started as root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from shared.cells import isolation as probe
from shared.cells.isolation import Isolation, Walls, isolation
from siteferry.embedded.servers import ServerError
from siteferry.embedded.servers import cells as server
from tests.integration.cells import give
from tests.integration.house import alive, eventually, place
from tests.integration.pictures import PNG, UPLOADS, pictures
from tests.integration.test_cells import Yard, commands


@pytest.fixture
def yard() -> Iterator[Yard]:
    with place() as home:
        made = Yard(home, walls=Walls.NONE.value)
        made.start()
        try:
            yield made
        finally:
            assert made.process
            made.process.stop()


def processes(yard: Yard) -> list[int]:
    return [pid for pid, words in commands() if f"{yard.server.base}/c/" in words]


def test_it_serves_pages_and_files_and_sleeps(yard: Yard) -> None:
    clone = yard.add()
    (yard.clones / clone / "site" / "a.txt").write_text("a file")
    give(yard.clones / clone / "site" / "a.txt", clone)
    assert yard.get(clone) == (200, "front /")
    assert yard.get(clone, "/a.txt") == (200, "a file")
    pids = processes(yard)
    assert pids
    yard.client.sleep(clone)
    eventually(lambda: yard.state(clone) == "asleep", timeout=30, what="sleep")
    eventually(lambda: not any(alive(pid) for pid in pids), timeout=30, what="the end of all of it")
    assert yard.get(clone) == (200, "front /")
    yard.client.forget(clone)
    eventually(lambda: not processes(yard), timeout=30, what="the end of all of it")


def test_media_are_fetched_and_no_link_beside_them_is_followed(yard: Yard) -> None:
    with pictures() as shop:
        clone, other = yard.add(1, media=shop.media), yard.add(2)
        assert yard.get(clone, f"{UPLOADS}a.png") == (200, PNG.decode(errors="replace"))
        theirs = yard.clones / other / "site" / "theirs.png"
        theirs.write_text("theirs")
        give(theirs, other)
        kept = yard.clones / clone / "media" / UPLOADS.strip("/")
        assert (kept / "a.png").read_bytes() == PNG
        (kept / "link.png").symlink_to(theirs)
        (kept / "folder").symlink_to(theirs.parent)
        for name in ("link.png", "folder/theirs.png"):
            assert "theirs" not in yard.get(clone, UPLOADS + name)[1]


def test_neither_links_nor_php_lead_to_another_clone(yard: Yard) -> None:
    one, two = yard.add(1), yard.add(2)
    theirs = yard.clones / two / "site" / "theirs.txt"
    theirs.write_text("theirs")
    give(theirs, two)
    (yard.clones / one / "site" / "link.txt").symlink_to(theirs)
    assert "theirs" not in yard.get(one, "/link.txt")[1]
    assert yard.run(one, f"return @file_get_contents('{theirs}');") is False
    assert yard.run(one, f"return @scandir('{yard.clones}');") is False


def test_as_root_without_user_namespaces() -> None:
    if os.geteuid() != 0 or not probe._holds(Walls.ROOT, str(server.find_binary("bwrap"))):
        pytest.skip("only root can do without user namespaces")
    with place() as home:
        yard = Yard(home, walls=Walls.ROOT.value)
        yard.start()
        try:
            one, two = yard.add(1), yard.add(2)
            assert yard.get(one) == (200, "front /")
            assert yard.run(one, "return posix_getuid();") == (yard.clones / one / "site").stat().st_uid
            assert yard.run(one, f"return @scandir('{yard.clones / two}');") is False
            assert yard.run(one, "return @posix_setuid(0);") is False
            assert yard.run(one, "return @file_get_contents('/proc/1/status');") is False
        finally:
            assert yard.process
            yard.process.stop()


@pytest.mark.parametrize("found", [Isolation(Walls.NONE, 7, "do this"), Isolation(Walls.ROOT, 0, "do this")])
def test_required_isolation_refuses_to_start(found: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without walls for cells, and without Landlock for carriers."""
    assert isolation().level
    monkeypatch.setattr(server, "isolation", lambda: found)
    with place() as home:
        (home / "clones").mkdir()
        with pytest.raises(ServerError, match=r"do this.*SITEFERRY_ISOLATION=best"):
            server.Cells(home / "cells", home / "clones", required=True).prepare()
        server.Cells(home / "cells", home / "clones").prepare()
