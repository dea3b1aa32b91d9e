"""Files from a source that may be hostile: nothing leaves the clone's directory."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shared.wordpress.connector.protocol import Frame
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.transfer.files import FileSink, Layout, Received, receive


def b64(path: bytes) -> str:
    return base64.b64encode(path).decode()


def frame(kind: str, meta: dict[str, Any]) -> Frame:
    return Frame(kind, 0, json.dumps(meta).encode())


def file(path: bytes, content: bytes, *, offset: int = 0, mode: int = 0o644, size: int | None = None) -> list[Frame]:
    meta = {"root": "abspath", "path_b64": b64(path), "size": size or len(content), "mtime": 1000, "mode": mode}
    return [
        frame("F", {**meta, "offset": offset}),
        Frame("B", 0, content),
        frame("C", {"size": len(content), "changed": False}),
    ]


def link(path: bytes, target: bytes) -> Frame:
    return frame("L", {"root": "abspath", "path_b64": b64(path), "target_b64": b64(target)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "quarantine").mkdir()
    return tmp_path


def sink(root: Path, **more: Any) -> FileSink:
    layout = Layout(
        document_root=os.fsencode(root / "site"),
        roots={"abspath": b"", "content": b"app"},
        quarantine=os.fsencode(root / "quarantine"),
        is_quarantined=lambda path: path.endswith(b"object-cache.php"),
    )
    return FileSink(layout, more.pop("received", Received()))


def feed(root: Path, frames: list[Frame], received: Received | None = None) -> Received:
    received = received or Received()
    receive(frames, sink(root, received=received), on_frame=lambda: None)
    return received


def test_content_mode_and_time_arrive(root: Path) -> None:
    received = feed(root, file(b"a/b/c.txt", b"hello", mode=0o640))
    made = root / "site/a/b/c.txt"
    assert made.read_bytes() == b"hello"
    assert made.stat().st_mode & 0o777 == 0o640
    assert made.stat().st_mtime == 1000
    assert (received.files, received.size) == (1, 5)


def test_set_id_bits_do_not_travel_and_the_owner_can_always_write(root: Path) -> None:
    received = feed(root, file(b"x", b"", mode=0o4555))
    assert (root / "site/x").stat().st_mode & 0o7777 == 0o755
    assert received.counts == {"mode_reduced": 1}
    assert feed(root, file(b"y", b"", mode=0o1755)).counts == {}


@pytest.mark.parametrize("pieces", [(b"a", 0, b"b"), (0, b"b", 0), (0, 0), (b"a", 0)])
def test_zeros_take_no_room_and_are_there_all_the_same(root: Path, pieces: tuple[bytes | int, ...]) -> None:
    parts = [piece if isinstance(piece, bytes) else bytes(1 << 20) for piece in pieces]
    whole = b"".join(parts)
    first, *rest = file(b"disk.img", whole)
    feed(root, [first, *(Frame("B", 0, part) for part in parts), rest[-1]])
    made = root / "site/disk.img"
    assert made.read_bytes() == whole
    assert made.stat().st_blocks * 512 < len(whole) // 2


def test_a_file_that_is_cut_in_a_hole_resumes_behind_it(root: Path) -> None:
    size = (1 << 20) + 3
    first, _, last = file(b"disk.img", b"x", size=size)
    feed(root, [first, Frame("B", 0, bytes(1 << 20))])
    meta = json.loads(first.payload) | {"offset": 1 << 20}
    feed(root, [frame("F", meta), Frame("B", 0, b"end"), last])
    assert (root / "site/disk.img").read_bytes() == bytes(1 << 20) + b"end"


def test_a_file_resumes_at_its_offset(root: Path) -> None:
    (root / "site/big").write_bytes(b"0123456789GARBAGE")
    feed(root, file(b"big", b"abc", offset=10, size=13))
    assert (root / "site/big").read_bytes() == b"0123456789abc"


def test_names_are_bytes(root: Path) -> None:
    feed(root, file(b"na\xefve\xff.jpg", b"x"))
    assert os.listdir(os.fsencode(root / "site")) == [b"na\xefve\xff.jpg"]


def test_drop_ins_go_into_quarantine(root: Path) -> None:
    received = feed(root, file(b"wp-content/object-cache.php", b"<?php"))
    assert (root / "quarantine/wp-content/object-cache.php").exists()
    assert not (root / "site/wp-content/object-cache.php").exists()
    assert received.quarantined == ["wp-content/object-cache.php"]


def test_another_roots_files_go_to_its_place(root: Path) -> None:
    frames = file(b"x.php", b"1")
    meta = json.loads(frames[0].payload)
    feed(root, [frame("F", {**meta, "root": "content"}), *frames[1:]])
    assert (root / "site/app/x.php").exists()


@pytest.mark.parametrize("path", [b"../out", b"a/../../out", b"/etc/out", b"a\0b", b"a/.."])
def test_paths_that_lead_outside_are_refused(root: Path, path: bytes) -> None:
    with pytest.raises(ValueError, match="outside"):
        feed(root, file(path, b"x"))
    assert not (root / "out").exists()


@pytest.mark.parametrize("target", [b"/etc", b"../../outside", b"a/../../.."])
def test_links_that_lead_outside_are_not_made(root: Path, target: bytes) -> None:
    received = feed(root, [link(b"dir/evil", target)])
    assert not os.path.lexists(root / "site/dir/evil")
    assert received.counts == {"symlink_outside": 1}


def test_a_chain_of_links_does_not_lead_outside_either(root: Path) -> None:
    """Each link looks harmless by its text; together they would climb out of the directory."""
    (root / "secret").mkdir()
    feed(root, file(b"t/keep", b"x"))
    received = feed(root, [link(b"a/b/x", b"../../t"), link(b"a/b/y", b"x/../../secret")])
    assert os.path.lexists(root / "site/a/b/x")
    assert not os.path.lexists(root / "site/a/b/y")
    assert received.counts == {"symlink_outside": 1}


def test_what_is_in_the_way_is_replaced_and_what_it_points_to_is_not_touched(root: Path) -> None:
    """As an earlier attempt, a person, or an earlier frame may have left it."""
    outside = root / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    os.symlink(outside, root / "site/dir")
    os.symlink(outside / "file", root / "site/direct")
    os.link(outside / "file", root / "site/hard")
    os.mkfifo(root / "site/pipe")
    (root / "site/folder").mkdir()
    (root / "site/folder/old").write_text("old")
    feed(
        root, [frame for name in (b"dir/file", b"direct", b"hard", b"pipe", b"folder") for frame in file(name, b"new")]
    )
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "mine"
    for name in ("dir/file", "direct", "hard", "pipe", "folder"):
        made = root / "site" / name
        assert not made.is_symlink()
        assert made.read_bytes() == b"new"


@pytest.mark.parametrize("way", ["symlink", "hard link", "pipe", "folder", "dangling"])
def test_nothing_is_resumed_but_a_file_that_was_begun(root: Path, way: str) -> None:
    """The way any file of the machine was overwritten: a link made while its goal did not exist, then an offset."""
    victim, place = root / "victim", root / "site/place"
    victim.write_bytes(b"0123456789")
    make = {
        "symlink": lambda: os.symlink(victim, place),
        "hard link": lambda: os.link(victim, place),
        "pipe": lambda: os.mkfifo(place),
        "folder": place.mkdir,
        "dangling": lambda: os.symlink(root / "site/nowhere", place),
    }
    make[way]()
    with pytest.raises(ImplausibleSite):
        feed(root, file(b"place", b"abc", offset=5, size=8))
    assert victim.read_bytes() == b"0123456789"


def test_a_link_made_before_its_goal_is_not_a_way_out(root: Path) -> None:
    (root / "secret").mkdir()
    (root / "secret/key").write_bytes(b"0123456789")
    # harmless by its text and by what is there; the second one then turns the first one outwards
    frames = [link(b"a", b"b/../../secret"), link(b"c/b", b"x"), link(b"b", b"d/e"), *file(b"d/e/keep", b"")]
    frames += file(b"a/key", b"theirs")
    received = Received()
    writing = sink(root, received=received)
    receive(frames, writing, on_frame=lambda: None)
    writing.settle()
    writing.close()
    assert (root / "secret/key").read_bytes() == b"0123456789"
    left = [path for path in (root / "site").rglob("*") if path.is_symlink()]
    assert all(os.path.realpath(path).startswith(str(root / "site")) for path in left)


def test_links_that_came_to_lead_outside_are_taken_away(root: Path) -> None:
    (root / "outside").mkdir()
    received = Received()
    writing = sink(root, received=received)
    receive([link(b"way", b"there/../../outside"), *file(b"far/away/x", b"")], writing, on_frame=lambda: None)
    assert received.counts == {"symlink_outside": 1}, "without the goal it leads outside by its text"
    receive([link(b"way", b"in/../x"), link(b"in", b"far/away")], writing, on_frame=lambda: None)
    os.symlink("../outside", root / "site/late")  # as PHP of the clone might
    writing.settle()
    assert not os.path.lexists(root / "site/late")
    assert os.path.lexists(root / "site/in")


@pytest.mark.parametrize(
    "frames",
    [
        [*file(b"x", b"1234", size=3)],
        [*file(b"x", b"12", offset=9, size=3)],
        [Frame("B", 0, b"bytes of nothing")],
        [frame("C", {"size": 0, "changed": False})],
        file(b"a/" * 101 + b"x", b""),
        file(b"n" * 256, b""),
    ],
)
def test_what_no_connector_of_ours_sends_is_refused(root: Path, frames: list[Frame]) -> None:
    with pytest.raises(ImplausibleSite):
        feed(root, frames)


def test_reasons_of_a_stranger_are_bounded(root: Path) -> None:
    frames = [frame("W", {"path_b64": b64(b"f"), "reason": f"reason {n}" * 50}) for n in range(500)]
    received = feed(root, frames)
    assert len(received.counts) <= 51
    assert max(map(len, received.counts)) <= 60
    assert sum(received.counts.values()) == 500


def test_a_cut_stream_closes_the_file_and_keeps_its_bytes(root: Path) -> None:
    whole = file(b"cut", b"12345", size=10)

    def cut() -> Any:
        yield from whole[:2]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        receive(cut(), sink(root), on_frame=lambda: None)
    assert (root / "site/cut").read_bytes() == b"12345"


def test_warnings_are_counted_and_some_are_named(root: Path) -> None:
    frames = [frame("W", {"path_b64": b64(b"f%d" % n), "reason": "unreadable"}) for n in range(200)]
    received = feed(root, frames)
    assert received.counts == {"unreadable": 200}
    assert len(received.warnings["unreadable"]) == 50
