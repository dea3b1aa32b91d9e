"""One running WordPress source, and what tests do with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from pymysql.connections import Connection

from tests.sites import http
from tests.sites.core import ASSETS, give_up_to, run_php
from tests.sites.spec import SiteSpec

if TYPE_CHECKING:
    from tests.sites.farm import SourceFarm


class Site:
    """A WordPress that answers at `home`.

    url       what a user would type: the site's address without a slash at the end
    siteurl   where WordPress's own files are (differs from `home` with the layout "wp-subdir")
    docroot   the web root on disk; `abspath` and `content` are WordPress's and wp-content's directories
    database  the name of its MariaDB database, with an account (`db_user`, `db_password`) for it alone
    """

    def __init__(self, farm: SourceFarm, spec: SiteSpec, *, database: str, db_password: str) -> None:
        self.farm, self.spec = farm, spec
        self.database, self.db_user, self.db_password = database, database, db_password
        self.directory: Path = farm.sites_dir / spec.name
        self.docroot = self.directory / "site"
        self.origin = farm.origin(spec.name)
        self.home = self.origin + ("/blog" if spec.layout == "blog" else "")
        self.siteurl = self.home + ("/wp" if spec.layout == "wp-subdir" else "")
        sub = {"root": "", "wp-subdir": "wp", "blog": "blog"}[spec.layout]
        self.abspath = self.docroot / sub if sub else self.docroot
        self.content = self.docroot / spec.content_dir if spec.content_dir else self.abspath / "wp-content"

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def url(self) -> str:
        return self.home

    @property
    def username(self) -> str:
        return self.spec.username

    @property
    def password(self) -> str:
        return self.spec.password

    @property
    def prefix(self) -> str:
        return self.spec.table_prefix

    @property
    def uploads(self) -> Path:
        return self.content / "uploads"

    @property
    def mu_plugins(self) -> Path:
        return self.content / "mu-plugins"

    def connect(self, *, charset: str = "utf8mb4", database: str | None = None) -> Connection[Any]:
        """A connection of the farm's administrator; charset "binary" returns bytes as they are stored."""
        return self.farm.connect(charset=charset, database=database or self.database)

    def sql(
        self, statement: str, args: Sequence[Any] | None = None, *, charset: str = "utf8mb4"
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. `{p}` in it stands for the table prefix."""
        with self.connect(charset=charset) as connection, connection.cursor() as cursor:
            cursor.execute(statement.replace("{p}", self.prefix), args)
            rows = cursor.fetchall()
            connection.commit()
        return list(rows)

    def script(self, *statements: str) -> None:
        """Run statements in one session with a lax sql_mode, as old hosts had."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode=''")
            for statement in statements:
                cursor.execute(statement.replace("{p}", self.prefix))
            connection.commit()

    def tables(self, *, views: bool = False) -> list[str]:
        """Names of all base tables of the database (with `views`: of the views instead)."""
        kind = "VIEW" if views else "BASE TABLE"
        rows = self.sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema=%s AND table_type=%s ORDER BY 1",
            (self.database, kind),
        )
        return [row[0] for row in rows]

    def php(self, code: str, data: Any = None) -> Any:
        """Run PHP inside the booted site (as the web account) and give back what it returns, through JSON.

        `data` is there as `$input['data']`. Raises `RuntimeError` with PHP's words.
        """
        return self._run(code, {"data": data})

    def php_asset(self, name: str, data: dict[str, Any]) -> Any:
        """Run a file of assets/php inside the site; `data` is `$input`."""
        code = (ASSETS / "php" / name).read_text().removeprefix("<?php")
        return self._run(code, data)

    def _run(self, code: str, data: dict[str, Any]) -> Any:
        stdin = json.dumps(data).encode() + b"\n" + code.encode()
        said = run_php(ASSETS / "php" / "run.php", str(self.abspath), self.home, stdin=stdin)
        _, mark, answer = said.rpartition(b"\n\x1e")
        if not mark:
            raise RuntimeError(f"{self.name}: PHP gave no answer: {said[-2000:].decode(errors='replace')}")
        return json.loads(answer)

    def write(self, path: str | bytes, data: bytes | str, *, mode: int = 0o644) -> Path:
        """Write a file below the web root as its owner would: a new inode, owned by the web account."""
        target = Path(os.fsdecode(os.path.join(os.fsencode(self.docroot), os.fsencode(path))))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        target.chmod(mode)
        give_up_to(target, self.docroot)
        return target

    def mu_plugin(self, name: str, code: str | None = None) -> Path:
        """Put a must-use plugin in place: `code`, or the file of that name in assets/mu."""
        source = code if code is not None else (ASSETS / "mu" / f"{name}.php").read_text()
        return self.write(os.path.relpath(self.mu_plugins / f"{name}.php", self.docroot), source)

    def plugin(self, folder: str, code: str, *, activate: bool = True) -> Path:
        """Install an ordinary plugin of one file, `<folder>/<folder>.php`."""
        path = self.content / "plugins" / folder / f"{folder}.php"
        self.write(os.path.relpath(path, self.docroot), code)
        if activate:
            self.php(
                "require_once ABSPATH . 'wp-admin/includes/plugin.php';"
                "$e = activate_plugin( $input['data'] ); return is_wp_error( $e ) ? $e->get_error_message() : null;",
                f"{folder}/{folder}.php",
            )
        return path

    def client(self) -> httpx2.Client:
        """An HTTP client for this site; cookies kept, redirects not followed. Close it."""
        return http.client(self.origin, auth=self.spec.basic_auth)

    def get(self, path: str = "/", *, follow: bool = True) -> httpx2.Response:
        """One GET. `path` is below `home`, or a whole URL of this site."""
        url = path if path.startswith("http://") else self.home + path
        with self.client() as client:
            return client.get(url, follow_redirects=follow)

    @contextmanager
    def sign_in(self, username: str | None = None, password: str | None = None) -> Iterator[httpx2.Client]:
        """A client signed in through the login form. Raises `PermissionError` when that gives no session."""
        form = {"log": username or self.username, "pwd": password or self.password, "testcookie": "1"}
        form |= {"wp-submit": "Log In", "redirect_to": self.siteurl + "/wp-admin/"}
        with self.client() as client:
            client.get(self.siteurl + "/wp-login.php")
            client.post(self.siteurl + "/wp-login.php", data=form)
            if not any(cookie.name.startswith("wordpress_logged_in_") for cookie in client.cookies.jar):
                raise PermissionError(f"{self.name}: the login form gave no session")
            yield client

    def paths(self, limit: int = 20) -> list[str]:
        """Paths of up to `limit` public pages (home, posts, pages, archives), in a fixed order."""
        return list(self.php_asset("paths.php", {})[:limit])

    def destroy(self) -> None:
        """Remove database, account and files. Idempotent."""
        self.farm.destroy(self.name)
