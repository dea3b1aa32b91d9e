"""The generated site that benchmarks copy: about 170 MB, 6,000 files and 136,000 rows at scale 1, the same every time.

    with SourceFarm() as farm:
        big = build(farm)                # 49.8k posts, 65.9k postmeta, 20k comments, 3,300 uploads of 116 MB
        big.site, big.files, big.bytes, big.rows, big.rows_with_url

Rows go in by LOAD DATA. Content is made from a seeded generator; the files are incompressible, as photographs are.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.sites.core import give
from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

SEED = 20240301
UPLOADS, UPLOAD_BYTES = 3300, 116_000_000
POSTS, ATTACHMENTS, COMMENTS = 46_500, 3_300, 20_000
ELEMENTOR, LAYOUTS, EDIT_LOCKS = 2_475, 10_000, 46_800
FIRST = 1000
"""Ids start here: above what WordPress's own installation made."""
WORDS = (
    "harbour pine cedar larch oak keel plank stem stern mast spar sail rope tar varnish bronze rivet clinker carvel "
    "tide ebb flood wind shore slip shed bench plane chisel mallet adze saw clamp steam bend fair line loft mould"
).split()


@dataclass(frozen=True)
class BenchmarkSite:
    """The site and what it weighs (core files included)."""

    site: Site
    files: int
    bytes: int
    rows: int
    rows_with_url: int
    built_s: float


def build(farm: SourceFarm, *, scale: float = 1.0, name: str = "bench", seed: int = SEED) -> BenchmarkSite:
    """Build the site. `scale` multiplies uploads and rows; core stays. Takes well under a minute at scale 1."""
    started = time.monotonic()
    site = farm.create(SiteSpec(name, content="bare", password="benchmark-password"))
    chance = random.Random(seed)
    _uploads(site, max(1, int(UPLOADS * scale)), chance)
    with tempfile.TemporaryDirectory(prefix="siteferry-bench-") as folder:
        _load(site, Path(folder), scale, chance)
    size = [path.stat().st_size for path in site.docroot.rglob("*") if path.is_file() and not path.is_symlink()]
    rows, with_url = count_rows(site)
    return BenchmarkSite(site, len(size), sum(size), rows, with_url, round(time.monotonic() - started, 2))


def _uploads(site: Site, count: int, chance: random.Random) -> None:
    """JPEG heads and tails around bytes that do not compress; sizes between 4 and 67 kB."""
    mean = UPLOAD_BYTES // UPLOADS
    for n in range(count):
        path = site.uploads / _upload_name(n)
        if n % 100 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        size = chance.randrange(mean // 9, 2 * mean - mean // 9)
        path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + chance.randbytes(size) + b"\xff\xd9")
    give(site.uploads)


def _upload_name(n: int) -> str:
    return f"{2015 + n // 300}/{1 + n // 100 % 3:02d}/photo-{n:05d}.jpg"


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def _date(n: int) -> str:
    return f"{2015 + n % 9}-{1 + n // 9 % 12:02d}-{1 + n // 108 % 28:02d} {n % 24:02d}:{n % 60:02d}:{n // 60 % 60:02d}"


