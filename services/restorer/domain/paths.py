"""Which files below wp-content take part in a restore, and what becomes of them."""

from __future__ import annotations

from services.restorer.domain.diff import Act, Verdict, file
from shared.contract.events import RestoreOptions
from shared.wordpress.connector.skips import FILE_RULES, FileRule, file_rule_params
from shared.wordpress.hostbound import DROPINS, MU_PLUGINS, PLUGINS

DROP_INS = tuple({*DROPINS, "install.php", "php-error.php", "fatal-error-handler.php"})
ALWAYS = (
    FileRule("drop-ins", "content", DROP_INS, "drop-ins of production stay"),
    FileRule("mu-host", "mu-plugins", tuple(MU_PLUGINS), "belongs to production's host"),
    FileRule("plugins-host", "plugins", tuple(PLUGINS), "bound to production's host"),
    FileRule("server-rules", "any", (".htaccess", "web.config"), "rules of production's server"),
    FileRule("siteferry", "content", ("siteferry-*",), "what restores keep on the site"),
)
TEXTS = (b".css", b".js", b".json", b".html", b".htm", b".svg", b".xml", b".txt", b".map", b".webmanifest")
MAX_TEXT = 4 * 1024 * 1024


def bases(options: RestoreOptions) -> dict[str, str]:
    """Directories that stay as they are -> why. The others of `content`, `themes`, … take part."""
    kept: dict[str, str] = {}
    if options.preserve_plugins:
        kept |= dict.fromkeys(("plugins", "mu-plugins"), "production's plugins stay")
    if options.preserve_themes:
        kept["themes"] = "production's themes stay"
    return kept


def skip_rules(options: RestoreOptions) -> list[dict[str, str]]:
    """The `skip` parameter for both sides."""
    asked = tuple(_below_content(path) for path in options.exclude_paths if _below_content(path))
    rules = [*FILE_RULES, *ALWAYS]
    if asked:
        rules.append(FileRule("asked", "content", asked, "stays as asked"))
    return file_rule_params(rules)


def wanted(base: str, path: bytes, options: RestoreOptions) -> bool:
    """Whether a file is among those asked for."""
    asked = [_below_content(name).encode() for name in options.include_paths if _below_content(name)]
    if not asked:
        return True
    full = path if base == "content" else base.encode() + b"/" + path
    return any(full == name or full.startswith(name + b"/") for name in asked)


def folder(base: str, path: bytes) -> str:
    """The folder a file is counted under: `uploads/2024`, `themes/harbour`, `content`."""
    top, cut, _ = path.partition(b"/")
    return f"{base}/{top.decode('utf-8', 'backslashreplace')}" if cut else base


def is_text(path: bytes, size: int) -> bool:
    """Whether a file may name the clone's address in clear, and is small enough to look into."""
    return size <= MAX_TEXT and path.lower().endswith(TEXTS)


def _below_content(path: str) -> str:
    return path.strip("/").removeprefix("wp-content/").strip("/")


__all__ = ["Act", "Verdict", "bases", "file", "folder", "is_text", "skip_rules", "wanted"]
