"""What `python -m demo --once` makes sure of, each as one line with ✓ or ✗."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql

from demo.site import TITLE
from siteferry.embedded.servers import MariaDB
from tests.sites.compare import Tables, leftovers, spellings
from tests.sites.compare.pages import BANNER
from tests.sites.http import client
from tests.sites.site import Site

BLOCK = 4 << 20
Found = tuple[bool, str]


def of_the_clone(result: dict[str, Any], source: Site) -> Iterator[Found]:
    """Home, login and REST of the clone; nothing of the source's address in what it shows."""
    url = result["clone_url"].rstrip("/")
    with client(url) as visitor:
        home = visitor.get("/", follow_redirects=True)
        yield home.status_code == 200, f"the clone's home page answers ({home.status_code})"
        yield html.escape(TITLE) in home.text, f"it shows the site's title, {TITLE}"
        page = BANNER.sub("", home.text).encode()  # our banner names the source, on purpose
        left = [
            page[max(0, hit.start() - 60) : hit.end() + 30] for p in spellings(source.home) if (hit := p.search(page))
        ]
        yield not left, "nothing on it points to the source" + (f": {left}" if left else "")
        yield "noindex" in home.headers.get("x-robots-tag", ""), "search engines are told to stay away"
        index = visitor.get("/wp-json/")
        yield (
            index.status_code == 200 and html.unescape(index.json().get("name", "")) == TITLE,
            "the REST index answers",
        )
        images = re.findall(r'<img[^>]+src="([^"]+)"', home.text)
        broken = [image for image in images if visitor.get(html.unescape(image)).status_code != 200]
        yield bool(images) and not broken, f"all {len(images)} pictures of the home page are there"
        visitor.get("/wp-login.php")
        form = {"log": result["username"], "pwd": result["password"], "testcookie": "1", "wp-submit": "Log In"}
        visitor.post("/wp-login.php", data=form | {"redirect_to": f"{url}/wp-admin/"})
        admin = visitor.get("/wp-admin/", follow_redirects=True)
        yield "wpadminbar" in admin.text, "its login opens the dashboard"


def of_the_database(state: Path, source: Site) -> Iterator[Found]:
    """The clone's rows: as many posts, and the source's address nowhere but in guid, look-alikes and mail."""
    server = MariaDB(state / "mariadb")
    names = clone_databases(server)
    yield len(names) == 1, "there is one database of a clone"
    if names:
        tables = Tables(lambda: connect(server), names[0], source.prefix)
        kept = "posts` WHERE post_status <> 'auto-draft'"  # the dashboard we opened makes one of those
        count = [t.query(f"SELECT COUNT(*) FROM `{t.prefix}{kept}")[0][0] for t in (Tables.of(source), tables)]
        wanted, there = (int(number or 0) for number in count)
        yield wanted == there, f"the clone has all {wanted} posts, pages and pictures" + _but(wanted, there)
        left = leftovers(tables, source.home)
        told = "; ".join(f"{item.place} {item.excerpt}" for item in left[:3])
        yield not left, "no row of it holds the source's address" + (f": {told}" if left else "")


def of_the_removal(state: Path, clone_id: str, source: Site) -> Iterator[Found]:
    """Nothing of the clone is left, and nothing of ours on the source."""
    server = MariaDB(state / "mariadb")
    names = clone_databases(server)
    yield not names, "its database is gone" + (f": {names}" if names else "")
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT user FROM mysql.user WHERE user LIKE 'sf\\_%'")
        users = [row[0] for row in cursor.fetchall()]
    yield not users, "its database user is gone" + (f": {users}" if users else "")
    yield not (state / "clones" / clone_id).exists(), "its directory is gone"
    plugins = source.php("return array_values( get_option( 'active_plugins' ) );")
    folders = sorted(path.name for path in (source.content / "plugins").iterdir() if path.is_dir())
    ours = [name for name in (*plugins, *folders) if "siteferry" in name]
    yield not ours, "the connector is gone from the source" + (f": {ours}" if ours else "")


def of_secrets(folders: list[Path], passwords: list[str]) -> Iterator[Found]:
    """No password in clear, nor base64-coded, in any byte below these directories."""
    needles = {needle for password in passwords for needle in _codings(password)}
    read, found = 0, []
    for path in _files(folders):
        size, hit = _grep(path, needles)
        read += size
        if hit:
            found.append(str(path))
    told = f": found in {', '.join(found[:5])}" if found else ""
    yield not found and read > 0, f"no password in {read / 1e6:.0f} MB of state, streams and logs{told}"


def clone_databases(server: MariaDB) -> list[str]:
    """The databases of clones in the product's MariaDB."""
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE 'sf\\_%'")
        return [row[0] for row in cursor.fetchall()]


def connect(server: MariaDB) -> Any:
    """A connection of the administrator of the product's MariaDB."""
    return pymysql.connect(
        unix_socket=str(server.socket), user=server.admin_user, password=server.admin_password, ssl_disabled=True
    )


def _but(wanted: int, there: int) -> str:
    return "" if wanted == there else f": it has {there}"


def _codings(password: str) -> Iterator[bytes]:
    raw = password.encode()
    yield raw
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        yield coded[4 if shift else 0 :].rstrip(b"=")[:-2]


def _files(folders: list[Path]) -> Iterator[Path]:
    for top in folders:
        if top.is_file():
            yield top
        for folder, _, names in os.walk(top):
            yield from (path for name in names if (path := Path(folder) / name).is_file() and not path.is_symlink())


def _grep(path: Path, needles: set[bytes]) -> tuple[int, bool]:
    longest = max(map(len, needles))
    tail, size = b"", 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            size += len(block)
            text = tail + block
            if any(needle in text for needle in needles):
                return size, True
            tail = text[-longest:]
    return size, False