def _load(site: Site, folder: Path, scale: float, chance: random.Random) -> None:
    posts, attachments = int(POSTS * scale), max(1, int(ATTACHMENTS * scale))
    comments = int(COMMENTS * scale)
    parts: list[tuple[str, str, Iterable[tuple[object, ...]]]] = [
        (
            "posts",
            "ID, post_author, post_date, post_date_gmt, post_content, post_title, post_excerpt, post_status, post_name,"
            " to_ping, pinged, post_modified, post_modified_gmt, post_content_filtered, guid, post_type, "
            "post_mime_type",
            _posts(site, posts, attachments, chance),
        ),
        ("postmeta", "post_id, meta_key, meta_value", _postmeta(site, posts, attachments, scale, chance)),
        (
            "comments",
            "comment_post_ID, comment_author, comment_author_email, comment_author_url, comment_author_IP, "
            "comment_date, comment_date_gmt, comment_content, comment_approved",
            _comments(site, comments, posts, chance),
        ),
    ]
    connection = site.farm.connect(database=site.database, local_infile=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION unique_checks=0, foreign_key_checks=0")
        for table, columns, rows in parts:
            path = folder / f"{table}.tsv"
            with open(path, "w", encoding="utf-8") as file:
                file.writelines("\t".join(map(_field, row)) + "\n" for row in rows)
            cursor.execute(
                f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE `{site.prefix}{table}` CHARACTER SET utf8mb4 ({columns})"
            )
            path.unlink()
        connection.commit()
        cursor.execute(f"ANALYZE TABLE `{site.prefix}posts`, `{site.prefix}postmeta`, `{site.prefix}comments`")


def _field(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _posts(site: Site, posts: int, attachments: int, chance: random.Random) -> Iterator[tuple[object, ...]]:
    """Posts of about 1.2 kB; four of ten link to the site. Attachments follow."""
    for n in range(posts):
        number, date = FIRST + n, _date(n)
        kind = "revision" if n % 5 == 4 else "page" if n % 40 == 0 else "post"
        body = f"<!-- wp:paragraph -->\n<p>{_text(chance, 160)}</p>\n<!-- /wp:paragraph -->"
        if n % 10 < 4:
            link = f'<a href="{site.home}/?p={FIRST + chance.randrange(posts)}">{_text(chance, 3)}</a>'
            image = f'<img src="{site.home}/wp-content/uploads/{_upload_name(chance.randrange(attachments))}" alt=""/>'
            body += f"\n<p>{link}</p>\n<figure>{image}</figure>"
        title = _text(chance, 4).title()
        status = "inherit" if kind == "revision" else "publish"
        yield (
            number, 1, date, date, body, title, "", status, f"entry-{number}", "", "", date, date, "",
            f"{site.home}/?p={number}" if n % 12 == 0 else f"urn:bench:{number}", kind, "",
        )  # fmt: skip
    for n in range(attachments):
        number, date = FIRST + posts + n, _date(n)
        guid = f"{site.home}/wp-content/uploads/{_upload_name(n)}"
        yield (
            number, 1, date, date, "", f"Photo {n}", "", "inherit", f"photo-{n}", "", "", date, date, "", guid,
            "attachment", "image/jpeg",
        )  # fmt: skip


def _postmeta(
    site: Site, posts: int, attachments: int, scale: float, chance: random.Random
) -> Iterator[tuple[object, ...]]:
    for n in range(min(posts, int(EDIT_LOCKS * scale))):
        yield FIRST + n, "_edit_lock", f"{1700000000 + n}:1"
    for n in range(attachments):
        number, name = FIRST + posts + n, _upload_name(n)
        yield number, "_wp_attached_file", name
        yield number, "_wp_attachment_metadata", _image_metadata(site, name)
    for n in range(int(ELEMENTOR * scale)):
        yield FIRST + n * 7 % max(1, posts), "_elementor_data", _elementor(site, n, attachments, chance)
    for n in range(int(LAYOUTS * scale)):
        url = f"{site.home}/layout/{n}/" if n % 2 else f"/layout/{n}/"
        value = f'a:3:{{s:4:"link";s:{len(url)}:"{url}";s:5:"width";i:{n % 1200};s:3:"alt";s:5:"f\u00f6\u00f6";}}'
        yield FIRST + n * 3 % max(1, posts), "_layout", value


def _image_metadata(site: Site, name: str) -> str:
    """Serialized as WordPress does it, with the address plugins like to add."""
    url = f"{site.home}/wp-content/uploads/{name}"
    parts = [("file", name), ("url", url)]
    body = "".join(f's:{len(key)}:"{key}";s:{len(text)}:"{text}";' for key, text in parts)
    return f'a:4:{{s:5:"width";i:1600;s:6:"height";i:1067;{body}}}'


def _elementor(site: Site, n: int, attachments: int, chance: random.Random) -> str:
    """A page builder's document: JSON with escaped slashes, several levels deep, 4 to 6 kB."""
    widgets = [
        {
            "id": f"{chance.getrandbits(28):07x}",
            "elType": "widget",
            "settings": {
                "title": _text(chance, 5),
                "editor": f'<p>{_text(chance, 40)} <a href="{site.home}/?p={FIRST + n}">more</a></p>',
                "image": {"url": f"{site.home}/wp-content/uploads/{_upload_name(chance.randrange(attachments))}"},
            },
        }
        for _ in range(8)
    ]
    section = {"id": f"s{n}", "elType": "section", "settings": {"layout": "boxed"}, "elements": widgets}
    return json.dumps([section], ensure_ascii=False).replace("/", "\\/")


def _comments(site: Site, count: int, posts: int, chance: random.Random) -> Iterator[tuple[object, ...]]:
    for n in range(count):
        body = _text(chance, 30) + (f" {site.home}/?p={FIRST + n}" if n % 5 == 0 else "")
        url = f"{site.home}/author/{n}/" if n % 4 == 0 else ""
        post = FIRST + chance.randrange(max(1, posts))
        yield post, f"Reader {n}", f"reader{n}@example.net", url, "192.0.2.7", _date(n), _date(n), body, "1"


def count_rows(site: Site) -> tuple[int, int]:
    """(all rows, rows that hold the site's address) over all tables of the site."""
    rows = with_url = 0
    host = site.home.split("://")[1]
    for table in site.tables():
        columns = [row[0] for row in site.sql(f"SHOW COLUMNS FROM `{table}`")]
        together = "CONCAT_WS(' ', " + ", ".join(f"`{column}`" for column in columns) + ")"
        counted = site.sql(f"SELECT COUNT(*), COALESCE(SUM(LOCATE(%s, {together}) > 0), 0) FROM `{table}`", (host,))[0]
        rows, with_url = rows + int(counted[0]), with_url + int(counted[1])
    return rows, with_url


def run() -> dict[str, float | int]:
    """Build the site once and say what it weighs."""
    with SourceFarm() as farm:
        big = build(farm)
        return {
            "files": big.files,
            "bytes": big.bytes,
            "rows": big.rows,
            "rows_with_url": big.rows_with_url,
            "build_s": big.built_s,
        }
