"""The two templates every site of a farm is made from: WordPress's files, and a freshly installed database as SQL."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

WORDPRESS = Path("/usr/share/wordpress")
"""Where Debian's package puts WordPress."""
ASSETS = Path(__file__).parent / "assets"
TEMPLATE_URL = "http://template.invalid"
PHP = "/usr/bin/php"


def web_account() -> str | None:
    """The account PHP-FPM runs as: www-data when we are root, else our own (None)."""
    return "www-data" if os.geteuid() == 0 else None


def give(path: Path) -> None:
    """Hand `path` and everything below it to the web account, as on any host."""
    if account := web_account():
        entry = pwd.getpwnam(account)
        for folder, folders, files in os.walk(os.fsencode(path)):
            for name in (b".", *folders, *files):
                os.chown(os.path.join(folder, name), entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def give_up_to(path: Path, stop: Path) -> None:
    """Hand a new file or folder to the web account, with the folders below `stop` that were made for it."""
    if account := web_account():
        entry = pwd.getpwnam(account)
        for place in (path, *path.parents):
            if place == stop:
                break
            os.chown(place, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def build_files(target: Path, wordpress: Path = WORDPRESS) -> None:
    """A plain WordPress tree at `target`: the package's symlinks dereferenced, its Debian-only files left out."""
    if not wordpress.is_dir():
        raise RuntimeError("WordPress is missing; get it with: apt-get install wordpress")

    def not_of_a_plain_site(folder: str, names: list[str]) -> set[str]:
        if folder == str(wordpress):
            return {"wp-config.php", ".htaccess"}
        return set(names) if folder == str(wordpress / "wp-content" / "themes") else set()

    shutil.copytree(wordpress, target, ignore=not_of_a_plain_site, dirs_exist_ok=True)
    themes = target / "wp-content" / "themes"
    shutil.copytree(ASSETS / "theme", themes / "plain-pine")
    (themes / "index.php").write_text("<?php\n// Silence is golden.\n")
    (target / "wp-content" / "index.php").write_text("<?php\n// Silence is golden.\n")
    for folder in ("uploads", "upgrade", "mu-plugins"):
        (target / "wp-content" / folder).mkdir(exist_ok=True)
    give(target)


def link_tree(source: Path, target: Path) -> None:
    """Copy a tree with hard links: a site's core files share their inodes with the template, as nothing edits them in
    place (WordPress's updater unlinks and writes anew)."""
    shutil.copytree(source, target, copy_function=os.link, symlinks=True, dirs_exist_ok=True)


def run_php(script: Path, *args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """Run a PHP script as the web account, with `args` as argv. Raises `RuntimeError` with what it said when it fails.

    The web account gets the script's text, not its path: a checkout below a home of mode 0700 is closed to it. So the
    script finds nothing by its own place (`__DIR__`), and is shorter than the 128 kB Linux allows an argument.
    """
    code = script.read_text().removeprefix("<?php")
    command = [PHP, "-d", "memory_limit=1G", "-d", "display_errors=stderr", "-r", code, "--", *args]
    base = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}
    account = web_account()
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        env=base | (env or {}),
        user=account,
        group=account,
        extra_groups=[] if account else None,
        cwd="/",
    )
    if done.returncode:
        said = (done.stdout[-2000:] + done.stderr[-4000:]).decode(errors="replace")
        raise RuntimeError(f"{script.name} failed with {done.returncode}:\n{said}")
    return done.stdout


def adapt_dump(sql: str, *, prefix: str, url: str) -> str:
    """The template's dump with another table prefix and address. It holds no serialized URL, so text will do."""
    sql = re.sub(r"`wp_", f"`{prefix}", sql).replace(TEMPLATE_URL, url)
    for key in (
        "user_roles",
        "capabilities",
        "user_level",
        "dashboard_quick_press_last_post_id",
        "user-settings",
        "user-settings-time",
    ):
        sql = sql.replace(f"'wp_{key}'", f"'{prefix}{key}'")
    return sql


def config_php(constants: dict[str, str | int | bool], prefix: str, *, settings: str) -> str:
    """A wp-config.php. `settings` is the PHP expression of the directory that holds wp-settings.php."""
    lines = ["<?php", "/** The configuration of this site. */"]
    lines += [f"define( {_php(name)}, {_php(value)} );" for name, value in constants.items()]
    lines += [f"$table_prefix = {_php(prefix)};", ""]
    lines += ["if ( ! defined( 'ABSPATH' ) ) {", f"\tdefine( 'ABSPATH', {settings} );", "}"]
    lines += ["require_once ABSPATH . 'wp-settings.php';", ""]
    return "\n".join(lines)


def _php(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
