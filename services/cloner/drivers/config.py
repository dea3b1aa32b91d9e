"""What is generated for a clone: wp-config.php, the guard's configuration. PHP literals are written, never pasted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.cloner.drivers.port import SiteConfig

SALTS = (
    "AUTH_KEY",
    "SECURE_AUTH_KEY",
    "LOGGED_IN_KEY",
    "NONCE_KEY",
    "AUTH_SALT",
    "SECURE_AUTH_SALT",
    "LOGGED_IN_SALT",
    "NONCE_SALT",
)
PhpValue = str | int | float | bool | Sequence[str]


def php(value: PhpValue) -> str:
    """A PHP literal. Strings are single-quoted, where only the backslash and the quote are special."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "array(" + ", ".join(php(item) for item in value) + ")"


def defines(constants: Mapping[str, PhpValue]) -> str:
    """`define()` lines."""
    return "\n".join(f"define({php(name)}, {php(value)});" for name, value in constants.items())


def constants(config: SiteConfig, *, database: str, user: str, password: str, socket: Path, clone_dir: Path) -> str:
    """The text of constants.php: our database, new salts, and the source's harmless constants.

    It is read before any script of the site, so these count whatever a wp-config.php among the site's files says.
    """
    root = str(clone_dir / "site")
    content = {} if config.content_path is None else {"WP_CONTENT_DIR": f"{root}/{config.content_path}".rstrip("/")}
    ours: dict[str, PhpValue] = {
        "DB_NAME": database,
        "DB_USER": user,
        "DB_PASSWORD": password,
        "DB_HOST": f"localhost:{socket}",
        "DB_CHARSET": config.charset,
        "DB_COLLATE": config.collate,
        **{name: secrets.token_urlsafe(48) for name in SALTS},
        "WP_TEMP_DIR": str(clone_dir / "tmp"),
        "WP_ENVIRONMENT_TYPE": "staging",
        "DISABLE_WP_CRON": True,
        "AUTOMATIC_UPDATER_DISABLED": True,
        "FS_METHOD": "direct",
        "WP_DEBUG_DISPLAY": False,
        "WP_DEBUG_LOG": str(clone_dir / "log" / "debug.log"),
    }
    theirs = {name: value for name, value in config.constants.items() if name not in ours and name not in content}
    content_url = (
        ""
        if config.content_path is None
        else f"define('WP_CONTENT_URL', {php('http://')} . ($_SERVER['HTTP_HOST'] ?? '') . "
        f"{php('/' + config.content_path)});\n"
    )
    return f"<?php\n{defines({**ours, **content, **theirs})}\n{content_url}"


def wp_config(config: SiteConfig, *, clone_dir: Path) -> str:
    """The text of wp-config.php: the constants, the guard, the prefix of the tables."""
    abspath = f"{clone_dir}/site/{config.wordpress_path}".rstrip("/") + "/"
    return (
        "<?php\n// Written by Siteferry for this clone; the source's own wp-config.php was not copied.\n"
        f"require_once {php(str(clone_dir / 'guard' / 'constants.php'))};\n"
        f"$table_prefix = {php(config.prefix)};\n"
        f"require_once {php(str(clone_dir / 'guard' / 'guard.php'))};\n"
        f"defined('ABSPATH') || define('ABSPATH', {php(abspath)});\n"
        "require_once ABSPATH . 'wp-settings.php';\n"
    )


def cell_facts(config: SiteConfig) -> str:
    """The text of cell.json: what the launcher of the cell must know."""
    allowed = sorted(name.lower() for name in config.allow_http)
    return json.dumps({"allow_http": allowed, "media": config.media}) + "\n"


def guard_config(config: SiteConfig, *, host: str) -> str:
    """The text of the guard's config.php."""
    facts: dict[str, PhpValue] = {
        "host": host,
        "source": config.source_host,
        "allow_http": sorted(name.lower() for name in config.allow_http),
        "quarantined_plugins": list(config.quarantined_plugins),
        "media": config.media is not None,
    }
    entries = ", ".join(f"{php(name)} => {php(value)}" for name, value in facts.items())
    return f"<?php\nreturn array({entries});\n"
