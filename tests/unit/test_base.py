"""The base of a clone: what is written is read again, wherever a worker died; and what can not be read is said."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
from pathlib import Path

import pytest

from shared.wordpress.base import BadBase, BaseHeader, pack, read_base, row_identity
from shared.wordpress.transfer.database import Column, Table
from shared.wordpress.transfer.digests import LARGE, FileDigests, RowDigests

HEADER = BaseHeader("clone-0k3v9x2m7c1p5t8w", "https://shop.example.com", "wp_", "2026-11-23T20:00:00+00:00")
ROOTS = {"abspath": "/srv/www", "uploads": "/mnt/media/"}
BASES = {
    "abspath": "/srv/www",
    "content": "/srv/www/wp-content",
    "plugins": "/srv/www/wp-content/plugins",
    "mu-plugins": "/srv/www/wp-content/mu-plugins",
    "themes": "/srv/www/wp-content/themes",
    "uploads": "/mnt/media",
}


def table(name: str, columns: str, *key: str) -> Table:
    made = tuple(Column(column, "text", rewrite=True) for column in columns.split())
    return Table(f"wp_{name}", "InnoDB", "", made, key)


POSTS = table("posts", "ID title body", "ID")
META = table("links", "post term note", "post", "term")
OPTIONS = table("options", "option_id option_name option_value autoload", "option_id")
NO_KEY = table("visits", "at page")


def take(digests: RowDigests, table: Table, rows: bytes) -> None:
    """Rows that nothing rewrites."""
    digests.add(table, rows, rows)


def md5(text: bytes) -> bytes:
    return hashlib.md5(text, usedforsecurity=False).digest()


def packed(*parts: Path) -> io.BytesIO:
    out = io.BytesIO()
    pack(HEADER, parts, out)
    out.seek(0)
    return out


def test_rows_are_told_apart_by_key_and_options_by_name(tmp_path: Path) -> None:
    rows = RowDigests(tmp_path / "rows", "wp_", {})
    take(rows, POSTS, b"1\tOne\tbody\n2\tTwo\t\\N\n")
    take(rows, POSTS, b"3\tThree\ta\\nb\n")
    take(rows, META, b"1\t7\tx\n")
    take(rows, OPTIONS, b"12\tblogname\tShop\tyes\n")
    take(rows, NO_KEY, b"now\t/\nnow\t/\n")
    rows.close()
    base = read_base(packed(tmp_path / "rows"))
    assert base.header == HEADER
    assert base.created.year == 2026
    posts = {b"1": md5(b"1\tOne\tbody"), b"2": md5(b"2\tTwo\t\\N"), b"3": md5(b"3\tThree\ta\\nb")}
    assert base.rows("posts", ["ID"], ["ID", "title", "body"]) == posts
    assert base.tables["links"].rows == {b"1\t7": md5(b"1\t7\tx")}
    assert base.tables["options"].rows == {b"blogname": md5(b"blogname\tShop\tyes")}
    assert base.tables["options"].columns == ("option_name", "option_value", "autoload")
    assert set(base.tables["visits"].rows.values()) == {md5(b"now\t/")}


def test_a_table_that_is_built_otherwise_now_says_nothing(tmp_path: Path) -> None:
    rows = RowDigests(tmp_path / "rows", "wp_", {})
    take(rows, POSTS, b"1\tOne\tbody\n")
    rows.close()
    base = read_base(packed(tmp_path / "rows"))
    assert base.rows("posts", ["ID"], ["ID", "body", "title"]) is None
    assert base.rows("posts", ["title"], ["ID", "title", "body"]) is None
    assert base.rows("nothing", ["ID"], ["ID"]) is None


def test_identity_of_options_without_a_name_column_is_their_own_key() -> None:
    assert row_identity("options", ["id"], ["id", "value"]) == (("id",), ("id", "value"))


def test_a_large_row_is_digested_like_any_other(tmp_path: Path) -> None:
    line = b"77\t" + b"x" * LARGE + b"\t" + os.urandom(32).hex().encode()
    rows = RowDigests(tmp_path / "rows", "wp_", {})
    take(rows, POSTS, line + b"\n")
    take(rows, OPTIONS, b"12\tblogname\t" + line.replace(b"\t", b" ") + b"\tyes\n")
    rows.close()
    tables = read_base(packed(tmp_path / "rows")).tables
    assert tables["posts"].rows == {b"77": md5(line)}
    assert tables["options"].rows == {b"blogname": md5(b"blogname\t" + line.replace(b"\t", b" ") + b"\tyes")}


def test_a_row_that_was_rewritten_has_the_digest_of_what_the_clone_got(tmp_path: Path) -> None:
    rows = RowDigests(tmp_path / "rows", "wp_", {})
    rows.add(POSTS, b"1\tOne\tshop\n2\tTwo\tb\n", b"1\tOne\tclone\n2\tTwo\tb\n")
    rows.add(OPTIONS, b"1\thome\tshop\tyes\n", b"1\thome\tclone\tyes\n")
    large = b"3\tThree\t" + b"x" * LARGE
    rows.add(POSTS, large + b"shop\n", large + b"clone\n")
    rows.close()
    base = read_base(packed(tmp_path / "rows"))
    posts, options = base.tables["posts"], base.tables["options"]
    assert posts.rows == {b"1": md5(b"1\tOne\tshop"), b"2": md5(b"2\tTwo\tb"), b"3": md5(large + b"shop")}
    assert posts.loaded == {b"1": md5(b"1\tOne\tclone"), b"3": md5(large + b"clone")}
    assert (options.rows, options.loaded) == ({b"home": md5(b"home\tshop\tyes")}, {b"home": md5(b"home\tclone\tyes")})
    assert base.loaded("posts", posts.key, posts.columns) == posts.loaded
    assert base.loaded("posts", posts.key, posts.columns[1:]) == {}


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_dead_worker_wrote_behind_the_last_commit_is_cut_off(tmp_path: Path, seed: int) -> None:
    """Rows in blocks, commits and deaths at random places: the base is that of one uninterrupted run."""
    choose = random.Random(seed)
    blocks = [(POSTS, b"%d\ta\tb\n" % n) for n in range(20)] + [(META, b"%d\t1\tx\n" % n) for n in range(20)]
    done, position = 0, {"at": 0, "table": None, "table_at": 0}
    while done < len(blocks):
        rows = RowDigests(tmp_path / "rows", "wp_", position)
        reached = choose.randrange(done, len(blocks)) + 1
        commit = choose.randrange(done, reached + 1)
        for number in range(done, reached):
            if number == commit:
                position = rows.position() or {}
                done = commit
            take(rows, *blocks[number])
        if commit == reached:
            position, done = rows.position() or {}, commit
        rows.close()  # a killed process's buffers may or may not have reached the file
    base = read_base(packed(tmp_path / "rows"))
    assert len(base.tables["posts"].rows) == len(base.tables["links"].rows) == 20
    assert (tmp_path / "rows").read_bytes().count(b"\nR\t") == 40, "no row twice"


def test_a_table_that_comes_again_from_its_start_replaces_what_was_remembered(tmp_path: Path) -> None:
    rows = RowDigests(tmp_path / "rows", "wp_", {})
    take(rows, POSTS, b"1\ta\tb\n")
    take(rows, META, b"1\t1\tx\n")
    position = rows.position()
    take(rows, META, b"2\t1\tx\n")
    rows.close()
    rows = RowDigests(tmp_path / "rows", "wp_", position, again="wp_links")
    take(rows, META, b"3\t1\ty\n")
    rows.close()
    base = read_base(packed(tmp_path / "rows"))
    assert set(base.tables["posts"].rows) == {b"1"}
    assert set(base.tables["links"].rows) == {b"3\t1"}
    rows = RowDigests(tmp_path / "rows", "wp_", position, again="wp_others")  # nothing of it was remembered yet
    rows.close()
    assert set(read_base(packed(tmp_path / "rows")).tables) == {"posts", "links"}


def test_files_are_named_by_the_nearest_directory_of_wordpress(tmp_path: Path) -> None:
    files = FileDigests(tmp_path / "files", 0, roots=ROOTS, bases=BASES)
    for root, path in (
        ("abspath", b"wp-content/themes/shop/style.css"),
        ("abspath", b"wp-content/plugins/f\xe9rms/a.php"),
        ("abspath", b"wp-content/advanced-cache.php"),
        ("abspath", b"index.php"),
        ("abspath", b"wp-content-old/plugins/x.php"),
        ("uploads", b"2026/a.jpg"),
    ):
        files.begin(root, path, 0, b"")
        files.add(b"body of ")
        files.add(memoryview(path))
        files.end()
    files.close()
    found = read_base(packed(tmp_path / "files")).files
    assert set(found) == {
        ("themes", b"shop/style.css"),
        ("plugins", b"f\xe9rms/a.php"),
        ("content", b"advanced-cache.php"),
        ("uploads", b"2026/a.jpg"),
    }
    assert found["uploads", b"2026/a.jpg"] == md5(b"body of 2026/a.jpg").hex()


def test_a_file_that_is_taken_up_in_the_middle_is_digested_whole(tmp_path: Path) -> None:
    body = os.urandom(3 << 20)
    written = tmp_path / "film.mp4"
    written.write_bytes(body[: 2 << 20])
    for known in (True, False):  # by the worker that had begun it, and by another one
        files = FileDigests(tmp_path / "files", 0, roots=ROOTS, bases=BASES)
        if known:
            files.begin("uploads", b"film.mp4", 0, b"")
            files.add(body[: 2 << 20])
        files.begin("uploads", b"film.mp4", 2 << 20, written)
        files.add(body[2 << 20 :])
        files.end()
        files.close()
        assert read_base(packed(tmp_path / "files")).files == {("uploads", b"film.mp4"): md5(body).hex()}


def test_what_was_lost_or_given_up_stays_so(tmp_path: Path) -> None:
    rows = RowDigests(tmp_path / "rows", "wp_", {"at": 4711, "table": "wp_posts", "table_at": 0})
    take(rows, META, b"1\t1\tx\n")
    assert rows.position() is None, "the file is shorter than what was durable"
    rows = RowDigests(tmp_path / "rows", "wp_", None)
    take(rows, META, b"1\t1\tx\n")
    assert rows.position() is None
    rows.close()
    (tmp_path / "blocked").write_text("not a directory")
    files = FileDigests(tmp_path / "blocked" / "files", 0, roots=ROOTS, bases=BASES)
    files.begin("uploads", b"a", 0, b"")
    files.end()
    assert files.place() is None


def test_what_is_no_base_is_refused(tmp_path: Path) -> None:
    rows = RowDigests(tmp_path / "rows", "wp_", {})
    take(rows, POSTS, b"".join(b"%d\ta\tb\n" % n for n in range(500)))
    rows.close()
    whole = packed(tmp_path / "rows").getvalue()
    text = gzip.decompress(whole)
    for wrong in (
        whole[: len(whole) // 2],
        b"not gzip",
        gzip.compress(text[:-3]),
        gzip.compress(text.replace(b'"version": 2', b'"version": 99')),
        gzip.compress(text + b"X\tnew kind\n"),
        gzip.compress(b"{}\n"),
        gzip.compress(text + b"F\tuploads\t!!!\t1\tx\n"),
    ):
        with pytest.raises(BadBase):
            read_base(io.BytesIO(wrong))
