"""What stays behind on the source, and why: file rules and row rules, as data that requests carry and results list.

A file rule's `base` says what its glob is relative to: `any` (the name, at any depth), `root` (each root) or one of
WordPress's directories (`content`, `uploads`, `plugins`, `mu-plugins`, `themes`, `abspath`). Wildcards stand in the
last component only; `**/*.jpg` is every file below the base whose name ends so, in small letters or capitals. An older
connector that was installed by hand does not know it, and sends those files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Base = Literal["any", "root", "abspath", "content", "uploads", "plugins", "mu-plugins", "themes"]
Kind = Literal["", "file", "dir"]


@dataclass(frozen=True, slots=True)
class FileRule:
    """Entries that match stay on the source, directories with all that is in them."""

    id: str
    base: Base
    globs: tuple[str, ...]
    reason: str
    kind: Kind = ""

    def params(self) -> list[dict[str, str]]:
        """The rule as requests carry it."""
        extra = {"kind": self.kind} if self.kind else {}
        return [{"id": self.id, "base": self.base, "glob": glob, **extra} for glob in self.globs]


@dataclass(frozen=True, slots=True)
class RowRule:
    """Rows of one table (named without prefix) that stay on the source. Patterns are SQL LIKE patterns."""

    id: str
    table: str
    column: str
    reason: str
    not_like: tuple[str, ...] = ()
    not_in: tuple[str | int, ...] = ()

    def params(self) -> dict[str, Any]:
        """The rule as requests carry it."""
        rule: dict[str, Any] = {"column": self.column}
        if self.not_like:
            rule["not_like"] = list(self.not_like)
        if self.not_in:
            rule["not_in"] = list(self.not_in)
        return rule


@dataclass(frozen=True, slots=True)
class TableRule:
    """A table (named without prefix) whose structure is copied and whose rows stay on the source."""

    id: str
    table: str
    reason: str


FILE_RULES: Final[tuple[FileRule, ...]] = (
    FileRule("configuration", "root", ("wp-config.php",), "database password and keys: the clone gets its own"),
    FileRule(
        "configuration-copies",
        "root",
        ("wp-config.*", "wp-config-backup*", "wp-config~", ".wp-config*"),
        "copies of the configuration hold secrets too",
        "file",
    ),
    FileRule(
        "php-settings",
        "any",
        (".user.ini", "php.ini", ".php.ini", "php5.ini"),
        "PHP settings of the source's host",
        "file",
    ),
    FileRule(
        "server-secrets",
        "any",
        (".htpasswd", ".env", ".my.cnf", "auth.json"),
        "credentials of the source's host",
        "file",
    ),
    FileRule("version-control", "any", (".git", ".svn", ".hg", ".bzr"), "version control history"),
    FileRule("node-modules", "any", ("node_modules",), "build tools, not part of the site", "dir"),
    FileRule("logs", "any", ("*.log", "error_log", "php_errorlog", "php_error_log"), "log files", "file"),
    FileRule(
        "system",
        "any",
        (".DS_Store", "Thumbs.db", "__MACOSX", ".Trash", "lost+found"),
        "leftovers of operating systems",
    ),
    FileRule("host", "root", ("cgi-bin", ".well-known", ".quarantine", ".tmb"), "belongs to the source's host", "dir"),
    FileRule("maintenance", "abspath", (".maintenance",), "an update is running on the source", "file"),
    FileRule(
        "caches",
        "content",
        (
            "cache",
            "litespeed",
            "et-cache",
            "wphb-cache",
            "wpo-cache",
            "w3tc-config/cache",
            "nginx-cache",
            "object-cache-pro",
        ),
        "caches: rebuilt by the clone itself",
        "dir",
    ),
    FileRule("upgrade", "content", ("upgrade", "upgrade-temp-backup"), "WordPress's working directories", "dir"),
    FileRule(
        "backups",
        "content",
        (
            "updraft",
            "ai1wm-backups",
            "backups-dup-*",
            "backup-db",
            "backups",
            "backup",
            "backupwpup*",
            "wpvividbackups",
            "wpvivid*",
            "envato-backups",
            "managewp",
            "infinitewp",
            "boldgrid_backup",
            "aiowps_backups",
            "backup-guard",
            "webtoffee_migrations",
            "wpstg",
            "mysql-backups",
            "backups-*",
            "blogvault*",
            "jetpack-backup*",
        ),
        "backups made by other plugins",
        "dir",
    ),
    FileRule(
        "backups-in-uploads",
        "uploads",
        (
            "backwpup-*",
            "backupbuddy_backups",
            "backupbuddy_temp",
            "pb_backupbuddy",
            "db-backup",
            "wp-clone",
            "wp-staging",
            "backup-guard",
            "wp-migrate-db",
            "wp-file-manager-pro",
            "custom-migrator",
            "wpallimport/logs",
        ),
        "backups and temporary files of other plugins",
        "dir",
    ),
    FileRule(
        "backups-in-root",
        "root",
        ("wp-snapshots", "backups-dup-*", "dup-installer*", "wp-content-backup*"),
        "backups made by other plugins",
    ),
    FileRule(
        "logs-in-uploads",
        "uploads",
        ("wc-logs", "ithemes-security", "sucuri", "wp-slimstat", "wflogs"),
        "logs of plugins",
        "dir",
    ),
    FileRule("firewall", "content", ("wflogs", "sucuri"), "data of the source's firewall", "dir"),
    FileRule(
        "firewall-loader",
        "root",
        ("wordfence-waf.php", "malcare-waf.php", "bv_connector_*"),
        "loader of the source's firewall",
        "file",
    ),
    FileRule("core-dumps", "root", ("core", "core.*"), "crash dumps", "file"),
)
"""`wp-config.php` one level above the root is never part of a root. `.htaccess` is copied: the caller decides."""

ROW_RULES: Final[tuple[RowRule, ...]] = (
    RowRule(
        "transients",
        "options",
        "option_name",
        "temporary values: rebuilt by the clone itself",
        (r"\_transient\_%", r"\_site\_transient\_%"),
    ),
    RowRule("woocommerce-session-options", "options", "option_name", "shoppers' sessions", (r"\_wc\_session\_%",)),
    RowRule("site-transients", "sitemeta", "meta_key", "temporary values of the network", (r"\_site\_transient\_%",)),
    RowRule("edit-locks", "postmeta", "meta_key", "who is editing what right now", (), ("_edit_lock",)),
)

TABLE_RULES: Final[tuple[TableRule, ...]] = (
    TableRule("woocommerce-sessions", "woocommerce_sessions", "shoppers' sessions"),
    TableRule("action-scheduler-logs", "actionscheduler_logs", "log of background tasks"),
)


def file_rule_params(rules: Iterable[FileRule] = FILE_RULES) -> list[dict[str, str]]:
    """Rules as the `skip` parameter of files.count and files.stream."""
    return [params for rule in rules for params in rule.params()]


def file_reason(rule_id: str, rules: Iterable[FileRule] = FILE_RULES) -> str:
    """Why files were skipped, for a result; covers the connector's own rules too."""
    own = {
        "connector": "the connector itself",
        "snapshot": "what restores of this site keep for the way back",
        "other-install": "another WordPress of its own in this directory",
    }
    return next((rule.reason for rule in rules if rule.id == rule_id), own.get(rule_id, rule_id))


def row_rules_for(table: str, prefix: str, rules: Sequence[RowRule] = ROW_RULES) -> list[RowRule]:
    """The row rules of a table, given with its prefix."""
    return [rule for rule in rules if table == prefix + rule.table]


def rows_stay_behind(table: str, prefix: str, rules: Sequence[TableRule] = TABLE_RULES) -> TableRule | None:
    """The rule that leaves all rows of this table on the source, if there is one."""
    return next((rule for rule in rules if table == prefix + rule.table), None)
