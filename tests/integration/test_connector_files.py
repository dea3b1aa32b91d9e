"""files.count and files.stream: every file arrives, whatever its name, and any answer can be resumed."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.wordpress.connector.errors import ConnectorRefused
from shared.wordpress.connector.protocol import FileCursor, Frame
from shared.wordpress.connector.skips import file_reason, file_rule_params
from tests.integration.connected import Connected, connected
from tests.sites import nasty
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

LIMIT = 64 * 1024 * 1024
SKIP = file_rule_params()


@pytest.fixture(scope="module")
def source(farm: SourceFarm) -> Iterator[Connected]:
    site = farm.create(SiteSpec("files", php_values={"memory_limit": "64M"}))
    nasty.odd_names(site)
    nasty.hidden_files(site)
    with connected(site) as connection:
        yield connection
    site.destroy()


class Tree:
    """What a stream describes: files by path with the hash of their bytes, directories, links and warnings."""

    def __init__(self) -> None:
        self.files: dict[bytes, str] = {}
        self.dirs: set[bytes] = set()
        self.links: dict[bytes, bytes] = {}
        self.warnings: dict[bytes, str] = {}
        self.order: list[bytes] = []
        self.peaks: list[int] = []
        self._path = b""
        self._hash: Any = None

    def take(self, frame: Frame) -> None:
        if frame.type == "B":
            self._hash.update(frame.payload)
            return
        if frame.type not in "DFLWCE":
            return
        data = frame.json()
        path = base64.b64decode(data.get("path_b64", ""))
        if frame.type == "F":
            if data["offset"] == 0:
                self._path, self._hash = path, hashlib.sha256()
            assert self._path == path
        elif frame.type == "C":
            assert not data["changed"]
            self.files[self._path] = self._hash.hexdigest()
            self.order.append(self._path)
        elif frame.type == "D":
            self.dirs.add(path)
        elif frame.type == "L":
            self.links[path] = base64.b64decode(data["target_b64"])
        elif frame.type == "W":
            self.warnings[path] = data["reason"]
        elif frame.type == "E":
            self.peaks.append(data["peak_memory"])

    @classmethod
    def of(cls, frames: Iterator[Frame]) -> Tree:
        tree = cls()
        for frame in frames:
            tree.take(frame)
        return tree


def on_disk(root: Path) -> dict[bytes, str]:
    """Regular files below a directory (links not followed) with their hashes."""
    found = {}
    base = os.fsencode(root)
    for folder, _, names in os.walk(base):
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, base)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def without_skipped(files: dict[bytes, str]) -> dict[bytes, str]:
    ours = b"wp-content/plugins/siteferry-connector/"
    return {path: digest for path, digest in files.items() if path != b"wp-config.php" and not path.startswith(ours)}


def test_all_files_arrive_with_their_bytes(source: Connected) -> None:
    tree = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    assert tree.files == without_skipped(on_disk(source.site.docroot))
    assert b"wp-content/uploads/empty-folder" in tree.dirs
    assert tree.warnings == {}
    assert max(tree.peaks) < LIMIT


def test_the_order_is_fixed_and_the_count_agrees(source: Connected) -> None:
    tree = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    again = Tree.of(source.drain("files.stream", {"skip": SKIP, "max_bytes": 3_000_000}))
    assert again.order == tree.order
    count = source.client.call("files.count", {"skip": SKIP})
    assert (count["files"], count["dirs"]) == (len(tree.files), len(tree.dirs))
    assert count["bytes"] == sum((source.site.docroot / os.fsdecode(path)).stat().st_size for path in tree.files)
    reasons = {base64.b64decode(item["path_b64"]): item["reason"] for item in count["skipped"]}
    assert reasons[b"wp-config.php"] == "configuration"
    assert all(file_reason(reason) != reason for reason in reasons.values())


def test_resuming_after_every_entry_gives_identical_bytes(source: Connected) -> None:
    """One byte per answer: every entry, and every MiB of a large file, ends an answer once."""
    top = source.site.uploads / "odd"
    source.site.write(os.path.relpath(top / "big.bin", source.site.docroot), os.urandom(3_500_000))
    others = [
        {"id": "rest", "base": "root", "glob": name} for name in os.listdir(source.site.docroot) if name != "wp-content"
    ]
    others += [{"id": "rest", "base": "content", "glob": name} for name in ("plugins", "themes")]
    whole = Tree.of(source.drain("files.stream", {"skip": others}))
    pieces = Tree()
    answers = 0
    for frame in source.drain("files.stream", {"skip": others, "max_bytes": 1}):
        pieces.take(frame)
        answers += frame.type == "E"
    assert answers > len(whole.files) + 3
    assert (pieces.files, pieces.order, pieces.dirs) == (whole.files, whole.order, whole.dirs)


def test_an_answer_that_broke_off_is_continued_behind_the_last_frame(source: Connected) -> None:
    whole = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    tree, place, done = Tree(), FileCursor(), False
    for _ in range(200):
        stream = source.client.stream("files.stream", {"skip": SKIP, "cursor": place.cursor})
        for number, frame in enumerate(stream):
            tree.take(frame)
            place.passed(frame)
            done = frame.type == "E" and frame.json()["done"]
            if number == 997:
                stream.close()  # type: ignore[attr-defined]
                break
        if done:
            break
    assert done
    assert tree.files == whole.files


def test_links_unreadable_and_special_files(source: Connected) -> None:
    site = source.site
    links, locked, clutter = nasty.links(site), nasty.unreadable(site), nasty.clutter(site)
    tree = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    assert tree.links == {links["file"]: b"real.txt", links["absolute"]: b"real.txt", links["folder"]: b"folder"}
    assert tree.warnings == {
        links["loop"]: "symlink_loop",
        links["up"]: "symlink_loop",
        links["outside"]: "symlink_outside",
        links["outside_file"]: "symlink_outside",
        links["dangling"]: "symlink_broken",
        locked[0]: "unreadable",
        locked[1]: "unreadable",
        clutter["pipe"]: "fifo",
    }
    skipped = [path for kind, path in clutter.items() if kind not in ("pipe", "htaccess")]
    assert not [path for path in skipped if path in tree.files]
    assert clutter["htaccess"] in tree.files
    uploads = [{"id": "rest", "base": "root", "glob": name} for name in ("wp-admin", "wp-includes")]
    pieces = Tree.of(source.drain("files.stream", {"skip": SKIP + uploads, "max_bytes": 1}))
    assert pieces.warnings == tree.warnings
    count = source.client.call("files.count", {"skip": SKIP})
    assert {base64.b64decode(item["path_b64"]): item["reason"] for item in count["problems"]} == tree.warnings


def test_a_directory_with_very_many_names_costs_little_memory(source: Connected) -> None:
    folder = source.site.uploads / "crowd"
    folder.mkdir()
    for number in range(25_000):
        os.mknod(folder / f"{number:06d}-{'x' * 40}.txt", 0o100644)
    tree = Tree.of(source.drain("files.stream", {"skip": SKIP, "max_bytes": 4_000_000}))
    crowd = [path for path in tree.order if b"/crowd/" in path]
    assert len(crowd) == 25_000
    assert crowd == sorted(crowd)
    assert max(tree.peaks) < LIMIT  # a WordPress whose code is not cached yet takes 27 MB by itself


def test_a_large_file_costs_little_memory(source: Connected) -> None:
    path = nasty.big_file(source.site)
    wanted = os.fsencode(os.path.relpath(path, source.site.docroot))
    tree = Tree.of(source.drain("files.stream", {"skip": SKIP, "budget": 2}))
    with open(path, "rb") as file:
        assert tree.files[wanted] == hashlib.file_digest(file, "sha256").hexdigest()
    path.unlink()
    assert max(tree.peaks) < LIMIT  # a WordPress whose code is not cached yet takes 27 MB by itself


def test_compressed_answers_hold_the_same_bytes(source: Connected) -> None:
    plain = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    packed = Tree.of(source.drain("files.stream", {"skip": SKIP, "compress": True}))
    assert packed.files == plain.files


def test_another_wordpress_in_a_directory_is_left_out(source: Connected) -> None:
    for name in ("wp-includes/version.php", "wp-admin/index.php", "index.php"):
        source.site.write(f"shop/{name}", "<?php\n")
    tree = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    assert not [path for path in tree.files if path.startswith(b"shop/")]


def test_a_cursor_can_not_lead_outside(source: Connected) -> None:
    for path in (b"../../../etc/passwd", b"wp-content/../../x", b"/etc/passwd", b"a\0b"):
        cursor = {"root": "abspath", "path_b64": base64.b64encode(path).decode(), "offset": 0, "size": 1, "mtime": 1}
        with pytest.raises(ConnectorRefused) as caught:
            list(source.client.stream("files.stream", {"skip": SKIP, "cursor": cursor}))
        assert caught.value.fault == "bad_cursor"


@pytest.mark.parametrize(
    ("options", "roots"),
    [
        ({"layout": "wp-subdir"}, {"abspath": "wp", "home": ""}),
        ({"layout": "blog"}, {"abspath": ""}),
        ({"layout": "wp-subdir", "content_dir": "app"}, {"abspath": "wp", "home": "", "content": "app"}),
    ],
    ids=["WordPress in a subdirectory", "site in a subdirectory", "wp-content elsewhere"],
)
def test_layouts(farm: SourceFarm, options: dict[str, Any], roots: dict[str, str]) -> None:
    site = farm.create(SiteSpec("layout", **options))
    try:
        with connected(site) as connection:
            facts = connection.client.call("inspect")
            assert {root["id"]: root["target"] for root in facts["roots"]} == roots
            tree = Tree.of(connection.drain("files.stream", {"skip": SKIP}))
            assert len(tree.files) > 1000
    finally:
        site.destroy()


def test_files_are_listed_with_digests_and_sent_by_name(source: Connected) -> None:
    whole = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    listed: dict[bytes, dict[str, Any]] = {}
    rest = Tree()
    for frame in source.drain("files.stream", {"skip": SKIP, "digest": True, "max_bytes": 100_000}):
        rest.take(frame)
        for item in frame.json()["files"] if frame.type == "J" else ():
            listed[base64.b64decode(item["path_b64"])] = item
    unreadable = {path for path, item in listed.items() if item["md5"] is None}
    assert unreadable == {path for path in listed if whole.warnings.get(path) == "unreadable"}
    listed = {path: item for path, item in listed.items() if path not in unreadable}
    assert set(listed) ^ set(whole.files) == set()
    assert (rest.files, rest.dirs, rest.links) == ({}, whole.dirs, whole.links)
    for path, item in listed.items():
        content = (source.site.docroot / os.fsdecode(path)).read_bytes()
        assert (item["size"], item["md5"]) == (len(content), hashlib.md5(content).hexdigest())
    secret = source.site.docroot.parent / "secret.txt"
    secret.write_text("of the machine")
    (source.site.uploads / "way-out.txt").symlink_to(secret)
    odd = [
        {"root": "abspath", "path_b64": base64.b64encode(path).decode()}
        for path in (
            b"wp-config.php",
            b"wp-content/uploads/way-out.txt",
            b"wp-content/plugins/siteferry-connector/index.php",
            b"gone",
        )
    ]
    wanted = [{"root": item["root"], "path_b64": item["path_b64"]} for item in list(listed.values())[::7]]
    got = Tree.of(source.drain("files.stream", {"skip": SKIP, "files": [*odd, *wanted], "max_bytes": 1}))
    assert got.files == {path: whole.files[path] for path in list(listed)[::7]}
    assert set(got.warnings.values()) == {"vanished"}
    assert len(got.warnings) == len(odd)
    outside = [{"root": "abspath", "path_b64": base64.b64encode(b"../secret.txt").decode()}]
    with pytest.raises(ConnectorRefused):
        list(source.drain("files.stream", {"files": outside}))


def test_files_with_an_ending_below_a_base_stay_and_are_counted(source: Connected) -> None:
    for name in ("a.JPG", "deep/er/größe 1.jpg", "b.jpg.txt", ".jpg", "jpg"):
        source.site.write(f"wp-content/uploads/ends/{name}", "12345")
    source.site.write("wp-content/ends.jpg", "not below the uploads")
    rule = [{"id": "stays", "base": "uploads", "glob": "**/*.jpg", "kind": "file"}]
    whole = Tree.of(source.drain("files.stream", {"skip": SKIP}))
    stayed = {path for path in whole.files if path.startswith(b"wp-content/uploads/") and path.lower()[-4:] == b".jpg"}
    stayed.discard(b"wp-content/uploads/ends/.jpg")
    assert len(stayed) >= 2
    for more in ({}, {"max_bytes": 1 << 18}):
        tree = Tree.of(source.drain("files.stream", {"skip": SKIP + rule, **more}))
        assert set(whole.files) - set(tree.files) == stayed
    plain, count = (source.client.call("files.count", {"skip": skip}) for skip in (SKIP, SKIP + rule))
    assert count["stayed"]["files"] == len(stayed) == plain["files"] - count["files"]
    assert count["stayed"]["bytes"] == plain["bytes"] - count["bytes"]
    assert count["skipped"] == plain["skipped"]
    assert plain["stayed"] == {"files": 0, "bytes": 0}
