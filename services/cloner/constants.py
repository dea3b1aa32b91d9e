"""Which constants of the source's wp-config.php a clone keeps. Pure; the worker asks again about what it is told."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

CONSTANTS = frozenset(
    {
        "WP_MEMORY_LIMIT",
        "WP_MAX_MEMORY_LIMIT",
        "WPLANG",
        "WP_POST_REVISIONS",
        "EMPTY_TRASH_DAYS",
        "AUTOSAVE_INTERVAL",
        "MEDIA_TRASH",
        "UPLOADS",
        "CUSTOM_USER_TABLE",
        "CUSTOM_USER_META_TABLE",
        "WP_DEFAULT_THEME",
        "IMAGE_EDIT_OVERWRITE",
        "WP_DEBUG",
        "SCRIPT_DEBUG",
        "CONCATENATE_SCRIPTS",
    }
)
"""Constants WordPress knows that a clone keeps."""

OWN_ADDRESS = ("WP_HOME", "WP_SITEURL")
"""By these a copy answers at its own address, whatever its rows say. No clone has them of its source."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
NEVER = re.compile(
    r"SITEFERRY_.*|DB_.*|(AUTH|SECURE_AUTH|LOGGED_IN|NONCE)_(KEY|SALT)|ABSPATH|WPINC|SHORTINIT|WP_HOME|WP_SITEURL|RELOCATE|"
    r"WP_CONTENT_.*|WP_PLUGIN_.*|WPMU_PLUGIN_.*|PLUGINDIR|MUPLUGINDIR|WP_LANG_DIR|LANGDIR|WP_TEMP_DIR|COOKIE.*|.*_COOKIE|"
    r".*COOKIE_PATH|COOKIEHASH|MULTISITE|SUBDOMAIN_INSTALL|WP_ALLOW_MULTISITE|SUNRISE|.*_CURRENT_SITE|NOBLOGREDIRECT|"
    r"DISALLOW_.*|FS_.*|FTP_.*|FORCE_SSL.*|WP_CACHE|WP_CACHE_.*|WPCACHEHOME|WP_PROXY_.*|WP_HTTP_.*|WP_ACCESSIBLE_HOSTS|"
    r"DISABLE_WP_CRON|ALTERNATE_WP_CRON|WP_CRON_.*|WP_DEBUG_LOG|WP_DEBUG_DISPLAY|AUTOMATIC_UPDATER_DISABLED|"
    r"WP_AUTO_UPDATE_CORE|WP_ENVIRONMENT_TYPE|WP_DEVELOPMENT_MODE|WP_INSTALLING|WP_ADMIN|WP_NETWORK_ADMIN|WP_USER_ADMIN|"
    r"WP_REPAIRING|WP_ALLOW_REPAIR|WP_SANDBOX_SCRAPING|WP_UNINSTALL_PLUGIN|WP_IMPORTING|WP_USE_THEMES|WP_CLI.*|DOING_.*|"
    r"XMLRPC_REQUEST|REST_REQUEST|IFRAME_REQUEST|EMPTY_TRASH_CRON|SAVEQUERIES|WP_REDIS_.*|WP_MEMCACHED_.*",
    re.IGNORECASE,
)
"""What belongs to the source's server, or is decided by the clone's."""
SECRET = re.compile(
    r"KEY|SALT|PASS|PWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|LICEN[CS]E|DSN|SIGNATURE|WEBHOOK|API", re.IGNORECASE
)
PLAIN = re.compile(r"[A-Za-z_. -]{0,30}")
"""Texts that name something: no address, no path, no key."""

Value = bool | int | float | str


def carries(name: str, value: Value, chosen: Collection[str]) -> bool:
    """Whether a clone keeps this constant: WordPress's own of `CONSTANTS`, a person's choice, or one that does no harm.

    Numbers and switches do no harm, and texts of a word or two; what may be a secret or names a place is a choice.
    """
    if name in CONSTANTS:
        return True
    if not NAME.fullmatch(name) or NEVER.fullmatch(name):
        return False
    if name in chosen:
        return True
    return not SECRET.search(name) and (not isinstance(value, str) or PLAIN.fullmatch(value) is not None)


def carried_constants(facts: Mapping[str, Any], chosen: Collection[str]) -> dict[str, Value]:
    """What a clone keeps of what the connector found."""
    found = {**(facts.get("custom_constants") or {}), **facts["constants"]}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, bool | int | float | str) and carries(name, value, chosen)
    }


def constants_behind(facts: Mapping[str, Any], chosen: Collection[str]) -> list[str]:
    """Names of the custom constants that stay on the source and could be chosen."""
    found = facts.get("custom_constants") or {}
    kept = carried_constants(facts, chosen)
    return sorted(name for name in found if name not in kept and NAME.fullmatch(name) and not NEVER.fullmatch(name))
