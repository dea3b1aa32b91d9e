"""Files from a source that may be hostile: nothing leaves the clone's directory."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shared.wordpress.connector.protocol import Frame
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
    feed(root, file(b"x", b"", mode=0o4555))
    assert (root / "site/x").stat().st_mode & 0o7777 == 0o755


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


def test_files_are_not_written_through_a_link_that_is_already_there(root: Path) -> None:
    """As an earlier attempt, or a person, may have left it."""
    outside = root / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    os.symlink(outside, root / "site/dir")
    with pytest.raises(ValueError, match="through a link"):
        feed(root, file(b"dir/file", b"theirs"))
    os.symlink(outside / "file", root / "site/direct")
    feed(root, file(b"direct", b"theirs"))
    assert (outside / "file").read_text() == "mine"


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
