"""Options of WordPress that stay production's, and the list of active plugins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.contract.events import RestoreOptions
from shared.wordpress.connector.package import PLUGIN_FILE
from shared.wordpress.hostbound import quarantined_plugins
from shared.wordpress.runtime import RUNTIME_OPTIONS, RUNTIME_OPTIONS_LIKE

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
    names, like = list(RUNTIME_OPTIONS), list(RUNTIME_OPTIONS_LIKE)
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
