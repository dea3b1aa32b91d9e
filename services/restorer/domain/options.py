"""Options of WordPress that stay production's, and the list of active plugins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.contract.events import RestoreOptions
from shared.wordpress.connector.package import PLUGIN_FILE
from shared.wordpress.hostbound import quarantined_plugins

ALWAYS = (
    "siteurl home blog_public admin_email new_admin_email upload_path upload_url_path mailserver_url mailserver_login "
    "mailserver_pass mailserver_port db_version initial_db_version db_upgraded cron rewrite_rules recently_edited "
    "auto_updater.lock core_updater.lock auth_key secure_auth_key logged_in_key nonce_key auth_salt secure_auth_salt "
    "logged_in_salt nonce_salt fresh_site https_detection_errors can_compress_scripts"
).split()
"""They say where the site is, who runs it, and what happens on it right now."""
ALWAYS_LIKE = (
    r"auto\_core\_update%",
    r"auto\_plugin\_theme\_update%",
    r"recovery\_%",
    r"siteferry%",
    r"\_transient\_%",
    r"\_site\_transient\_%",
    r"\_wc\_session\_%",
)
WITH_PLUGINS = ("recently_activated", "uninstall_plugins")
WITH_PLUGINS_LIKE = (r"%\_db\_version",)
ACTIVE = "active_plugins"
WITH_THEMES = ("template", "stylesheet", "current_theme", "theme_switched")
WITH_THEMES_LIKE = (r"theme\_mods\_%",)
WITH_USERS = ("default_role", "users_can_register")


@dataclass(frozen=True)
class Kept:
    """Exact names and SQL LIKE patterns of options that are production's."""

    names: tuple[str, ...]
    like: tuple[str, ...]

    def where(self, *more: str) -> dict[str, Any]:
        """The rule that leaves these options, and `more` names, out of what is read."""
        return {"column": "option_name", "not_in": [*self.names, *more], "not_like": list(self.like)}


def kept_options(options: RestoreOptions, prefixes: Iterable[str]) -> Kept:
    """What stays, subject to the preserve options; `prefixes`: of both sides' tables."""
    names, like = list(ALWAYS), list(ALWAYS_LIKE)
    if options.preserve_plugins:
        names += [ACTIVE, *WITH_PLUGINS]
        like += WITH_PLUGINS_LIKE
    if options.preserve_themes:
        names += WITH_THEMES
        like += WITH_THEMES_LIKE
    if options.preserve_users:
        names += [*WITH_USERS, *(f"{prefix}user_roles" for prefix in sorted(set(prefixes)))]
    return Kept(tuple(names), tuple(like))


def active_plugins(clone: Sequence[str], production: Sequence[str]) -> list[str]:
    """Which plugins are active after a restore that takes the clone's: host-bound ones are production's business."""
    theirs = [plugin for plugin in clone if plugin not in quarantined_plugins(clone)]
    ours = list(quarantined_plugins(production))
    return sorted({*theirs, *ours, PLUGIN_FILE})


def serialized(texts: Sequence[str]) -> bytes:
    """A list of texts as PHP serializes it."""
    parts = [b'i:%d;s:%d:"%b";' % (i, len(text.encode()), text.encode()) for i, text in enumerate(texts)]
    return b"a:%d:{%b}" % (len(texts), b"".join(parts))
