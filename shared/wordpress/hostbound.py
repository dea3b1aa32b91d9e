"""What is bound to the source's host and must not load on a clone: drop-ins, mu-plugins, plugins; each with a reason.

Files of plugins stay where they are (the guard keeps them from loading); drop-ins and mu-plugins load by being there,
so they go to the clone's quarantine directory instead.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

CACHE = "a page or object cache of the source's host"
LOGIN = "guards or moves the login of the production site"
BACKUP = "would write into the production site's backups"
HOST = "belongs to the source's hosting company"
NETWORK = "only makes sense in the source's network"

DROPINS: Mapping[str, str] = {
    "object-cache.php": CACHE,
    "advanced-cache.php": CACHE,
    "db.php": "replaces the database layer with one of the source's host",
    "db-error.php": HOST,
    "sunrise.php": NETWORK,
    "blog-deleted.php": NETWORK,
    "blog-inactive.php": NETWORK,
    "blog-suspended.php": NETWORK,
    "maintenance.php": "shows the production site's maintenance page",
}

MU_PLUGINS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "mu-plugin.php",
            "wpengine-common",
            "wpengine-security-auditor.php",
            "wpe-wp-sign-on-plugin",
            "wpe-wp-sign-on-plugin.php",
            "wpe-cache-plugin",
            "wpe-cache-plugin.php",
            "wpe-update-source-selector",
            "slt-force-strong-passwords.php",
            "force-strong-passwords",
            "stop-long-comments.php",
            "kinsta-mu-plugins",
            "kinsta-mu-plugins.php",
            "gd-system-plugin",
            "gd-system-plugin.php",
            "mwp-loader.php",
            "pressable-cache-management.php",
            "pressable-onepress-login",
            "pantheon-mu-plugin",
            "pantheon.php",
            "pagely-management-v2.php",
            "pagely-management-v2",
            "ionos-assistant",
            "ionos-assistant.php",
            "hostinger-auto-updates.php",
            "hostinger-preview-domain.php",
            "endurance-page-cache.php",
            "endurance-browser-cache.php",
            "sso.php",
            "bluehost-wordpress-plugin",
            "wpcomsh",
            "wpcomsh-loader.php",
            "flywheel-migrations.php",
            "nexcess-mapps",
            "nexcess-mapps.php",
            "cloudways-mu.php",
            "sg-cachepress-mu.php",
            "rocketnet-cdn.php",
            "cdn-cache-management",
            "cdn-cache-management.php",
            "wp-stack-cache.php",
            "health-check-troubleshooting-mode.php",
            "elementor-safe-mode.php",
        ),
        HOST,
    ),
    "batcache-manager.php": CACHE,
    "wp-redis.php": CACHE,
}

PLUGINS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "sg-cachepress",
            "wp-rocket",
            "w3-total-cache",
            "wp-super-cache",
            "wp-fastest-cache",
            "litespeed-cache",
            "breeze",
            "hummingbird-performance",
            "wp-hummingbird",
            "cache-enabler",
            "comet-cache",
            "swift-performance",
            "swift-performance-lite",
            "nginx-helper",
            "redis-cache",
            "object-cache-pro",
            "memcached-redux",
            "wp-redis",
            "varnish-http-purge",
            "cloudflare",
            "wp-cloudflare-page-cache",
            "nginx-cache",
            "surge",
            "powered-cache",
            "wp-optimize",
        ),
        CACHE,
    ),
    **dict.fromkeys(
        (
            "sg-security",
            "wordfence",
            "wordfence-login-security",
            "better-wp-security",
            "ithemes-security-pro",
            "all-in-one-wp-security-and-firewall",
            "wps-hide-login",
            "rename-wp-login",
            "hide-my-wp",
            "wp-hide-security-enhancer",
            "limit-login-attempts",
            "limit-login-attempts-reloaded",
            "loginizer",
            "two-factor",
            "two-factor-authentication",
            "wp-2fa",
            "miniorange-2-factor-authentication",
            "google-authenticator",
            "really-simple-ssl",
            "sucuri-scanner",
            "wp-cerber",
            "shield-security",
            "wp-simple-firewall",
            "login-recaptcha",
            "advanced-google-recaptcha",
            "simple-cloudflare-turnstile",
            "wp-force-ssl",
            "cf7-honeypot-login",
        ),
        LOGIN,
    ),
    **dict.fromkeys(
        (
            "updraftplus",
            "backwpup",
            "wpvivid-backuprestore",
            "duplicator",
            "duplicator-pro",
            "all-in-one-wp-migration",
            "backupbuddy",
            "blogvault-real-time-backup",
            "migrate-guru",
            "jetpack-backup",
            "vaultpress",
            "backup-backup",
            "xcloner-backup-and-restore",
            "worker",
            "mainwp-child",
        ),
        BACKUP,
    ),
    **dict.fromkeys(
        (
            "wordpress-starter",
            "hostinger",
            "hostinger-easy-onboarding",
            "ionos-essentials",
            "bluehost-wordpress-plugin",
            "wp-plugin-bluehost",
            "wp-plugin-hostgator",
            "pressable-cache-management",
            "endurance-page-cache",
        ),
        HOST,
    ),
}


def quarantined_plugins(active: Iterable[str]) -> dict[str, str]:
    """Of the active plugins (`dir/file.php` or `file.php`) those that must not load, with the reason."""
    found = {}
    for plugin in active:
        slug = plugin.partition("/")[0].removesuffix(".php")
        if slug in PLUGINS:
            found[plugin] = PLUGINS[slug]
    return found


def quarantined_path(path: bytes, *, content: bytes, mu_plugins: bytes) -> str | None:
    """The reason why a file may not lie where WordPress would load it; None for nearly all.

    `path`, `content` and `mu_plugins` are relative to the document root.
    """
    parent, name = posixpath.split(path)
    if parent == content:
        return DROPINS.get(name.decode("utf-8", "replace"))
    if path.startswith(mu_plugins + b"/"):
        top = path[len(mu_plugins) + 1 :].split(b"/", 1)[0]
        return MU_PLUGINS.get(top.decode("utf-8", "replace"))
    return None
