"""What a source site shall be like. Every field has the default of an ordinary site."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal

Layout = Literal["root", "wp-subdir", "blog"]
Content = Literal["bare", "small"]

PRETTY = "/%year%/%monthnum%/%postname%/"
PLAIN = ""


@dataclass(frozen=True, slots=True)
class User:
    """A further account of the site. `role` is a WordPress role name; "" = no role at all."""

    login: str
    password: str
    role: str = "editor"

    @property
    def email(self) -> str:
        return f"{self.login}@example.org"


def _password() -> str:
    # Never the same twice, so that a test that greps for it can not find another site's.
    return "pw-" + secrets.token_hex(12)


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """One WordPress source site.

    layout      "root": WordPress in the web root · "wp-subdir": home at /, WordPress in /wp (siteurl != home) ·
                "blog": the whole site below /blog, with another site's page at /
    content_dir name of the content folder in the web root when it is not wp-content (WP_CONTENT_DIR and _URL are set)
    php_values  PHP limits of this site that its code can not raise, e.g. {"memory_limit": "64M"}
    fs_method   "" = direct, found by WordPress itself; "ftpext" = WordPress asks for FTP credentials
    """

    name: str
    title: str = "Pine & Sons"
    table_prefix: str = "wp_"
    permalinks: str = PRETTY
    username: str = "admin"
    password: str = field(default_factory=_password)
    users: tuple[User, ...] = ()
    layout: Layout = "root"
    content_dir: str = ""
    content: Content = "small"
    php_values: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str | int | bool] = field(default_factory=dict)
    rest_disabled: bool = False
    disallow_file_mods: bool = False
    fs_method: str = ""
    two_factor: bool = False
    captcha: bool = False
    challenge_page: bool = False
    basic_auth: tuple[str, str] | None = None
    force_ssl_admin: bool = False
    hidden_login: bool = False
    confirm_admin_email: bool = False
    max_body: int | None = None
    multisite: bool = False
    cron: bool = False

    def __post_init__(self) -> None:
        if not self.name or not all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in self.name):
            raise ValueError(f"a site's name is a host label, [a-z0-9-]: {self.name!r}")

    @property
    def email(self) -> str:
        return f"{self.username}@example.org"
