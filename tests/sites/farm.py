"""A farm of real WordPress sources on loopback: one MariaDB, one ordinary (un-hardened) PHP-FPM, one Caddy.

    with SourceFarm() as farm:
        site = farm.create(SiteSpec("acme", table_prefix="shop_", permalinks=PLAIN))
        site.get("/").status_code, site.sql("SELECT COUNT(*) FROM {p}posts"), site.php("return get_bloginfo('name');")

Sites answer at http://<name>.localhost:<port>/ and look like those of any host: files owned by the web account, a
database account per site, wp-config.php with the usual constants. The first site of a farm is installed by WordPress's
own wp_install(); further ones start from a dump of it and hard links to its core files.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from siteferry.embedded.servers import (
    BasicAuth,
    Caddy,
    FarmSite,
    MariaDB,
    PhpFpm,
    ServerProcess,
    farm_config,
    start,
)
from siteferry.embedded.servers.base import find_binary, shared_temporary
from tests.sites import content
from tests.sites.core import (
    ASSETS,
    TEMPLATE_URL,
    WORDPRESS,
    adapt_dump,
    build_files,
    config_php,
    give,
    give_up_to,
    link_tree,
    run_php,
)
from tests.sites.foreign import ForeignDatabase
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

SALTS = ("AUTH_KEY", "SECURE_AUTH_KEY", "LOGGED_IN_KEY", "NONCE_KEY")
MU_PLUGINS = ("rest_disabled", "two_factor", "captcha", "hidden_login")


class SourceFarm:
    """Context manager. `directory` (kept afterwards) and `port` make it one that can be opened again."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int = 0,
        database: Callable[[Path], MariaDB | ForeignDatabase] = MariaDB,
        wordpress: Path = WORDPRESS,
    ) -> None:
        """`database` makes the server in a directory; `wordpress` is the tree that sites are copies of."""
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="siteferry-farm-", dir=shared_temporary()))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        self.sites_dir = self.directory / "sites"
        self.gates_dir = self.directory / "gates"
        for folder in (self.sites_dir, self.gates_dir):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711)
        self.database = database(self.directory / "mariadb")
        self.wordpress = wordpress
        self.fpm = PhpFpm(self.directory / "php", hardened=False, code_memory=2000)  # a hundred sites
        self.caddy = Caddy(self.directory / "caddy", self._caddy_config, port=port)
        self.sites: dict[str, Site] = {}
        self._rules: dict[str, FarmSite] = {}
        self._running: list[ServerProcess] = []

    def __enter__(self) -> SourceFarm:
        try:
            for server in (self.database, self.fpm, self.caddy):
                self._running.append(start(server))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the servers; a farm in a directory of its own making is removed. Idempotent."""
        while self._running:
            process = self._running.pop()
            # Nobody reads a temporary database again: no need to wait for an orderly shutdown.
            process.kill() if self._temporary else process.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def port(self) -> int:
        return self.caddy.port

    def origin(self, name: str) -> str:
        """`http://<name>.localhost:<port>`."""
        return self.caddy.site_url(name)

    def connect(self, *, charset: str = "utf8mb4", database: str | None = None, **more: Any) -> Connection[Any]:
        """A connection of MariaDB's administrator. With charset "binary" text columns come back as bytes."""
        binary = charset == "binary"  # a character set PyMySQL itself does not know
        connection: Connection[Any] = pymysql.connect(
            unix_socket=str(self.database.socket),
            user=self.database.admin_user,
            password=self.database.admin_password,
            charset="utf8mb4" if binary else charset,
            database=database,
            max_allowed_packet=256 << 20,
            ssl_disabled=True,  # loading the system's certificates would be nine tenths of the time
            init_command="SET NAMES binary" if binary else None,
            **more,
        )
        return connection

    def create(self, spec: SiteSpec) -> Site:
        """Build the site and put it on the air. Raises `ValueError` when the name is taken."""
        if spec.name in self.sites:
            raise ValueError(f"the farm has a site {spec.name} already")
        site = self._site(spec)
        self._create_database(site)
        self._lay_out(site)
        self._load_template(site)
        site.php_asset("configure.php", _settings(spec))
        if spec.content == "small":
            content.fill(site)
        if spec.multisite:
            content.make_network(site)
        for option in MU_PLUGINS:
            if getattr(spec, option):
                site.mu_plugin(option.replace("_", "-"))
        self.sites[spec.name] = site
        self._apply_rules(site)
        return site

    def adopt(self, spec: SiteSpec, *, database: str, db_password: str) -> Site:
        """A site that an earlier run of this farm's directory built."""
        site = Site(self, spec, database=database, db_password=db_password)
        if not site.docroot.is_dir():
            raise FileNotFoundError(site.docroot)
        self.sites[spec.name] = site
        self._apply_rules(site)
        return site

    def static(self, name: str, files: dict[str, bytes]) -> str:
        """A host that is no WordPress: these files (or PHP scripts) and nothing else. Returns its origin."""
        root = self.sites_dir / name / "site"
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        give(root)
        return self.origin(name)

    def destroy(self, name: str) -> None:
        """Remove a site with all that belongs to it. Idempotent."""
        site = self.sites.pop(name, None)
        shutil.rmtree(self.sites_dir / name, ignore_errors=True)
        (self.gates_dir / f"{name}.php").unlink(missing_ok=True)
        if site:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS `{site.database}`")
                cursor.execute(f"DROP USER IF EXISTS `{site.db_user}`@localhost")
        if self._rules.pop(name, None) and self._running:
            self.caddy.reload()

    def sweep(self, name: str) -> None:
        """Remove what an interrupted build of a site left in a farm that is kept."""
        shutil.rmtree(self.sites_dir / name, ignore_errors=True)
        label = name.replace("-", "_")
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW DATABASES")
            for (database,) in cursor.fetchall():
                if database.rpartition("_")[0] == f"src_{label}":
                    cursor.execute(f"DROP DATABASE `{database}`")
                    cursor.execute(f"DROP USER IF EXISTS `{database}`@localhost")

    def _site(self, spec: SiteSpec) -> Site:
        database = f"src_{spec.name.replace('-', '_')}_{secrets.token_hex(3)}"
        return Site(self, spec, database=database, db_password=secrets.token_hex(12))

    def _create_database(self, site: Site) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{site.database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci")
            cursor.execute(f"CREATE USER `{site.db_user}`@localhost IDENTIFIED BY '{site.db_password}'")
            pattern = site.database.replace("_", "\\_")  # in GRANT an underscore stands for any character
            cursor.execute(f"GRANT ALL ON `{pattern}`.* TO `{site.db_user}`@localhost")

    def _lay_out(self, site: Site) -> None:
        """Files: core by hard link, wp-content as real copies, and the configuration."""
        template = self._files_template()
        for folder in (site.directory, site.docroot):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        site.abspath.mkdir(exist_ok=True)
        for entry in template.iterdir():
            if entry.name == "wp-content":
                shutil.copytree(entry, site.content)
                give(site.content)
            elif entry.is_dir():
                link_tree(entry, site.abspath / entry.name)
            else:
                shutil.copy2(entry, site.abspath / entry.name)
        if site.spec.layout != "root":
            below = site.abspath.name
            site.write(
                "index.php",
                f"<?php\ndefine( 'WP_USE_THEMES', true );\nrequire __DIR__ . '/{below}/wp-blog-header.php';\n",
            )
        above = site.spec.layout == "wp-subdir"
        settings = "__DIR__ . '/wp/'" if above else "__DIR__ . '/'"
        config = config_php(self._constants(site), site.prefix, settings=settings)
        site.write(
            "wp-config.php" if above else f"{site.abspath.relative_to(site.docroot)}/wp-config.php", config, mode=0o640
        )
        for place in (site.directory, site.docroot, *site.abspath.glob("*.*")):
            give_up_to(place, self.sites_dir)

    def _constants(self, site: Site) -> dict[str, str | int | bool]:
        spec = site.spec
        constants: dict[str, str | int | bool] = {
            "DB_NAME": site.database,
            "DB_USER": site.db_user,
            "DB_PASSWORD": site.db_password,
            "DB_HOST": f"localhost:{self.database.socket}",
            "DB_CHARSET": "utf8mb4",
            "DB_COLLATE": "",
        }
        constants |= {name: secrets.token_hex(32) for name in SALTS}
        constants |= {name.replace("KEY", "SALT"): secrets.token_hex(32) for name in SALTS}
        constants |= {"AUTOMATIC_UPDATER_DISABLED": True, "WP_HTTP_BLOCK_EXTERNAL": True}
        constants["WP_ACCESSIBLE_HOSTS"] = "127.0.0.1,*.localhost"  # tests run without any other network
        if not spec.cron:
            constants["DISABLE_WP_CRON"] = True
        if spec.content_dir:
            constants["WP_CONTENT_DIR"] = str(site.content)
            constants["WP_CONTENT_URL"] = f"{site.home}/{spec.content_dir}"
        if spec.disallow_file_mods:
            constants["DISALLOW_FILE_MODS"] = True
        if spec.fs_method:
            constants["FS_METHOD"] = spec.fs_method
        if spec.force_ssl_admin:
            constants["FORCE_SSL_ADMIN"] = True
        return constants | spec.constants

    def _files_template(self) -> Path:
        template = self.directory / "template"
        if not template.is_dir():
            fresh = self.directory / "template.new"
            shutil.rmtree(fresh, ignore_errors=True)
            build_files(fresh, self.wordpress)
            fresh.rename(template)
        return template

    def _load_template(self, site: Site) -> None:
        dump = self.directory / "template.sql"
        if not dump.exists():
            self._install_template(dump)
        sql = adapt_dump(dump.read_text(), prefix=site.prefix, url=site.home)
        self._client("mariadb", site.database, stdin=sql.encode())
        if site.siteurl != site.home:
            site.sql("UPDATE {p}options SET option_value=%s WHERE option_name='siteurl'", (site.siteurl,))

    def _install_template(self, dump: Path) -> None:
        """Let WordPress install itself once, and keep what it made."""
        site = self._site(SiteSpec("template", content="bare"))
        self._create_database(site)
        try:
            self._lay_out(site)
            run_php(ASSETS / "php" / "install.php", str(site.abspath), TEMPLATE_URL)
            dump.write_bytes(self._client("mariadb-dump", "--skip-comments", site.database))
        finally:
            self.sites["template"] = site
            self.destroy("template")

    def _client(self, program: str, *args: str, stdin: bytes = b"") -> bytes:
        if isinstance(self.database, ForeignDatabase):
            command = self.database.client(program)
        else:
            command = [find_binary(program), "--no-defaults", f"--socket={self.database.socket}"]
        command += [f"--user={self.database.admin_user}", "--default-character-set=utf8mb4", *args]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MYSQL_PWD": self.database.admin_password}
        done = subprocess.run(command, input=stdin, capture_output=True, env=env)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def _apply_rules(self, site: Site) -> None:
        """What the web server in front does differently for this site."""
        spec = site.spec
        values = dict(spec.php_values)
        if spec.challenge_page:
            gate = self.gates_dir / f"{spec.name}.php"
            shutil.copyfile(ASSETS / "php" / "challenge.php", gate)
            values["auto_prepend_file"] = str(gate)
        auth = BasicAuth(*spec.basic_auth) if spec.basic_auth else None
        if values or auth or spec.max_body is not None:
            self._rules[spec.name] = FarmSite(php_values=values, basic_auth=auth, max_body=spec.max_body)
            self.caddy.reload()

    def set_rules(self, name: str, change: Callable[[FarmSite], FarmSite]) -> None:
        """Change the web server's rules for a running site, e.g. its PHP limits."""
        self._rules[name] = change(self._rules.get(name, FarmSite()))
        self.caddy.reload()

    def _caddy_config(self, caddy: Caddy) -> dict[str, Any]:
        return farm_config(
            port=caddy.port,
            sites_dir=self.sites_dir,
            php_socket=self.fpm.socket,
            sites=self._rules,
            admin_socket=caddy.admin_socket,
            storage=caddy.storage,
        )


def _settings(spec: SiteSpec) -> dict[str, Any]:
    return {
        "title": spec.title,
        "username": spec.username,
        "password": spec.password,
        "email": spec.email,
        "permalinks": spec.permalinks,
        "confirm_admin_email": spec.confirm_admin_email,
        "users": [
            {"login": user.login, "password": user.password, "email": user.email, "role": user.role}
            for user in spec.users
        ],
    }
